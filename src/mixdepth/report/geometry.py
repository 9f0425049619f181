"""What the report says about the cameras and the capture: can the geometry be trusted, are the videos in step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixdepth.files.io import read_json
from mixdepth.frames.sync.sync import AGREEING

VERDICTS = {
    "trusted": "The cameras can be trusted",
    "unproven": "The cameras could not be verified",
    "contradicted": "The cameras contradict the pictures",
}


def geometry(folder: Path) -> dict[str, Any]:
    """Verification of all cameras, the ladder's steps, the world's axes and unit, offsets and notes of the capture.

    Whatever file is missing gives None.
    """
    verification, held_out = (_optional(folder / f"{name}_report.json") for name in ("cameras", "held_out"))
    return {
        "verified": _verified(verification),
        "held_out": _verified(held_out),
        "ladder": (verification or {}).get("ladder"),
        "world": _optional(folder / "world.json"),
        "sync": _optional(folder / "sync.json"),
        "capture": _optional(folder / "capture.json"),
    }


def sentence(found: Mapping[str, Any]) -> str | None:
    """One sentence on the cameras for the top of the report; None where they were not verified."""
    parts = [part for part in (found["verified"], found["held_out"]) if part]
    if not parts:
        return None
    worst = max(parts, key=lambda part: list(VERDICTS).index(part["verdict"]))
    ignored = " This run went on all the same, as the configuration says." if worst["verdict"] == "contradicted" else ""
    return f"{worst['title']} (score {worst['score']:.2f} of 1): {worst['reason']}{ignored}"


def _verified(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if report is None:
        return None
    images = [{"name": name, **values} for name, values in sorted(report["images"].items())]
    return {**report, "title": VERDICTS[report["verdict"]], "images": images}


def _optional(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def sync_plot(sync: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Offsets as a drawing: ``rows`` of {name, y, found, given} (x positions; None where unknown),
    ``ticks``, ``size``, and ``reach``: half the width of a box.

    None where nothing was estimated.
    """
    cameras = (sync or {}).get("cameras", {})
    offsets = [row[key] for row in cameras.values() for key in ("offset_frames", "configured") if row[key] is not None]
    if not any(row["offset_frames"] is not None for row in cameras.values()):
        return None
    # At least two frames either way, so that what is in step looks so.
    limit = max(2.0, *(abs(value) for value in offsets))

    def across(value: float | None) -> float | None:
        return None if value is None else round(120 + 200 * (1 + value / limit), 1)

    rows = [
        {"name": name, "y": 20 + 22 * i, "found": across(row["offset_frames"]), "given": across(row["configured"])}
        for i, (name, row) in enumerate(cameras.items())
    ]
    ticks = [
        (across(value), f"{value:+.3g}".replace("-", "−") if value else "0")
        for value in (-limit, -limit / 2, 0.0, limit / 2, limit)
    ]
    bottom = 14 + 22 * len(rows)
    reach = round(200 * AGREEING / limit, 1)
    return {"rows": rows, "ticks": ticks, "reach": reach, "bottom": bottom, "size": (560, bottom + 24)}
