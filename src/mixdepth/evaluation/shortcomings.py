"""Where a model is worse than a picture that no model made, or stands still where the video moves: in words, with the
figures and the likely reason, from metrics.json alone. Standard library only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixdepth.words import first_of, percent

STANDS_STILL = 1 / 3  # share of the video's change over time below which a render hardly changes
EXPLAINED = 0.5  # share of the moving pixels that a hull should explain
PLAIN = 0.5  # share of a picture that is of one colour, from which on its background is plain
LEARNT = 18.0  # dB of what moves in the training pictures, below which it has not been learnt
TONE = 1.0  # dB that a colour fit gains, from which on the tones differ

Metrics = Mapping[str, Any]
PICTURES = {
    "constant": "one colour all over",
    "median": "the held-out camera's own median, which stands still",
    "nearest": "the nearest training camera's frames",
}


@dataclass(frozen=True)
class Shortcoming:
    """What a model does no better than no model."""

    text: str
    serious: bool  # else what stands still is less sharp than in the camera's own median, no more


def shortcomings(name: str, metrics: Metrics) -> list[Shortcoming]:
    """Those of a variant ``name`` over all held-out cameras; where there are none, those on single cameras.

    Args:
        metrics: its metrics.json; of one from before version 4 of the evaluation nothing is known.
    """
    if found := list(_found(name, metrics, metrics)):
        return found
    each = metrics.get("cameras", {})
    alone = [_found(f"On {camera} alone {name}", own, metrics) for camera, own in each.items()]
    return [one for every in alone for one in every if one.serious]


def _found(who: str, scores: Metrics, metrics: Metrics) -> Iterator[Shortcoming]:
    all_, moving = _better(scores, "psnr"), _better(scores, "psnr_moving")
    if moving or set(all_) - {"median"}:
        parts = [_compared(scores, all_, "psnr", "in all"), _compared(scores, moving, "psnr_moving", "on what moves")]
        said = "; ".join(filter(None, parts))
        yield Shortcoming(
            f"{who} is worse than a picture that no model made: {said}. {_why(scores, metrics)}", serious=True
        )
    elif all_:
        said = _compared(scores, all_, "psnr", "in all")
        yield Shortcoming(
            f"{who} is less sharp where nothing moves than the held-out camera's own pictures: {said}.", serious=False
        )
    change = scores.get("change") or {"video": None}
    if change["video"] and change["render"] < STANDS_STILL * change["video"]:
        ours, theirs = (f"{change[key]:.3f}" for key in ("render", "video"))
        yield Shortcoming(
            f"{who} hardly changes where the video does: its temporal standard deviation there is {ours}, the"
            f" video's {theirs} (colours in 0..1). {_why(scores, metrics)}",
            serious=True,
        )


def _better(scores: Metrics, key: str) -> dict[str, float]:
    """The trivial pictures, by kind, whose score is above the model's, as they are shown."""
    known = {kind: found[key] for kind, found in scores.get("trivial", {}).items() if found[key] is not None}
    own = scores.get(key)
    return {} if own is None else {kind: value for kind, value in known.items() if round(value, 2) > round(own, 2)}


def _compared(scores: Metrics, better: Mapping[str, float], key: str, where: str) -> str:
    others = [f"{value:.2f} dB of {PICTURES[kind]}" for kind, value in better.items()]
    return f"{where} {scores[key]:.2f} dB against {' and '.join(others)}" if others else ""


def _why(scores: Metrics, metrics: Metrics) -> str:
    """The likely reasons in a sentence, from what the model's header and the scores say."""
    settings = metrics["settings"]
    found = [*_hull_reasons(settings.get("hull") or {}), *_background_reasons(settings.get("background") or {})]
    trained = settings.get("training_psnr")
    if trained is not None and trained < LEARNT:
        found.append(f"not even the training cameras' pictures are reproduced ({trained:.1f} dB on what moves)")
    affine, own = scores.get("psnr_affine"), scores.get("psnr")
    if affine and own and affine - own > TONE:
        found.append(f"other exposure or white balance (a colour fit gains {affine - own:.1f} dB)")
    return f"Likely reason: {'; '.join(found) or 'none shows in the files; look at the cameras and at the curves'}."


def _hull_reasons(hull: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    moves = hull.get("moving_share", {})
    if not moves:
        return
    if not any(moves.values()):
        yield "nothing counts as moving in the training cameras, so nothing that moves was trained"
        return
    met = {name: share for name, share in hull["explained"].items() if share is not None}
    share = sum(moves[name] * share for name, share in met.items()) / sum(moves[name] for name in met)
    if share == 0:
        yield "the motion hull is empty: nothing that moves was trained"
    elif share < EXPLAINED:
        least = [f"{name} {percent(met[name])}" for name in sorted(met, key=lambda name: met[name])]
        yield (
            f"the motion hull explains {percent(share)} of the pixels that move ({first_of(least)}): static surfaces"
            " or cameras that do not see it move cut it away"
        )


def _background_reasons(backgrounds: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    plain = {name: found for name, found in backgrounds.items() if found["share"] > PLAIN}
    if plain:
        name, found = max(plain.items(), key=lambda item: item[1]["share"])
        colour = ", ".join(map(str, found["colour"]))
        yield (
            f"a plain background ({percent(found['share'])} of {name}'s median has the colour {colour}), before which"
            " nothing tells where the static part is: look whether a wall stands before the lens"
        )
