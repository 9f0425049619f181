"""Reading and writing files: always whole (temporary name, then rename), never pickle, disk-full said clearly."""

import contextlib
import errno
import json
import math
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mixdepth.errors import UserError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on failure it is removed.

    Raises:
        UserError: no space is left on the device (or the quota is used up) while writing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with disk_errors(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it takes the place of ``path``, on failure it is removed.

    Raises:
        UserError: no space is left on the device (or the quota is used up) while writing.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with disk_errors(path):
            temporary.mkdir(parents=True)
            yield temporary
            shutil.rmtree(path, ignore_errors=True)
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" while writing ``path`` into a :class:`UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"{path}: no space left on the device while writing it. Free some space (`make clean-scene SCENE=...` "
                f"removes one scene's results) and run the same command again; what is finished is kept."
            ) from error
        raise


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as indented JSON, keys in the given order."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: file not found") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None


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
    """Write named arrays, compressed, never as pickle."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file.

    Raises:
        UserError: the file is missing, damaged or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise UserError(f"{path}: file not found") from None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a readable npz file ({error}); delete it and run the same command again"
        ) from None


def link(source: Path, target: Path) -> None:
    """Make ``target`` a relative symbolic link to the file or folder ``source``, in place of what is there.

    Not a hard link: Snakemake sets the times of what a job made, and a hard link shares them with its source.
    """
    source, target = Path(source), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(source, target.parent))
    temporary.replace(target)
