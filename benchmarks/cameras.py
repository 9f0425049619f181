#!/usr/bin/env python3
"""How near to the truth the cameras and the sparse depth come: prints Markdown tables (about ten minutes on two cores).

.venv/bin/python benchmarks/cameras.py [capture ...]

flame_steak5, fern: COLMAP from the photos alone against the published poses_bounds.npy, after a similarity of the
centres (published poses are themselves COLMAP's). demo: what `make demo` left in results/demo, against the truth.
basketball: points from the 27 training cameras' first frame with the given poses, and how two halves of these cameras,
triangulated apart, agree. Distances are shares of the extent: the largest distance of two cameras.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

# First: it sees to it that Pillow is imported before pycolmap.
from mixdepth.cameras.colmap import mapping as colmap  # isort: skip
from mixdepth.cameras.colmap import triangulation as colmap_triangulation  # isort: skip
from mixdepth.cameras.colmap import ladder  # isort: skip
import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.formats.llff import read_poses_bounds
from mixdepth.cameras.formats.panoptic import read_panoptic
from mixdepth.cameras.model import Model
from mixdepth.cameras.sparse_depth import sparse_depth
from mixdepth.evaluation.align import align
from mixdepth.files.io import read_npz
from mixdepth.scene.config import load_config

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


def colmap_options(**changed: object) -> dict:
    """The defaults of the ``colmap`` section."""
    scenes = load_config({"scenes": {"x": {"data": str(ROOT)}}})
    return {**scenes._options["x"]["colmap"], **changed}


def errors(ours: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Errors of centres (shares of the extent) and rotations (degrees) of c2w [N, 4, 4], and our unit in theirs."""
    similarity = align(ours, truth)
    moved = np.array([similarity.apply_pose(pose) for pose in ours])
    centres = truth[:, :3, 3]
    extent = np.linalg.norm(centres[:, None] - centres[None], axis=-1).max()
    turn = np.einsum("nij,nij->n", moved[:, :3, :3], truth[:, :3, :3])
    angles = np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1)))
    return np.linalg.norm(moved[:, :3, 3] - centres, axis=1) / extent, angles, similarity.scale


def photos(name: str, folder: str) -> list[str]:
    """A row for a capture of photos with published poses."""
    files = {f"photos/{path.name}": [path] for path in sorted((DATA / name / folder).glob("*.[jp][pn]g"))}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        report = ladder.run_sfm(files, Path(output), colmap_options())
        model = colmap.read_model(Path(output))
    seconds = time.perf_counter() - start
    published = read_poses_bounds(DATA / name / "poses_bounds.npy", list(files))
    names = sorted(model.c2w)
    centre, angle, unit = errors(np.array([model.c2w[n] for n in names]), np.array([published[n].c2w for n in names]))
    lens, given = model.lenses[names[0]], published[names[0]].lens
    focal = lens.focal[0] * given.width / lens.width / given.focal[0]
    near, far = np.median(
        [np.percentile(depths(model, n), (0.1, 99.9)) * unit / published[n].bounds for n in names], axis=0
    )
    return [
        name, f"{len(names)} of {len(files)}", f"{100 * np.median(centre):.2f} / {100 * centre.max():.2f} %",
        f"{np.median(angle):.2f} / {angle.max():.2f}", f"{100 * (focal - 1):+.1f} %", f"{near:.3f} / {far:.3f}",
        report["used"], f"{report['verification']['score']:.2f}", f"{seconds:.0f} s",
    ]  # fmt: skip


def depths(model: Model, name: str) -> np.ndarray:
    """z-depths of the points that an image sees."""
    return model.track_depth[model.track_image == sorted(model.lenses).index(name)]


def demo() -> list[list[str]]:
    """Rows for the demo's cameras, sparse depth and standard deviations."""
    folder, truth = ROOT / "results/demo", read_npz(ROOT / "data/demo/truth.npz")
    cameras = load_cameras(folder / "cameras.json")
    names = sorted(cameras)
    centre, angle, unit = errors(np.array([cameras[n].c2w for n in names]), truth["c2w_opencv"])
    error, off = [], []
    for index, name in enumerate(names):
        path = folder / f"colmap_depth/{name}.npz"
        if path.is_file():
            sparse = read_npz(path)
            true = at(truth["static_depth"][index], sparse["uv"])
            error.append((sparse["z"] * unit - true) / true)
            off.append((sparse["z"] * unit - true) / (sparse["sigma"] * unit))
    error, off = np.abs(np.concatenate(error)), np.abs(np.concatenate(off))
    report = json.loads((folder / "cameras_report.json").read_text())
    return [
        ["centres, median / largest", f"{100 * np.median(centre):.3f} / {100 * centre.max():.3f} %"],
        ["rotations, median / largest", f"{np.median(angle):.3f} / {angle.max():.3f} degrees"],
        ["sparse depth, median error", f"{100 * np.median(error):.2f} % of {len(error)} points"],
        ["within 1 / 2 / 3 standard deviations", " / ".join(f"{100 * np.mean(off <= k):.0f} %" for k in (1, 2, 3))],
        ["verification", f"{report['verdict']}, score {report['score']:.2f}"],
    ]


def at(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear values of ``image`` [H, W] at pixels ``uv`` [N, 2] (centres at +0.5)."""
    x, y = np.clip(uv - 0.5, 0, np.array(image.shape[::-1]) - 1.001).T
    i, j = y.astype(int), x.astype(int)
    a, b = y - i, x - j
    rows = [image[i, j] * (1 - b) + image[i, j + 1] * b, image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b]
    return rows[0] * (1 - a) + rows[1] * a


def basketball() -> list[list[str]]:
    """Rows for the triangulation with given poses, from one frame."""
    root = DATA / "panoptic_basketball"
    numbers = sorted(json.loads((root / "train_meta.json").read_text())["cam_id"][0])
    posed = read_panoptic(root)
    names = [f"cam{number:02d}" for number in numbers]
    images = {n: root / "ims" / str(k) / "000000.jpg" for k, n in zip(numbers, names, strict=True)}
    options = colmap_options(peak_threshold=0.002)
    model, score = triangulated(images, posed, names, options)
    halves = [triangulated(images, posed, names[start::2], options)[0] for start in (0, 1)]
    gaps = []
    for name in names:
        lens, c2w = posed[name].lens, posed[name].c2w
        camera = {name: Camera(lens.width, lens.height, *lens.focal, *lens.principal_point, c2w)}
        own = halves[names.index(name) % 2]
        other = halves[1 - names.index(name) % 2]
        seen = sparse_depth(own, camera)[name]
        uv, z = camera[name].project(other.points)
        for pixel, depth in zip(seen.uv, seen.z, strict=True):
            near = np.flatnonzero((np.abs(uv - pixel).max(axis=1) < 1) & (z > 0))
            gaps += [abs(z[k] - depth) / depth for k in near[:1]]
    return [
        ["points from 27 training cameras, one frame", f"{len(model.points)}"],
        ["mean reprojection error", f"{model.error.mean():.2f} pixels"],
        ["halves of the cameras: difference of depths at one pixel", f"{100 * np.median(gaps):.2f} % of {len(gaps)}"],
        ["of them within 2 %", f"{100 * np.mean(np.array(gaps) < 0.02):.0f} %"],
        ["verification of the given poses", score],
    ]  # fmt: skip


def triangulated(images: dict, posed: dict, names: Iterable[str], options: dict) -> tuple[Model, str]:
    names = list(names)
    with tempfile.TemporaryDirectory() as output:
        given = {n: (posed[n].lens, posed[n].c2w) for n in names}
        found = colmap_triangulation.triangulate({n: images[n] for n in names}, given, Path(output), options)
        return colmap.read_model(Path(output)).without_strays(), f"{found.verdict}, score {found.score:.2f}"


def table(titles: list[str], rows: list[list[str]]) -> None:
    for row in [titles, ["---"] * len(titles), *rows]:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def main(wanted: set[str]) -> None:
    captures = {"flame_steak5": "images", "fern": "images_4"}
    titles = "photos; registered; centres, median / largest; rotations, degrees; focal; near / far; step; score; time"
    if rows := [photos(name, folder) for name, folder in captures.items() if name in wanted]:
        table(titles.split("; "), rows)
    for name, rows in (("demo", demo), ("basketball", basketball)):
        if name in wanted:
            table([name, ""], rows())


if __name__ == "__main__":
    main(set(sys.argv[1:]) or {"flame_steak5", "fern", "demo", "basketball"})
