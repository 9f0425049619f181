"""What a scene's results were made from and what they are, by SHA-256: the part of provenance.json that can be made
again later and compared (:mod:`mixdepth.record.reproduction`)."""

import errno
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mixdepth.errors import DamagedFile
from mixdepth.files.certificate import measured
from mixdepth.scene.scene import Scene
from mixdepth.workflow import stages
from mixdepth.workflow.made import ROLES

THREADS = 2  # hashing leaves Python's lock; more would wait for the disk


def hashes(files: Mapping[str, Path]) -> dict[str, dict[str, Any] | None]:
    """``{bytes, sha256}`` of each file (or folder of images), read as a stream; None for one that is not there.

    Raises:
        UserError: a file may not be read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(files, pool.map(_hash, files.values()), strict=True))


def _hash(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file() and not path.is_dir():  # nor a device, that a record of somebody else's may name
            return None
        return known(measured(path))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise DamagedFile(f"{path}: cannot be read ({error.strerror})") from None


def known(entry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the record has of a certificate's entry."""
    return {"bytes": entry["bytes"], "sha256": entry["sha256"]} if entry else None


def input_files(scene: Scene) -> dict[str, Path]:
    """Every file from outside that models and scores depend on, by its path below the scene's ``data`` where it
    is there: videos (or folders of images), photos, poses, known lenses, the truth, LPIPS weights."""
    found = [Path(scene.cameras[camera]) for camera in scene.used_cameras]
    found += stages.photo_files(scene, sorted({*scene.train_photos, *scene.test_photos}))
    # Known lenses are for COLMAP alone.
    found += stages.given_poses(scene) if scene.poses_given else filter(None, [scene.intrinsics_path])
    found += [Path(path) for path in (scene.truth, *scene.config.lpips.as_mapping().values()) if path]
    data = scene.data
    return {str(file.relative_to(data) if file.is_relative_to(data) else file): file for file in found}


def output_files(folder: Path, outputs: Iterable[str | Path]) -> dict[str, Path]:
    """The files of a scene's ``outputs`` (files, or folders with all that is in them), by their path from ``folder``,
    in the order given: what a derived scene shares lies beside it. Hidden files, as certificates, are left out."""
    files = []
    for path in map(Path, outputs):
        inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".") if path.is_dir() else [path]
        files += inside
    return {os.path.relpath(file, folder): file for file in files}


def configuration(scene: Scene) -> dict[str, Any]:
    """The scene's settings with every default, and who trains and is held out; not where its data lie."""
    values = {**scene.options, **{key: getattr(scene, key) for key in ROLES}}
    values.pop("data", None)
    return json.loads(json.dumps(values))
