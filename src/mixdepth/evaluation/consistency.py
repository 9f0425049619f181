"""Depth scores without a truth: do neighbouring cameras see the same surface, and is it where COLMAP's points are?

Both are relative and in our own world, so that they need no alignment. What they cannot see is said in docs/scores.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.evaluation.depth import CLOSE
from mixdepth.files.io import read_npz

NEIGHBOURS = 2  # cameras that a held-out camera is compared with
SAME_WAY = 60.0  # degrees between the directions of view: beyond it two cameras hardly share a surface
LONGER_SIDE = 160  # pixels of the neighbours' depth maps, and about how many are compared per row: keeps the cost small
POINT_FRAMES = 15  # over how many frames the rendered depth at a point is taken the median of
FEWEST_POINTS = 10
SURE = 0.02  # largest standard deviation of a point's depth, as a share of it: below half of what is counted as close


@dataclass(frozen=True)
class Score:
    """What a camera, or all of them, scored; or, in words, why there is none."""

    value: dict[str, float | int] | None
    reason: str | None = None


@dataclass(frozen=True)
class Scores:
    """The same score of each camera, by name, and of all of them together."""

    cameras: dict[str, Score]
    whole: Score


def relative_scores(errors: np.ndarray, counted: str) -> dict[str, float | int]:
    """Median of relative errors [N] > 0 elements, share below 5 % and, under the name ``counted``, their number."""
    return {
        "median_relative": float(np.median(errors)),
        "within_5_percent": float((errors < CLOSE).mean()),
        counted: len(errors),
    }


def pooled_scores(
    errors: Mapping[str, np.ndarray], counted: str, fewest: int, otherwise: Callable[[int], str]
) -> Scores:
    """:func:`relative_scores` of each camera's errors [N], and of all errors together.

    Args:
        otherwise: why there is no score of so many errors, where they are fewer than ``fewest``.
    """

    def score(of: np.ndarray) -> Score:
        return Score(relative_scores(of, counted)) if len(of) >= fewest else Score(None, otherwise(len(of)))

    return Scores({name: score(own) for name, own in errors.items()}, score(np.concatenate(list(errors.values()))))


# Neighbouring cameras


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` frames of ``count``, evenly spread, the first and the last among them; fewer where there are fewer.

    >>> spread(300, 3)
    [0, 150, 299]
    """
    return sorted({round(float(frame)) for frame in np.linspace(0, count - 1, wanted)})


def neighbours(name: str, cameras: Mapping[str, Camera], names: Iterable[str]) -> list[str]:
    """The cameras of ``names`` nearest to ``name`` that look the same way, at most NEIGHBOURS; nearest first.

    One in the same place shows the same depth whatever it is, and does not count.
    """
    own = cameras[name]
    found = []
    for other in sorted(set(names) & cameras.keys() - {name}):
        cosine = float(own.c2w[:3, 2] @ cameras[other].c2w[:3, 2])
        baseline = float(np.linalg.norm(own.centre - cameras[other].centre))
        if cosine > np.cos(np.radians(SAME_WAY)) and baseline > 1e-9:
            found.append((baseline, other))
    return [other for _, other in sorted(found)[:NEIGHBOURS]]


def reduced(camera: Camera) -> Camera:
    """``camera`` with an image no larger than LONGER_SIDE."""
    factor = min(1.0, LONGER_SIDE / max(camera.width, camera.height))
    return camera.resized(max(1, round(camera.width * factor)), max(1, round(camera.height * factor)))


def differences(
    camera: Camera, depth: np.ndarray, other: Camera, other_depth: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Relative differences of the surfaces that two cameras see, where both see it.

    A pixel of ``camera`` is a point in space; it falls onto a pixel of ``other`` at the depth z, where that sees the
    depth d. The difference is |z - d| / d. Where d is nearer by more than 5 %, the point may rightly be hidden from
    ``other``, so the surface that hides it is taken back to ``camera`` (the left-right check of stereo matching, as in
    COLMAP's fusion, Schoenberger et al. 2016): if ``camera`` looks through it, the two contradict each other and the
    pixel counts, else (``camera`` sees it, or something before it, or it is out of the picture) the pixel does not.

    Args:
        depth: [H, W] z-depth of ``camera``, world units.
        other_depth: the same of ``other``.
        valid: [H, W] bool, pixels of ``camera`` that count.

    Returns:
        [N], in the order of the pixels.
    """
    step = max(1, round(max(camera.width, camera.height) / LONGER_SIDE))
    chosen = np.zeros(depth.shape, bool)
    chosen[step // 2 :: step, step // 2 :: step] = True
    if valid is not None:
        chosen &= valid
    row, column = chosen.nonzero()
    uv = np.stack([column, row], axis=1) + 0.5
    there, z = other.project(camera.unproject(uv, depth[row, column]))
    seen = other.shows(there, z)
    there, z = there[seen], z[seen]
    d = _depth_at(other_depth, there)
    hidden = d < z * (1 - CLOSE)
    hidden[hidden] = ~_looks_through(camera, depth, other.unproject(there[hidden], d[hidden]))
    return (np.abs(z - d) / d)[~hidden]


def _depth_at(depth: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """z-depth [N] at pixels ``uv`` [N, 2]: linear in 1 / z between four pixels, which is exact on a plane; at the rim
    of a surface (they differ by more than 5 %), where no mean of depths is one, that of the nearest pixel."""
    height, width = depth.shape
    row, column = _pixel(uv)
    x, y = (uv - 0.5).T
    left, top = (np.clip(np.floor(v).astype(int), 0, max(n - 2, 0)) for v, n in ((x, width), (y, height)))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    around = np.array([depth[top, left], depth[top, right], depth[bottom, left], depth[bottom, right]], np.float64)
    fx, fy = x - left, y - top
    weights = np.array([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    smooth = around.max(axis=0) < around.min(axis=0) * (1 + CLOSE)
    return np.where(smooth, 1 / (weights / around).sum(axis=0), depth[row, column])


def _looks_through(camera: Camera, depth: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether ``camera`` sees only what lies more than 5 % behind ``points`` [N, 3], around the pixel they fall on."""
    uv, z = camera.project(points)
    inside = camera.shows(uv, z)
    row, column = _pixel(uv[inside])
    nearest = np.full(len(row), np.inf)
    for i in (-1, 0, 1):  # at the rim of a surface the pixel beside it is as good
        for j in (-1, 0, 1):
            here = np.clip(row + i, 0, camera.height - 1), np.clip(column + j, 0, camera.width - 1)
            nearest = np.minimum(nearest, depth[here])
    through = np.zeros(len(points), bool)
    through[inside] = nearest * (1 - CLOSE) > z[inside]
    return through


def _pixel(uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the pixels that ``uv`` [N, 2] lie in."""
    column, row = uv.astype(int).T
    return row, column


# COLMAP's points


def point_errors(depth: np.ndarray, path: Path) -> np.ndarray:
    """Relative errors |depth - z| / z at the points that a camera sees.

    The points stand still: the rendered depth is the median over up to POINT_FRAMES frames, read at the pixel that a
    point lies in (between two surfaces no mean of depths is one). Points whose own depth is uncertain do not count.

    Args:
        depth: [T, H, W] rendered z-depth, world units.
        path: npz with uv [N, 2], z [N] and sigma [N].

    Returns:
        [N'].

    Raises:
        UserError: the file is missing or damaged.
    """
    points = read_npz(path)
    sure = points["sigma"] <= SURE * points["z"]
    row, column = _pixel(points["uv"][sure])
    frames: Sequence[int] = spread(len(depth), POINT_FRAMES)
    rendered = np.median([depth[frame][row, column] for frame in frames], axis=0)
    z = points["z"][sure]
    return np.abs(rendered - z) / z
