"""What a job's results are made from: written into their certificates, and compared with what is planned."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mixdepth.compute import machine
from mixdepth.errors import CaptureError
from mixdepth.files import certificate
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.workflow.graph import PHOTOS, SOURCE, Files, Job, Stage, flat, given
from mixdepth.workflow.versions import STAGE_VERSIONS

# What a scene decides from its settings and its files together.
ROLES = (
    *("train_cameras", "test_cameras", "train_photos", "test_photos", "variants"),
    *("video_variant", "video_camera", "viewer_cameras"),
)


def certified(stage: Stage, scene: Scene, reads: Files, makes: Files, work: Callable[[], Any]) -> None:
    """Let ``work`` make the files of one job, and certify them.

    Args:
        scene: with the settings that the stage declares.
        reads, makes: the files of the job, by name.

    Raises:
        CaptureError: a file of the capture changed meanwhile.
    """
    for path in flat(makes):
        certificate.withdraw(path)
    sources = sources_of(scene, reads)
    before = {name: certificate.facts(path) for name, path in sources.items()}
    work()
    for name, path in sources.items():
        if certificate.facts(path) != before[name]:
            raise CaptureError(f"{path}: it changed while it was being read. Run the same command again")
    certificate.certify(flat(makes), made_from(stage, scene, reads, makes))


def made_from(stage: Stage, scene: Scene, reads: Files, makes: Files) -> dict[str, Any]:
    """What the certificates of a job say it was made from."""
    sources = {name: certificate.measured(path) for name, path in sources_of(scene, reads).items()}
    return {
        "stage": stage.name,
        "version": STAGE_VERSIONS[stage.version],
        "settings": plain(scene.options),
        "mixdepth": machine.installed("mixdepth") or "",
        "roles": {name: getattr(scene, name) for name in ROLES},
        "sources": {name: found for name, found in sources.items() if found},
        "inputs": {name: certificate.identity(path) for name, path in inputs_of(reads, makes).items()},
    }


def checkpoint_identity(stage: Stage, scene: Scene, reads: Files, makes: Files) -> dict[str, Any]:
    """What a checkpoint must have been made from to be gone on with: settings, inputs and code."""
    made = made_from(stage, scene, reads, makes)
    code = {"version": made["version"], "mixdepth": made["mixdepth"], "torch": machine.installed("torch")}
    return {**flattened(made["settings"]), **made["sources"], **made["inputs"], **code}


def sources_of(scene: Scene, reads: Files) -> dict[str, Path]:
    """The capture's own files that a job reads, by their path below ``data`` where they are there; a folder of frames,
    of which one image stands for all, as that folder."""
    folders = set(map(Path, scene.cameras.values()))
    found = [path.parent if path.parent in folders else path for path in flat({SOURCE: reads.get(SOURCE, [])})]
    return {str(path).removeprefix(f"{scene.data}/"): path for path in [*found, *reads.get(PHOTOS, [])]}


def inputs_of(reads: Files, makes: Files) -> dict[str, Path]:
    """The results that a job reads, by their path from the folder of the first that it makes."""
    own = flat(makes)[0].parent
    return {os.path.relpath(path, own): path for path in flat(given(reads))}


def outdated(job: Job, scene: Scene, results: Results) -> str:
    """Why what a job has made is not what it would make now; "" where it is, or nothing says what it was made from."""
    makes = job.makes(results)
    found = certificate.read_certificate(flat(makes)[0])
    if found is None or "stage" not in found:
        return ""
    reads = job.reads(results, scene)
    return (
        _otherwise(found, STAGE_VERSIONS[job.stage.version], plain(job.stage.settings(scene, **job.wildcards)))
        or _other_sources(found["sources"], scene, sources_of(scene, reads), flat(makes))
        or _other_inputs(found["inputs"], inputs_of(reads, makes))
    )


def _otherwise(found: Mapping[str, Any], version: int, settings: Mapping[str, Any]) -> str:
    if found["version"] != version:
        return f"made by version {found['version']} of its stage, now {version}"
    before, now = flattened(found["settings"]), flattened(settings)
    other = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if not other:
        return ""
    told = ", ".join(f"{key} {json.dumps(before.get(key))}, now {json.dumps(now.get(key))}" for key in other[:3])
    return f"made with other settings ({told}{f', and {len(other) - 3} more' if len(other) > 3 else ''})"


def _other_sources(known: Mapping[str, Any], scene: Scene, sources: Mapping[str, Path], makes: Iterable[Path]) -> str:
    if not scene.data.exists():  # results alone, on a machine that trains
        return ""
    if other := _names(known, sources):
        return f"made from other files ({other})"
    looked = {scene.cameras[name]: (seen.bytes, seen.dates) for name, seen in scene.frame_folders.items()}
    looked |= {scene.photos[stem]: facts for stem, facts in scene.photo_facts.items()}
    copied = {}  # the same bytes under another date
    for name, path in sources.items():
        now = looked.get(str(path)) or certificate.facts(path)
        if now is None or not certificate.unchanged(path, known[name], now):
            return f"made from another {path}"
        if now[1] != known[name]["date"]:
            copied[name] = now[1]
    for path in makes if copied else ():
        found = certificate.read_certificate(path)
        if found and found.get("sources") == known:
            certificate.date_anew(path, "sources", copied)
    return ""


def _other_inputs(known: Mapping[str, str], inputs: Mapping[str, Path]) -> str:
    if other := _names(known, inputs):
        return f"made from other results ({other})"
    for name, path in inputs.items():
        # What is not there is about to be made.
        if known[name] and path.exists() and certificate.identity(path) != known[name]:
            return f"made from another {path}"
    return ""


def _names(known: Mapping[str, Any], now: Mapping[str, Path]) -> str:
    """What is in one of them alone."""
    found = [*(f"without {name}" for name in now if name not in known), *(f"{n} too" for n in known if n not in now)]
    return found[0] if found else ""


def flattened(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flattened(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON has them."""
    return json.loads(json.dumps(values))


def roles(scene: Scene) -> dict[str, Any]:
    """All of a scene but its settings, as plain values."""
    found = {field.name: getattr(scene, field.name) for field in fields(scene) if field.name != "options"}
    return {**found, "data": str(scene.data)}
