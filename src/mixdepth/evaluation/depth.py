"""Errors of depth: against the truth, and of depths that should be equal.

Blocks come one by one: at no time is more than one in memory, however long the video.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np

CLOSE = 0.05  # relative error below which a depth is counted as right
# How often depth_errors goes through all blocks: once for the sums, three times for the median.
DEPTH_PASSES = 4

DepthErrors = dict[str, float]
# Gives the pairs (rendered, true) of z-depths, [N] each, block by block, the same every time it is called.
DepthBlocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


def depth_errors(blocks: DepthBlocks) -> DepthErrors | None:
    """Errors of z-depths against the truth, those of Eigen et al. 2014 (abs_rel, rmse) among them.

    Args:
        blocks: the pairs (rendered, true); pixels whose truth is not finite and positive do not count.

    Returns:
        ``median``, ``mae`` (median and mean of |z - truth|) and ``rmse``, in the truth's units, ``abs_rel`` (mean of
        |z - truth| / truth) and ``within_5_percent`` (share of pixels where that is below 0.05); None where no pixel
        counts.
    """
    count, absolute, squared, relative, within = 0, 0.0, 0.0, 0.0, 0
    for z, truth in usable_pairs(blocks):
        error = np.abs(z - truth)
        ratio = error / truth
        count += error.size
        absolute += float(error.sum())
        squared += float((error**2).sum())
        relative += float(ratio.sum())
        within += int((ratio < CLOSE).sum())
    if not count:
        return None
    middle = median(lambda: (np.abs(z - truth) for z, truth in usable_pairs(blocks)))
    assert middle is not None  # as pixels count
    return {
        "median": middle,
        "mae": absolute / count,
        "abs_rel": relative / count,
        "rmse": math.sqrt(squared / count),
        "within_5_percent": within / count,
    }


def relative_median(blocks: DepthBlocks) -> float | None:
    """Median of ``|z - truth| / truth`` over all pixels that count; None where none does."""
    return median(lambda: (np.abs(z - truth) / truth for z, truth in usable_pairs(blocks)))


def usable_pairs(blocks: DepthBlocks) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """The pairs with a usable truth, as float64."""
    for z, truth in blocks():
        true = np.asarray(truth, np.float64)
        usable = np.isfinite(true) & (true > 0)
        yield np.asarray(z, np.float64)[usable], true[usable]


def median(blocks: Callable[[], Iterable[np.ndarray]]) -> float | None:
    """The median of all values, which must not be negative, to float32 precision; None where there is none.

    Exact without holding the values: the bits of float32 numbers that are not negative sort like whole numbers, so
    passes that count upper and lower halves of the bits find the middle ones.

    Args:
        blocks: gives the values, block by block, the same every time it is called.
    """
    upper = _count(blocks, lambda bits: bits >> 16)
    total = int(upper.sum())
    if not total:
        return None
    return (_ranked(blocks, upper, (total - 1) // 2) + _ranked(blocks, upper, total // 2)) / 2


def _ranked(blocks: Callable[[], Iterable[np.ndarray]], upper: np.ndarray, rank: int) -> float:
    """The value with ``rank`` (from 0) values below it; ``upper`` counts the upper halves, [65536]."""
    below = np.cumsum(upper)
    high = int(np.searchsorted(below, rank, side="right"))
    inside = rank - (int(below[high - 1]) if high else 0)
    lower = _count(blocks, lambda bits: (bits & 0xFFFF)[(bits >> 16) == high])
    low = int(np.searchsorted(np.cumsum(lower), inside, side="right"))
    return float(np.array((high << 16) | low, np.uint32).view(np.float32))


def _count(blocks: Callable[[], Iterable[np.ndarray]], key: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """How often each ``key`` of the values' bits occurs, [65536]."""
    counts = np.zeros(1 << 16, np.int64)
    for values in blocks():
        bits = np.ascontiguousarray(values, np.float32).ravel().view(np.uint32)
        counts += np.bincount(key(bits), minlength=1 << 16)
    return counts
