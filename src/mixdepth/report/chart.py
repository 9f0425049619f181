"""Line charts as figures for a template: positions worked out here, drawn as inline SVG by the macro ``chart``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WIDTH, HEIGHT = 560, 300  # of the whole drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 56, 96, 28, 46  # margins
LABEL_HEIGHT = 15  # that two labels at the ends of lines must be apart
MAX_POINTS = 240  # of a line


@dataclass(frozen=True)
class Line:
    """One line: its label, the style it is drawn in (a variant, or "static"), and its points."""

    name: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(title: str, x_title: str, y_title: str, lines: Sequence[Line], log: bool = False) -> dict[str, Any]:
    """Everything that the macro ``chart`` needs. A value that is not finite leaves its point out.

    Args:
        title: what is shown, for the caption.
        x_title: with the unit.
        y_title: with the unit.
        lines: at least one with at least one finite point.
        log: whether y is logarithmic; what is not positive is then left out.
    """
    kept = [(line, *_thinned(line, log)) for line in lines]
    kept = [(line, x, y) for line, x, y in kept if len(x)]
    xs, ys = (np.concatenate([part[i] for part in kept]) for i in (1, 2))
    x_ticks, y_ticks = _ticks(xs.min(), xs.max()), (_log_ticks if log else _ticks)(ys.min(), ys.max())
    x_range = float(xs.min()), float(xs.max())
    y_range = (min(y_ticks[0], float(ys.min())), max(y_ticks[-1], float(ys.max())))

    def across(x: float) -> float:
        span = x_range[1] - x_range[0]
        return round(LEFT + (WIDTH - LEFT - RIGHT) * ((x - x_range[0]) / span if span else 0.5), 1)

    def down(y: float) -> float:
        low, high, y = (math.log10(v) for v in (*y_range, y)) if log else (*y_range, y)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ((y - low) / (high - low) if high > low else 0.5), 1)

    drawn = [
        {
            "name": line.name,
            "style": line.style,
            "path": "M" + " L".join(f"{across(a)} {down(b)}" for a, b in zip(x, y, strict=True)),
            "end": (across(x[-1]), down(y[-1])),
        }
        for line, x, y in kept
    ]
    for entry, y in zip(drawn, _spread([entry["end"][1] for entry in drawn]), strict=True):
        entry["label_y"] = y
    said = [f"{line.name} from {y[0]:.3g} to {y[-1]:.3g}" for line, _, y in kept]
    return {
        "title": title,
        "x_title": x_title,
        "y_title": y_title + (" (logarithmic)" if log else ""),
        "said": "; ".join(said),
        "lines": drawn,
        "x_ticks": [(across(t), f"{t:g}") for t in x_ticks if x_range[0] <= t <= x_range[1]],
        "y_ticks": [(down(t), f"{t:g}") for t in y_ticks],
        "size": (WIDTH, HEIGHT),
        "area": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
    }


def _thinned(line: Line, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """The line's finite points; of many, the means of groups of neighbours."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    known = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log))
    x, y = x[known], y[known]
    if len(x) <= MAX_POINTS:
        return x, y
    groups = [np.array_split(values, MAX_POINTS) for values in (x, y)]
    return tuple(np.array([group.mean() for group in values]) for values in groups)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from below ``low`` to above ``high``."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= span / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers of a logarithmic axis from below ``low`` to above ``high``."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        first = max(i for i, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
        last = min(i for i, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
        if last - first <= 6:
            break
    return [float(f"{tick:.10g}") for tick in ticks[first : last + 1]]


def _spread(places: list[float]) -> list[float]:
    """``places`` moved as little as it takes to be LABEL_HEIGHT apart, in the same order, within the drawing."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    found = [0.0] * len(places)
    lowest = -math.inf
    for i in order:
        lowest = found[i] = max(places[i], lowest + LABEL_HEIGHT)
    limit = HEIGHT - BOTTOM + 4.0
    for i in reversed(order):
        limit = found[i] = min(found[i], limit)
        limit -= LABEL_HEIGHT
    return [round(y, 1) for y in found]
