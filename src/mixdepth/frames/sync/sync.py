"""How far a capture's cameras are out of step: by sound, else by motion or sudden light, and by geometry where poses
are known. An estimate; it changes nothing."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixdepth.cameras.lens import Lens
from mixdepth.files.io import write_json
from mixdepth.frames.sync.alignment import align
from mixdepth.frames.sync.geometry import LINES, View, align_views
from mixdepth.frames.sync.signals import BANDS, MAX_FRAMES, MAX_SOUND, ROWS, Seen, Signal, seen_signals, sound_signal
from mixdepth.frames.timing import read_rate

TRUSTED = 0.5  # confidence from which an estimate is worth acting on
FLOOR = 0.1  # confidence below which there is no estimate
AGREEING = 0.75  # frames: half a frame that a right estimate may be off, and a quarter that rounding may add
Poses = Mapping[str, tuple[Lens, np.ndarray]]  # camera name -> lens of the original pictures, [4, 4] c2w


def write_sync(
    path: Path,
    videos: Mapping[str, Path],
    fps: float | None,
    configured: Mapping[str, float],
    poses: Poses | None = None,
) -> dict:
    """Write :func:`estimate_offsets` as JSON and return it."""
    result = estimate_offsets(videos, fps, configured, poses)
    write_json(path, result)
    return result


def estimate_offsets(
    videos: Mapping[str, Path], fps: float | None, configured: Mapping[str, float], poses: Poses | None = None
) -> dict:
    """Offsets between the cameras of a capture, in the convention of the setting ``frames.offsets``.

    Args:
        videos: camera name -> video file or folder of images.
        fps: common rate, frames per second; None takes the lowest of the videos' rates. Folders have the common rate.
        configured: camera name -> offset that the configuration gives, frames at the common rate.
        poses: of the cameras whose poses are known.

    Returns:
        ``{"reference", "method": {...}, "fps", "cameras": {name: {"offset_frames", "offset_seconds", "confidence",
        "method", "configured", "agrees"}}, "notes": [str]}``. ``offset_frames`` is the frame, at the common rate, of
        the camera's video that shows what the reference's shows at 0; None, as ``agrees``, where there is no estimate
        (``method`` is then "none"). ``confidence`` is 0..1: see :func:`mixdepth.frames.sync.alignment.align`; above
        ``TRUSTED`` the captures of benchmarks/sync.py were right within half a frame. ``configured`` is relative to
        the reference as well.

    Raises:
        UserError: a video cannot be read.
    """
    paths = {name: Path(videos[name]) for name in sorted(videos)}
    rate = fps or min(filter(None, map(read_rate, paths.values())), default=None)
    found, notes = _found(paths, rate, poses or {})
    reference = max(found, key=lambda name: (found[name].method in ("audio", "light"), found[name].confidence))
    cameras = {}
    for name, place in found.items():
        # Two cameras are in step as surely as the less sure of them; the reference is the surest.
        known = place.confidence >= FLOOR or name == reference
        offset = place.offset - found[reference].offset if known else None
        given = float(configured.get(name, 0.0) - configured.get(reference, 0.0))
        cameras[name] = {
            "offset_frames": None if offset is None else round(offset, 2),
            "offset_seconds": None if offset is None or rate is None else round(offset / rate, 4),
            "confidence": round(place.confidence, 2),
            "method": place.method if place.confidence >= FLOOR else "none",
            "configured": given,
            "agrees": None if offset is None else bool(abs(offset - given) <= AGREEING),
        }
    return {
        "reference": reference,
        "method": {
            "audio": f"energy that rises in {BANDS} frequency bands, the first {MAX_SOUND:g} s",
            "motion": f"brightening and darkening of {ROWS} image rows, the first {MAX_FRAMES} frames",
            "light": f"sudden changes of the whole picture's brightness, the first {MAX_FRAMES} frames",
            "geometry": f"motion on {LINES} lines that two known cameras share, the first {MAX_FRAMES} frames",
        },
        "fps": rate,
        "cameras": cameras,
        "notes": notes + _advice(reference, cameras),
    }


@dataclass(frozen=True)
class Place:
    """A camera in time."""

    offset: float  # frames at the common rate; only differences matter
    confidence: float  # 0..1
    method: str  # "audio", "motion", "light" or "geometry"


def _found(paths: Mapping[str, Path], rate: float | None, poses: Poses) -> tuple[dict[str, Place], list[str]]:
    """Every camera's place, and what to tell."""
    sounds = {name: sound_signal(path, rate) for name, path in paths.items()} if rate else {}
    heard = _sure({name: sound for name, sound in sounds.items() if sound is not None}, "audio")
    if len(heard) == len(paths) and not poses:
        return heard, []
    seen = {name: seen_signals(path, rate) for name, path in paths.items()}
    found = heard if len(heard) == len(paths) else _by_signals(heard, seen)
    views = {name: View.of(seen[name].change, *poses[name]) for name in paths if name in poses}
    found, notes = _joined(found, _as_places(views, *align_views(list(views.values())), "geometry"))
    cut = [name for name, one in seen.items() if len(one.change) >= MAX_FRAMES - 1]
    return found, notes + (
        [f"Motion was looked at in the first {MAX_FRAMES} frames of {', '.join(cut)}."] if cut else []
    )


def _by_signals(sure: Mapping[str, Place], seen: Mapping[str, Seen]) -> dict[str, Place]:
    """Every camera's place, by sound for those that are ``sure`` by it.

    Else by motion; or by sudden light, where that is sure of more cameras.
    """
    moved = _places({name: one.motion for name, one in seen.items()}, "motion")
    if not sure and (lit := _sure({name: one.light for name, one in seen.items()}, "light")):
        sure = lit if len(lit) > _trusted(moved) else {}
    if sure:
        # The cameras that are placed in both ways tie the two together, the surest one first.
        link = max(sure, key=lambda name: moved[name].confidence)
        moved = _tied(moved, sure[link].offset - moved[link].offset, moved[link].confidence)
    return {**moved, **sure}


def _joined(found: Mapping[str, Place], shown: Mapping[str, Place]) -> tuple[dict[str, Place], list[str]]:
    """Of each camera the surer one of its places by signals and by geometry, and the trusted ones that contradict.

    The way that trusts fewer cameras is tied to the other where both do, at the middle one of their differences; if
    that is nowhere, at the surest camera, and is then no surer than that.
    """
    if not shown:
        return dict(found), []
    main, other = (shown, found) if _trusted(shown) > _trusted(found) else (found, shown)
    surest = {name: min(main[name].confidence, other[name].confidence) for name in shown}
    common = [name for name in shown if surest[name] >= TRUSTED]
    link = max(shown, key=lambda name: surest[name])
    apart = {name: main[name].offset - other[name].offset for name in common or [link]}
    middle = statistics.median_low(apart.values())
    other = _tied(other, middle, surest[link])
    notes = [
        f"{name}: {main[name].method} and {other[name].method} differ by {abs(apart[name] - middle):.1f} frames "
        f"(confidence {main[name].confidence:.2f} and {other[name].confidence:.2f}); the surer one is taken."
        for name in common
        if abs(apart[name] - middle) > AGREEING
    ]
    every = [(name, place) for way in (main, other) for name, place in way.items()]
    return {n: max((p for name, p in every if name == n), key=lambda p: p.confidence) for n in found}, notes


def _tied(places: Mapping[str, Place], apart: float, most: float) -> dict[str, Place]:
    """``places`` moved by ``apart`` frames, no surer than ``most``."""
    return {n: replace(p, offset=p.offset + apart, confidence=min(p.confidence, most)) for n, p in places.items()}


def _trusted(places: Mapping[str, Place]) -> int:
    return sum(place.confidence >= TRUSTED for place in places.values())


def _sure(signals: Mapping[str, Signal], method: str) -> dict[str, Place]:
    """The places of the cameras that these signals are sure of; none where it is one camera."""
    sure = {name: place for name, place in _places(signals, method).items() if place.confidence >= TRUSTED}
    return sure if len(sure) > 1 else {}


def _places(signals: Mapping[str, Signal], method: str) -> dict[str, Place]:
    return _as_places(signals, *align(list(signals.values())), method)


def _as_places(names: Iterable[str], offsets: np.ndarray, confidence: np.ndarray, method: str) -> dict[str, Place]:
    return {n: Place(float(o), float(c), method) for n, o, c in zip(names, offsets, confidence, strict=True)}


def _advice(reference: str, cameras: Mapping[str, dict]) -> list[str]:
    """Sentences for the log and the report."""
    others = {name: camera for name, camera in cameras.items() if name != reference}
    unknown = [name for name, camera in others.items() if camera["method"] == "none"]
    unsure = [name for name, camera in others.items() if FLOOR <= camera["confidence"] < TRUSTED]
    sure = {name: camera for name, camera in others.items() if camera["confidence"] >= TRUSTED}
    apart = [name for name, camera in sure.items() if not camera["agrees"]]
    notes = []
    if unknown:
        notes.append(
            f"No estimate of the offset of {', '.join(unknown)} to {reference}: too little moves, or it repeats "
            "itself, or what the cameras see differs too much. A clap or a flash that all cameras record would tell."
        )
    if unsure:
        notes.append(
            f"The offset of {', '.join(unsure)} to {reference} is a guess (confidence below {TRUSTED}); check by eye."
        )
    if sure and not apart:
        notes.append(f"In step with {reference}, as configured: {', '.join(sure)}.")
    if apart:
        told = ", ".join(
            "{0} {offset_frames:+.1f} frames from {1}, configured {configured:+g} "
            "(confidence {confidence:.2f}, {method})".format(name, reference, **cameras[name])
            for name in apart
        )
        lines = ", ".join(
            f"{name}: {round(camera['offset_frames'], 1) + 0.0 if name in sure else camera['configured']:g}"
            for name, camera in cameras.items()
        )
        notes.append(
            f"Out of step: {told}. Nothing was changed. If so, write below the scene's `frames`: offsets: {{{lines}}}"
        )
    return notes
