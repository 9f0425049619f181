"""What a capture consists of: which file or folder is which camera, which photos there are.

Standard library only: the Snakefile asks at every start, before any heavy package is needed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mixdepth.errors import UserError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


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
        UserError: two entries are the same camera.
    """
    data = Path(data)
    if isinstance(cameras, Mapping):
        return _unique([(camera_name(name), data / value) for name, value in cameras.items()], "camera")
    entries = [(_entry_name(path), path) for path in _visible(data / folder)]
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
        UserError: two photos have the same stem.
    """
    parent = Path(data) / folder
    paths = _visible(parent) if files is None else [parent / name for name in files]
    photos = [(path.stem, path) for path in paths if files is not None or _is_image(path)]
    return _unique([(stem, path) for stem, path in photos if stem not in set(exclude)], "photo")


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _is_camera(path: Path) -> bool:
    if path.is_dir():
        return any(map(_is_image, path.iterdir()))
    return path.suffix.lower() in VIDEO_SUFFIXES


def _entry_name(path: Path) -> str:
    return camera_name(path.name if path.is_dir() else path.stem)


def _unique(pairs: Iterable[tuple[str, Path]], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, path in pairs:
        if name in found:
            raise UserError(f"{found[name]} and {path} are both {kind} {name}. Rename or remove one of them.")
        found[name] = str(path)
    return dict(sorted(found.items()))
