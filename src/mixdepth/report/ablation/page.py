"""The ablation report: everything it writes, and the page that shows it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixdepth.files.html import data_uri, environment
from mixdepth.files.io import atomic
from mixdepth.report.ablation import text
from mixdepth.report.ablation.figures import (
    absent,
    draw_cameras,
    draw_frames,
    draw_times,
    panels_of,
    variants_of,
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
    page = environment("mixdepth.report").get_template("ablation.html.j2").render(
        scenes=list(scenes),
        sentences=[*text.cameras_text(scores), text.spread_text(scores), *text.replaced_text(scores)],
        counts=f"{len(scores)} runs: {_matrix_text(scores)}",
        seeds=seeds_text([row["seeds"] for row in rows]),
        figures=figures,
        shown=shown,
        rows=rows,
        differences=_difference_rows(compared),
        meaning={variant: TABLE[variant].meaning for variant in variants_of(scores)},
        sets=_set_rows(scores),
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

    def add(name: str, title: str, sentences: Sequence[str], drawn: bool, caption: str) -> None:
        uri = data_uri("image/svg+xml", (folder / f"{name}.svg").read_bytes()) if drawn else None
        found.append({"id": name, "title": title, "sentences": sentences, "uri": uri, "caption": caption})

    bars = "Means over the seeds, with their standard deviation"
    draw_cameras(scores, folder)
    add(
        "cameras", "Quality against the number of cameras", text.gains_text(scores, panels_of(scores)), True,
        f"{bars}; faint marks are single runs, hollow ones sets whose cameras are named. Up is better everywhere.",
    )  # fmt: skip
    sentences = text.time_text(times, scores)
    if len(times):
        draw_times(times, scores, folder)
    else:
        absent(folder, "time", sentences[0])
    add(
        "time", "Quality against training time", sentences, len(times) > 0,
        f"{bars}; the number beside a mark is that of the training cameras. Up and left is better.",
    )  # fmt: skip
    for name, scene in scenes.items():
        if maps := read_maps(runs, scene, results):
            draw_maps(maps, folder, f"depth.{name}")
            said = text.maps_text(maps.shares, name, maps.frame, maps.camera)
            caption = f"Depth errors of {maps.camera} at frame {maps.frame}, where most moves; first seed. Dark: wrong."
            add(f"depth.{name}", f"Where the depth is wrong: {name}", [said], True, caption)
        else:
            said = f"{name} has no true depth, so its errors cannot be shown pixel by pixel."
            add(f"depth.{name}", f"Where the depth is wrong: {name}", [said], False, "")
    sentences = text.frames_text(frames)
    if len(frames):
        draw_frames(frames, folder)
    else:
        absent(folder, "frames", sentences[0])
    add(
        "frames", "Error over time", sentences, len(frames) > 0,
        "Scores of every frame: means over the seeds, in a band of one standard deviation.",
    )  # fmt: skip
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


def _difference_rows(compared: pd.DataFrame) -> list[dict[str, Any]]:
    """PSNR differences against no depth, or the first variant there is, in words."""
    rows = []
    for (scene, label), group in compared[compared["score"] == "psnr"].groupby(["scene", "set"], sort=False):
        for _, row in group[group["against"] == group["against"].iloc[0]].iterrows():
            found = Difference(row["mean"], row["std"], row["seeds"])
            said = "one seed says nothing" if found.seeds < 2 else "yes" if found.shown else "no"
            spread = "–" if math.isnan(found.std) else BY_COLUMN["psnr"].text(found.std)
            about = {"scene": scene, "set": text.set_text(label, row["cameras"]), "against": row["against"]}
            values = {"mean": f"{found.mean:+.2f}", "std": spread, "seeds": found.seeds, "shown": said}
            rows.append({**about, "variant": row["variant"], **values})
    return rows


def _set_rows(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Which cameras are in which set."""
    table = scores[["scene", "set", "cameras", "train_cameras"]].drop_duplicates()
    return table.rename(columns={"set": "label"}).to_dict("records")


def _time_rows(times: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean training times per cell, as texts."""
    if times.empty:
        return []
    table = summary(times, ["seconds", "own_seconds", "max_rss_mb"])
    rows = []
    for _, row in table.iterrows():
        spread = "" if math.isnan(row["seconds_std"]) else f" ± {row['seconds_std']:.0f}"
        memory = "–" if math.isnan(row["max_rss_mb_mean"]) else f"{row['max_rss_mb_mean']:.0f}"
        about = {"scene": row["scene"], "set": text.set_text(row["set"], row["cameras"]), "variant": row["variant"]}
        values = {"seconds": f"{row['seconds_mean']:.0f}{spread}", "own": f"{row['own_seconds_mean']:.0f}"}
        rows.append({**about, **values, "memory": memory})
    return rows
