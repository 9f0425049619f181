"""How much moves before the training cameras, which decides how large the dynamic branches are (scene/quality.py)."""

from collections.abc import Iterator, Sequence

import numpy as np

from mixdepth.frames.motion import part_of
from mixdepth.scene.quality import Moving

WIDTH = 320  # pixels of the images, evenly taken, in which motion is measured
ENDS = (2, 98)  # percentiles of the places that move: single pixels far from the others are noise


def measure_movement(sets: Sequence[np.ndarray], frames: int) -> Moving:
    """What moves in the ``frames`` frames of a capture.

    Args:
        sets: per camera [H, W] uint32, a bit for each part of the capture in which a pixel moves.
    """
    parts = int(part_of(frames).max()) + 1
    small = [(step := max(1, one.shape[1] // WIDTH), one[::step, ::step]) for one in sets]
    lengths = [*(2**k for k in range(parts.bit_length()) if 2**k < parts), parts]
    runs = [
        (round(length * frames / parts), float(np.mean([_share(one, length, parts) for _, one in small])))
        for length in lengths
    ]
    sides = [step * side for step, one in small for side in _sides(one, parts)]
    pixels = float(sum(one.size for one in sets))
    return Moving(float(np.median(sides)) if sides else 0.0, runs, pixels, frames)


def _share(sets: np.ndarray, length: int, parts: int) -> float:
    """The mean share of pixels that move in ``length`` neighbouring parts of the capture."""
    run = np.uint32((1 << length) - 1)
    return float(np.mean([(sets & run << np.uint32(at) != 0).mean() for at in range(0, parts - length + 1, length)]))


def _sides(sets: np.ndarray, parts: int) -> Iterator[float]:
    """The longer side, pixels, of what moves in each part of the capture in which anything does."""
    for part in range(parts):
        places = np.nonzero(sets >> np.uint32(part) & np.uint32(1))
        if len(places[0]):
            yield float(max(np.ptp(np.percentile(one, ENDS)) for one in places))
