"""What is written beside the scores, so that two groups can compare theirs: definitions, and why a score is missing."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mixdepth.evaluation.consistency import FEWEST_POINTS, LONGER_SIDE, NEIGHBOURS, POINT_FRAMES, SURE
from mixdepth.evaluation.lpips import SIDE as LPIPS_SIDE
from mixdepth.evaluation.pictures import MEASURES

# What each score is, in metrics.json, by the library whose values it has. docs/scores.md says more.
DEFINITIONS = {
    "psnr": "-10 log10 of the mean squared error of all colour values of all frames, colours in 0..1, at most 100 dB",
    "psnr_affine": "psnr after the best gain and offset per camera and colour channel, over all its frames",
    "ssim": "scikit-image structural_similarity: 7x7 uniform window, data_range 1; mean of channels, pixels, frames",
    "ms_ssim": "torchmetrics multiscale SSIM: 5 scales, Gaussian 11x11, sigma 1.5, data_range 1; mean of the frames",
    "dssim_1": "(1 - ssim) / 2, data_range 1",
    "dssim_2": "(1 - SSIM) / 2 with the same window, data_range 2",
    "flip": "flip_evaluator LDR, 67 pixels per degree; mean of pixels and frames; 0 is best",
    "lpips": "LPIPS v0.1 on colours in -1..1; mean of the frames; 0 is best",
    "flicker": "mean change between neighbouring frames of the render less that of the truth, still pixels, colours in"
    " 0..1; 0 is best",
    "trivial": "psnr of pictures that no model made: the mean colour of the camera's frames, its own temporal median,"
    " the frames of the nearest training camera",
    "change": "mean temporal standard deviation, colours in 0..1, of the render and of the video, pixels that move;"
    " exposure, noise and frames without a picture taken out",
    "moving, still": "psnr: squared errors of these pixels; ssim, flip: mean of the map over these pixels; all frames",
    "depth": "z-depth in the truth's units against the truth: median, mae, rmse of the error; abs_rel and share within"
    " 5 % of error / truth",
    "depth_points": "rendered z-depth against COLMAP points that the held-out camera sees, error / z; median of up to"
    f" {POINT_FRAMES} frames, nearest pixel, points with sigma up to {SURE:.0%} of z",
    "depth_consistency": f"surface of the held-out camera against that of its {NEIGHBOURS} nearest neighbours, error /"
    f" depth, first, middle and last frame, at most {LONGER_SIDE} pixels wide; hidden pixels left out",
}
COLOUR = {
    "space": "sRGB as decoded, not linearised",
    "range": "8 bits, taken as 0..1",
    "channels": "RGB, equal weights",
}
# By score, the measure that it is made of.
SOURCE = {"dssim_1": "ssim", "dssim_2": "ssim", "ssim_moving": "ssim", "ssim_still": "ssim"}
SOURCE |= {"flip_moving": "flip", "flip_still": "flip"}
SIDES = {name: measure.side for name, measure in MEASURES.items()} | {f"lpips_{n}": s for n, s in LPIPS_SIDE.items()}


def colour_reasons(
    scores: Mapping[str, Any], sizes: Iterable[tuple[int, int]], frames: int, measured: Collection[str]
) -> dict[str, str]:
    """Why colour scores are None, a sentence each.

    Args:
        sizes: (H, W) of each camera.
        frames: how many there are.
        measured: names of the measures that were applied.
    """
    height, width = max(sizes, key=min)
    told = {}
    for key in (key for key, value in scores.items() if value is None):
        source = SOURCE.get(key, key)
        if source.startswith("lpips") and source not in measured:
            told[key] = f"no weights given (lpips.{source.removeprefix('lpips_')} in the configuration)"
        elif min(height, width) < SIDES.get(source, 1):
            least = SIDES[source]
            told[key] = f"needs at least {least} pixels in width and height; the picture has {width}x{height}"
        elif key == "flicker" and frames < 2:
            told[key] = "there is one frame only"
        elif key.endswith("_moving"):
            told[key] = "no pixel that counts moves"
        elif key.endswith("_still") or key == "flicker":
            told[key] = "every pixel that counts moves"
        else:
            told[key] = "no pixel counts: the undistorted picture has no source there"
    return told


def depth_reasons(scores: Mapping[str, Any], truth: bool) -> dict[str, str]:
    """Why scores against the truth are None."""
    which = {"depth": "has a true depth", "depth_moving": "with a true depth moves", "depth_still": "stands still"}
    return {
        key: f"no pixel that counts {which[key]}" if truth else "the scene has no truth"
        for key, value in scores.items()
        if value is None
    }


def few_points(count: int) -> str:
    """The reason where a camera sees too few of COLMAP's points."""
    return f"{count} reliable points of COLMAP are seen; {FEWEST_POINTS} needed"
