"""How large the models are and how long they train: what `quality` comes to for a capture, by one formula.

What decides is what there is to learn: how many pixels the images have across the space, or across what moves, and how
many of them there are. The same capture has the same sizes on every machine. Standard library only: the doctor, who
foretells them, runs where nothing is installed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SAMPLES = 0.4375  # per ray, of the cells along an axis: surfaces are smooth
DYNAMIC_SAMPLES = 0.5  # the same of the dynamic branch, whose box is a part of the space
# Samples of a static step, and at least so many per cell of a plane: a step updates all cells, whatever it sees.
BATCH, BATCH_PER_CELL = 8192, 0.08
START = 48  # cells along an axis at the start: shapes before details
START_SAMPLES, DYNAMIC_START_SAMPLES = 0.43, 0.57  # of the samples at the end
STATIC_PIXELS = 6e6  # of all images, from which on more of them need more steps
# Total variation is a prior: it counts the less the more there is to learn, from so many pixels of all images on.
SMOOTHNESS, SMOOTH_PIXELS = 0.05, 1e6
MOVING_PIXELS = 30e6  # the same of what moves: pixels x frames of a segment
SEGMENT = (30, 90)  # frames: shorter ones share too little, in longer ones the codes of time blur


class Level(NamedTuple):
    """One quality."""

    static_cells: float  # along an axis, per pixel
    static_range: tuple[int, int]  # least and most cells
    components: tuple[int, int]  # of density and of colour, per orientation
    static_steps: int  # for up to STATIC_PIXELS
    cells: float  # of what moves, per pixel
    range: tuple[int, int]
    steps: int  # for up to MOVING_PIXELS
    growth: float  # how many times as much may move in a segment as at a time


LEVELS = {
    "draft": Level(0.2, (96, 256), (8, 16), 500, 0.25, (96, 160), 250, 4.0),
    "standard": Level(0.4, (256, 448), (8, 16), 1500, 0.4, (192, 256), 600, 3.0),
    "high": Level(0.6, (256, 640), (16, 24), 4000, 0.5, (192, 320), 1000, 2.0),
}
QUALITIES = tuple(LEVELS)


class Seen(NamedTuple):
    """What a static field learns from."""

    across: float  # pixels along an axis of the space, as the images show its middle
    pixels: float  # of all images


class Moving(NamedTuple):
    """What the dynamic branch learns from."""

    across: float  # pixels along the longer side of what moves at a time, in most cameras
    runs: Sequence[tuple[int, float]]  # frames in a row, ascending, and the share of the pixels that move in so many
    pixels: float  # of one frame of every camera
    frames: int


def sized_static(given: Mapping[str, Any], quality: str, seen: Seen) -> dict[str, Any]:
    """The section `static`, or `dynamic.static`, as it is trained: what is ``given``, and the sizes that are not.

    >>> sized_static({"steps": 7}, "standard", Seen(across=924, pixels=6.2e6))["resolution"]
    368
    """
    level = LEVELS[quality]
    cells = given.get("resolution") or _cells(level.static_cells * seen.across, level.static_range)
    density, colour = level.components
    return {
        "steps": _steps(level.static_steps, seen.pixels / STATIC_PIXELS),
        **_along(given, cells, round(SAMPLES * cells), START_SAMPLES),
        "batch_samples": max(BATCH, round(BATCH_PER_CELL * cells**2)),
        "density_components": density,
        "colour_components": colour,
        "total_variation": round(SMOOTHNESS * min(1.0, SMOOTH_PIXELS / max(seen.pixels, 1.0)), 5),
        **given,
    }


def sized_dynamic(given: Mapping[str, Any], quality: str, seen: Seen, moving: Moving) -> dict[str, Any]:
    """The section `dynamic` as it is trained, its own `static` too. Steps are those of one segment, and its rays have
    no fewer samples than those of the static branch, which is rendered with it."""
    level, static = LEVELS[quality], sized_static(given.get("static", {}), quality, seen)
    segment = segment_length(given, quality, moving)
    learnt = _share(moving) * moving.pixels * min(segment or moving.frames, moving.frames)
    cells = given.get("resolution") or _cells(level.cells * moving.across, level.range)
    return {
        "steps": _steps(level.steps, learnt / MOVING_PIXELS),
        **_along(given, cells, max(static["samples"], round(DYNAMIC_SAMPLES * cells)), DYNAMIC_START_SAMPLES),
        "segment": segment,
        **given,
        "static": static,
    }


def segment_length(given: Mapping[str, Any], quality: str, moving: Moving) -> int | None:
    """Most frames of a segment, None for any number: as ``given`` in the section `dynamic`, else those of the longest
    run in which not many times as many pixels move as in the shortest: the box of what moves, and what stands still in
    it, grow with a longer one."""
    if "segment" in given:
        return given["segment"]
    fitting = [frames for frames, share in moving.runs if share <= LEVELS[quality].growth * _share(moving)]
    least, most = SEGMENT
    return max(least, min(most, *fitting[-1:]))


def _share(moving: Moving) -> float:
    """Of the pixels that move at a time."""
    return moving.runs[0][1]


def _cells(wanted: float, limits: tuple[int, int]) -> int:
    return 16 * round(min(max(wanted, limits[0]), limits[1]) / 16)


def _along(given: Mapping[str, Any], cells: int, samples: int, share: float) -> dict[str, int]:
    """Cells along an axis and samples along a ray, at the end and at the start, where they are a ``share``."""
    samples = given.get("samples") or samples
    start = {"start_resolution": min(START, cells), "start_samples": max(8, round(share * samples))}
    return {"resolution": cells, "samples": samples, **start}


def _steps(steps: int, learnt: float) -> int:
    """More of them the more there is to learn, but by its square root: neighbouring pixels show the same."""
    return round(steps * max(1.0, learnt) ** 0.5)


# What is not known of a capture before its cameras and its motion are: as in those that were measured.
ACROSS = 1.4  # pixels along an axis of the space, of those along an image (1.1 to 1.9)
MOVING_ACROSS = 0.6  # pixels along the longer side of what moves (0.2 to 1)
MOVING_SHARES = {1 / 32: 0.12, 1 / 16: 0.14, 1 / 8: 0.18, 1 / 4: 0.25, 1 / 2: 0.35, 1: 0.5}  # by share of the frames


def expected_seen(images: int, width: float, height: float) -> Seen:
    """What so many images of ``width`` x ``height`` pixels will teach."""
    return Seen(ACROSS * max(width, height), images * width * height)


def expected_moving(cameras: int, width: float, height: float, frames: int) -> Moving:
    """What will move in so many frames of so many cameras."""
    runs = [(round(part * frames), share) for part, share in MOVING_SHARES.items()]
    return Moving(MOVING_ACROSS * max(width, height), runs, cameras * width * height, frames)
