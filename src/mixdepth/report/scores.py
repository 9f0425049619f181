"""The tables of scores in the report: columns that no row has a value for are left out, with the reason said below."""

import math
from collections.abc import Mapping
from typing import Any

from mixdepth.evaluation.trivial import SCORED

Column = tuple[str, tuple[str, ...], str, bool | None]
Metrics = Mapping[str, Mapping[str, Any]]

# Title, path into the scores, format, whether more is better (None: neither).
COLOUR: tuple[Column, ...] = (
    ("PSNR, dB", ("psnr",), "{:.2f}", True),
    ("PSNR of what moves, dB", ("psnr_moving",), "{:.2f}", True),
    ("PSNR of what stands still, dB", ("psnr_still",), "{:.2f}", True),
    ("PSNR after an affine colour fit, dB", ("psnr_affine",), "{:.2f}", True),
    ("Change over time where the video moves", ("change", "render"), "{:.3f}", None),
    ("The video's own", ("change", "video"), "{:.3f}", None),
    ("SSIM", ("ssim",), "{:.4f}", True),
    ("SSIM of what moves", ("ssim_moving",), "{:.4f}", True),
    ("SSIM of what stands still", ("ssim_still",), "{:.4f}", True),
)
PERCEPTION: tuple[Column, ...] = (
    ("MS-SSIM", ("ms_ssim",), "{:.4f}", True),
    ("DSSIM, data range 1", ("dssim_1",), "{:.4f}", False),
    ("DSSIM, data range 2", ("dssim_2",), "{:.4f}", False),
    ("FLIP", ("flip",), "{:.4f}", False),
    ("FLIP of what moves", ("flip_moving",), "{:.4f}", False),
    ("FLIP of what stands still", ("flip_still",), "{:.4f}", False),
    ("LPIPS (Alex)", ("lpips_alex",), "{:.4f}", False),
    ("LPIPS (VGG)", ("lpips_vgg",), "{:.4f}", False),
    ("Flicker against the truth's", ("flicker",), "g", None),
)
DEPTH: tuple[Column, ...] = (
    ("Median depth error", ("depth", "median"), "g", False),
    ("Root mean square", ("depth", "rmse"), "g", False),
    ("Relative mean", ("depth", "abs_rel"), "{:.2%}", False),
    ("Depth within 5 %", ("depth", "within_5_percent"), "{:.1%}", True),
    ("Median depth error of what moves", ("depth_moving", "median"), "g", False),
    ("Within 5 %, what moves", ("depth_moving", "within_5_percent"), "{:.1%}", True),
    ("Median depth error of what stands still", ("depth_still", "median"), "g", False),
)
NO_TRUTH: tuple[Column, ...] = (
    ("Relative error at sparse points, median", ("depth_points", "median_relative"), "{:.2%}", False),
    ("Sparse points within 5 %", ("depth_points", "within_5_percent"), "{:.1%}", True),
    ("Sparse points", ("depth_points", "points"), "{:.0f}", None),
    ("Disagreement of neighbouring cameras, median", ("depth_consistency", "median_relative"), "{:.2%}", False),
    ("Neighbours agree within 5 %", ("depth_consistency", "within_5_percent"), "{:.1%}", True),
)
TABLES = (
    ("Colour", COLOUR),
    ("As people see it", PERCEPTION),
    ("Depth against the truth, errors in its units", DEPTH),
    ("Depth without a truth: COLMAP's points of the held-out cameras, and neighbouring cameras", NO_TRUTH),
)


def score_tables(rows: Metrics, whose: str = "") -> list[dict[str, Any]]:
    """The tables of which any row has a score, with their ``title``."""
    tables = [{"title": title + whose, "first": "Variant", **score_table(rows, columns)} for title, columns in TABLES]
    return [table for table in tables if table["columns"]]


def trivial_table(metrics: Metrics, whose: str = "") -> list[dict[str, Any]]:
    """The table of the pictures that no model made, the same for every variant; none where they were not scored."""
    rows: Metrics = next((scores["trivial"] for scores in metrics.values() if "trivial" in scores), {})
    table = score_table(rows, tuple(column for column in COLOUR if column[1][0] in SCORED))
    for row in table["rows"]:
        row["cells"] = [{**cell, "best": False} for cell in row["cells"]]  # no model, so none of them wins
    title = f"Pictures that no model made, which every model should beat{whose}"
    return [{"title": title, "first": "Picture", **table}] if table["columns"] else []


def score_table(rows: Metrics, wanted: tuple[Column, ...]) -> dict[str, Any]:
    """A table of scores: ``columns`` [{title, better}] and ``rows`` of {name, cells: [{text, best}]}.

    A column in which no row has a score is left out. The best of several rows is marked.
    """
    columns: list[dict[str, str]] = []
    cells: dict[str, list[dict[str, Any]]] = {name: [] for name in rows}
    for title, path, form, more in wanted:
        values = {name: _lookup(scores, path) for name, scores in rows.items()}
        known = [value for value in values.values() if value is not None]
        if not known:
            continue
        columns.append({"title": title, "better": {True: "more", False: "less", None: ""}[more]})
        best = None if more is None else (max if more else min)(known)
        shown = {name: _text(value, form, min(map(abs, known))) for name, value in values.items()}
        # What reads the same is equally good.
        first = next((shown[name] for name, value in values.items() if value == best), None)
        for name, text in shown.items():
            cells[name].append({"text": text, "best": len(known) > 1 and text == first})
    return {"columns": columns, "rows": [{"name": name, "cells": found} for name, found in cells.items()]}


def _text(value: float | None, form: str, smallest: float) -> str:
    """A score; ``form`` "g" gives a column the decimals that its smallest number needs for three digits."""
    if value is None:
        return "–"
    if form == "g":
        decimals = 3 if smallest <= 0 else min(max(2 - math.floor(math.log10(smallest)), 0), 6)
        form = f"{{:.{decimals}f}}"
    return form.format(value).replace("%", " %")


def _lookup(scores: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = scores
    for key in path:
        value = None if value is None else value.get(key)
    return value


def camera_tables(metrics: Metrics) -> list[dict[str, Any]]:
    """Tables for each held-out camera where there are several; with one, the scores over all are its scores."""
    names = sorted({name for scores in metrics.values() for name in scores["cameras"]})
    if len(names) < 2:
        return []
    found = []
    for name in names:
        rows = {v: scores["cameras"][name] for v, scores in metrics.items() if name in scores["cameras"]}
        found += [*score_tables(rows, f", {name} alone"), *trivial_table(rows, f", {name} alone")]
    return found


def reasons(metrics: Metrics) -> list[dict[str, str]]:
    """Why scores are missing: {score, why, whose} of every reason given, the same reason of several variants once."""
    found: dict[tuple[str, str], list[str]] = {}
    for variant, scores in metrics.items():
        for key, why in (scores.get("reasons") or {}).items():
            found.setdefault((key, why), []).append(variant)
    every = len(metrics)
    return [
        {"score": key, "why": why, "whose": "" if len(whose) == every else ", ".join(whose)}
        for (key, why), whose in found.items()
    ]
