"""Did depth supervision help? In sentences, from the scores alone."""

from collections.abc import Mapping
from typing import Any

# Differences below these are not told apart from chance by one run.
PSNR_STEP = 0.1  # dB
DEPTH_STEP = 0.05  # share of the error without depth

DEPTH_ALONE = ("colmap", "distilled")  # variants that differ from `none` in depth and nothing else

Metrics = Mapping[str, Mapping[str, Any]]


def verdict(metrics: Metrics) -> list[str]:
    """Sentences, the verdict first.

    It compares the better of ``colmap`` and ``distilled`` with ``none``: they differ in depth alone. ``inherited`` also
    takes over colours of the static model; it decides only where neither of the two was trained.

    Args:
        metrics: variant -> its metrics.json; the variants that were trained.
    """
    scored = {name: scores for name, scores in metrics.items() if scores["psnr"] is not None}
    replaced = {name: scores["settings"].get("trained_as", name) for name, scores in metrics.items()}
    notes = [
        f"The static model's depth deserved no confidence, so {name} was trained as {other}."
        for name, other in replaced.items()
        if name != other
    ]
    scored = {name: scores for name, scores in scored.items() if replaced[name] == name}
    base = scored.pop("none", None)
    if base is None or not scored:
        return [_no_comparison(metrics), *notes]
    pure = {name: scores for name, scores in scored.items() if name in DEPTH_ALONE} or scored
    best = max(pure, key=lambda name: pure[name]["psnr"])
    sentences = [f"{_headline(pure[best], base)}: {_comparison(best, pure[best], base)}"]
    moving, base_moving = pure[best]["psnr_moving"], base["psnr_moving"]
    if moving is not None and base_moving is not None:
        gain = _gain(moving, base_moving)
        sentences.append(f"On what moves it has {moving:.2f} dB against {base_moving:.2f} dB ({gain}).")
    if best == "inherited":
        sentences.append("It takes over colours of the static model as well, so not all of this is owed to depth.")
    if len(scored) > 1:
        gains = ", ".join(f"{name} {_gain(scores['psnr'], base['psnr'])}" for name, scores in scored.items())
        remark = " (inherited takes over the static model's colours too)" if "inherited" in scored else ""
        sentences.append(f"PSNR against no depth: {gains}{remark}.")
    return sentences + notes


def tiles(metrics: Metrics, geometry: Mapping[str, Any]) -> list[dict[str, str]]:
    """The verdict at a glance: {title, value, detail} of what is known, from scores and :func:`geometry`."""
    found = []
    trained = {name: s for name, s in metrics.items() if s["settings"].get("trained_as", name) == name}
    scored = {name: scores for name, scores in trained.items() if scores["psnr"] is not None}
    base = scored.pop("none", None)
    if base and scored:
        pure = {name: scores for name, scores in scored.items() if name in DEPTH_ALONE} or scored
        best = max(pure, key=lambda name: pure[name]["psnr"])
        detail = f"PSNR, {best} against no depth"
        found.append(
            {"title": "Picture", "value": _gain(pure[best]["psnr"], base["psnr"]).replace("-", "−"), "detail": detail}
        )
        if pure[best]["depth"] and base["depth"] and base["depth"]["median"]:
            change = 100 * (pure[best]["depth"]["median"] / base["depth"]["median"] - 1)
            detail = f"median depth error, {best} against no depth"
            found.append({"title": "Depth error", "value": f"{change:+.0f} %".replace("-", "−"), "detail": detail})
    parts = [part for part in (geometry["verified"], geometry["held_out"]) if part]
    if parts:
        worst = min(parts, key=lambda part: part["score"])
        detail = f"verified without knowing the truth, score {worst['score']:.2f} of 1"
        found.append({"title": "Cameras", "value": worst["verdict"], "detail": detail})
    cameras = (geometry["sync"] or {}).get("cameras", {})
    if cameras:
        agree = [row["agrees"] for row in cameras.values()]
        known = sum(value is not None for value in agree)
        value = "not known" if known < 2 else "out of step" if False in agree else "in step"
        found.append({"title": "Videos", "value": value, "detail": f"{known} of {len(agree)} could be told"})
    return found


def _gain(ours: float, theirs: float) -> str:
    """The difference of two PSNRs as they are shown, so that the reader's own subtraction agrees."""
    return f"{round(ours, 2) - round(theirs, 2):+.2f} dB"


def _no_comparison(metrics: Metrics) -> str:
    listed = ", ".join(f"{name} {s['psnr']:.2f} dB" for name, s in metrics.items() if s["psnr"] is not None)
    missing = "the variant without depth (none)" if "none" not in metrics else "a variant with depth"
    return f"Whether depth helped cannot be said: {missing} was not trained and scored. PSNR: {listed or 'none'}."


def _headline(scores: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    colour = _sign(scores["psnr"] - base["psnr"], PSNR_STEP)
    depth = 0
    if scores["depth"] and base["depth"]:
        errors = base["depth"]["median"], scores["depth"]["median"]
        depth = _sign(errors[0] - errors[1], DEPTH_STEP * errors[0])
    if colour * depth < 0:
        better, worse = ("the picture", "the depth") if colour > 0 else ("the depth", "the picture")
        return f"Depth supervision improved {better} and worsened {worse}"
    if colour == depth == 0:
        return "Depth supervision made no difference that one run can show"
    return "Depth supervision helped" if colour + depth > 0 else "Depth supervision did harm"


def _sign(change: float, step: float) -> int:
    return 0 if abs(change) < step else (1 if change > 0 else -1)


def _comparison(name: str, scores: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    cameras = scores["settings"]["test_cameras"]
    seen = f"held-out camera {cameras[0]}" if len(cameras) == 1 else f"{len(cameras)} held-out cameras"
    text = (
        f"on {seen}, {name} reaches {scores['psnr']:.2f} dB PSNR against {base['psnr']:.2f} dB without depth"
        f" ({_gain(scores['psnr'], base['psnr'])})"
    )
    if not (scores["depth"] and base["depth"]):
        return f"{text}. The depth itself cannot be scored: there is no true depth."
    ours, theirs = scores["depth"]["median"], base["depth"]["median"]
    change = f", {100 * abs(1 - ours / theirs):.0f} % {'less' if ours < theirs else 'more'}" if theirs else ""
    return f"{text}, with a median depth error of {ours:.3g} against {theirs:.3g}{change}."
