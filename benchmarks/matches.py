#!/usr/bin/env python3
"""How many matches of arc8's eight pictures are false, which its true depth tells: by Lowe's ratio, before and after
RANSAC, and after guided matching. Prints a Markdown table (about half a minute).

.venv/bin/python benchmarks/matches.py
"""

import itertools
from pathlib import Path

# First: it sees to it that Pillow is imported before pycolmap.
from mixdepth.cameras.colmap import mapping as colmap  # isort: skip
import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.colmap.features import detect
from mixdepth.cameras.lens import Lens

DATA = Path(__file__).parents[2] / "shared" / "data" / "arc8"
OPTIONS = {"max_features": 8192, "peak_threshold": 0.0066667, "upscale_to": 640}
FALSE = 2.0  # detection pixels from where the true depth puts a key point: more is a false match


def main() -> None:
    with np.load(DATA / "truth.npz") as file:
        poses, focal, depth = (file[key] for key in ("c2w_opencv", "focal", "depth"))
    images = {f"cameras/cam{n:02d}.png": DATA / f"frames/cam{n:02d}/0001.png" for n in range(8)}
    lens = Lens("PINHOLE", 160, 120, (float(focal), float(focal), 80.0, 60.0))
    features = detect(images, OPTIONS)
    cameras = colmap.known_cameras(images, features, dict.fromkeys(images, lens))

    def wrong(pair: tuple[str, str], indices: np.ndarray) -> np.ndarray:
        """Which matches [M, 2] of two images are false."""
        one, two = (int(name[-6:-4]) for name in pair)
        uv = [features[name].uv[indices[:, side]] for side, name in enumerate(pair)]
        column, row = uv[0].astype(int).T
        first, second = (Camera(160, 120, *lens.params, poses[number]) for number in (one, two))
        there, _ = second.project(first.unproject(uv[0], depth[one, 0][row, column].astype(float)))
        enlarged = features[pair[0]].detection_size[0] / 160
        return np.linalg.norm(there - uv[1], axis=1) * enlarged > FALSE

    pairs = list(itertools.combinations(sorted(images), 2))
    print("| ratio | matches | false | after RANSAC | false | guided | false |\n|---|---|---|---|---|---|---|")
    for ratio in (0.6, 0.7, 0.8, 0.9):
        (plain,) = colmap.match_pairs(pairs, features, ratio)
        verified = colmap.verify_pairs(plain, features, cameras, 0)
        guided = colmap.match_guided(verified, features, cameras, 0)
        cells = [f"{ratio}"]
        for found in (plain, colmap.inliers(verified), colmap.inliers(guided)):
            false = np.concatenate([wrong(pair, indices) for pair, indices in found.items()])
            cells += [f"{len(false)}", f"{false.mean():.1%}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
