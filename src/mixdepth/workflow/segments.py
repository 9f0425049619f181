"""How many segments a variant is trained in, each by a job of its own: what the plan must know before they are trained.

Standard library only.
"""

import json
from pathlib import Path
from typing import Any

from mixdepth.errors import DamagedFile
from mixdepth.results import Results
from mixdepth.scene.quality import SEGMENT, Moving, segment_length
from mixdepth.scene.scene import Scene
from mixdepth.scene.sizes import segment_count
from mixdepth.workflow.graph import Job
from mixdepth.workflow.made import outdated


def foretold(results: Results, scene: Scene, variant: str) -> int | None:
    """How many there will be by capture.json alone: where the settings say how long they are, or where the capture is
    shorter than any is; None where that is not known yet, or ``probe`` will say it anew."""
    frames = _read(results.capture).get("selected")
    if not isinstance(frames, int):
        return None
    given = scene.dynamic_options(variant)
    if ("segment" not in given and frames > SEGMENT[0]) or outdated(Job.of("probe"), scene, results):
        return None
    return segment_count(frames, given.get("segment"))


def measured(movement: Path, scene: Scene, variant: str) -> int:
    """How many there are by movement.json.

    Raises:
        DamagedFile: it cannot be read.
    """
    try:
        moving = Moving(**_read(movement))
        longest = segment_length(scene.dynamic_options(variant), scene.config.quality, moving)
        return segment_count(moving.frames, longest)
    except (TypeError, ValueError, LookupError) as error:
        raise DamagedFile(f"{movement}: damaged ({error}). Delete it and run the same command again") from None


def known(results: Results, scene: Scene, variant: str) -> int | None:
    """How many there are, by what there is now; None where nothing says it yet."""
    there = results.movement.exists()
    return measured(results.movement, scene, variant) if there else foretold(results, scene, variant)


def _read(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
