"""Whether the sparse depth's standard deviations are honest: against a truth, and between independent halves.

    python benchmarks/sparse_depth.py results/demo --truth data/demo/truth.npz
    python benchmarks/sparse_depth.py results/basketball

Truth: colmap_depth/<camera>.npz against the truth's static depth, in the truth's world. Halves: the observations of
each point with four and more views are dealt out to two sets, triangulated apart, and the two depths' difference is
divided by its stated standard deviation; this needs no truth, but does not see what both halves have in common.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from mixdepth.cameras.colmap import mapping as colmap  # isort: skip  (it imports Pillow before pycolmap)
from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.model import Model
from mixdepth.cameras.sparse_depth import point_covariances
from mixdepth.evaluation.align import align
from mixdepth.files.io import read_npz

EDGE = 1.03  # ratio of depths among four neighbouring pixels beyond which a sub-pixel position may mean any of them
ROUNDS = 10


def shares(label: str, ratio: np.ndarray) -> None:
    """Print how many of ``ratio`` = abs(error) / sigma lie within 1, 2, 3, 5; normal: 68.3, 95.4, 99.7, 100 %."""
    found = ", ".join(f"{100 * np.mean(ratio < k):.1f} % within {k}" for k in (1, 2, 3, 5))
    print(f"{label}: {len(ratio)} depths, {found}")


def sampled(depth: np.ndarray, uv: np.ndarray, z: np.ndarray) -> np.ndarray:
    """True depth [N] at pixels ``uv`` [N, 2] of ``depth`` [H, W]: linear in disparity; at edges, of the four pixels
    around, the one nearest to ``z`` [N]."""
    x, y = (np.clip(uv - 0.5, 0, np.array(depth.shape[::-1]) - 1.001)).T
    column, row = x.astype(int), y.astype(int)
    a, b = x - column, y - row
    four = np.stack([depth[row + j, column + i] for j in (0, 1) for i in (0, 1)], axis=1).astype(np.float64)
    weight = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b], axis=1)
    nearest = np.take_along_axis(four, np.abs(four - z[:, None]).argmin(axis=1)[:, None], axis=1)[:, 0]
    return np.where(four.max(axis=1) > EDGE * four.min(axis=1), nearest, 1 / (weight / four).sum(axis=1))


def against_truth(folder: Path, truth: Path) -> None:
    """The depths of the training cameras against the truth's static depth."""
    cameras, known = load_cameras(folder / "cameras.json"), np.load(truth)
    names = sorted(cameras)
    similarity = align(np.stack([cameras[name].c2w for name in names]), known["c2w_opencv"][: len(names)])
    ratios, errors = [], []
    for index, name in enumerate(names):
        file = folder / "colmap_depth" / f"{name}.npz"
        if not file.exists():
            continue
        part, depth, camera = read_npz(file), known["static_depth"][index], cameras[name]
        size = np.array(depth.shape[::-1])
        direction = (part["uv"] - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
        z = part["z"] * similarity.scale
        true = sampled(depth, direction * float(known["focal"]) + size / 2, z)
        ratios.append(np.abs(z - true) / (part["sigma"] * similarity.scale))
        errors.append(np.abs(z / true - 1))
    shares("truth", np.concatenate(ratios))
    print(f"truth: median error {100 * np.median(np.concatenate(errors)):.2f} %")


def projected(model: Model, name: str, points: np.ndarray) -> np.ndarray:
    """Pixels [N, 2] of world points [N, 3] in the original image ``name``."""
    w2c = np.linalg.inv(model.c2w[name])
    local = points @ w2c[:3, :3].T + w2c[:3, 3]
    return model.lenses[name].distort(local[:, :2] / local[:, 2:])


def refined(model: Model) -> Model:
    """The model with its points moved to the least squares of their observations (Gauss-Newton)."""
    names, step = sorted(model.lenses), 1e-6 * np.median(model.track_depth)
    for _ in range(ROUNDS):
        a, b = np.zeros((len(model.points), 3, 3)), np.zeros((len(model.points), 3))
        for index, name in enumerate(names):
            seen = model.track_image == index
            point = model.track_point[seen]
            here = projected(model, name, model.points[point])
            moved = [projected(model, name, model.points[point] + offset) for offset in step * np.eye(3)]
            slope = [(there - here) / step for there in moved]
            slope = np.stack(slope, axis=-1)
            np.add.at(a, point, slope.transpose(0, 2, 1) @ slope)
            np.add.at(b, point, np.einsum("kij,ki->kj", slope, model.track_uv[seen] - here))
        model = replace(model, points=model.points + np.einsum("pij,pj->pi", np.linalg.pinv(a, hermitian=True), b))
    return model


def between_halves(folder: Path) -> None:
    """The depths from one half of each point's observations against those from the other."""
    model = colmap.read_model(folder / "sparse").without_strays()
    model = model.subset(model.views >= 4)
    order = np.random.default_rng(0).permutation(len(model.track_point))
    rank = np.empty(len(order), int)
    for place in (order[model.track_point[order] == point] for point in range(len(model.points))):
        rank[place] = np.arange(len(place))
    halves = []
    for half in (0, 1):
        mine = rank % 2 == half
        parts = {key: getattr(model, key)[mine] for key in ("track_point", "track_image", "track_uv")}
        halves.append(refined(replace(model, **parts)))
    use = (halves[0].views >= 2) & (halves[1].views >= 2)
    names = sorted(model.lenses)
    first = np.zeros(len(model.points), int)
    first[model.track_point[::-1]] = model.track_image[::-1]
    axis = np.stack([model.c2w[name][:3, 2] for name in names])[first]  # of the first camera that sees the point
    apart = np.abs(np.sum((halves[0].points - halves[1].points) * axis, axis=1))
    variance = sum(np.einsum("pi,pij,pj->p", axis, point_covariances(half), axis) for half in halves)
    shares("halves", (apart / np.sqrt(variance))[use])


def main() -> None:
    """Print both measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="results/<scene>")
    parser.add_argument("--truth", type=Path, help="truth.npz with static_depth, c2w_opencv and focal")
    arguments = parser.parse_args()
    if arguments.truth:
        against_truth(arguments.folder, arguments.truth)
    between_halves(arguments.folder)


if __name__ == "__main__":
    main()
