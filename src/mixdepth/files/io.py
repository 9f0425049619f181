"""Reading and writing files: always whole (temporary name, then rename), never pickle, disk-full said clearly."""

import contextlib
import errno
import json
import math
import os
import re
import shutil
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.errors import ConfigurationError, DamagedFile, OutOfRoom, UserError
from mixdepth.files.certificate import certificate_of, process, refuse_changed, withdraw
from mixdepth.files.kinds import refuse_irregular
from mixdepth.files.shapes import Array, mismatch

LARGEST_JSON = 200_000_000  # bytes; Python's objects take twenty times as many: 4 GB
# Bytes that an archive may unpack to; more where it is not packed tighter than any picture or depth is.
LARGEST_UNPACKED, TIGHTEST = 4_000_000_000, 50


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on failure it is removed.

    Raises:
        OutOfRoom: no space is left on the device (or the quota is used up) while writing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{process()}.part{path.suffix}")
    try:
        with disk_errors(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            withdraw(path)  # of what was there before
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it takes the place of ``path``, on failure it is removed.

    Raises:
        OutOfRoom: no space is left on the device (or the quota is used up) while writing.
    """
    path = Path(path)
    temporary, old = (path.with_name(f".{path.name}.{process()}{end}") for end in (".part", "-old.part"))
    try:
        with disk_errors(path):
            temporary.mkdir(parents=True)
            yield temporary
            for inside in [*temporary.rglob("*"), temporary]:
                _sync(inside)
            withdraw(path)
            if path.exists():
                path.replace(old)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    """Have a file or a folder on the disk before what depends on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


HALF = re.compile(r"\.(?P<name>.+)\.(?P<node>[^.]*)-(?P<pid>\d+)(-old)?\.part(?P<suffix>\.[^.]+)?")
FORGOTTEN = 24 * 3600  # seconds after which a half-written file of another machine's process is nobody's


def sweep(path: Path) -> None:
    """Remove what killed processes left half written of ``path``, a file or a folder: nobody else would."""
    sweep_folder(path.parent, {path.name, certificate_of(path).name})


def sweep_folder(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove what killed processes left half written in a folder; with ``names`` of these alone."""
    for left in folder.glob(".*.part*"):
        half = HALF.fullmatch(left.name)
        if half is None or (names is not None and half["name"] + (half["suffix"] or "") not in names):
            continue
        if not _living(half["node"], int(half["pid"]), left):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _living(node: str, pid: int, left: Path) -> bool:
    """Whether a process may still be writing ``left``; of another machine's, whether it has done so for a day."""
    if node != process().rpartition("-")[0]:
        return time.time() - left.stat().st_mtime < FORGOTTEN
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid != os.getpid()  # of this number there was another: a container counts from 1 again


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" while writing ``path`` into an :class:`OutOfRoom`, and what this user
    may not write or read into a :class:`ConfigurationError`."""
    try:
        yield
    except OSError as error:
        # tempfile looks for a folder that it can write to; on one full disk there is none.
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No usable temporary directory" in str(error):
            name = re.sub(r"(^|/)\.([^/]+)\.[^./]+\.part/", r"\1\2/", str(path))  # what is to be of a temporary folder
            raise OutOfRoom(
                f"{name}: no space left on the device while writing it. Free some space (`make clean-scene SCENE=...` "
                f"removes one scene's results) and run the same command again; what is finished is kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ConfigurationError(
                f"{error.filename or path}: {error.strerror}. Run it as the user whose results these are, on a disk"
                " that may be written; or as another one in a folder of your own."
            ) from error
        raise


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, keys in the given order."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


@contextlib.contextmanager
def reading(path: Path, kind: str, mend: str = "Delete it and run the same command again.") -> Iterator[None]:
    """Turn whatever a library raises about the file ``path`` into a :class:`DamagedFile`, or :class:`OutOfRoom`.

    For calls of libraries alone. Of a damaged file they raise nearly anything: NumPy hands headers to Python's own
    parser, archives fail in zlib, struct or zipfile, and a length that is wrong ends in MemoryError.
    """
    refuse_irregular(path)
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise DamagedFile(f"{path}: file not found") from None
    except PermissionError as error:
        raise DamagedFile(f"{path}: cannot be read ({error.strerror}). Let this user read it.") from None
    except MemoryError as error:
        raise OutOfRoom(
            f"{path}: cannot be read as {kind}: that takes more memory than there is, or it is damaged. {mend}"
        ) from error
    except Exception as error:
        raise DamagedFile(f"{path}: cannot be read as {kind}, it is damaged ({error!s:.300}). {mend}") from None


def refuse_damaged(path: Path, mend: str = "Delete it and run the same command again.") -> None:
    """Refuse a result that is not as it was written.

    Raises:
        DamagedFile: with ``mend``, what to do.
    """
    with reading(path, "the result that was written", mend):
        refuse_changed(path)


def read_json(path: Path, shape: object = None, encoding: str = "utf-8") -> dict:
    """Read a JSON object.

    Args:
        shape: what must be in it, see :func:`mixdepth.files.shapes.mismatch`; None where the caller looks itself.
        encoding: "utf-8-sig" of files from outside, which may begin with a byte order mark.

    Raises:
        DamagedFile: the file is missing, not JSON, has a key twice, or is not of that shape.
    """
    with reading(path, "JSON", "Correct it; or delete it and run the same command again, if that wrote it."):
        if (size := Path(path).stat().st_size) > LARGEST_JSON:
            raise ValueError(f"it has {size / 1e6:.0f} MB, expected at most {LARGEST_JSON // 10**6}")
        refuse_changed(Path(path))
        value = json.loads(Path(path).read_text(encoding=encoding), object_pairs_hook=_no_key_twice)
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, expected an object")
        if shape is not None and (wrong := mismatch(value, shape)):
            raise ValueError(wrong)
    return value


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f'the key "{next(key for key in keys if keys.count(key) > 1)}" is there twice')
    return found


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write one array, never as pickle."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


@contextlib.contextmanager
def new_npy(path: Path, shape: tuple[int, ...], dtype: type) -> Iterator[np.ndarray]:
    """An array to fill in, which is the file ``path`` when the block is left; memory holds none of it.

    Its space is taken first: a map that cannot be written on a full disk ends the process with SIGBUS and no error.
    """
    with atomic(path) as temporary:
        with temporary.open("wb") as file:
            descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
            np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
            os.posix_fallocate(file.fileno(), 0, file.tell() + math.prod(shape) * np.dtype(dtype).itemsize)
        array = np.lib.format.open_memmap(temporary, "r+")
        yield array
        array.flush()


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays, compressed, never as pickle: as np.savez_compressed, whose arguments no name can be."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_npy(path: Path, mend: str = "Delete it and run the same command again.") -> np.memmap:
    """One array as a read-only memory map, so that a header that lies costs no memory.

    Raises:
        DamagedFile: the file is missing, damaged, shorter than its header says, or holds pickled objects.
    """
    with reading(path, "a NumPy array", mend):
        refuse_changed(Path(path))
        return np.lib.format.open_memmap(path, "r")


def read_npz(path: Path, **shapes: tuple) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file; its checksums are checked.

    Args:
        shapes: by name of an array that must be there, the arguments of its :class:`Array`:
            ``uv=("f", "N", 2), z=("f", "N")``.

    Raises:
        DamagedFile: the file is missing, damaged, holds pickled objects, or an array is not as ``shapes`` says or not
            finite.
    """
    with reading(path, "npz file"):
        refuse_changed(Path(path))
        with np.load(path, allow_pickle=False) as file:
            refuse_bomb(path, file.zip)
            # By the names of its members: "a" and "a.npy" are two.
            arrays = {name.removesuffix(".npy"): file[name] for name in file.zip.namelist()}
        if others := [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{others[0]} is no array")
        if wrong := mismatch(arrays, {key: Array(kind, *shape) for key, (kind, *shape) in shapes.items()}):
            raise ValueError(wrong)
    return arrays


def refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that unpacks to far more than it should, by its headers: unpacking stops where they say.

    Raises:
        DamagedFile: it does.
    """
    size, packed = sum(part.file_size for part in archive.infolist()), Path(path).stat().st_size
    if size > max(LARGEST_UNPACKED, TIGHTEST * packed):
        raise DamagedFile(
            f"{path}: {packed / 1e6:.0f} MB that unpack to {size / 1e9:.1f} GB, expected at most"
            f" {LARGEST_UNPACKED // 10**9} GB (or {TIGHTEST} times its size). Remove it, or have it made anew."
        )
