"""Scores of rendered colour and depth, as defined in the documentation and nowhere else.

Everything works frame by frame: at no time is more than one frame in memory, however long the video. Sums of colours
are whole numbers and therefore exact, so a score depends on no order of summation, and pooling over cameras is adding.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

# Identical images have an infinite PSNR, which JSON cannot hold; no real render comes near it.
MAX_PSNR = 100.0
# scikit-image's default SSIM window; smaller images have no SSIM.
SSIM_WINDOW = 7
# How often depth_errors goes through all blocks: once for the sums, three times for the median.
DEPTH_PASSES = 4

DepthErrors = dict[str, float]
# Gives the pairs (rendered, true) of z-depths, [N] each, block by block, the same every time it is called.
DepthBlocks = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


def psnr(squared_error: float, values: int) -> float | None:
    """Peak signal-to-noise ratio, dB: ``-10 log10(squared_error / values)``, at most :data:`MAX_PSNR`.

    Args:
        squared_error: sum over ``values`` colours in 0..1.
        values: how many; None is returned where there are none.
    """
    if not values:
        return None
    mean = squared_error / values
    return min(-10 * math.log10(mean), MAX_PSNR) if mean > 0 else MAX_PSNR


@dataclass
class SquaredError:
    """Squared colour error of a set of pixels, in levels (0..255) squared, and how many colour values it is of."""

    total: float = 0  # a whole number, exact, where it was added up from pixels
    values: int = 0

    def add(self, squared: np.ndarray) -> None:
        """Add pixels: ``squared`` [N, 3] squared differences in levels."""
        self.total += int(squared.sum(dtype=np.int64))
        self.values += squared.size

    def __add__(self, other: "SquaredError") -> "SquaredError":
        return SquaredError(self.total + other.total, self.values + other.values)

    @property
    def psnr(self) -> float | None:
        """dB, pooled over all pixels; None without pixels."""
        return psnr(self.total / 255**2, self.values)


@dataclass
class AffineFit:
    """Least squares fit ``truth ~ gain * render + offset`` of one colour channel of one camera, from exact sums."""

    count: int = 0
    x: int = 0  # sum of rendered levels
    y: int = 0  # sum of true levels
    xx: int = 0
    xy: int = 0
    yy: int = 0

    def add(self, render: np.ndarray, truth: np.ndarray) -> None:
        """Add one frame of the channel, [N] uint8 each."""
        wide, true = render.astype(np.int64).ravel(), truth.astype(np.int64).ravel()
        self.count += wide.size
        self.x += int(wide.sum())
        self.y += int(true.sum())
        self.xx += int(wide @ wide)
        self.xy += int(wide @ true)
        self.yy += int(true @ true)

    def solve(self) -> tuple[float, float, float]:
        """(gain, offset in 0..1, remaining squared error in 0..1 squared). A flat render keeps gain 0."""
        if not self.count:
            return 1.0, 0.0, 0.0
        # Whole numbers of any size: no cancellation however many pixels there are.
        variance = self.count * self.xx - self.x**2
        covariance = self.count * self.xy - self.x * self.y
        gain = covariance / variance if variance else 0.0
        offset = (self.y - gain * self.x) / self.count / 255
        unexplained = self.count * self.yy - self.y**2 - (covariance**2 / variance if variance else 0.0)
        return gain, offset, max(unexplained / self.count / 255**2, 0.0)


def ssim(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> float | None:
    """scikit-image's SSIM with its defaults of two images [H, W, 3] uint8; None below 7 pixels of width or height.

    With ``valid`` [H, W] bool the mean over the windows that hold valid pixels only; None where there is none.
    """
    from skimage.metrics import structural_similarity

    if min(render.shape[:2]) < SSIM_WINDOW:
        return None
    if valid is None:
        return float(structural_similarity(render / 255.0, truth / 255.0, channel_axis=-1, data_range=1.0))
    windows = np.lib.stride_tricks.sliding_window_view(valid, (SSIM_WINDOW, SSIM_WINDOW)).all(axis=(2, 3))
    if not windows.any():
        return None
    rim = SSIM_WINDOW // 2
    # Blackened: the filters of SSIM carry sums along whole rows, so that what is masked would reach the last bits.
    images = (np.where(valid[..., None], image, 0) / 255.0 for image in (render, truth))
    values = structural_similarity(*images, channel_axis=-1, data_range=1.0, full=True)[1]
    return float(values[rim:-rim, rim:-rim][windows].mean())


@dataclass
class ColourScore:
    """What colour scores are made of: one camera's frames; added up, several cameras'."""

    every: SquaredError
    moving: SquaredError
    still: SquaredError
    affine: SquaredError  # what remains after one affine colour fit per camera and channel
    ssim_sum: float = 0.0
    ssim_frames: int = 0

    def __add__(self, other: "ColourScore") -> "ColourScore":
        return ColourScore(
            self.every + other.every,
            self.moving + other.moving,
            self.still + other.still,
            self.affine + other.affine,
            self.ssim_sum + other.ssim_sum,
            self.ssim_frames + other.ssim_frames,
        )

    def summary(self) -> dict[str, float | None]:
        """The scores by name; PSNR in dB; None where no pixel or frame counts."""
        return {
            "psnr": self.every.psnr,
            "psnr_moving": self.moving.psnr,
            "psnr_still": self.still.psnr,
            "psnr_affine": self.affine.psnr,
            "ssim": self.ssim_sum / self.ssim_frames if self.ssim_frames else None,
        }


def score_colour(
    renders: Iterable[np.ndarray],
    truths: Iterable[np.ndarray],
    moving: Iterable[np.ndarray],
    valid: np.ndarray | None = None,
) -> ColourScore:
    """Compare one camera's frames.

    Args:
        renders: [H, W, 3] uint8 per frame.
        truths: the same.
        moving: [H, W] bool per frame: pixels that show something that moves.
        valid: [H, W] bool: pixels that count; None counts all.
    """
    every, in_motion, at_rest = SquaredError(), SquaredError(), SquaredError()
    fits = [AffineFit() for _ in range(3)]
    similarity, frames = 0.0, 0
    for render, truth, mask in zip(renders, truths, moving, strict=True):
        value = ssim(render, truth, valid)
        if valid is not None:
            render, truth, mask = render[valid], truth[valid], mask[valid]
        squared = (render.astype(np.int32) - truth) ** 2
        every.add(squared)
        in_motion.add(squared[mask])
        at_rest.add(squared[~mask])
        for channel, fit in enumerate(fits):
            fit.add(render[..., channel], truth[..., channel])
        if value is not None:
            similarity, frames = similarity + value, frames + 1
    remaining = sum(fit.solve()[2] for fit in fits) * 255**2
    return ColourScore(every, in_motion, at_rest, SquaredError(remaining, every.values), similarity, frames)


def depth_errors(blocks: DepthBlocks) -> DepthErrors | None:
    """Errors of z-depths: median and mean absolute error (truth's units), mean relative error, share within 5 %.

    Args:
        blocks: the pairs (rendered, true); pixels whose truth is not finite and positive do not count.

    Returns:
        ``median``, ``mae``, ``abs_rel``, ``within_5_percent``; None where no pixel counts.
    """
    count, absolute, relative, within = 0, 0.0, 0.0, 0
    for z, truth in _known(blocks):
        error = np.abs(z - truth)
        ratio = error / truth
        count += error.size
        absolute += float(error.sum())
        relative += float(ratio.sum())
        within += int((ratio < 0.05).sum())
    if not count:
        return None
    return {
        "median": median(lambda: (np.abs(z - truth) for z, truth in _known(blocks))),
        "mae": absolute / count,
        "abs_rel": relative / count,
        "within_5_percent": within / count,
    }


def relative_median(blocks: DepthBlocks) -> float | None:
    """Median of ``|z - truth| / truth`` over all pixels that count; None where none does."""
    return median(lambda: (np.abs(z - truth) / truth for z, truth in _known(blocks)))


def _known(blocks: DepthBlocks) -> Iterable[tuple[np.ndarray, np.ndarray]]:
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
