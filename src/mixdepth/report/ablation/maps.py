"""Where the depth is wrong: maps of one held-out camera at one moment, per camera set and variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mixdepth.evaluation.view import View
from mixdepth.report.ablation.figures import STYLE, WIDTH, new_figure, save
from mixdepth.report.ablation.scores import place_of, sets_of, variants_of
from mixdepth.report.comparison import busiest_frame, open_views, true_frame
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.words import counted, percent

LARGEST = 0.2  # share of the true depth at the end of the colour scale
SOUND = 0.05
# Even in lightness, so that readers in grey and the colour-blind see the same.
COLOURS = colormaps["magma_r"].with_extremes(bad="0.8")
MOST_PIXELS = 480  # longer side of a map in the figure


@dataclass(frozen=True)
class Maps:
    """The errors of one scene's first seed at one moment."""

    scene: str
    camera: str
    frame: int  # of the whole video
    picture: np.ndarray  # [H, W, 3] uint8, the camera's own
    errors: dict[tuple[str, str], np.ndarray]  # (set, variant) -> [H, W] share of the true depth
    shares: pd.DataFrame  # scene, set, cameras, variant, seed, within: share of pixels that are off by at most SOUND


def read_maps(runs: Sequence[Mapping[str, Any]], scene: Scene, results: Path) -> Maps | None:
    """The errors at the frame where most moves; None where the scene has no truth.

    Args:
        runs: the matrix; those of other scenes, and all but the first seed, are left out.
        scene: its options must hold ``truth`` and ``frames``.
    """
    if scene.truth is None:
        return None
    mine = [run for run in runs if run["scene"] == scene.name]
    first, camera = min(run["seed"] for run in mine), scene.test_cameras[0]
    mine = [run for run in mine if run["seed"] == first]
    folders = [Results(results / run["folder"]).renders(run["variant"], camera).folder for run in mine]
    own = Results(results / scene.name)
    views = open_views(scene, camera, own.cameras, own.store(camera).folder, folders)
    index = busiest_frame(views[0])
    errors = [_error(view, index) for view in views]
    shares = [{**place_of(run), "within": _within(error)} for run, error in zip(mine, errors, strict=True)]
    by_cell = {(run["label"], run["variant"]): error for run, error in zip(mine, errors, strict=True)}
    picture = np.asarray(views[0].store.rgb[index])
    return Maps(scene.name, camera, views[0].frames[index], picture, by_cell, pd.DataFrame(shares))


def _within(error: np.ndarray) -> float:
    """Share of the pixels with a true depth that are off by at most SOUND."""
    return float((error[np.isfinite(error)] <= SOUND).mean())


def _error(view: View, index: int) -> np.ndarray:
    """abs(rendered - true) / true of one frame, [H, W]; NaN where the truth has no depth."""
    true = true_frame(view, index)
    assert true is not None  # read_maps opens views with a truth
    known = np.where(np.isfinite(true) & (true > 0), true, np.nan)
    return np.abs(view.depth[index] * np.float64(view.scale) - known) / known


def draw_maps(maps: Maps, folder: Path, name: str) -> None:
    """A row per camera set, a column per variant; the camera's own picture first."""
    sets = sets_of(maps.shares, maps.scene)
    variants = variants_of(maps.shares)
    height, width = maps.picture.shape[:2]
    column = WIDTH / (len(variants) + 1)
    step = max(1, max(height, width) // MOST_PIXELS)
    with style.context(STYLE, after_reset=True):
        layout = ConstrainedLayoutEngine(compress=True, w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
        figure = new_figure(WIDTH, 0.7 + len(sets) * (column * height / width + 0.02), layout)
        grid = figure.subplots(len(sets), len(variants) + 1, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        grid[0][0].imshow(maps.picture[::step, ::step], interpolation="none")
        grid[0][0].set_title(f"{maps.camera}, frame {maps.frame}", fontsize=7.5)
        for row, (label, number) in enumerate(sets):
            named = f"\n({label})" if "-" in label else ""
            _side_label(grid[row][0], counted(number, "camera") + named, beside=row == 0)
            for place, variant in zip(grid[row][1:], variants, strict=True):
                if row == 0:
                    place.set_title(variant)
                if (error := maps.errors.get((label, variant))) is None:
                    continue
                place.imshow(error[::step, ::step], cmap=COLOURS, vmin=0, vmax=LARGEST, interpolation="none")
                behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9}
                share = percent(_within(error), 1)
                place.text(0.03, 0.95, share, fontsize=7, va="top", bbox=behind, transform=place.transAxes)
        bar = figure.colorbar(
            ScalarMappable(Normalize(0, 100 * LARGEST), COLOURS), ax=list(grid.flat), orientation="horizontal",
            extend="max", fraction=0.05, aspect=50, pad=0.02,
        )  # fmt: skip
        bar.set_label("depth error, % of the true depth (in the corner: pixels within 5 %)", fontsize=7.5)
        save(figure, folder, name)


def _side_label(axes: Axes, text: str, beside: bool) -> None:
    """The set's name: under the picture in the first row, in the empty place of the others."""
    if beside:
        axes.text(0.03, 0.05, text, fontsize=8, weight="bold", color="white", transform=axes.transAxes, va="bottom",
                  bbox={"facecolor": "black", "edgecolor": "none", "pad": 1.5, "alpha": 0.75})  # fmt: skip
    else:
        axes.text(0.5, 0.5, text, fontsize=8, weight="bold", ha="center", va="center", transform=axes.transAxes)
