"""Pictures that no model made, which a render must beat, and whether it changes where the video does. What is said
where it does not is in :mod:`mixdepth.evaluation.shortcomings`. Needs neither torch nor a model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.errors import DamagedFile
from mixdepth.evaluation.colour import ColourScore, score_psnr
from mixdepth.evaluation.consistency import neighbours
from mixdepth.evaluation.metrics import Mean
from mixdepth.evaluation.view import View
from mixdepth.files.io import read_npy
from mixdepth.frames.motion import TOLERANCE, Light, exposed, find_light, find_noise, noise_variance
from mixdepth.frames.store import MOVING_STD, TemporalStd

SCORED = ("psnr", "psnr_moving", "psnr_still")  # of a trivial picture


@dataclass
class Trivial:
    """What trivial pictures score, and how much changes over time: of one camera; added up, of several."""

    pictures: dict[str, ColourScore]  # by kind: "constant", "median", "nearest"
    # Temporal standard deviation of the render and of the video, over the pixels that move.
    changes: dict[str, Mean] = field(default_factory=lambda: {"render": Mean(), "video": Mean()})

    def __add__(self, other: "Trivial") -> "Trivial":
        pictures = {kind: score + other.pictures[kind] for kind, score in self.pictures.items()}
        return Trivial(pictures, {name: mean + other.changes[name] for name, mean in self.changes.items()})

    def summary(self) -> dict[str, dict[str, Any]]:
        """``trivial``: SCORED by kind; ``change``: colours in 0..1, None where no pixel moves."""
        every = {kind: score.summary() for kind, score in self.pictures.items()}
        trivial = {kind: {name: scores[name] for name in SCORED} for kind, scores in every.items()}
        return {"trivial": trivial, "change": {name: mean.value for name, mean in self.changes.items()}}


def nearest_camera(name: str, cameras: Mapping[str, Camera], names: Iterable[str]) -> str:
    """The one of ``names`` that sees most nearly what ``name`` sees: the nearest of those that look the same way, else
    that whose direction differs least."""
    posed = [other for other in names if other in cameras]
    own = cameras[name].c2w[:3, 2]
    return next(iter(neighbours(name, cameras, posed)), max(posed, key=lambda other: own @ cameras[other].c2w[:3, 2]))


def score_trivial(view: View, nearest: Path) -> Trivial:
    """The trivial pictures of one held-out camera, frame by frame.

    Args:
        nearest: frames [T, h, w, 3] uint8 of the nearest training camera, of any size.

    Raises:
        UserError: ``nearest`` is missing or damaged, or has another number of frames.
    """
    frames, (height, width) = len(view.rgb), view.size
    others = read_npy(nearest)
    if others.ndim != 4 or others.dtype != np.uint8 or len(others) != frames:
        raise DamagedFile(
            f"{nearest}: {list(others.shape)} {others.dtype}, expected {frames} frames; delete its folder and run the"
            " same command again"
        )

    def resized() -> Iterator[np.ndarray]:
        from mixdepth.files.images import resize

        return (resize(np.asarray(frame), (width, height)) for frame in others)

    shown: dict[str, Iterable[np.ndarray]] = {
        "constant": repeat(np.broadcast_to(mean_colour(view), (height, width, 3)), frames),
        "median": repeat(view.store.median, frames),
        "nearest": resized(),
    }
    scores = {
        kind: score_psnr(pictures, map(np.asarray, view.store.rgb), view.moving(), view.valid)
        for kind, pictures in shown.items()
    }
    return Trivial(scores, changes(view))


def mean_colour(view: View) -> np.ndarray:
    """[3] uint8: the mean of all frames of the camera, the best constant there is."""
    total, count = np.zeros(3, np.int64), 0
    for frame in view.store.rgb:
        pixels = frame.reshape(-1, 3) if view.valid is None else frame[view.valid]
        total += pixels.sum(axis=0, dtype=np.int64)
        count += len(pixels)
    return np.rint(total / max(count, 1)).astype(np.uint8)


def changes(view: View) -> dict[str, Mean]:
    """Mean temporal standard deviation of the render and of the video, colours in 0..1, over the pixels that move.

    What light, noise and frames without a picture change is taken out: of the video they would pass for motion.
    """
    light = find_light(view.store.rgb)
    noise, variance = find_noise(view.store.rgb, light), _spread(view.store.rgb, light) ** 2
    video = np.sqrt((variance - noise**2).clip(0))
    own = Light(find_light(view.rgb).gain, light.usable)
    if view.truth is None:
        moves = variance - noise_variance(noise, int(light.usable.sum())) > MOVING_STD**2
    else:
        moves = reduce(np.logical_or, view.moving())
    moves = moves if view.valid is None else moves & view.valid

    def mean(spread: np.ndarray) -> Mean:
        return Mean(float(spread[moves].sum(dtype=np.float64)), int(moves.sum()))

    return {"render": mean(_spread(view.rgb, own)), "video": mean(video)}


def _spread(rgb: np.ndarray, light: Light) -> np.ndarray:
    """Temporal standard deviation [H, W] of the usable frames of ``rgb`` [T, H, W, 3] uint8 at the usual exposure."""
    spread = TemporalStd(rgb.shape[1:])
    for frame in np.flatnonzero(light.usable):
        spread.add(np.ascontiguousarray(exposed(rgb[frame], light.gain[frame])))
    return spread.value().mean(axis=-1)


def background(view: View) -> dict[str, Any]:
    """The middle colour of the camera's median, and which share of the picture has it: more than half of it before a
    plain background, black or white."""
    pixels = view.store.median.reshape(-1, 3) if view.valid is None else view.store.median[view.valid]
    if not len(pixels):
        return {"colour": None, "share": 0.0}
    colour = np.rint(np.median(pixels, axis=0)).astype(int)
    return {"colour": colour.tolist(), "share": float((np.abs(pixels - colour) <= TOLERANCE).all(axis=1).mean())}
