"""What a capture consists of: which file or folder is which camera, which photos there are.

Standard library only: the Snakefile asks at every start, before any heavy package is needed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mixdepth.errors import CaptureError
from mixdepth.files.kinds import CONVERSIONS, IMAGE_SUFFIXES, VIDEO_SUFFIXES, images_in, refuse_unread_kind, visible


def camera_name(name: str) -> str:
    """The camera that a file stem, folder or configured name means: ``3`` and ``03`` are ``cam03``, others stay."""
    return f"cam{int(name):02d}" if re.fullmatch("[0-9]+", name) else name


def find_videos(data: Path, folder: str, cameras: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Where the videos of a capture are.

    Args:
        data: folder of the capture; relative paths stay relative.
        folder: folder below ``data`` with one video file or folder of images per camera.
        cameras: names to use (a video that does not exist yet is expected as ``<name>.mp4``), or a map from name to
            file or folder below ``data``, or None for everything in ``folder`` (nothing where there is no such folder).

    Returns:
        camera name -> path, sorted by name.

    Raises:
        UserError: two entries are the same camera, or a name cannot be that of a file.
    """
    data = Path(data)
    if isinstance(cameras, Mapping):
        return _unique([(camera_name(name), data / value) for name, value in cameras.items()], "camera")
    entries = [(camera_name(path.name if path.is_dir() else path.stem), path) for path in visible(data / folder)]
    if cameras is None:
        return _unique([(name, path) for name, path in entries if _is_camera(path)], "camera")
    found = []
    for name in map(camera_name, cameras):
        here = [(name, path) for entry, path in entries if entry == name and (path.is_dir() or _is_camera(path))]
        found += here or [(name, data / folder / f"{name}.mp4")]
    return _unique(found, "camera")


def find_photos(data: Path, folder: str, files: Sequence[str] | None, exclude: Sequence[str]) -> dict[str, str]:
    """Where the still photos of a capture are.

    Args:
        data: folder of the capture; relative paths stay relative.
        folder: folder below ``data`` with the photos.
        files: names to use, with suffix (they need not exist yet), or None for every image in ``folder``.
        exclude: stems that nothing may read; one that does not exist is no mistake.

    Returns:
        stem -> path, sorted by stem.

    Raises:
        UserError: two photos have the same stem, or one is of a kind that is not read (HEIC, camera raw, ...).
    """
    parent = Path(data) / folder
    paths = images_in(parent, exclude) if files is None else [parent / name for name in files]
    photos = [(path.stem, path) for path in paths if path.stem not in set(exclude)]
    for _, path in photos:
        refuse_unread_kind(path)
    return _unique(photos, "photo")


def _is_camera(path: Path) -> bool:
    if path.is_dir():
        # Also images of a kind that is not read: who reads the folder says so.
        kinds = IMAGE_SUFFIXES | CONVERSIONS.keys()
        return any(entry.suffix.lower() in kinds for entry in visible(path))
    return path.suffix.lower() in VIDEO_SUFFIXES


def _unique(pairs: Iterable[tuple[str, Path]], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, path in pairs:
        if not name or name[0] in ".-" or set(name) & set("/{}") or not name.isprintable():
            raise CaptureError(
                f"{path}: {kind} {name!r}: results are named after it, so it must not be empty, hold a slash, a brace"
                " or what cannot be printed, or begin with a dot or a hyphen. Rename it."
            )
        if name in found:
            raise CaptureError(f"{found[name]} and {path} are both {kind} {name}. Rename or remove one of them.")
        found[name] = str(path)
    return dict(sorted(found.items()))
