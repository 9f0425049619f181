"""The scores and training times of the ablation's runs as tables, and what can be said from several seeds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mixdepth.files.io import read_json
from mixdepth.record.provenance import read_benchmarks, training_jobs
from mixdepth.results import Results
from mixdepth.variants import TABLE, VARIANTS

# What says which cell of the matrix a row is of; the runs of a cell differ in their seed.
CELL = ["scene", "set", "cameras", "variant"]
# Student's t, 97.5 %, for 1, 2, ... degrees of freedom; more seeds take the last, which is on the safe side.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Score:
    """A score that is shown: its column, how it is called, its unit, how it is written, whether more is better."""

    column: str
    title: str
    unit: str
    digits: int
    more: bool = True
    factor: float = 1.0  # from the stored value to the unit

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def text(self, value: float) -> str:
        """The value in its unit, without the unit; a dash where it is unknown."""
        return "–" if math.isnan(value) else f"{value * self.factor:.{self.digits}f}"


# In the order of the tables; those that no run has are left out.
SHOWN = (
    Score("psnr", "PSNR", "dB", 2),
    Score("psnr_moving", "PSNR of what moves", "dB", 2),
    Score("ssim", "SSIM", "", 4),
    Score("flip", "FLIP", "", 4, more=False),
    Score("lpips_vgg", "LPIPS (VGG)", "", 4, more=False),
    Score("depth_median", "median depth error", "truth's units", 4, more=False),
    Score("depth_within_5_percent", "depth within 5 %", "%", 1, factor=100),
    Score("depth_points_within_5_percent", "COLMAP points within 5 %", "%", 1, factor=100),
    Score("depth_consistency_within_5_percent", "depth agreeing within 5 %", "%", 1, factor=100),
)
BY_COLUMN = {score.column: score for score in SHOWN}
NOT_SCORES = ("cameras", "settings", "reasons")


def read_runs(runs: Sequence[Mapping[str, Any]], results: Path) -> pd.DataFrame:
    """One row per run of the matrix: CELL, seed, train_cameras, nested, trained_as, and every score of metrics.json.

    A score within a group is named by both: ``depth_median``. What is null is NaN.

    Args:
        runs: rows of :class:`mixdepth.scene.ablation.Run`.
        results: the folder of all results.

    Raises:
        UserError: a metrics.json is missing or damaged.
    """
    rows = []
    for run in runs:
        metrics = _metrics(run, results)
        scores = {key: value for key, value in metrics.items() if key not in NOT_SCORES}
        trained_as = metrics["settings"].get("trained_as", run["variant"])
        about = {"train_cameras": " ".join(run["cameras"]), "nested": run["nested"], "trained_as": trained_as}
        rows.append({**place_of(run), **about, **dict(_numbers(scores))})
    return pd.DataFrame(rows)


def place_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """CELL and seed of a run."""
    cell = {"scene": run["scene"], "set": run["label"], "cameras": len(run["cameras"]), "variant": run["variant"]}
    return {**cell, "seed": run["seed"]}


def _metrics(run: Mapping[str, Any], results: Path) -> dict[str, Any]:
    return read_json(Results(results / run["folder"]).metrics(run["variant"]))


def _numbers(scores: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in scores.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}_")
        elif value is None or isinstance(value, int | float):
            yield f"{prefix}{key}", math.nan if value is None else float(value)


def read_frames(runs: Sequence[Mapping[str, Any]], results: Path) -> pd.DataFrame:
    """The scores of every frame: CELL, seed, frame, psnr and depth_median, means over the held-out cameras.

    Empty where metrics.json has no scores by frame.
    """
    tables = []
    for run in runs:
        for camera in _metrics(run, results)["cameras"].values():
            frames = camera.get("frames") or {}
            known = {key: frames[key] for key in ("psnr", "depth_median") if frames.get(key)}
            if known:
                table = pd.DataFrame(known).astype(float).rename_axis("frame").reset_index()
                tables.append(table.assign(**place_of(run)))
    if not tables:
        return pd.DataFrame(columns=[*CELL, "seed", "frame", "psnr"])
    every = pd.concat(tables, ignore_index=True)
    return every.groupby([*CELL, "seed", "frame"], sort=False).mean().reset_index()


def read_times(runs: Sequence[Mapping[str, Any]], results: Path) -> pd.DataFrame:
    """Training times from Snakemake's benchmark files: CELL, seed, static_seconds, own_seconds, seconds, max_rss_mb.

    The seconds of the static model count for the variants that need it. A run that was not timed, by
    the command line or on another machine, is left out.
    """
    rows = []
    for run in runs:
        jobs = read_benchmarks(Results(results / run["folder"]).benchmark().parent)
        own, needs_static = training_jobs(jobs, run["variant"]), TABLE[run["variant"]].needs_static
        static = [job for job in jobs if needs_static and job["rule"] == "train_static"]
        if not own or len(static) < needs_static or any(job["seconds"] is None for job in [*own, *static]):
            continue
        own_seconds, static_seconds = (sum((job["seconds"] for job in part), 0.0) for part in (own, static))
        memory = [job["max_rss_mb"] for job in [*own, *static] if job["max_rss_mb"] is not None]
        figures = static_seconds, own_seconds, own_seconds + static_seconds, max(memory, default=math.nan)
        rows.append([*place_of(run).values(), *figures])
    columns = [*CELL, "seed", "static_seconds", "own_seconds", "seconds", "max_rss_mb"]
    return pd.DataFrame(rows, columns=columns)


def variants_of(table: pd.DataFrame) -> list[str]:
    """The variants that a table has, in the order of all."""
    return [variant for variant in VARIANTS if variant in set(table["variant"])]


def sets_of(table: pd.DataFrame, scene: str) -> list[tuple[str, int]]:
    """A scene's camera sets as (label, number of cameras), the smaller ones first."""
    rows = table[table["scene"] == scene][["set", "cameras"]].drop_duplicates()
    return [(str(label), int(number)) for label, number in rows.itertuples(index=False)]


def shown_scores(runs: pd.DataFrame) -> list[Score]:
    """The scores that some run has."""
    return [score for score in SHOWN if score.column in runs and runs[score.column].notna().any()]


def score_columns(runs: pd.DataFrame) -> list[str]:
    """The columns of ``runs`` that are scores."""
    about = {*CELL, "seed", "train_cameras", "nested", "trained_as"}
    return [column for column in runs.columns if column not in about]


def summary(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Per cell of the matrix the number of seeds and, of each column, mean and standard deviation over the seeds.

    The standard deviation is that of a sample (n - 1), NaN for one seed.

    Returns:
        CELL, seeds, and ``<column>_mean``, ``<column>_std`` of each column; cells in the order of ``runs``.
    """
    groups = runs.groupby(CELL, sort=False)
    parts = {"seeds": groups["seed"].nunique()}
    for column in columns:
        parts[f"{column}_mean"] = groups[column].mean()
        parts[f"{column}_std"] = groups[column].std(ddof=1)
    return pd.DataFrame(parts).reset_index()


@dataclass(frozen=True)
class Difference:
    """How much two cells differ, over the seeds that both have."""

    mean: float
    std: float  # of the differences, n - 1; NaN for one seed
    seeds: int

    @property
    def shown(self) -> bool:
        """Whether the seeds show that it is not zero: their 95 % confidence interval (Student's t) leaves zero out.
        One seed shows nothing."""
        if self.seeds < 2 or self.mean == 0:
            return False
        t = STUDENT[min(self.seeds - 1, len(STUDENT)) - 1]
        return abs(self.mean) > t * self.std / math.sqrt(self.seeds)


def paired(ours: pd.Series, theirs: pd.Series) -> Difference:
    """The difference ``ours`` - ``theirs`` of values indexed by seed, seed by seed: what a seed does to both is out."""
    found = (ours - theirs).dropna()
    return Difference(float(found.mean()), float(found.std(ddof=1)), len(found))


def cell(runs: pd.DataFrame, scene: str, label: str, variant: str, column: str) -> pd.Series:
    """The values of one cell by seed."""
    rows = runs[(runs["scene"] == scene) & (runs["set"] == label) & (runs["variant"] == variant)]
    return rows.set_index("seed")[column]


def differences(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Every variant against every one before it: a :class:`Difference` per set of cameras, pair and score."""
    rows = []
    for (scene, label, cameras), group in runs.groupby(["scene", "set", "cameras"], sort=False):
        variants = variants_of(group)
        pairs = [(b, a) for i, a in enumerate(variants) for b in variants[i + 1 :]]
        for variant, against in pairs:
            for column in columns:
                found = paired(*(cell(group, scene, label, name, column) for name in (variant, against)))
                if found.seeds:
                    about = scene, label, cameras, variant, against, column
                    rows.append([*about, found.mean, found.std, found.seeds, found.shown])
    columns = ["scene", "set", "cameras", "variant", "against", "score", "mean", "std", "seeds", "shown"]
    return pd.DataFrame(rows, columns=columns)
