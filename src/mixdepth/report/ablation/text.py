"""What the ablation shows, in sentences computed from its numbers."""

import math
from collections.abc import Sequence

import pandas as pd

from mixdepth.report.ablation.scores import BY_COLUMN, Difference, Score, cell, paired, sets_of, variants_of
from mixdepth.variants import TABLE
from mixdepth.words import counted, percent

PSNR = BY_COLUMN["psnr"]
BASE = "none"  # what depth is measured against


def difference_text(found: Difference) -> str:
    """A difference of PSNRs: "+5.13 ± 0.20 dB over 3 seeds, paired", and what the seeds cannot show."""
    if found.seeds < 2:
        return f"{found.mean:+.2f} dB; one seed, so chance is not known"
    spread = f"{found.mean:+.2f} ± {PSNR.text(found.std)} dB, paired over {found.seeds} seeds"
    return spread if found.shown else f"{spread}: no difference that {found.seeds} seeds can show"


def _compared(
    runs: pd.DataFrame, scene: str, label: str, column: str = "psnr"
) -> tuple[str, pd.Series, pd.Series] | None:
    """The variant with depth that has the best mean PSNR, its values of ``column`` by seed, and those of BASE; None
    where either is missing."""
    rows = runs[(runs["scene"] == scene) & (runs["set"] == label) & (runs["variant"] != BASE)]
    means, base = rows.groupby("variant")["psnr"].mean().dropna(), cell(runs, scene, label, BASE, column)
    if means.empty or base.dropna().empty:
        return None
    best = str(means.idxmax())
    return best, cell(runs, scene, label, best, column), base


def _ends(every: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
    """The smallest and the largest of a scene's camera sets."""
    return every[:: max(len(every) - 1, 1)]


def set_text(label: str, number: int, noun: str = "training camera") -> str:
    """ "2 training cameras", with the label of a set whose cameras are named."""
    return counted(number, noun) + (f" ({label})" if "-" in label else "")


def cameras_text(runs: pd.DataFrame) -> list[str]:
    """What depth is worth with few and with many cameras, and how many cameras it saves."""
    return [sentence for scene in runs["scene"].unique() for sentence in _scene_text(runs, str(scene))]


def _scene_text(runs: pd.DataFrame, scene: str) -> list[str]:
    every = sets_of(runs, scene)
    sentences = []
    for label, number in _ends(every):
        if compared := _compared(runs, scene, label):
            best, ours, base = compared
            sentences.append(
                f"{scene}, {set_text(label, number)}: {best} is the best with depth and reaches {ours.mean():.2f} dB"
                f" PSNR, {BASE} {base.mean():.2f} dB ({difference_text(paired(ours, base))})."
            )
    if not sentences:
        return [f"{scene}: whether depth helped cannot be said, as {BASE} or every variant with depth is missing."]
    return [*sentences, *filter(None, [_saved_text(runs, scene, every)])]


def _saved_text(runs: pd.DataFrame, scene: str, every: Sequence[tuple[str, int]]) -> str | None:
    """How many cameras no depth needs to match the best variant with the fewest cameras."""
    counted_sets = [(label, number) for label, number in every if "-" not in label]
    if len(counted_sets) < 2:
        return None
    (first, fewest), *_ = counted_sets
    if (compared := _compared(runs, scene, first)) is None:
        return None
    best, wanted, _ = compared
    head = f"To match {best} with {counted(fewest, 'camera')} ({wanted.mean():.2f} dB), {BASE}"
    for label, number in counted_sets:
        base = cell(runs, scene, label, BASE, "psnr")
        if base.mean() >= wanted.mean():
            return f"{head} needs {number} ({base.mean():.2f} dB), by the means over the seeds."
        found = paired(wanted, base)
        if found.seeds > 1 and not found.shown:
            return f"{head} needs {number}: {base.mean():.2f} dB, {difference_text(found)}."
    most = counted_sets[-1][1]
    return f"{head} needs more than the {most} that were tried ({base.mean():.2f} dB)."


def gains_text(runs: pd.DataFrame, scores: Sequence[Score]) -> list[str]:
    """What the best variant with depth gains over no depth in each score, set by set."""
    sentences = []
    for scene in runs["scene"].unique():
        for score in scores:
            parts, unclear = [], 0
            for label, number in sets_of(runs, scene):
                if (compared := _compared(runs, scene, label, score.column)) is None:
                    continue
                best, ours, base = compared
                found = paired(ours, base)
                spread = f" ± {score.text(found.std)}" if found.seeds > 1 else ""
                mark = "" if found.shown else "*"
                unclear += bool(mark)
                where = set_text(label, number, "camera")
                parts.append(f"{found.mean * score.factor:+.{score.digits}f}{spread}{mark} with {where} ({best})")
            if parts:
                note = " (* the seeds do not show that it is not chance)" if unclear else ""
                unit = f", in {'points' if score.unit == '%' else score.unit}" if score.unit else ""
                sentences.append(f"{scene}: gain over {BASE} in {score.title}{unit}: {', '.join(parts)}{note}.")
    return sentences


def spread_text(runs: pd.DataFrame) -> str:
    """How much a seed changes a score."""
    spread = runs.groupby(["scene", "set", "variant"])["psnr"].std(ddof=1).dropna()
    if spread.empty:
        return "Every run has one seed only, so what is chance and what is not cannot be told."
    scene, label, variant = spread.idxmax()
    return (
        f"Between seeds the PSNR of a run has a standard deviation of {spread.median():.2f} dB (median of all cells);"
        f" at most {spread.max():.2f} dB ({scene}, {variant}, {set_text(label, _number(runs, scene, label))})."
    )


def _number(runs: pd.DataFrame, scene: str, label: str) -> int:
    return dict(sets_of(runs, scene))[label]


def replaced_text(runs: pd.DataFrame) -> list[str]:
    """Runs that were trained as another variant, because the static model's depth deserved no confidence."""
    found = runs[runs["trained_as"] != runs["variant"]]
    groups = found.groupby(["scene", "set", "variant", "trained_as"], sort=False)["seed"].apply(list)
    return [
        f"{scene}, {set_text(label, _number(runs, scene, label))}: the static model's depth deserved no confidence, so"
        f" {variant} was trained as {other} (seed {', '.join(map(str, seeds))})."
        for (scene, label, variant, other), seeds in groups.items()
    ]


def time_text(times: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """The quickest and the best variant with all cameras of each scene."""
    sentences = []
    for scene in runs["scene"].unique():
        label, number = sets_of(runs, scene)[-1]
        rows = times[(times["scene"] == scene) & (times["set"] == label)]
        seconds = rows.groupby("variant")["seconds"].mean()
        psnr = {v: cell(runs, scene, label, v, "psnr").mean() for v in seconds.index}
        psnr = {variant: value for variant, value in psnr.items() if not math.isnan(value)}
        if not psnr:
            continue
        quick, best = min(psnr, key=lambda v: seconds[v]), max(psnr, key=lambda v: psnr[v])
        said = f"{best} is the best ({psnr[best]:.2f} dB in {seconds[best]:.0f} s)"
        said += (
            " and the quickest"
            if quick == best
            else f", {quick} the quickest ({psnr[quick]:.2f} dB in {seconds[quick]:.0f} s)"
        )
        sentences.append(f"{scene}, {set_text(label, number)}: {said}.")
    if not sentences:
        return ["No training was timed by Snakemake, so there is no figure."]
    learning = " and ".join(name for name, variant in TABLE.items() if variant.needs_static)
    return [
        *sentences,
        f"Seconds are those of the machine at hand, with whatever ran beside; those of {learning} contain"
        " the static model's. A training that was interrupted counts from where it went on.",
    ]


def maps_text(shares: pd.DataFrame, scene: str, frame: int, camera: str) -> str:
    """How much of the picture has sound depth, with the fewest and the most cameras.

    Args:
        shares: scene, set, cameras, variant, within: share of the pixels whose depth is off by at most 5 %.
    """
    parts = []
    for label, number in _ends(sets_of(shares, scene)):
        rows = shares[shares["set"] == label]
        worst, best = rows.loc[rows["within"].idxmin()], rows.loc[rows["within"].idxmax()]
        found = f"{percent(best['within'], 1)} of {best['variant']}'s pixels"
        if len(rows) > 1:
            found = f"{percent(worst['within'], 1)} of {worst['variant']}'s pixels and {found}"
        parts.append(f"with {set_text(label, number)} {found}")
    return f"{scene}, held-out camera {camera}, frame {frame}: {'; '.join(parts)} are within 5 % of the true depth."


def frames_text(frames: pd.DataFrame) -> list[str]:
    """How even each scene's scores are over time, with all its cameras."""
    if frames.empty:
        return ["The metrics of these runs hold no scores by frame, so there is no figure."]
    sentences = []
    for scene in frames["scene"].unique():
        rows = frames[frames["scene"] == scene]
        number = int(rows["cameras"].max())
        rows = rows[rows["cameras"] == number]
        means = rows.groupby(["variant", "frame"])["psnr"].mean().unstack("variant")
        means = means[variants_of(rows)]
        ranges = [f"{v} {means[v].min():.2f} to {means[v].max():.2f} dB" for v in means]
        worst = means.mean(axis=1).idxmin()
        sentences.append(
            f"{scene}, {counted(number, 'training camera')}: over the {len(means)} frames PSNR goes from"
            f" {', '.join(ranges)}; frame {worst} is the hardest (mean of all variants)."
        )
    return sentences
