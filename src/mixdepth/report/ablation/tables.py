"""The ablation's tables as CSV, LaTeX and rows for the page."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixdepth.files.io import atomic
from mixdepth.report.ablation.scores import CELL, Score, summary
from mixdepth.words import counted

# Scores are written with all digits that a float32 has; what is shown is rounded.
CSV_FORMAT = "%.9g"
# Without the package booktabs its rules are plain lines.
LATEX_HEAD = r"""% Mean and standard deviation over {seeds}; best mean of each scene and camera set in bold.
\providecommand{{\toprule}}{{\hline}}\providecommand{{\midrule}}{{\hline}}\providecommand{{\bottomrule}}{{\hline}}
"""
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell begins with that a spreadsheet computes
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
}


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table; unknown values are empty, and texts that a spreadsheet would compute stay texts."""
    with atomic(path) as temporary:
        table.map(inert).rename(columns=inert).to_csv(
            temporary, index=False, float_format=CSV_FORMAT, lineterminator="\n"
        )


def inert(cell: Any) -> Any:
    """The cell; a text in one line, with an apostrophe before it where it begins a formula (OWASP, CSV Injection)."""
    if not isinstance(cell, str):
        return cell
    # What a carriage return is followed by would begin a row of its own.
    line = re.sub(r"[\r\n]", " ", cell)
    return f"'{line}" if cell.startswith(FORMULA) else line


def seeds_text(counts: Sequence[int]) -> str:
    """How many seeds the cells have, in words."""
    low, high = min(counts), max(counts)
    return counted(high, "seed") if low == high else f"{low} to {high} seeds"


def summary_rows(runs: pd.DataFrame, scores: Sequence[Score]) -> list[dict[str, Any]]:
    """The shown summary: per cell CELL, seeds, and ``cells`` of {mean, spread, best}, texts without units.

    The spread is None where one seed has none. The best mean (as it is written) of each scene and camera set is marked,
    where the set has several variants.
    """
    table = summary(runs, [score.column for score in scores])
    rows = [{**{key: row[key] for key in [*CELL, "seeds"]}, "cells": []} for _, row in table.iterrows()]
    for score in scores:
        means, spreads = table[f"{score.column}_mean"], table[f"{score.column}_std"]
        for _, group in table.groupby(["scene", "set"], sort=False):
            known = [round(value * score.factor, score.digits) for value in means[group.index].dropna()]
            best = (max if score.more else min)(known) if len(known) > 1 else None
            for index in group.index:
                mean, spread = float(means[index]), float(spreads[index])
                rows[index]["cells"].append(
                    {
                        "mean": score.text(mean),
                        "spread": None if math.isnan(spread) else score.text(spread),
                        "best": not math.isnan(mean) and round(mean * score.factor, score.digits) == best,
                    }
                )
    return rows


def latex(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    return "".join(LATEX_ESCAPES.get(character, character) for character in text)


def write_latex(runs: pd.DataFrame, scores: Sequence[Score], path: Path) -> None:
    """Write the shown summary as a ``tabular``, to be read with ``\\input``; needs no package."""
    rows = summary_rows(runs, scores)
    table = pd.DataFrame(
        [
            # Of a set its number of cameras, or its label where they are named instead of counted.
            [*map(latex, (row["scene"], row["set"].removeprefix("c"), row["variant"])), *map(_latex_cell, row["cells"])]
            for row in rows
        ],
        columns=["scene", "cameras", "variant", *(latex(score.heading) for score in scores)],
    )
    # A scene and a camera set are named once, in their first row.
    again = table[["scene", "cameras"]].duplicated()
    table.loc[table["scene"].duplicated(), "scene"] = ""
    table.loc[again, "cameras"] = ""
    columns = "lrl" + "r" * len(scores)
    text = table.style.hide(axis="index").to_latex(column_format=columns, hrules=True)
    head = LATEX_HEAD.format(seeds=seeds_text([row["seeds"] for row in rows]))
    with atomic(path) as temporary:
        temporary.write_text(head + text, encoding="utf-8")


def _latex_cell(cell: dict[str, Any]) -> str:
    if cell["mean"] == "–":
        return "--"
    mean = rf"\mathbf{{{cell['mean']}}}" if cell["best"] else cell["mean"]
    return f"${mean}$" if cell["spread"] is None else rf"${mean} \pm {cell['spread']}$"
