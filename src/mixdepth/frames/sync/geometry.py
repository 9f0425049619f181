"""What cameras whose poses are known see move at the same time, however far apart they stand.

A plane through two camera centres cuts each picture in a line, and what moves in that plane moves on both lines. So the
largest change on each line, over time, is a signal that two cameras have in common: the motion barcodes of
Ben-Artzi, Kasten, Peleg & Werman, "Camera calibration from dynamic silhouettes using motion barcodes" (CVPR 2016).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixdepth.cameras.lens import Lens
from mixdepth.frames.sync.alignment import align_pairs, compared
from mixdepth.frames.sync.signals import Signal

LINES = 32  # of each pair of cameras, at most
BLUR = 5.5  # frames, see mixdepth.frames.sync.alignment: lines differ less between cameras than rows do
FEW = 20  # frames, of which so few may fit by chance


@dataclass(frozen=True)
class View:
    """What a camera with a pose sees move."""

    change: np.ndarray  # [T, P] uint8: by how much each cell of the picture changes from one frame to the next
    rays: np.ndarray  # [P, 3] unit, world: where each cell is; NaN where no ray is seen
    centre: np.ndarray  # [3] world

    @staticmethod
    def of(change: np.ndarray, lens: Lens, c2w: np.ndarray) -> "View":
        """Of cells ``change`` [T, h, w], equal parts of the original picture, through its ``lens``."""
        length, height, width = change.shape
        across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
        uv = np.stack(np.meshgrid(across * lens.width / width, down * lens.height / height), axis=-1).reshape(-1, 2)
        xy = lens.undistort(uv)
        rays = np.concatenate([xy, np.ones((len(xy), 1))], axis=1) @ c2w[:3, :3].T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        return View(change.reshape(length, -1), rays, c2w[:3, 3])


def align_views(views: Sequence[View]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets [N] to the first view, frames, and the confidence [N] in 0..1 that a camera is in its place: see
    :func:`mixdepth.frames.sync.alignment.align_pairs`."""
    span = max((len(view.change) for view in views), default=0)
    pairs = {}
    for (i, a), (j, b) in itertools.combinations(enumerate(views), 2):
        first, second = line_signals(a, b)
        (pairs[i, j],) = compared(first, [second], span)
    lengths = [len(view.change) for view in views]
    offsets, confidence = align_pairs(pairs, lengths, span, blur=BLUR)
    return offsets, confidence * (1 - np.exp(-np.array(lengths) / FEW))


def line_signals(a: View, b: View) -> tuple[Signal, Signal]:
    """The largest change on each of the lines that the pictures of both have in common, values [1, LINES, T]."""
    places = _angles(a, b)
    low, high = max(np.nanmin(place) for place in places), min(np.nanmax(place) for place in places)
    edges = np.linspace(low, high, LINES + 1)
    found = [_largest(view.change, place, edges) for view, place in zip((a, b), places, strict=True)]
    both = found[0][1] & found[1][1]
    signals = []
    for values, _ in found:
        kept = values[:, both].T.astype(np.float32) if both.any() else np.zeros((1, len(values)), np.float32)
        signals.append(Signal((kept - kept.mean(axis=1, keepdims=True))[None], 1.0, 0.5))
    return signals[0], signals[1]


def _angles(a: View, b: View) -> tuple[np.ndarray, np.ndarray]:
    """The half plane through both centres in which each cell lies, [P] of each: its angle about the line between them,
    from the way that both look on average. Of cameras in one place any line will do."""
    axis = b.centre - a.centre
    axis = axis / np.linalg.norm(axis) if axis.any() else np.eye(3)[0]
    aside = np.eye(3)[np.abs(axis).argmin()]
    ahead = np.nanmean(a.rays, axis=0) + np.nanmean(b.rays, axis=0) + 1e-6 * aside
    ahead -= (ahead @ axis) * axis
    ahead /= np.linalg.norm(ahead)
    across = np.cross(axis, ahead)
    return tuple(np.arctan2(view.rays @ across, view.rays @ ahead) for view in (a, b))


def _largest(change: np.ndarray, place: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest of ``change`` [T, P] between each two of the ascending ``edges`` [L + 1] of ``place`` [P], [T, L];
    and where there is any, [L]."""
    order = np.argsort(place)  # NaN last
    starts = np.searchsorted(place[order], edges)
    filled = np.diff(starts) > 0
    values = np.zeros((len(change), len(filled)), change.dtype)
    if filled.any():
        inside = change[:, order[: starts[-1]]]
        values[:, filled] = np.maximum.reduceat(inside, starts[:-1][filled], axis=1)
    return values, filled
