"""The pictures that the report lays over each other: truth and variants, in colour, depth, error and motion."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from mixdepth.evaluation.view import View
from mixdepth.files.html import data_uri
from mixdepth.files.images import encoded, resize
from mixdepth.report.comparison import ERROR_COLOURS, Cell, Column, busiest_frame, columns, depth_limits, open_views
from mixdepth.results import Results
from mixdepth.scene.scene import Scene

MAX_SIDE = 960  # pixels; larger pictures are scaled down
QUALITY = 82  # of WebP
MOTION_FRAMES = 24  # that a motion map is worked out from
TRUTH = "truth"


@dataclass(frozen=True)
class Picture:
    """One picture of the comparison, and what it is in words."""

    frame: int | None  # index into the selected frames; None is of all
    kind: str
    subject: str  # "truth" or a variant
    caption: str
    uri: str
    alt: str


def compared_pictures(scene: Scene, results: Results) -> dict[str, Any] | None:
    """What the report's slider shows of ``scene.video_camera``; None where nothing was rendered.

    Keys: ``subjects`` (truth and variants), ``frames`` [{index, label}] (first, the one in which most moves, last),
    ``kinds`` [{key, title, scale}], ``pictures`` [:class:`Picture`], and ``width`` and ``height`` in pixels. A scale is
    {low, high, unit, bar}: one for all variants and frames.

    Raises:
        UserError: a file is damaged, or files do not belong together.
    """
    camera = scene.video_camera
    shown = [variant for variant in scene.variants if results.renders(variant, camera).rgb.is_file()]
    store = results.store(camera)
    if not shown or not store.rgb.is_file():
        return None
    folders = [results.renders(variant, camera).folder for variant in shown]
    views = open_views(scene, camera, results.cameras, store.folder, folders)
    height, width = views[0].size
    reduce = min(MAX_SIDE / max(width, height), 1.0)
    size = round(width * reduce), round(height * reduce)
    frames = _frames(views[0])
    limits = depth_limits(views, list(frames))
    subjects = [TRUTH, *shown]
    kinds: dict[str, dict[str, Any]] = {}
    pictures = []
    found = [(frame, label, column) for frame, label in frames.items() for column in columns(views, frame, limits)]
    for frame, label, column in [*found, (None, "all", _motion(views))]:
        key = column.title.replace(" ", "-")
        kinds[key] = {"key": key, "title": column.title.capitalize(), "scale": _scale(column)}
        for subject, cell in zip(subjects, column.cells, strict=True):
            if cell.values is not None:
                alt, caption = _alt(column, subject, camera, label, cell.values), cell.text or column.title
                image = cell.values if cell.values.ndim == 3 else _coloured(cell.values, column)
                uri = webp(resize(np.ascontiguousarray(image), size))
                pictures.append(Picture(frame, key, subject, caption, uri, alt))
    return {
        "subjects": subjects,
        "frames": [{"index": frame, "label": label} for frame, label in frames.items()],
        "busiest": next(frame for frame, label in frames.items() if "moves" in label),
        "kinds": list(kinds.values()),
        "pictures": pictures,
        "width": size[0],
        "height": size[1],
    }


def _frames(view: View) -> dict[int, str]:
    """The frames that are shown, with what to call them."""
    busiest = busiest_frame(view)
    last = len(view.rgb) - 1
    names = {0: "first"} | {last: "last"} | {busiest: "most moves"}
    return {frame: f"{names[frame]} ({view.frames[frame]})" for frame in sorted(names)}


def _motion(views: list[View]) -> Column:
    """How much each pixel changes over time, on the truth's scale."""
    count = len(views[0].rgb)
    picked = np.unique(np.linspace(0, count - 1, min(count, MOTION_FRAMES)).round().astype(int))
    maps = [_deviation(rgb, picked) for rgb in (views[0].store.rgb, *(view.rgb for view in views))]
    brightest = max(float(np.percentile(maps[0], 99.5)), 1e-3)
    unit = "standard deviation over time, colours in 0..1"
    return Column("motion", [Cell(values) for values in maps], ERROR_COLOURS, (0.0, brightest), unit)


def _deviation(rgb: np.ndarray, picked: np.ndarray) -> np.ndarray:
    """Standard deviation over the ``picked`` frames, mean of the channels, [H, W] float, colours in 0..1."""
    total, squares = np.zeros(rgb.shape[1:]), np.zeros(rgb.shape[1:])
    for frame in picked:
        image = rgb[frame] / 255
        total += image
        squares += image**2
    return np.sqrt(np.maximum(squares / len(picked) - (total / len(picked)) ** 2, 0)).mean(axis=-1)


def _scale(column: Column) -> dict[str, Any] | None:
    if column.colours is None:
        return None
    low, high = column.limits
    bar = np.repeat(np.linspace(low, high, 256)[None], 4, axis=0)
    uri = webp(_coloured(bar, column))
    return {"low": f"{low:.3g}", "high": f"{high:.3g}", "unit": column.unit, "bar": uri}


def _coloured(values: np.ndarray, column: Column) -> np.ndarray:
    return ScalarMappable(Normalize(*column.limits), column.colours).to_rgba(values, bytes=True)[..., :3]


def webp(image: np.ndarray) -> str:
    """``image`` [H, W, 3] uint8 as a data: URI."""
    return data_uri("image/webp", encoded(image, "WEBP", quality=QUALITY))


def _alt(column: Column, subject: str, camera: str, label: str, values: np.ndarray) -> str:
    """The picture in words; errors with their mean, so that they can be compared without seeing them."""
    whose = f"the true {column.title}" if subject == TRUTH else f"{column.title} of {subject}"
    if column.title == "colour error" and subject == TRUTH:
        return f"What moves, in its colours; what stands still is pale. {camera}, frame: {label}"
    text = f"{whose[0].upper()}{whose[1:]}, {camera}, frame: {label}"
    if column.title.endswith("error"):
        text += f"; mean {np.nanmean(values):.3g}, {column.unit}"
    elif column.title == "depth":
        text += f"; median {np.nanmedian(values):.3g}, {column.unit}, near is bright"
    return text
