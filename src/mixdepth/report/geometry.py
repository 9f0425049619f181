"""What the report says about the cameras and the capture: can the geometry be trusted, are the videos in step."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.files.io import read_json, read_npz
from mixdepth.results import Results, depth_file

VERDICTS = {
    "trusted": "The cameras can be trusted",
    "unproven": "The cameras could not be verified",
    "contradicted": "The cameras contradict the pictures",
}


def geometry(results: Results) -> dict[str, Any]:
    """Verification of all cameras, the ladder's steps, the world's axes and unit, offsets and notes of the capture.

    Whatever file is missing gives None.
    """
    verification = optional_json(results.cameras_report)
    return {
        "verified": _verified(verification),
        "held_out": _verified(optional_json(results.held_out_report)),
        "ladder": (verification or {}).get("ladder"),
        "world": optional_json(results.world),
        "sync": optional_json(results.sync),
        "capture": optional_json(results.capture),
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


def optional_json(path: Path) -> dict[str, Any] | None:
    """What a file holds; None where there is none."""
    return read_json(path) if path.is_file() else None


def depth_parts(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """What the files of a folder of depth hold, by name; those that are not there are left out."""
    for name in names:
        if (path := depth_file(folder, name)).is_file():
            yield name, read_npz(path)
