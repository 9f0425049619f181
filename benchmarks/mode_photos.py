#!/usr/bin/env python3
"""A capture of videos, and of still pictures of the same place: the plates of a finished run, as photos.

    .venv/bin/python benchmarks/mode_photos.py results/basketball_full ../shared/data/panoptic_basketball \\
        data/basketball_photos
    .venv/bin/snakemake --cores 2 --configfile benchmarks/mode_photos.yaml -- results/ablation/report.html

The plate of a camera is the mode of each pixel over time (stage `motion`), which only training cameras have: no
held-out view becomes a photo. The new folder links to everything of the capture and has ``photos/camNN.png`` beside it;
with given cameras a photo has the pose of the camera of its name. So few videos can be trained with the photos of all
positions.
"""

import argparse
from pathlib import Path

from mixdepth.files.images import write_image
from mixdepth.frames.motion import Motion
from mixdepth.results import Results


def main() -> None:
    """Link the capture and write its plates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results/<scene> of a run with all training cameras")
    parser.add_argument("data", type=Path, help="the capture's folder")
    parser.add_argument("output", type=Path, help="the new capture's folder")
    args = parser.parse_args()
    plates = sorted(args.results.glob(str(Results(Path()).store("*").motion)))
    if not plates:
        raise SystemExit(f"{args.results}: no motion.npz of any camera; run the scene up to what moves first")
    args.output.mkdir(parents=True, exist_ok=True)
    for path in args.data.resolve().iterdir():
        if not (link := args.output / path.name).exists():
            link.symlink_to(path)
    for path in plates:
        write_image(args.output / "photos" / f"{path.parent.name}.png", Motion.load(path).plate, "PNG")
    print(f"{args.output}: {len(plates)} photos ({', '.join(path.parent.name for path in plates)})")


if __name__ == "__main__":
    main()
