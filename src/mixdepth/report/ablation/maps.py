"""Where the depth is wrong: maps of one held-out camera at one moment, per camera set and variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mixdepth.evaluation.truth import load_truth
from mixdepth.evaluation.view import View, open_view
from mixdepth.report.ablation.figures import WIDTH, new_figure, save, style, variants_of
from mixdepth.report.comparison import busiest_frame
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
    shares: pd.DataFrame  # set, cameras, variant, within: share of pixels that are off by at most SOUND


def read_maps(runs: Sequence[Mapping[str, Any]], scene: Scene, results: Path) -> Maps | None:
    """The errors at the frame where most moves; None where the scene has no truth.

    Args:
        runs: the matrix; those of other scenes, and all but the first seed, are left out.
        scene: its options must hold ``truth`` and ``frames``.
    """
    truth = load_truth(scene, scene.test_cameras[:1], video=True)
    if truth is None:
        return None
    mine = [run for run in runs if run["scene"] == scene.name]
    seed, camera = min(run["seed"] for run in mine), scene.test_cameras[0]
    own = Results(results / scene.name)
    scale = truth.similarity(own.cameras).scale
    errors, shares, picture, frame, index = {}, [], None, 0, 0
    for run in (run for run in mine if run["seed"] == seed):
        renders = Results(results / run["folder"]).renders(run["variant"], camera)
        view = open_view(scene, camera, renders.folder, own.store(camera).folder, truth, scale)
        if picture is None:
            index = busiest_frame(view)
            picture, frame = np.asarray(view.store.rgb[index]), view.frames[index]
        error = _error(view, index)
        errors[run["label"], run["variant"]] = error
        cell = {"set": run["label"], "cameras": len(run["cameras"]), "variant": run["variant"]}
        shares.append({**cell, "within": float((error[np.isfinite(error)] <= SOUND).mean())})
    assert picture is not None  # every scene of the matrix has a run
    return Maps(scene.name, camera, frame, picture, errors, pd.DataFrame(shares))


def _error(view: View, index: int) -> np.ndarray:
    """abs(rendered - true) / true of one frame, [H, W]; NaN where the truth has no depth."""
    number = view.frames[index]
    assert view.truth is not None  # read_maps opens it with one
    (true, _), *_ = view.truth.frames(view.name, range(number, number + 1), view.size)
    true = true.astype(np.float64)
    known = np.where(np.isfinite(true) & (true > 0), true, np.nan)
    return np.abs(view.depth[index] * np.float64(view.scale) - known) / known


def draw_maps(maps: Maps, folder: Path, name: str) -> None:
    """A row per camera set, a column per variant; the camera's own picture first."""
    sets = list(maps.shares.drop_duplicates("set")[["set", "cameras"]].itertuples(index=False))
    variants = variants_of(maps.shares)
    height, width = maps.picture.shape[:2]
    column = WIDTH / (len(variants) + 1)
    step = max(1, max(height, width) // MOST_PIXELS)
    with style():
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
                share = float((error[np.isfinite(error)] <= SOUND).mean())
                place.imshow(error[::step, ::step], cmap=COLOURS, vmin=0, vmax=LARGEST, interpolation="none")
                behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9}
                place.text(0.03, 0.95, percent(share, 1), fontsize=7, va="top", bbox=behind, transform=place.transAxes)
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
