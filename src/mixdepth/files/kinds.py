"""Kinds of files, by their suffixes: videos and images that are read, and images that are not, with what converts them.

Standard library only: the Snakefile asks at every start, before any heavy package is needed.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from mixdepth.errors import CaptureError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mts", ".m2ts", ".mpg", ".3gp", ".mxf"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})

# Kinds of images that are not read -> commands that convert one, or all of a folder.
_HEIF = (
    "heif-convert {name} {converted}",
    "sips -s format jpeg {name} --out {converted}",
    "magick mogrify -format jpg *{suffix}",
)
_RAW = ("darktable-cli {name} {converted}", *_HEIF[1:])
_OTHER = ("magick mogrify -format png *{suffix}",)
CONVERSIONS = {
    **dict.fromkeys((".heic", ".heif", ".hif"), _HEIF),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"), _RAW),
    **dict.fromkeys((".tif", ".tiff", ".webp", ".bmp", ".avif", ".jp2", ".jxl", ".exr"), _OTHER),
}


def images_in(folder: Path, exclude: Sequence[str] = ()) -> list[Path]:
    """The images of a folder by name, without the hidden ones and those whose stem is in ``exclude``.

    Raises:
        UserError: one is of a kind that is not read (HEIC, camera raw, ...), unless it lies there converted as well.
    """
    paths = [path for path in visible(folder) if path.stem not in set(exclude)]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    stems = {path.stem for path in images}
    for path in paths:
        if path.stem not in stems:
            refuse_unread_kind(path)
    return images


def refuse_unread_kind(path: Path, kind: str | None = None) -> None:
    """Raise the :class:`UserError` for an image of a kind that is not read, with commands that convert it.

    Args:
        path: the image.
        kind: the suffix that its content should have; None where the name tells.
    """
    path = Path(path)
    suffix = kind or path.suffix
    if suffix.lower() not in CONVERSIONS:
        return
    names = {"name": shlex.quote(path.stem + suffix), "converted": shlex.quote(f"{path.stem}.jpg"), "suffix": suffix}
    commands = ", ".join(f"`{command.format(**names)}`" for command in CONVERSIONS[suffix.lower()])
    renamed = f", which this file holds whatever its name says. Rename it to {names['name']}" if kind else ""
    raise CaptureError(
        f"{path}: images of the kind {suffix} are not read{renamed}. Convert it to JPEG or PNG, in {path.parent} with "
        f"one of: {commands}."
    )


def visible(folder: Path) -> list[Path]:
    """What is in a folder by name, without what is hidden; nothing where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
