"""Charts of the report as inline SVG: matplotlib says what lies where, the page's style sheet how it looks, so that
they are dark on a dark screen and their text is text."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from mixdepth.frames.sync.sync import AGREEING

WIDTH, HEIGHT = 560, 300  # of a drawing, in its own units: points
ROW = 22  # height of a camera's row
MAX_POINTS = 240  # of a line
STYLE = {
    "font.size": 12,  # as in the style sheet
    "axes.titlesize": 12,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.autolimit_mode": "round_numbers",
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "xtick.major.size": 0,  # marks would be drawn by reference to a name
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Line:
    """One line: its label, the style it is drawn in (a variant, or "static"), and its points."""

    name: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(
    title: str, x_title: str, y_title: str, lines: Sequence[Line], log: bool = False
) -> dict[str, str | Markup] | None:
    """``title`` (for the caption) and ``svg``; None without a point. A value that is not finite leaves its point out.

    Args:
        title: what is shown.
        x_title: with the unit.
        y_title: with the unit.
        lines: those without a point are left out.
        log: whether y is logarithmic; what is not positive is then left out.
    """
    kept = [(line, *_thinned(line, log)) for line in lines]
    kept = [(line, x, y) for line, x, y in kept if len(x)]
    if not kept:
        return None
    y_title += " (logarithmic)" if log else ""
    with style.context(STYLE, after_reset=True):
        figure, axes = _new(HEIGHT)
        axes.grid(axis="x", visible=False)
        if log:
            _logarithmic(axes, np.concatenate([y for _, _, y in kept]))
        for line, x, y in kept:
            axes.plot(x, y, label=line.name, gid=f"line-{line.style}", clip_on=False)
        axes.set_xlabel(x_title)
        axes.set_title(y_title, loc="left")
        legend = figure.legend(loc="outside right center", handlelength=2.6)
        for (line, _, _), handle, text in zip(kept, legend.get_lines(), legend.get_texts(), strict=True):
            handle.set_gid(f"line-{line.style}")
            text.set_gid(f"name-{line.style}")
        said = "; ".join(f"{line.name} from {y[0]:.3g} to {y[-1]:.3g}" for line, _, y in kept)
        return {"title": title, "svg": _svg(figure, f"{title}, {y_title} against {x_title}: {said}")}


def sync_chart(sync: Mapping[str, Any] | None) -> Markup | None:
    """Offsets in frames: of each camera a dot for what was estimated, in a box as wide as an estimate may be off around
    what is configured. None where nothing was estimated."""
    cameras = (sync or {}).get("cameras", {})
    if not any(row["offset_frames"] is not None for row in cameras.values()):
        return None
    offsets = [row[key] for row in cameras.values() for key in ("offset_frames", "configured") if row[key] is not None]
    # At least two frames either way, so that what is in step looks so.
    limit = max(2.0, *map(abs, offsets))
    with style.context(STYLE, after_reset=True):
        figure, axes = _new(ROW * (len(cameras) + 1.5))
        axes.grid(axis="y", visible=False)
        for y, row in enumerate(cameras.values()):
            if row["configured"] is not None:
                axes.barh(y, 2 * AGREEING, 0.64, row["configured"] - AGREEING, gid="ring", clip_on=False)
            if row["offset_frames"] is None:
                axes.text(0, y, "no estimate", ha="center", va="center")
            else:
                axes.plot([row["offset_frames"]] * 2, [y, y], gid="dot", clip_on=False)
        axes.set(xlim=(-limit, limit), ylim=(len(cameras) - 0.5, -0.5), yticks=range(len(cameras)))
        axes.set_yticklabels(cameras)
        axes.xaxis.set_major_formatter("{x:+g}")
        return _svg(figure, "Offsets in frames, estimated and configured; the table below has the numbers")


def _new(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
    axes = figure.subplots()
    for patch in (figure.patch, axes.patch):
        patch.set_visible(False)
    axes.grid(clip_on=False)
    return figure, axes


def _logarithmic(axes: Axes, values: np.ndarray) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if values.max() < 10 * values.min() else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def _svg(figure: Figure, said: str) -> Markup:
    """The drawing as an element of the page, which ``said`` tells in words. Of matplotlib's styles, which the page's
    policy forbids, it keeps where a text is anchored; its names become classes, as there are several drawings."""
    file = io.StringIO()
    figure.savefig(file, format="svg")
    text = file.getvalue()
    text = text[text.index("<g id=") : text.rindex("</svg>")]
    text = re.sub(r'(<path d="[^"]*") style="[^"]*"', r"\1", text)
    text = re.sub(r'<text style="[^"]*(text-anchor): (\w+)"', r'<text \1="\2"', text)
    text = re.sub(r'<g id="([\w.-]+)"', r'<g class="\1"', text)
    width, height = figure.get_size_inches() * 72
    head = Markup('<svg class="drawing" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">\n')
    return head.format(width, height, said) + Markup(text) + Markup("</svg>")


def _thinned(line: Line, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """The line's finite points; of many, the means of groups of neighbours."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    known = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log))
    x, y = x[known], y[known]
    if len(x) <= MAX_POINTS:
        return x, y
    x, y = (np.array([group.mean() for group in np.array_split(values, MAX_POINTS)]) for values in (x, y))
    return x, y
