"""The ablation's line figures, for print: readable in grey and by the colour-blind."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mixdepth.files.io import atomic
from mixdepth.report.ablation.scores import BY_COLUMN, Score, sets_of, summary, variants_of
from mixdepth.report.ablation.text import set_text
from mixdepth.variants import TABLE

WIDTH = 7.0  # inches: both columns of most papers
DOTS_PER_INCH = 200  # of pictures inside a figure
# Over matplotlib's own defaults; figures are drawn and saved in this context.
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "svg.hashsalt": "mixdepth",  # names inside a file do not change from run to run
    "pdf.fonttype": 42,
}


# The panels of the main figure: for each the first score that the runs have. More is better in all of them.
PANELS = (
    ("psnr",),
    ("psnr_moving", "ssim"),
    ("depth_within_5_percent", "depth_points_within_5_percent", "depth_consistency_within_5_percent"),
)
MOST_SETS = 3  # columns of the figure over time


def new_figure(width: float, height: float, layout: Literal["constrained"] | LayoutEngine = "constrained") -> Figure:
    """An empty figure of this size, inches."""
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white", layout=layout)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write <name>.svg and <name>.pdf, without dates."""
    for suffix, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None, "ModDate": None})):
        with atomic(folder / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata)


def absent(folder: Path, name: str, reason: str) -> None:
    """In place of a figure that cannot be drawn, one that says why: a rule's outputs must all be there."""
    with style.context(STYLE, after_reset=True):
        figure = new_figure(WIDTH, 0.6)
        figure.text(0.5, 0.5, reason, ha="center", va="center")
        save(figure, folder, name)


@contextmanager
def _panels(
    folder: Path, name: str, rows: int, columns: int, height: float, x_title: str, variants: Iterable[str], **share: Any
) -> Iterator[np.ndarray]:
    """Axes [rows, columns] to draw into, each row ``height`` inches; then the figure gets its legend and is saved."""
    with style.context(STYLE, after_reset=True):
        figure = new_figure(WIDTH, 0.45 + height * rows)
        grid = figure.subplots(rows, columns, squeeze=False, **share)
        yield grid
        for place in grid[-1]:
            place.set_xlabel(x_title)
        legend(figure, variants)
        save(figure, folder, name)


def _draw_scenes(
    folder: Path,
    name: str,
    table: pd.DataFrame,
    scores: Sequence[Score],
    height: float,
    x_title: str,
    draw: Callable[[Axes, pd.DataFrame, Score], None],
) -> None:
    """A figure with a row per scene and a panel per score, which ``draw`` fills from the scene's rows of ``table``."""
    scenes = list(table["scene"].unique())
    with _panels(folder, name, len(scenes), len(scores), height, x_title, variants_of(table)) as grid:
        for axes, scene in zip(grid, scenes, strict=True):
            for place, score in zip(axes, scores, strict=True):
                draw(place, table[table["scene"] == scene], score)
                place.set_ylabel(score.heading)
            axes[0].set_title(str(scene), loc="left", weight="bold")


def panels_of(runs: pd.DataFrame) -> list[Score]:
    """What the panels show: PSNR, what moves, depth, as far as the runs have it."""
    found = [next((BY_COLUMN[c] for c in names if c in runs and runs[c].notna().any()), None) for names in PANELS]
    return [score for score in found if score]


def draw_cameras(runs: pd.DataFrame, folder: Path) -> None:
    """Quality against the number of training cameras: a row per scene, a line per variant, mean and standard deviation
    over the seeds, and each run as a faint mark. Sets whose cameras are named stand beside the line, hollow."""
    _draw_scenes(folder, "cameras", runs, panels_of(runs), 2.25, "training cameras", _draw_quality)


def _draw_quality(axes: Axes, rows: pd.DataFrame, score: Score) -> None:
    table = summary(rows, [score.column])
    mean, std = f"{score.column}_mean", f"{score.column}_std"
    nested = set(rows[rows["nested"]]["set"])
    numbers = sorted(table["cameras"].unique())
    variants = variants_of(rows)
    # Side by side, so that no bar hides another.
    step = 0.02 * max(1.0, numbers[-1] - numbers[0])
    for index, variant in enumerate(variants):
        look, aside = TABLE[variant], (index - (len(variants) - 1) / 2) * step
        runs_of = rows[rows["variant"] == variant]
        axes.plot(
            runs_of["cameras"] + aside, runs_of[score.column] * score.factor, look.marker, color=look.colour,
            markersize=2.2, alpha=0.35, markeredgewidth=0, zorder=2,
        )  # fmt: skip
        for chosen, line, fill in ((True, look.dash, look.colour), (False, "none", "white")):
            part = table[(table["variant"] == variant) & (table["set"].isin(nested) == chosen)]
            axes.errorbar(
                part["cameras"] + aside, part[mean] * score.factor, yerr=part[std].fillna(0) * score.factor,
                color=look.colour, marker=look.marker, linestyle=line, markerfacecolor=fill, markersize=4.5,
                capsize=2, elinewidth=0.9, zorder=3,
            )  # fmt: skip
    axes.set_xticks(numbers)
    axes.set_xlim(numbers[0] - 4 * step - 0.1, numbers[-1] + 4 * step + 0.1)


def legend(figure: Figure, variants: Iterable[str]) -> None:
    """The variants above the panels."""
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dash, markersize=4.5,
               label=f"{variant} ({look.meaning})")
        for variant, look in ((variant, TABLE[variant]) for variant in variants)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=7,
                  handlelength=2.6, columnspacing=1.1, handletextpad=0.4)  # fmt: skip


def draw_times(times: pd.DataFrame, runs: pd.DataFrame, folder: Path) -> None:
    """Quality against training time: a row per scene; a point per variant and camera set (the number beside it), its
    bars the standard deviation over the seeds."""
    both = runs.merge(times[["scene", "set", "variant", "seed", "seconds"]], on=["scene", "set", "variant", "seed"])
    panels = panels_of(both)
    ends = [panels[0], panels[-1]] if len(panels) > 1 else panels
    _draw_scenes(folder, "time", both, ends, 2.4, "training time (s)", _draw_against_time)


def _draw_against_time(axes: Axes, rows: pd.DataFrame, score: Score) -> None:
    table = summary(rows, ["seconds", score.column])
    for variant in variants_of(rows):
        look, part = TABLE[variant], table[table["variant"] == variant]
        values = part[f"{score.column}_mean"] * score.factor
        axes.errorbar(
            part["seconds_mean"], values, xerr=part["seconds_std"].fillna(0),
            yerr=part[f"{score.column}_std"].fillna(0) * score.factor, color=look.colour, marker=look.marker,
            linestyle=look.dash, linewidth=0.8, markersize=4.5, capsize=2, elinewidth=0.8,
        )  # fmt: skip
        for seconds, value, number in zip(part["seconds_mean"], values, part["cameras"], strict=True):
            axes.annotate(str(number), (seconds, value), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set_xlim(left=0)


def draw_frames(frames: pd.DataFrame, folder: Path) -> None:
    """Scores over time: a row per scene and score, a column per camera set (the first, a middle and the last of many);
    a line per variant, the mean over the seeds, in a band of one standard deviation."""
    lines = [
        (scene, column)
        for scene in frames["scene"].unique()
        for column in ("psnr", "depth_median")
        if column in frames and frames[frames["scene"] == scene][column].notna().any()
    ]
    shown = {scene: _some_sets(sets_of(frames, scene)) for scene, _ in lines}
    columns = max(len(sets) for sets in shown.values())
    with _panels(folder, "frames", len(lines), columns, 1.75, "frame", variants_of(frames), sharey="row") as grid:
        for axes, (scene, column) in zip(grid, lines, strict=True):
            for place in axes[len(shown[scene]) :]:
                place.set_axis_off()
            for place, (label, number) in zip(axes, shown[scene], strict=False):
                rows = frames[(frames["scene"] == scene) & (frames["set"] == label)]
                _draw_over_time(place, rows, column)
                if column == "psnr":
                    place.set_title(f"{scene}, {set_text(label, number, 'camera')}", loc="left")
            axes[0].set_ylabel(BY_COLUMN[column].heading if column == "psnr" else "median depth error\n(truth's units)")


def _some_sets(sets: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return sets if len(sets) <= MOST_SETS else [sets[0], sets[len(sets) // 2], sets[-1]]


def _draw_over_time(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for variant in variants_of(rows):
        look = TABLE[variant]
        groups = rows[rows["variant"] == variant].groupby("frame")[column]
        mean, std = groups.mean(), groups.std(ddof=1).fillna(0)
        axes.fill_between(mean.index, mean - std, mean + std, color=look.colour, alpha=0.15, linewidth=0)
        every = max(1, len(mean) // 6)
        axes.plot(
            mean.index, mean, color=look.colour, linestyle=look.dash, linewidth=1.2, marker=look.marker,
            markevery=every, markersize=3.2,
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
