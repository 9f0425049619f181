"""Whether a camera stands still: its early, middle and late frames against each other.

A camera that is bumped, sags, zooms or is held in the hand has no one pose, and no check of one moment tells. What it
sees does: most key points of a camera that stands still stay where they are, whatever walks through the picture; of one
that moved most, and everywhere in the picture, go one way or about one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Before pycolmap: it sees to it that Pillow is imported first.
from mixdepth.cameras.colmap.features import Features, detect  # isort: skip
import numpy as np

from mixdepth.cameras.colmap.matching import match

LIMIT = 0.003  # of the diagonal: how far the picture may go
TOLERANCE = 0.0015  # of the diagonal: a key point that goes less far stands still
FEWEST = 30  # key points that tell
MAJORITY = 2.0  # times as many key points must move together as stand still
WIDE = 0.6  # of the width and of the height that they must span
LARGEST_SIDE, MOST = 1000, 2000  # pixels and key points that are enough for it
ROUNDS = 20


@dataclass(frozen=True)
class Move:
    """A camera that moved."""

    last: int  # the last frame seen that shows what the first one does
    frame: int  # the next frame seen
    share: float  # how far the picture has gone, of the diagonal
    pixels: float  # the same, pixels of the original

    def __str__(self) -> str:
        return (
            f"moves: from frame {self.frame} on (frame {self.last} not yet) its picture is {self.pixels:.1f} pixels off"
        )


def find_moves(cameras: Mapping[str, Mapping[int, Path]], options: Mapping) -> dict[str, Move]:
    """The cameras that do not stand still.

    Args:
        cameras: of each camera some frames, by their number. Its first, middle and last ones are looked at, and all
            where these differ.
        options: the scene's ``colmap`` section.
    """
    small = {**options, "max_features": min(options["max_features"], MOST), "largest_side": LARGEST_SIDE}
    ends = {name: _ends(sorted(frames)) for name, frames in cameras.items()}
    files = {f"{name} {number}": cameras[name][number] for name, own in ends.items() for number in own}
    seen = detect(files, small)
    found = {}
    for name, own in ends.items():
        features = {number: seen[f"{name} {number}"] for number in own}
        if _first_move(features):
            more = detect({str(number): path for number, path in cameras[name].items()}, small)
            found[name] = _first_move({number: more[str(number)] for number in cameras[name]})
    return {name: move for name, move in found.items() if move}


def _ends(numbers: list[int]) -> list[int]:
    """The first, the middle and the last."""
    return sorted({numbers[at] for at in (0, len(numbers) // 2, -1)}) if numbers else []


def _first_move(frames: Mapping[int, Features]) -> Move | None:
    first, *others = sorted(frames)
    last = first
    for number in others:
        share = _gone(frames[first], frames[number])
        if share > LIMIT:
            return Move(last, number, share, share * float(np.hypot(*frames[first].size)))
        last = number
    return None


def _gone(one: Features, two: Features) -> float:
    """How far the picture goes from one frame to another (90th percentile of its key points), of the diagonal; 0 where
    the camera stands still or nothing tells."""
    indices, _ = match(one.descriptors, two.descriptors)
    size = np.array(one.detection_size, dtype=np.float64)
    diagonal = float(np.hypot(*size))
    at, went = one.xy[indices[:, 0]] / size, (two.xy[indices[:, 1]] - one.xy[indices[:, 0]]) / diagonal
    still = int((np.linalg.norm(went, axis=1) <= TOLERANCE).sum())
    if len(at) < FEWEST or 2 * still >= len(at):
        return 0.0
    smooth = _smooth(at, went)
    agree = np.linalg.norm(smooth - went, axis=1) <= 2 * TOLERANCE
    if agree.sum() < max(len(at) / 2, MAJORITY * still) or np.ptp(at[agree], axis=0).min() < WIDE:
        return 0.0
    return float(np.percentile(np.linalg.norm(smooth[agree], axis=1), 90))


def _smooth(at: np.ndarray, went: np.ndarray) -> np.ndarray:
    """The motion [M, 2] that is quadratic in the place in the picture ``at`` [M, 2], as that of a camera which turns or
    zooms about is, and nearest to ``went`` [M, 2] (least absolute deviations, by reweighting)."""
    x, y = at.T - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    weight = np.ones((len(at), 1))
    for _ in range(ROUNDS):
        found = terms @ np.linalg.lstsq(weight * terms, weight * went, rcond=None)[0]
        off = np.linalg.norm(found - went, axis=1, keepdims=True)
        weight = 1 / np.sqrt(np.maximum(off, 0.1 * TOLERANCE))
    return found
