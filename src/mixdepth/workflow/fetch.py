"""One file of a capture from a store, for workflow/storage.smk: no original is replaced. Standard library only.

    python -m mixdepth.workflow.fetch COPY DATA NAME

puts a COPY of what is in the store to DATA/NAME. What was fetched is known by its size and date, which are in
DATA/.fetched/NAME: whatever else lies in its place is the user's.
"""

import filecmp
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mixdepth.errors import CaptureError, DamagedFile, OutOfRoom, UserError


def main(arguments: Sequence[str]) -> int:
    """Fetch one file; what is wrong is told in one line."""
    copy, data, name = arguments
    try:
        fetch(Path(copy), Path(data), name)
    except UserError as error:
        print(f"mixdepth: error in rule fetch_file: {error}", file=sys.stderr)
        return 1
    return 0


def fetch(copy: Path, data: Path, name: str) -> None:
    """Put ``copy`` to ``data``/``name``, where nothing lies but what was fetched before.

    It is written beside its place, and takes it when it is whole; until then what was fetched before stays. An original
    of the same content stays too.

    Raises:
        UserError: another file lies there, or the copy cannot be written whole.
    """
    target, record = data / name, data / ".fetched" / name
    if os.path.lexists(target) and not is_fetched(target, record):
        if target.is_file() and filecmp.cmp(copy, target, shallow=False):
            return
        raise CaptureError(
            f"{target}: not from the store, or changed since, and nothing of yours is replaced. Move it elsewhere, or"
            " fetch into another folder (`data=<folder>` behind --config)"
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        for path in (part, record):
            path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copy, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        if (found := part.stat().st_size) != (expected := copy.stat().st_size):
            raise DamagedFile(f"{target}: {found} bytes were written, expected {expected}; fetch it again")
        # Whenever this is killed, what is there is known to be fetched.
        target.unlink(missing_ok=True)
        record.write_text(identity(part))
        part.rename(target)
    except OSError as error:
        raise OutOfRoom(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def is_fetched(target: Path, record: Path) -> bool:
    """Whether ``target`` is as it was fetched."""
    return not target.is_symlink() and record.is_file() and record.read_text() == identity(target)


def identity(path: Path) -> str:
    """Size, bytes, and date, ns, of a file."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
