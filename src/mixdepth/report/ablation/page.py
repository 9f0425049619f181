"""The ablation report: everything it writes, and the page that shows it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixdepth.files.html import data_uri, environment, policy
from mixdepth.files.io import atomic
from mixdepth.report.ablation import text
from mixdepth.report.ablation.figures import (
    absent,
    draw_cameras,
    draw_frames,
    draw_times,
    panels_of,
)
from mixdepth.report.ablation.maps import draw_maps, read_maps
from mixdepth.report.ablation.scores import (
    BY_COLUMN,
    Difference,
    differences,
    read_frames,
    read_runs,
    read_times,
    score_columns,
    shown_scores,
    summary,
    variants_of,
)
from mixdepth.report.ablation.tables import seeds_text, summary_rows, write_csv, write_latex
from mixdepth.results import AblationResults
from mixdepth.scene.scene import Scene
from mixdepth.variants import TABLE
from mixdepth.words import counted


def write_ablation(runs: Sequence[Mapping[str, Any]], scenes: Mapping[str, Scene], results: Path, output: Path) -> None:
    """Write report.html, scores.csv, summary.csv, summary.tex, differences.csv, times.csv and figures/ into ``output``.

    All but times.csv, figures/time.* and the page depend on scores alone, so they are the same whenever those are.

    Args:
        runs: the matrix, rows of :class:`mixdepth.scene.ablation.Run`.
        scenes: the configured scenes of the matrix; their options must hold ``truth`` and ``frames``.
        results: the folder of all results.
        output: the report's own folder.

    Raises:
        UserError: a file is missing or damaged, or does not fit.
    """
    scores, times, frames = read_runs(runs, results), read_times(runs, results), read_frames(runs, results)
    shown, columns = shown_scores(scores), score_columns(scores)
    compared = differences(scores, [score.column for score in shown])
    own = AblationResults(output)
    write_csv(scores, own.table("scores"))
    write_csv(summary(scores, columns), own.table("summary"))
    write_csv(compared, own.table("differences"))
    write_csv(times, own.table("times"))
    write_latex(scores, shown, own.latex)
    figures = _draw(runs, scenes, results, output / "figures", scores, times, frames)
    rows = summary_rows(scores, shown)
    pages = environment("mixdepth.report")
    style = pages.get_template("_ablation.css.j2").render()
    page = pages.get_template("ablation.html.j2").render(
        style=style,
        policy=policy(style),
        scenes=list(scenes),
        sentences=[*text.cameras_text(scores), text.spread_text(scores), *text.replaced_text(scores)],
        counts=f"{len(scores)} runs: {_matrix_text(scores)}",
        seeds=seeds_text([row["seeds"] for row in rows]),
        figures=figures,
        shown=shown,
        rows=rows,
        differences=_difference_rows(compared),
        meaning={variant: TABLE[variant].meaning for variant in variants_of(scores)},
        sets=scores[["scene", "set", "cameras", "train_cameras"]].drop_duplicates().to_numpy().tolist(),
        times=_time_rows(times),
    )  # fmt: skip
    with atomic(own.report) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _draw(
    runs: Sequence[Mapping[str, Any]],
    scenes: Mapping[str, Scene],
    results: Path,
    folder: Path,
    scores: pd.DataFrame,
    times: pd.DataFrame,
    frames: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Draw every figure. Of each: ``id``, ``title``, ``sentences`` on what it shows, ``uri`` (None where there is
    none), ``caption``."""
    found = []

    def add(name: str, title: str, sentences: Sequence[str], caption: str = "", drawn: bool = True) -> None:
        uri = data_uri("image/svg+xml", (folder / f"{name}.svg").read_bytes()) if drawn else None
        found.append({"id": name, "title": title, "sentences": sentences, "uri": uri, "caption": caption})

    bars = "Means over the seeds, with their standard deviation"
    draw_cameras(scores, folder)
    caption = f"{bars}; faint marks are single runs, hollow ones sets whose cameras are named. Up is better everywhere."
    add("cameras", "Quality against the number of cameras", text.gains_text(scores, panels_of(scores)), caption)
    sentences = text.time_text(times, scores)
    if len(times):
        draw_times(times, scores, folder)
    else:
        absent(folder, "time", sentences[0])
    caption = f"{bars}; the number beside a mark is that of the training cameras. Up and left is better."
    add("time", "Quality against training time", sentences, caption, len(times) > 0)
    for name, scene in scenes.items():
        if maps := read_maps(runs, scene, results):
            draw_maps(maps, folder, f"depth.{name}")
            said = text.maps_text(maps.shares, name, maps.frame, maps.camera)
            caption = f"Depth errors of {maps.camera} at frame {maps.frame}, where most moves; first seed. Dark: wrong."
            add(f"depth.{name}", f"Where the depth is wrong: {name}", [said], caption)
        else:
            said = f"{name} has no true depth, so its errors cannot be shown pixel by pixel."
            add(f"depth.{name}", f"Where the depth is wrong: {name}", [said], drawn=False)
    sentences = text.frames_text(frames)
    if len(frames):
        draw_frames(frames, folder)
    else:
        absent(folder, "frames", sentences[0])
    caption = "Scores of every frame: means over the seeds, in a band of one standard deviation."
    add("frames", "Error over time", sentences, caption, len(frames) > 0)
    return found


def _matrix_text(scores: pd.DataFrame) -> str:
    cells = len(scores[["scene", "set"]].drop_duplicates())
    parts = [
        counted(scores["scene"].nunique(), "scene"),
        counted(cells, "set") + " of training cameras",
        counted(scores["variant"].nunique(), "variant"),
        counted(scores["seed"].nunique(), "seed"),
    ]
    return ", ".join(parts)


def _difference_rows(compared: pd.DataFrame) -> list[list[Any]]:
    """PSNR differences against no depth, or the first variant there is: scene, set, both variants, mean, standard
    deviation, seeds, and whether the seeds show it."""
    rows = []
    for (scene, label), group in compared[compared["score"] == "psnr"].groupby(["scene", "set"], sort=False):
        for _, row in group[group["against"] == group["against"].iloc[0]].iterrows():
            found = Difference(row["mean"], row["std"], row["seeds"])
            said = "one seed says nothing" if found.seeds < 2 else "yes" if found.shown else "no"
            spread = "–" if math.isnan(found.std) else BY_COLUMN["psnr"].text(found.std)
            both = row["variant"], row["against"]
            rows.append(
                [scene, text.set_text(label, row["cameras"]), *both, f"{found.mean:+.2f}", spread, found.seeds, said]
            )
    return rows


def _time_rows(times: pd.DataFrame) -> list[list[str]]:
    """Mean training times per cell: scene, set, variant, seconds, those of its own, and memory."""
    if times.empty:
        return []
    table = summary(times, ["seconds", "own_seconds", "max_rss_mb"])
    rows = []
    for _, row in table.iterrows():
        spread = "" if math.isnan(row["seconds_std"]) else f" ± {row['seconds_std']:.0f}"
        memory = "–" if math.isnan(row["max_rss_mb_mean"]) else f"{row['max_rss_mb_mean']:.0f}"
        cell = row["scene"], text.set_text(row["set"], row["cameras"]), row["variant"]
        rows.append([*cell, f"{row['seconds_mean']:.0f}{spread}", f"{row['own_seconds_mean']:.0f}", memory])
    return rows
