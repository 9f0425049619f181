"""The comparison figure: every variant from one held-out camera, in colour, depth and error, with its scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from mixdepth.evaluation.truth import load_truth
from mixdepth.evaluation.view import View, open_view
from mixdepth.files.io import atomic, read_json
from mixdepth.frames.store import MOVING_STD
from mixdepth.scene.scene import Scene
from mixdepth.variants import TABLE
from mixdepth.words import percent

COLOUR_ERROR = 0.2  # colours in 0..1, mean of the channels; the same scale in every figure
DEPTH_ERROR = 0.2  # share of the true depth
DOTS_PER_INCH = 150
COLUMN_INCHES, LABEL_INCHES, BAR_INCHES, TOP_INCHES, GAP_INCHES = 3.3, 1.75, 0.62, 0.62, 0.06
MIN_ROW_INCHES, MAX_ROW_INCHES = 1.55, 4.0
# Their brightness falls steadily as well, so that they can be read in grey: near is bright, and so is a small error.
DEPTH_COLOURS, ERROR_COLOURS = colormaps["viridis_r"], colormaps["magma_r"]


@dataclass(frozen=True)
class Cell:
    """One picture of the figure: an image, or values with a column's colours; ``text`` is a remark on it."""

    values: np.ndarray | None  # [H, W, 3] uint8, or [H, W]
    text: str = ""


@dataclass(frozen=True)
class Column:
    """One column: its title and, where its cells hold values, their colours."""

    title: str
    cells: list[Cell]
    colours: Colormap | None = None
    limits: tuple[float, float] = (0.0, 1.0)
    unit: str = ""


def write_comparison(
    scene: Scene,
    *,
    renders: Sequence[Path],
    store: Sequence[Path],
    scores: Sequence[Path],
    cameras: Path,
    output: Path,
) -> None:
    """Write comparison.png: a row with the truth and one per variant, at the frame with the most moving pixels.

    Args:
        renders: a folder per variant of the scene.
        store: the files of the camera's own frames.
        scores: metrics.json of every variant of the scene; more may follow.

    Raises:
        UserError: a file is missing or damaged.
    """
    camera = scene.video_camera
    views = open_views(scene, camera, cameras, store[0].parent, renders)
    frame = busiest_frame(views[0])
    labels = [("truth", f"{camera}\nframe {views[0].frames[frame]}")]
    for variant, path in zip(scene.variants, scores, strict=False):
        labels.append((variant, score_text(read_json(path), camera, TABLE[variant].meaning)))
    held_out = "held out" if camera in scene.test_cameras else "a training camera"
    _draw(f"{scene.name}, {camera} ({held_out})", labels, columns(views, frame), output)


def open_views(scene: Scene, camera: str, cameras: Path, store: Path, renders: Sequence[Path]) -> list[View]:
    """What each folder of ``renders`` holds of ``camera``, beside its own frames and, where the scene has one, the
    truth (``scene.options`` must hold ``truth`` and ``frames``).

    Raises:
        UserError: a file is missing or damaged, or they do not belong together.
    """
    truth = load_truth(scene, [camera], video=True)
    scale = truth.similarity(cameras).scale if truth else 1.0
    return [open_view(scene, camera, folder, store, truth, scale) for folder in renders]


def busiest_frame(view: View) -> int:
    """Index of the frame with the most moving pixels; without a truth, with the largest change against the median."""
    if view.truth is not None:
        return int(np.argmax([mask.sum() for mask in view.moving()]))
    moves = view.store.std > MOVING_STD
    middle = view.store.median[moves].astype(np.int16)
    return int(np.argmax([np.abs(image[moves] - middle).sum(dtype=np.int64) for image in view.store.rgb]))


def score_text(metrics: dict[str, Any], camera: str, meaning: str) -> str:
    """The scores of ``camera`` (over all held-out cameras where it is none of them) as lines."""
    own = metrics["cameras"].get(camera)
    scores = own or metrics
    lines = [meaning] + ([] if own else ["all held-out cameras:"])
    shown = [("PSNR", "psnr", "{:.2f} dB"), ("moving", "psnr_moving", "{:.2f} dB"), ("SSIM", "ssim", "{:.3f}")]
    lines += [f"{name} {form.format(scores[key])}" for name, key, form in shown if scores[key] is not None]
    if scores["depth"]:
        lines.append(f"depth median {scores['depth']['median']:.3g}")
        lines.append(f"within 5 %: {percent(scores['depth']['within_5_percent'], 1)}")
    return "\n".join(lines)


def columns(views: list[View], frame: int, limits: tuple[float, float] | None = None) -> list[Column]:
    """The figure's columns for one frame; the first cell of each is the truth's. ``limits`` of depth, else its own."""
    first = views[0]
    true_rgb = np.asarray(first.store.rgb[frame])
    true_depth = true_frame(first, frame)
    mask = next(m for index, m in enumerate(first.moving()) if index == frame)
    depths = [view.depth[frame] * np.float64(view.scale) for view in views]
    errors = [np.abs(view.rgb[frame].astype(np.int16) - true_rgb).mean(axis=-1) / 255 for view in views]
    units = "units of the truth" if first.truth else "world units"
    found = [
        Column("colour", [Cell(true_rgb), *(Cell(np.asarray(view.rgb[frame])) for view in views)]),
        Column(
            "depth",
            [Cell(true_depth, "" if first.truth else "no true depth"), *map(Cell, depths)],
            DEPTH_COLOURS,
            limits or depth_limits(views, [frame]),
            f"z-depth, {units}",
        ),
        Column(
            "colour error",
            [Cell(_outlined(true_rgb, mask), "what moves"), *map(Cell, errors)],
            ERROR_COLOURS,
            (0.0, COLOUR_ERROR),
            "mean of channels, colours in 0..1",
        ),
    ]
    if true_depth is not None:
        ratios = [np.abs(depth - true_depth) / true_depth for depth in depths]
        cells = [Cell(None, ""), *map(Cell, ratios)]
        found.append(Column("depth error", cells, ERROR_COLOURS, (0.0, DEPTH_ERROR), "share of the true depth"))
    return found


def depth_limits(views: list[View], frames: list[int]) -> tuple[float, float]:
    """The range of depths that one scale shows for all ``views`` and the truth: percentiles 1 and 99 of ``frames``."""
    # Disparities would be hard to read off a colour bar: depth, within what all rows share.
    shown = [view.depth[frame] * np.float64(view.scale) for view in views for frame in frames]
    shown += [true for frame in frames if (true := true_frame(views[0], frame)) is not None]
    values = np.concatenate([depth[np.isfinite(depth)].ravel() for depth in shown])
    low, high = np.percentile(values, [1, 99])
    return float(low), float(high)


def true_frame(view: View, frame: int) -> np.ndarray | None:
    """True z-depth of one frame, [H, W] float64; None without a truth."""
    if view.truth is None:
        return None
    index = view.frames[frame]
    (true, _), *_ = view.truth.frames(view.name, range(index, index + 1), view.size)
    return true.astype(np.float64)


def _outlined(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image in pale grey with what moves in its colours, [H, W, 3] uint8."""
    grey = 175 + rgb.mean(axis=-1, keepdims=True) * 0.3
    return np.where(mask[..., None], rgb, grey).astype(np.uint8)


def _draw(title: str, labels: list[tuple[str, str]], columns: list[Column], output: Path) -> None:
    picture = columns[0].cells[0].values
    assert picture is not None  # it is the camera's own
    height, width = picture.shape[:2]
    row = float(np.clip(COLUMN_INCHES * height / width, MIN_ROW_INCHES, MAX_ROW_INCHES))
    column = min(COLUMN_INCHES, max(row * width / height, 1.9))
    size = (
        LABEL_INCHES + len(columns) * (column + GAP_INCHES) + 0.1,
        TOP_INCHES + len(labels) * (row + GAP_INCHES) + BAR_INCHES,
    )
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")

    def place(x: float, y: float, w: float, h: float) -> Axes:
        """Axes at inches from the top left corner."""
        return figure.add_axes((x / size[0], 1 - (y + h) / size[1], w / size[0], h / size[1]))

    figure.text(0.1 / size[0], 1 - 0.2 / size[1], title, fontsize=12, weight="bold", va="center")
    for j, spec in enumerate(columns):
        x = LABEL_INCHES + j * (column + GAP_INCHES)
        figure.text((x + column / 2) / size[0], 1 - 0.5 / size[1], spec.title, fontsize=11, ha="center", va="center")
        for i, cell in enumerate(spec.cells):
            _draw_cell(place(x, TOP_INCHES + i * (row + GAP_INCHES), column, row), cell, spec)
        if spec.colours is not None:
            y = TOP_INCHES + len(labels) * (row + GAP_INCHES) + 0.06
            _draw_bar(figure, place(x + 0.1 * column, y, 0.8 * column, 0.12), spec)
    for i, (name, text) in enumerate(labels):
        y = TOP_INCHES + i * (row + GAP_INCHES) + 0.08
        figure.text(0.1 / size[0], 1 - y / size[1], name, fontsize=11, weight="bold", va="top")
        figure.text(0.1 / size[0], 1 - (y + 0.24) / size[1], text, fontsize=9, va="top", linespacing=1.35)
    with atomic(output) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _draw_cell(axes: Axes, cell: Cell, column: Column) -> None:
    axes.set_axis_off()
    if cell.values is None:
        axes.text(0.5, 0.5, cell.text, ha="center", va="center", fontsize=9, color="0.45", transform=axes.transAxes)
        return
    if cell.text:
        behind = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2}
        axes.text(0.02, 0.97, cell.text, va="top", fontsize=8, transform=axes.transAxes, bbox=behind)
    if cell.values.ndim == 3:
        axes.imshow(cell.values, interpolation="antialiased")
    else:
        low, high = column.limits
        axes.imshow(cell.values, cmap=column.colours, vmin=low, vmax=high, interpolation="antialiased")


def _draw_bar(figure: Figure, axes: Axes, column: Column) -> None:
    mappable = ScalarMappable(Normalize(*column.limits), column.colours)
    extend = "max" if column.limits[0] == 0 else "both"
    bar = figure.colorbar(mappable, cax=axes, orientation="horizontal", extend=extend)
    bar.set_label(column.unit, fontsize=8)
    bar.ax.tick_params(labelsize=8)
