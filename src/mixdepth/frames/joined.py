"""Videos that were joined with `cat` in containers that do not bear it: players and ffmpeg end with the first part."""

import os
from collections.abc import Iterator
from pathlib import Path

from mixdepth.errors import CaptureError
from mixdepth.scene.capture import how_to_join

BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # that a file may begin with (ISO/IEC 14496-12)
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # header object (Advanced Systems Format, 10.1)
MXF = bytes.fromhex("060e2b34020501010d0102010102")  # header partition pack (SMPTE ST 377-1, 7)
FLV, TAGS = b"FLV\x01", (8, 9, 18)  # header, and kinds of tags (Adobe Flash Video File Format 10.1, E.2 and E.4)


def refuse_joined(path: Path, last: int) -> None:
    """Refuse a file in which another one begins that is not read.

    Args:
        last: where its last packet begins, of those that are shown.

    Raises:
        CaptureError: with how to join videos.
    """
    with path.open("rb", buffering=0) as file:
        if _is_joined(file.fileno(), last):
            raise CaptureError(
                f"{path}: a second video begins amid it, which cannot be read: files of this kind cannot be joined byte"
                f" by byte. Join the parts with ffmpeg ({how_to_join(path.parent)})."
            )


def _is_joined(file: int, last: int) -> bool:
    begin = os.pread(file, 16, 0)
    if begin[4:8] in BOXES:
        boxes = list(_boxes(file))
        # A second moov may be a copy of the first, or begin a segment of the same stream.
        beyond = max((at for name, at in boxes if name == b"mdat"), default=0) > last
        return beyond and [name for name, _ in boxes].count(b"moov") > 1
    for header, walk in ((FLV, _tags), (ASF, _objects), (MXF, _triplets)):
        if begin.startswith(header):
            return sum(element.startswith(header) for element in walk(file)) > 1
    return False


def _boxes(file: int) -> Iterator[tuple[bytes, int]]:
    """The outermost boxes of an MP4 or QuickTime file: type, and where it begins."""
    at = 0
    while len(head := os.pread(file, 16, at)) >= 8:
        yield head[4:8], at
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:], "big") if size == 1 else size
        if size < 8:  # up to the end, or no box
            return
        at += size


def _tags(file: int) -> Iterator[bytes]:
    """The beginnings of the tags of a Flash video and of its headers."""
    at = 0
    while len(head := os.pread(file, 16, at)) >= 9:
        header = head.startswith(FLV)
        if not header and head[0] & 0x1F not in TAGS:
            return
        yield head
        # The size of the tag before follows each.
        at += 4 + (int.from_bytes(head[5:9], "big") if header else 11 + int.from_bytes(head[1:4], "big"))


def _objects(file: int) -> Iterator[bytes]:
    """The beginnings of the outermost objects of an ASF file (wmv)."""
    at = 0
    while len(head := os.pread(file, 24, at)) == 24:
        yield head
        if (size := int.from_bytes(head[16:], "little")) < 24:  # of a broadcast: not known
            return
        at += size


def _triplets(file: int) -> Iterator[bytes]:
    """The keys of an MXF file (key, length, value: SMPTE ST 336)."""
    at = 0
    while len(head := os.pread(file, 25, at)) >= 17 and head.startswith(MXF[:4]):
        yield head
        more = head[16] & 0x7F if head[16] & 0x80 else 0  # bytes of a long length
        at += 17 + more + (int.from_bytes(head[17 : 17 + more], "big") if more else head[16])
