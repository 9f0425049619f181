"""What a scene's results were made from and what they are, by SHA-256: the part of provenance.json that can be made
again later and compared (:mod:`mixdepth.record.reproduction`)."""

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.errors import DamagedFile
from mixdepth.files.io import check_checksum, reading
from mixdepth.files.kinds import IMAGE_SUFFIXES, visible
from mixdepth.scene.scene import Scene
from mixdepth.workflow import stages

THREADS = 2  # hashing leaves Python's lock; more would wait for the disk
# What a scene decides from its settings and its files together.
ROLES = (
    *("train_cameras", "test_cameras", "train_photos", "test_photos", "variants"),
    *("video_variant", "video_camera", "viewer_cameras"),
)


def hashes(files: Mapping[str, Path]) -> dict[str, dict[str, Any] | None]:
    """``{bytes, sha256}`` of each file, read as a stream; None for one that is not there.

    Raises:
        UserError: a file may not be read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(files, pool.map(_hash, files.values()), strict=True))


def _hash(path: Path) -> dict[str, Any] | None:
    try:
        if not path.is_file():  # nor a device, that a record of somebody else's may name
            return None
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"bytes": file.tell(), "sha256": digest}
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise DamagedFile(f"{path}: cannot be read ({error.strerror})") from None


def refuse_damaged(path: Path, mend: str = "Delete it and run the same command again.") -> None:
    """Refuse a result that is not as it was written, by its checksum or an npz file's own. One without either passes.

    Raises:
        UserError: with ``mend``, what to do.
    """
    with reading(path, "the result that was written", mend):
        check_checksum(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                if broken := file.zip.testzip():
                    raise ValueError(f"{broken} in it")


def input_files(scene: Scene) -> dict[str, Path]:
    """Every file from outside that models and scores depend on, by its path below the scene's ``data`` where it
    is there: videos (or the images of a folder), photos, poses, known lenses, the truth, LPIPS weights."""
    videos = [Path(scene.cameras[camera]) for camera in scene.used_cameras]
    found = [file for path in videos for file in (_images(path) if path.is_dir() else [path])]
    found += stages.photo_files(scene, sorted({*scene.train_photos, *scene.test_photos}))
    # Known lenses are for COLMAP alone.
    found += stages.given_poses(scene) if scene.poses_given else filter(None, [scene.intrinsics_path])
    found += [Path(path) for path in (scene.truth, *scene.config.lpips.as_mapping().values()) if path]
    data = scene.data
    return {str(file.relative_to(data) if file.is_relative_to(data) else file): file for file in found}


def _images(folder: Path) -> list[Path]:
    return [file for file in visible(folder) if file.suffix.lower() in IMAGE_SUFFIXES]


def output_files(folder: Path, outputs: Iterable[str | Path]) -> dict[str, Path]:
    """The files of a scene's ``outputs`` (files, or folders with all that is in them), by their path from ``folder``,
    in the order given: what a derived scene shares lies beside it. Hidden files, as checksums, are left out."""
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
