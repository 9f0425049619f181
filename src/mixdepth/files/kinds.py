"""Kinds of files, by their suffixes: videos and images that are read, and images that are not, with what converts them.

Standard library only: the Snakefile asks at every start, before any heavy package is needed.
"""

import os
import re
import shlex
import stat
import unicodedata
import zlib
from collections.abc import Collection, Iterable
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from mixdepth.errors import CaptureError

# QuickTime; Matroska; AVI; MPEG transport and program streams; MXF, ASF, Flash; raw.
_CONTAINERS = (
    "mp4 m4v mp4v mov qt 3gp 3g2 mkv webm avi divx ts mts m2ts m2t trp tod mpg mpeg mpe m2v vob mod mxf wmv asf flv "
    "f4v y4m h264 264 avc h265 265 hevc"
)
VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _CONTAINERS.split())
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"})

# Kinds of images that are not read -> commands that convert one, or all of a folder.
_HEIF = (
    "heif-convert {name} {converted}",
    "sips -s format jpeg {name} --out {converted}",
    "magick mogrify -format jpg *{suffix}",
)
_RAW = ("darktable-cli {name} {converted}", *_HEIF[1:])
_OTHER = ("magick mogrify -format png *{suffix}",)
_RAW_KINDS = (
    "dng cr2 cr3 crw nef nrw arw srf sr2 raf orf rw2 rwl pef srw gpr 3fr fff iiq mos mef erf kdc dcr mrw x3f raw"
)
_OTHER_KINDS = "tif tiff webp bmp avif jp2 j2k jxl exr hdr ppm pgm pnm gif psd tga"
CONVERSIONS = {
    **dict.fromkeys((".heic", ".heif", ".hif"), _HEIF),
    **{f".{kind}": _RAW for kind in _RAW_KINDS.split()},
    **{f".{kind}": _OTHER for kind in _OTHER_KINDS.split()},
}
# What other files beside videos and pictures are.
_OTHERS = {
    "a camera's small copy of a video": "lrv lrf glv",
    "a small preview picture": "thm",
    "subtitles": "srt vtt ass ssa sub",
    "sound": "wav mp3 aac m4a flac ogg opus",
    "video of a lens all around, which is not read": "360 insv insp",
}
_KNOWN = {f".{suffix}": what for what, suffixes in _OTHERS.items() for suffix in suffixes.split()}

# Words in the names of files that tell something of a picture, of pictures, and of suffixes that became part of a name.
_MASK = re.compile(
    "masks?|fgmask|mattes?|matting|alpha|pha|trimap|foreground|fg|silhouettes?|seg|segmentation|semantics?|instances?"
    "|labels?|depths?|disparity|normals?|flow|confidence"
)
_PICTURE = re.compile("rgb|image|img|frame|colou?r|dynamic")
_SUFFIX = re.compile("png|jpe?g")
_ODD = re.compile(f"{_MASK.pattern}|{_SUFFIX.pattern}")
_ONLY_MASKS = re.compile("masks?|mattes?|depths?|segmentation")


def images_in(folder: Path, exclude: Collection[str] = ()) -> list[Path]:
    """The images of a folder by name, without the hidden ones, those whose stem is in ``exclude``, and masks.

    Raises:
        UserError: one is of a kind that is not read (HEIC, camera raw, ...), unless it lies there converted as well.
    """
    paths = [path for path in visible(folder) if path.stem not in exclude]
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    masks = masks_among(path.stem for path in paths if path.suffix.lower() in IMAGE_SUFFIXES | CONVERSIONS.keys())
    stems = {path.stem for path in images} | masks.keys()
    for path in paths:
        if path.stem not in stems:
            refuse_unread_kind(path)
    return [path for path in images if path.stem not in masks]


def masks_among(names: Iterable[str]) -> dict[str, str]:
    """Names of what tells something of a picture (masks, depth, ...) -> that of the picture that lies beside it.

    ``0000_mask``, ``mask_0000``, ``0000_mask_1`` and ``0000.png`` belong to ``0000``, ``depth_0000`` to ``rgb_0000``.
    """
    names = list(names)
    if not any(_ODD.search(name.lower()) for name in names):
        return {}
    words = {name: re.findall(r"[^\W\d_]+|\d+", name.lower()) for name in names}
    odd = {name: [i for i, word in enumerate(found) if _odd(word, i)] for name, found in words.items()}
    pictures = {_meant(found): name for name, found in words.items() if not odd[name]}
    masks = {}
    for name, places in odd.items():
        if places:
            found, before = words[name], words[name][: places[-1]]
            # Of several masks of one picture, which: mask_1.
            numbered = all(map(str.isdecimal, found[places[-1] + 1 :]))
            masks[name] = pictures.get(_meant(found)) or (numbered and pictures.get(_meant(before))) or ""
    return {name: picture for name, picture in masks.items() if picture}


def _odd(word: str, place: int) -> bool:
    return bool(_MASK.fullmatch(word) or (place and _SUFFIX.fullmatch(word)))


def _meant(words: Iterable[str]) -> tuple[str, ...]:
    """What a name says beyond the kind of picture; numbers without zeros in front."""
    kept = (word for word in words if not any(kind.fullmatch(word) for kind in (_MASK, _PICTURE, _SUFFIX)))
    return tuple(word.lstrip("0") or "0" if word.isdecimal() else word for word in kept)


def holds_masks_only(folder: Path) -> bool:
    """Whether a folder is called so (``masks``, ``depth``)."""
    return bool(_ONLY_MASKS.fullmatch(folder.name.lower()))


def what_else(path: Path) -> str:
    """What a file is that is neither a video nor a picture."""
    return _KNOWN.get(path.suffix.lower(), "no video and no picture by its name")


def composed(name: str) -> str:
    """``name`` with each letter and its accents as one character (NFC): macOS has them apart."""
    return unicodedata.normalize("NFC", name)


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


def refuse_irregular(path: Path) -> None:
    """Refuse what would hang or never end when it is read: a pipe, a device, a socket. What is missing passes.

    Raises:
        CaptureError: it is such a thing.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # who reads it says so
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a named pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise CaptureError(f"{path}: {kind}, expected a file. Put the file itself there, or remove it.")


def visible(folder: Path) -> list[Path]:
    """What is in a folder by name, without what is hidden; nothing where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name[0] != "."), key=attrgetter("name"))


def odd_in(folder: Path) -> list[Path]:
    """What in a folder is neither a file nor a folder (links, pipes, ...), without a look at each; hidden things do not
    count."""
    try:
        with os.scandir(folder) as entries:
            return [
                folder / entry.name
                for entry in entries
                if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False))
                and entry.name[0] != "."
            ]
    except OSError:  # who looks into it says so
        return []


class Glance(NamedTuple):
    """The images of a folder at a glance."""

    last: Path  # the one that was changed last
    names: str  # their number, and a checksum of their names
    bytes: int  # of all of them
    dates: int  # a checksum of their dates, in nanoseconds


def glance(folder: Path) -> Glance | None:
    """A look at each image of a folder, and no list of them; None where there is none."""
    last, count, names, size, dates = (0, ""), 0, 0, 0, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] != "." and f".{name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES:
                facts = entry.stat()
                last = max(last, (facts.st_mtime_ns, name))
                # Sums, whatever the order in which the folder has them.
                key = zlib.crc32(name.encode(errors="surrogateescape"))
                count, names, size = count + 1, names + key, size + facts.st_size
                dates = (dates + facts.st_mtime_ns * (2 * key + 1)) % (1 << 63)
    return Glance(folder / last[1], f"{count} {names:x}", size, dates) if count else None
