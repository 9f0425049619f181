"""How alike two pictures are: SSIM, MS-SSIM and FLIP, with the values of their maintained libraries.

Pictures are [H, W, 3] uint8, taken as sRGB in 0..1. ``valid`` [H, W] bool are the pixels that count; None counts all.
What each measure makes of it, and why, is in docs/scores.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mixdepth.evaluation.flip import flip_map
from mixdepth.evaluation.separable import filtered, gaussian, in_strips

SSIM_WINDOW = 7  # scikit-image's default
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, finest first: their weights (Wang et al. 2003)
GAUSSIAN_RADIUS, GAUSSIAN_SIGMA = 5, 1.5  # MS-SSIM's window, pixels
# Smallest side, pixels, of a picture that can be halved four times and still hold the window of 11 (torchmetrics).
MS_SSIM_SIDE = 176


@dataclass(frozen=True)
class Measured:
    """One picture against its truth."""

    value: float
    map: np.ndarray | None = None  # [H, W]; the value is the mean of its pixels that count
    counted: np.ndarray | None = None  # [H, W] bool: those pixels
    more: Mapping[str, float] = field(default_factory=dict)  # other values of the same measure, by name


@dataclass(frozen=True)
class Measure:
    """A measure of likeness."""

    # (render, truth, valid) to what is measured; None where no pixel counts.
    compare: Callable[[np.ndarray, np.ndarray, np.ndarray | None], Measured | None]
    side: int = 1  # smallest side of a picture that it can be applied to, pixels


def ssim(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> Measured | None:
    """SSIM as scikit-image has it by default (Wang et al. 2004; uniform window of 7 pixels, sample covariance, the
    channels' mean).

    Only windows that lie in the picture, and on valid pixels alone, count. With it comes ``ssim_range_2``: the same
    with a data range of 2 instead of 1, as some evaluation codes have it, which doubles the constants' scale and with
    it hides errors in dark and plain parts.
    """
    rim = SSIM_WINDOW // 2
    inside = slice(rim, -rim), slice(rim, -rim)
    counted = np.zeros(render.shape[:2], bool)
    counted[inside] = True if valid is None else _whole_windows(valid)
    if not counted.any():
        return None

    def compare(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        windows = Windows(one, two, np.ones(SSIM_WINDOW))
        sample = 1 - 1 / SSIM_WINDOW**2
        return np.stack([(windows.luminance(r) * windows.contrast(r, sample)).mean(axis=0) for r in (1, 2)])

    values = np.zeros((2, *render.shape[:2]))
    values[:, *inside] = in_strips(compare, _centred(render), _centred(truth), SSIM_WINDOW)
    one, two = (float(each[counted].mean()) for each in values)
    return Measured(one, values[0], counted, {"ssim_range_2": two})


def _whole_windows(valid: np.ndarray) -> np.ndarray:
    """Whether each of SSIM's windows, [H - 6, W - 6], lies on pixels of ``valid`` [H, W] alone."""
    columns = np.lib.stride_tricks.sliding_window_view(valid, SSIM_WINDOW, axis=0).all(axis=-1)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(columns, SSIM_WINDOW, axis=1).all(axis=-1))


def ms_ssim(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> Measured:
    """Multi-scale SSIM as torchmetrics has it (Wang et al. 2003): five scales with the published weights, Gaussian
    window of 11 pixels and sigma 1.5. What is not valid is painted as in the truth.

    The product over the scales of the mean contrast, at the coarsest of the mean of luminance times contrast, to the
    power of the scale's weight; from scale to scale 2 x 2 pixels become their mean. Windows lie in the picture, but at
    the coarsest scale, where it is mirrored at its rim.
    """
    weights = gaussian(GAUSSIAN_RADIUS, GAUSSIAN_SIGMA)

    def contrast(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return Windows(one, two, weights).contrast()

    one, two = _centred(painted(render, truth, valid)), _centred(truth)
    value = 1.0
    for power in SCALES[:-1]:
        value *= max(float(in_strips(contrast, one, two, len(weights)).mean()), 0) ** power
        one, two = _halved(one), _halved(two)
    rim = (0, 0), (GAUSSIAN_RADIUS, GAUSSIAN_RADIUS), (GAUSSIAN_RADIUS, GAUSSIAN_RADIUS)
    windows = Windows(np.pad(one, rim, mode="reflect"), np.pad(two, rim, mode="reflect"), weights)
    return Measured(value * max(float((windows.luminance() * windows.contrast()).mean()), 0) ** SCALES[-1])


def _centred(image: np.ndarray) -> np.ndarray:
    """``image`` [H, W, 3] uint8 as planes [3, H, W] float32 of -128..127: small numbers, for exact sums of squares."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) - np.float32(128)


def _halved(planes: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels of ``planes`` [3, H, W]; an odd last row or column is left out."""
    height, width = (size // 2 * 2 for size in planes.shape[1:])
    rows = planes[:, :height:2, :width] + planes[:, 1:height:2, :width]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


class Windows:
    """The terms of SSIM (Wang et al. 2004, equation 13) in every window of two pictures, of their means m and
    (co)variances v, with c1 = (0.01 range)^2 and c2 = (0.03 range)^2. Colours in 0..1."""

    def __init__(self, one: np.ndarray, two: np.ndarray, weights: np.ndarray) -> None:
        """Sum up pictures [3, H, W] as of :func:`_centred`, by the ``weights`` [N] of the window along each axis."""
        sums = filtered(np.concatenate((one, two, one * one + two * two, one * two)), weights, weights)
        first, second, squares, products = sums.reshape(4, 3, *sums.shape[1:]).astype(np.float64)
        total = weights.sum() ** 2
        self.scale = (255 * total) ** 2  # everything below is so much larger than in the formulas
        self.covariance = total * products - first * second
        self.variances = total * squares - first * first - second * second
        first += 128 * total
        second += 128 * total
        self.product = first * second
        self.squares = first * first + second * second

    def luminance(self, data_range: float = 1.0) -> np.ndarray:
        """(2 m1 m2 + c1) / (m1^2 + m2^2 + c1), [3, H - N + 1, W - N + 1] float64."""
        c1 = (0.01 * data_range) ** 2 * self.scale
        return (2 * self.product + c1) / (self.squares + c1)

    def contrast(self, data_range: float = 1.0, sample: float = 1.0) -> np.ndarray:
        """(2 v12 + c2) / (v1 + v2 + c2), the same; ``sample`` is 1 - 1 / n for variances with n - 1 in the divisor."""
        c2 = (0.03 * data_range) ** 2 * self.scale * sample
        return (2 * self.covariance + c2) / (self.variances + c2)


def flip(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> Measured | None:
    """LDR-FLIP (Andersson et al. 2020) at its default of 67 pixels per degree: 0 is alike.

    What is not valid is painted as in the truth, and does not count.
    """
    counted = np.ones(render.shape[:2], bool) if valid is None else valid
    if not counted.any():
        return None
    values = flip_map(painted(render, truth, valid), truth)
    # In float64: single precision loses digits over a million pixels.
    return Measured(float(values[counted].mean(dtype=np.float64)), values, counted)


def painted(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """``render`` as in ``truth`` where it is not valid."""
    return render if valid is None else np.where(valid[..., None], render, truth)


SSIM = Measure(ssim, SSIM_WINDOW)
MEASURES = {
    "ssim": SSIM,
    "ms_ssim": Measure(ms_ssim, MS_SSIM_SIDE),
    "flip": Measure(flip),
}
