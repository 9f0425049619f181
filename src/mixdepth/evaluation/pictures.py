"""How alike two pictures are: SSIM, MS-SSIM and FLIP by their maintained libraries, the same for every camera.

Pictures are [H, W, 3] uint8, taken as sRGB in 0..1. ``valid`` [H, W] bool are the pixels that count; None counts all.
What each measure makes of it, and why, is in docs/scores.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SSIM_WINDOW = 7  # scikit-image's default
# Smallest side, pixels, of a picture that can be halved four times and still hold the window of 11 (torchmetrics).
MS_SSIM_SIDE = 176


@dataclass(frozen=True)
class Measured:
    """One picture against its truth."""

    value: float
    map: np.ndarray | None = None  # [H, W]; the value is the mean of its pixels that count
    counted: np.ndarray | None = None  # [H, W] bool: those pixels


@dataclass(frozen=True)
class Measure:
    """A measure of likeness."""

    # (render, truth, valid) to what is measured; None where no pixel counts.
    compare: Callable[[np.ndarray, np.ndarray, np.ndarray | None], Measured | None]
    side: int = 1  # smallest side of a picture that it can be applied to, pixels


def ssim(
    render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None, data_range: float = 1.0
) -> Measured | None:
    """scikit-image's SSIM with its defaults (Wang et al. 2004; uniform window of 7 pixels, the channels' mean).

    Only windows that lie in the picture, and on valid pixels alone, count.

    Args:
        data_range: 1, that of the pictures; or 2, as some evaluation codes have it, which doubles the constants' scale
            and with it hides errors in dark and plain parts.
    """
    from skimage.metrics import structural_similarity

    counted = np.zeros(render.shape[:2], bool)
    rim = SSIM_WINDOW // 2
    inside = slice(rim, -rim), slice(rim, -rim)
    counted[inside] = True
    if valid is not None:
        windows = np.lib.stride_tricks.sliding_window_view(valid, (SSIM_WINDOW, SSIM_WINDOW))
        counted[inside] = windows.all(axis=(2, 3))
        if not counted.any():
            return None
        # Blackened: the filters of SSIM carry sums along whole rows, so that what is masked would reach the last bits.
        render, truth = (np.where(valid[..., None], image, 0) for image in (render, truth))
    mean, values = structural_similarity(
        render / 255.0, truth / 255.0, channel_axis=-1, data_range=data_range, full=True
    )
    return Measured(float(mean if valid is None else values[counted].mean()), values.mean(axis=-1), counted)


def ssim_range_2(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> Measured | None:
    """:func:`ssim` with a data range of 2; without its map."""
    found = ssim(render, truth, valid, 2.0)
    return found and Measured(found.value)


def ms_ssim(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> Measured:
    """torchmetrics' multi-scale SSIM (Wang et al. 2003): five scales with the published weights, Gaussian window of
    11 pixels and sigma 1.5. What is not valid is painted as in the truth."""
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    first, second = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in as_floats(render, truth, valid))
    with torch.no_grad():
        return Measured(float(multiscale_structural_similarity_index_measure(first, second, data_range=1.0)))


def flip(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> Measured | None:
    """flip_evaluator's LDR-FLIP (Andersson et al. 2020) at its default of 67 pixels per degree: 0 is alike.

    What is not valid is painted as in the truth, and does not count.
    """
    import flip_evaluator

    painted, true = as_floats(render, truth, valid)
    values = flip_evaluator.evaluate(true, painted, "LDR", applyMagma=False, computeMeanError=False)[0][..., 0]
    counted = np.ones(values.shape, bool) if valid is None else valid
    # In float64: single precision loses digits over a million pixels.
    return Measured(float(values[counted].mean(dtype=np.float64)), values, counted) if counted.any() else None


def as_floats(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures as float32 in 0..1, contiguous, the first painted with the second where it is not valid."""
    painted = render if valid is None else np.where(valid[..., None], render, truth)
    first, second = (np.ascontiguousarray(image, np.float32) / np.float32(255) for image in (painted, truth))
    return first, second


SSIM = Measure(ssim, SSIM_WINDOW)
MEASURES = {
    "ssim": SSIM,
    "ssim_range_2": Measure(ssim_range_2, SSIM_WINDOW),
    "ms_ssim": Measure(ms_ssim, MS_SSIM_SIDE),
    "flip": Measure(flip),
}
