"""Is a model better than none, and did depth supervision help? In sentences, and at a glance, from the scores alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixdepth.evaluation.shortcomings import shortcomings
from mixdepth.variants import DEPTH_ALONE, TABLE
from mixdepth.words import counted, percent, signed

# Differences below these are not told apart from chance by one run.
PSNR_STEP = 0.1  # dB
DEPTH_STEP = 0.05  # share of the error without depth

Scores = Mapping[str, Any]
Metrics = Mapping[str, Scores]


@dataclass(frozen=True)
class Verdict:
    """The better of ``colmap`` and ``distilled`` against ``none``: they differ in depth alone. ``inherited`` also takes
    over colours of the static model; it is the best only where neither of the two was trained."""

    best: str
    scores: Scores  # of the best
    base: Scores  # of no depth
    gains: dict[str, str]  # in PSNR, of every variant with depth

    @property
    def depth(self) -> tuple[float, float] | None:
        """Median depth errors of the best and of no depth; None without a truth."""
        parts = self.scores["depth"], self.base["depth"]
        return (parts[0]["median"], parts[1]["median"]) if all(parts) else None


def _compared(metrics: Metrics) -> Verdict | None:
    """None where no depth, or every variant with depth, was not trained (as itself) and scored."""
    itself = {name: s for name, s in metrics.items() if s["settings"].get("trained_as", name) == name}
    scored = {name: scores for name, scores in itself.items() if scores["psnr"] is not None}
    base = scored.pop("none", None)
    if base is None or not scored:
        return None
    best = max([name for name in scored if name in DEPTH_ALONE] or scored, key=lambda name: scored[name]["psnr"])
    return Verdict(best, scored[best], base, {name: _gain(s["psnr"], base["psnr"]) for name, s in scored.items()})


def verdict(metrics: Metrics) -> list[str]:
    """Sentences: what is no better than without a model, the verdict on depth, what to know beside it.

    Args:
        metrics: variant -> its metrics.json; the variants that were trained.
    """
    found = [one for name, scores in metrics.items() for one in shortcomings(name, scores)]
    nonsense, dull = ([one.text for one in found if one.serious is serious] for serious in (True, False))
    return [*nonsense, *_on_depth(metrics), *dull]


def _on_depth(metrics: Metrics) -> list[str]:
    notes = [
        f"The static model's depth deserved no confidence, so {name} was trained as {other}."
        for name, scores in metrics.items()
        if (other := scores["settings"].get("trained_as", name)) != name
    ]
    found = _compared(metrics)
    if found is None:
        return [_no_comparison(metrics), *notes]
    sentences = [f"{_headline(found)}: {_comparison(found)}"]
    moving, base_moving = found.scores["psnr_moving"], found.base["psnr_moving"]
    if moving is not None and base_moving is not None:
        gain = _gain(moving, base_moving)
        sentences.append(f"On what moves it has {moving:.2f} dB against {base_moving:.2f} dB ({gain}).")
    if TABLE[found.best].inherited:
        sentences.append("It takes over colours of the static model as well, so not all of this is owed to depth.")
    if len(found.gains) > 1:
        gains = ", ".join(f"{name} {gain}" for name, gain in found.gains.items())
        taken = next((name for name in found.gains if TABLE[name].inherited), None)
        remark = f" ({taken} takes over the static model's colours too)" if taken else ""
        sentences.append(f"PSNR against no depth: {gains}{remark}.")
    return sentences + notes


def tiles(metrics: Metrics, geometry: Mapping[str, Any]) -> list[dict[str, str]]:
    """The verdict at a glance: {title, value, detail} of what is known, from scores and :func:`geometry`."""
    rows = [*_score_tiles(_compared(metrics)), *_geometry_tiles(geometry)]
    return [{"title": title, "value": value, "detail": detail} for title, value, detail in rows]


def _score_tiles(found: Verdict | None) -> Iterator[tuple[str, str, str]]:
    if found:
        yield "Picture", found.gains[found.best].replace("-", "−"), f"PSNR, {found.best} against no depth"
    if found and found.depth and found.depth[1]:
        change = signed(100 * (found.depth[0] / found.depth[1] - 1), ".0f")
        yield "Depth error", f"{change} %", f"median depth error, {found.best} against no depth"


def _geometry_tiles(geometry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    parts = [part for part in (geometry["verified"], geometry["held_out"]) if part]
    if parts:
        worst = min(parts, key=lambda part: part["score"])
        detail = f"verified without knowing the truth, score {worst['score']:.2f} of 1"
        yield "Cameras", worst["verdict"], detail
    cameras = (geometry["sync"] or {}).get("cameras", {})
    if cameras:
        agree = [row["agrees"] for row in cameras.values()]
        known = sum(value is not None for value in agree)
        value = "not known" if known < 2 else "out of step" if False in agree else "in step"
        yield "Videos", value, f"{known} of {len(agree)} could be told"


def _gain(ours: float, theirs: float) -> str:
    """The difference of two PSNRs as they are shown, so that the reader's own subtraction agrees."""
    return f"{round(ours, 2) - round(theirs, 2):+.2f} dB"


def _no_comparison(metrics: Metrics) -> str:
    known = ", ".join(f"{name} {s['psnr']:.2f} dB" for name, s in metrics.items() if s["psnr"] is not None)
    missing = "the variant without depth (none)" if "none" not in metrics else "a variant with depth"
    return f"Whether depth helped cannot be said: {missing} was not trained and scored. PSNR: {known or 'none'}."


def _headline(found: Verdict) -> str:
    colour = _sign(found.scores["psnr"] - found.base["psnr"], PSNR_STEP)
    ours, theirs = found.depth or (0.0, 0.0)
    depth = _sign(theirs - ours, DEPTH_STEP * theirs) if found.depth else 0
    if colour * depth < 0:
        better, worse = ("the picture", "the depth") if colour > 0 else ("the depth", "the picture")
        return f"Depth supervision improved {better} and worsened {worse}"
    if colour == depth == 0:
        return "Depth supervision made no difference that one run can show"
    return "Depth supervision helped" if colour + depth > 0 else "Depth supervision did harm"


def _sign(change: float, step: float) -> int:
    return 0 if abs(change) < step else (1 if change > 0 else -1)


def _comparison(found: Verdict) -> str:
    cameras = found.scores["settings"]["test_cameras"]
    seen = f"held-out camera {cameras[0]}" if len(cameras) == 1 else counted(len(cameras), "held-out camera")
    psnr, base = found.scores["psnr"], found.base["psnr"]
    gain = found.gains[found.best]
    text = f"on {seen}, {found.best} reaches {psnr:.2f} dB PSNR against {base:.2f} dB without depth ({gain})"
    if found.depth is None:
        return f"{text}. The depth itself cannot be scored: there is no true depth."
    ours, theirs = found.depth
    change = f", {percent(abs(1 - ours / theirs))} {'less' if ours < theirs else 'more'}" if theirs else ""
    return f"{text}, with a median depth error of {ours:.3g} against {theirs:.3g}{change}."
