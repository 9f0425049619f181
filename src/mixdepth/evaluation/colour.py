"""Colour scores of one camera's frames, and of several cameras together.

Everything works frame by frame: at no time are more than two frames of the render and of the truth in memory.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mixdepth.evaluation.metrics import AffineFit, Mean, SquaredError
from mixdepth.evaluation.pictures import SSIM, Measure

Scores = dict[str, float | None]
PER_FRAME = ("psnr", "ssim", "flip")


@dataclass
class ColourScore:
    """What colour scores are made of: one camera's frames; added up, several cameras'."""

    every: SquaredError = field(default_factory=SquaredError)
    moving: SquaredError = field(default_factory=SquaredError)
    still: SquaredError = field(default_factory=SquaredError)
    # What remains after one affine colour fit per camera and channel.
    affine: SquaredError = field(default_factory=SquaredError)
    # By measure the mean over frames; with "_moving" or "_still" added, over the pixels of all frames; and "flicker_of"
    # the render and the truth, in levels.
    means: dict[str, Mean] = field(default_factory=dict)
    frames: dict[str, list[float | None]] = field(default_factory=dict)  # one camera's, by name: frame by frame

    def __add__(self, other: "ColourScore") -> "ColourScore":
        names = dict.fromkeys([*self.means, *other.means])
        return ColourScore(
            self.every + other.every,
            self.moving + other.moving,
            self.still + other.still,
            self.affine + other.affine,
            {name: self.means.get(name, Mean()) + other.means.get(name, Mean()) for name in names},
        )

    def summary(self) -> Scores:
        """The scores by name; PSNR in dB; None where no pixel or frame counts, or what was not measured."""

        def mean(name: str) -> float | None:
            return self.means[name].value if name in self.means else None

        def dissimilarity(name: str) -> float | None:
            found = mean(name)
            return None if found is None else (1 - found) / 2

        render, truth = mean("flicker_of_render"), mean("flicker_of_truth")
        return {
            "psnr": self.every.psnr,
            "psnr_moving": self.moving.psnr,
            "psnr_still": self.still.psnr,
            "psnr_affine": self.affine.psnr,
            **{name: mean(name) for name in ("ssim", "ssim_moving", "ssim_still", "ms_ssim")},
            "dssim_1": dissimilarity("ssim"),
            "dssim_2": dissimilarity("ssim_range_2"),
            **{name: mean(name) for name in ("flip", "flip_moving", "flip_still", "lpips_alex", "lpips_vgg")},
            "flicker": None if render is None or truth is None else (render - truth) / 255,
        }


def score_colour(
    renders: Iterable[np.ndarray],
    truths: Iterable[np.ndarray],
    moving: Iterable[np.ndarray],
    valid: np.ndarray | None = None,
    measures: Mapping[str, Measure] | None = None,
) -> ColourScore:
    """Compare one camera's frames.

    Args:
        renders: [H, W, 3] uint8 per frame.
        truths: the same.
        moving: [H, W] bool per frame: pixels that show something that moves.
        valid: [H, W] bool: pixels that count; None counts all.
        measures: by name, what is measured beside PSNR and flicker; SSIM unless given.
    """
    measures = {"ssim": SSIM} if measures is None else measures
    score = ColourScore(frames={name: [] for name in PER_FRAME})
    fits = [AffineFit() for _ in range(3)]
    before = None
    for render, truth, mask in zip(renders, truths, moving, strict=True):
        values = _measure(score.means, render, truth, mask, valid, measures)
        if before is not None:
            _add_flicker(score.means, before, (render, truth, mask), valid)
        before = render, truth, mask
        if valid is not None:
            render, truth, mask = render[valid], truth[valid], mask[valid]
        frame = _add_squares(score, render, truth, mask)
        for channel, fit in enumerate(fits):
            fit.add(render[..., channel], truth[..., channel])
        for name in PER_FRAME:
            score.frames[name].append(frame.psnr if name == "psnr" else values.get(name))
    score.affine = SquaredError(sum(fit.solve()[2] for fit in fits) * 255**2, score.every.values)
    return score


def score_psnr(
    renders: Iterable[np.ndarray],
    truths: Iterable[np.ndarray],
    moving: Iterable[np.ndarray],
    valid: np.ndarray | None = None,
) -> ColourScore:
    """PSNR alone, of :func:`score_colour`, whose arguments these are."""
    score = ColourScore()
    for render, truth, mask in zip(renders, truths, moving, strict=True):
        if valid is not None:
            render, truth, mask = render[valid], truth[valid], mask[valid]
        _add_squares(score, render, truth, mask)
    return score


def _add_squares(score: ColourScore, render: np.ndarray, truth: np.ndarray, moving: np.ndarray) -> SquaredError:
    """Add one frame's squared errors (pixels [..., 3] uint8, of which [...] move) to ``score``; those of all of it."""
    squared = (render.astype(np.int32) - truth) ** 2
    frame, moved = SquaredError(), SquaredError()
    frame.add(squared)
    moved.add(squared[moving])
    score.every += frame
    score.moving += moved
    score.still += SquaredError(frame.total - moved.total, frame.values - moved.values)
    return frame


def _measure(
    means: dict[str, Mean],
    render: np.ndarray,
    truth: np.ndarray,
    moving: np.ndarray,
    valid: np.ndarray | None,
    measures: Mapping[str, Measure],
) -> dict[str, float]:
    """Add one frame's measures to ``means``; their values by name."""
    values = {}
    for name, measure in measures.items():
        found = measure.compare(render, truth, valid) if min(render.shape[:2]) >= measure.side else None
        if found is None:
            continue
        for each, value in {name: found.value, **found.more}.items():
            values[each] = value
            means.setdefault(each, Mean()).add(value)
        if found.map is None or found.counted is None:
            continue
        for part, pixels in (("moving", found.counted & moving), ("still", found.counted & ~moving)):
            total = float(found.map[pixels].sum(dtype=np.float64))
            means.setdefault(f"{name}_{part}", Mean()).add(total, int(pixels.sum()))
    return values


Frame = tuple[np.ndarray, np.ndarray, np.ndarray]  # render, truth [H, W, 3] uint8, what moves [H, W] bool


def _add_flicker(means: dict[str, Mean], before: Frame, now: Frame, valid: np.ndarray | None) -> None:
    """Add |change from frame to frame|, levels, of the render and of the truth, where nothing moves in either frame."""
    still = ~(before[2] | now[2])
    if valid is not None:
        still &= valid
    for index, name in enumerate(("flicker_of_render", "flicker_of_truth")):
        change = np.abs(now[index][still].astype(np.int16) - before[index][still])
        means.setdefault(name, Mean()).add(int(change.sum(dtype=np.int64)), change.size)
