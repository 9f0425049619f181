"""Certificates: what each result is, and what it was made from. Standard library only.

Beside a file ``name``, or a folder, lies ``.name.made.json``. It is written when all that a job makes is there, and has

- ``files``: of the file (named ""), or of every file of the folder, its ``bytes``, ``sha256`` and ``date``;
- ``sources``: of every file of the capture that the job read, or of a folder of images, the same;
- ``inputs``: of every result that it read, the SHA-256;
- ``stage``, ``version``, ``settings``, ``roles``: by which stage, with which of its settings, for which cameras.

Who reads a result asks :func:`refuse_changed`; :mod:`mixdepth.workflow.made` compares it with what is planned.
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mixdepth.files.kinds import IMAGE_SUFFIXES, glance, refuse_irregular, visible

MADE = {
    "stage": str,
    "version": int,
    "mixdepth": str,
    **dict.fromkeys(("settings", "roles", "sources", "inputs"), dict),
}
ENTRY = {"bytes": int, "sha256": str, "date": int}  # what is known of a file
LARGEST = 200_000_000  # bytes of a certificate: a received one may be anything
SMALL = 16 * 1024 * 1024  # bytes of a file that is read each time it is checked; of larger ones the date says enough
DEPTH = 3  # folders above a file in which a certificate of a folder is looked for


def certificate_of(path: Path) -> Path:
    """Where the certificate of a file or a folder lies."""
    return path.with_name(f".{path.name}.made.json")


def read_certificate(path: Path) -> dict[str, Any] | None:
    """The certificate of a file or folder; None where there is none, or none that can be read."""
    file = certificate_of(path)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return None
        return _parsed(str(file), status.st_mtime_ns)
    except (OSError, ValueError, AttributeError):
        return None


@functools.lru_cache(maxsize=4096)
def _parsed(path: str, date: int) -> dict[str, Any]:
    found = json.loads(Path(path).read_bytes())
    parts = {"files": {}, **found} if isinstance(found, dict) else {}
    known = [*parts.get("files", {}).values(), *parts.get("sources", {}).values()]
    if not known or not all({key: type(one.get(key)) for key in ENTRY} == ENTRY for one in known):
        raise ValueError(f"{path} is no certificate")
    if "stage" in found and {key: type(found.get(key)) for key in MADE} != MADE:
        raise ValueError(f"{path} is no certificate")
    return found


def entry_of(path: Path) -> tuple[Path, str, dict[str, Any]] | None:
    """Of a file: what has the certificate that it is in, itself or a folder; its name there; and that certificate.
    None of a file without one."""
    for depth, owner in enumerate([path, *path.parents][: DEPTH + 1]):
        found = read_certificate(owner) if owner.name else None
        name = path.relative_to(owner).as_posix() if depth else ""
        if found and name in found["files"]:
            return owner, name, found
    return None


def refuse_changed(path: Path, whole: bool = False) -> None:
    """Refuse a file that is not as its certificate says; one without (the user's own) passes.

    Up to SMALL bytes are read. Of a larger file size and date are compared, and where the date differs (a copy) the
    bytes are read, once: the certificate then gets the new date.

    Args:
        whole: read the bytes whatever the date says.

    Raises:
        ValueError: it was damaged or changed.
    """
    path = path.resolve()  # a link has the certificate of what it leads to
    if (entry := entry_of(path)) is None:
        return
    owner, name, certificate = entry
    known, status = certificate["files"][name], path.stat()
    dated = status.st_mtime_ns == known["date"]
    if status.st_size == known["bytes"] and dated and status.st_size > SMALL and not whole:
        return
    if status.st_size != known["bytes"] or digest(path) != known["sha256"]:
        raise ValueError(f"it is not as it was written; if you changed it on purpose, delete {certificate_of(owner)}")
    if not dated and status.st_size > SMALL:
        date_anew(owner, "files", {name: status.st_mtime_ns})


def is_certified(path: Path) -> bool:
    """Whether a file has a certificate of its own, and is as that says: nobody else has written it since."""
    found = read_certificate(path)
    return found is not None and path.is_file() and found["files"].get("", {}).get("sha256") == digest(path)


def date_anew(owner: Path, section: str, dates: Mapping[str, int]) -> None:
    """Give a certificate the dates of files whose bytes are the same, so that they are not read for it again; in a
    folder that may only be read it stays.

    Args:
        section: "files" or "sources".
    """
    found = json.loads(certificate_of(owner).read_bytes())
    for name, date in dates.items():
        found[section][name]["date"] = date
    try:
        _write(owner, found)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def certify(paths: Iterable[Path], made: Mapping[str, Any]) -> None:
    """Write the certificates of what one job has made.

    Args:
        paths: the files and folders; what is not there gets none.
        made: what they were made from.
    """
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".")
            files = {file.relative_to(path).as_posix(): measured(file) for file in inside}
        elif path.is_file():
            files = {"": measured(path)}
        else:
            continue
        _write(path, {**made, "files": files})


def _write(path: Path, certificate: Mapping[str, Any]) -> None:
    file = certificate_of(path)
    temporary = file.with_name(f".{file.stem}.{process()}.part{file.suffix}")
    try:
        temporary.write_text(json.dumps(certificate, indent=1) + "\n")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def process() -> str:
    """What tells this process from others, in the names of what it has half written."""
    return f"{platform.node().replace('.', '-')}-{os.getpid()}"


def withdraw(path: Path) -> None:
    """Remove the certificate of what is about to be replaced."""
    certificate_of(path).unlink(missing_ok=True)


def identity(path: Path) -> str:
    """The SHA-256 of a result, as its certificate says (who reads it checks that); of a folder, of all its files; "" of
    one that is not there."""
    if path.is_dir():
        found = read_certificate(path)
        inside = found["files"] if found else sorted(p.name for p in path.iterdir() if p.name[0] != ".")
        each = {name: identity(path / name) for name in inside}
        return hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()
    if not path.is_file():
        return ""
    entry = entry_of(path.resolve())
    return entry[2]["files"][entry[1]]["sha256"] if entry else digest(path)


# Digests of files that this process has written or read: by device, inode, size and date, which a rename keeps.
_known: dict[tuple[int, int, int, int], str] = {}


def _key(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def digest(path: Path) -> str:
    """SHA-256 of a file, which this process reads once at most."""
    key = _key(path)
    if key not in _known:
        refuse_irregular(path)
        with path.open("rb") as file:
            _known[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _known[key]


class Hashing:
    """A file that is hashed on the way."""

    def __init__(self, file: BinaryIO):
        self._file, self.sha256, self.tell = file, hashlib.sha256(), file.tell

    def write(self, data: bytes | memoryview) -> int:
        self.sha256.update(data)
        return self._file.write(data)


@contextlib.contextmanager
def hashed(path: Path) -> Iterator[Hashing]:
    """A file to write from its beginning to its end, so that it need not be read again for its digest."""
    with path.open("wb") as file:
        hashing = Hashing(file)
        yield hashing
    _known[_key(path)] = hashing.sha256.hexdigest()


# Files of the capture: videos, folders of images, photos, poses.


def facts(path: Path) -> tuple[int, int] | None:
    """Bytes and date of a file, or of all images of a folder together (a checksum of their dates); None where there is
    none."""
    try:
        if path.is_dir():
            seen = glance(path)
            return seen and (seen.bytes, seen.dates)
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    except OSError:
        return None


def measured(path: Path) -> dict[str, Any] | None:
    """What a certificate says of a file, or of a folder of images (of their names and digests); None where there is
    none."""
    if (found := facts(path)) is None:
        return None
    return {"bytes": found[0], "sha256": _contents(path), "date": found[1]}


def unchanged(path: Path, known: Mapping[str, Any], now: tuple[int, int]) -> bool:
    """Whether a file of the capture is the one that a certificate knows: by size and date, where the date differs by
    its bytes.

    Args:
        now: its :func:`facts`.
    """
    return now[0] == known["bytes"] and (now[1] == known["date"] or _contents(path) == known["sha256"])


def _contents(path: Path) -> str:
    if not path.is_dir():
        return digest(path)
    lines = hashlib.sha256()
    for image in visible(path):
        if image.suffix.lower() in IMAGE_SUFFIXES:
            lines.update(f"{image.name} {digest(image)}\n".encode(errors="surrogateescape"))
    return lines.hexdigest()
