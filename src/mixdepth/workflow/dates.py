"""Dates of files, by which Snakemake tells what has to be made anew: none may lie in the future.

Snakemake fails a stage whose output is older than its input, and takes results of a clock that was ahead for newer than
anything changed since.
"""

import os
import shlex
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mixdepth.errors import CaptureError, DamagedFile

AHEAD = 15 * 60  # seconds that the clock of a file server may be ahead


def check_dates(inputs: Iterable[Path], results: Path) -> None:
    """Refuse files from the future.

    Args:
        inputs: files, or folders of files, of a capture.
        results: the scene's folder of results; it need not exist.

    Raises:
        UserError: a file is dated more than 15 minutes ahead; how to give it today's date.
    """
    if late := _late(inputs):
        files = " ".join(shlex.quote(str(path)) for path in sorted(late)[:20])
        raise CaptureError(f"{_told(late)}. If the camera's clock was wrong: touch {files}")
    if late := _late([results]):
        command = f"find {shlex.quote(str(results))} -newermt now -exec touch -d now {{}} +"
        raise DamagedFile(f"{_told(late)}: it was made while the clock was ahead. Once the clock is right: {command}")


def _late(paths: Iterable[Path]) -> dict[Path, float]:
    """Files from the future, with their dates."""
    limit, found = time.time() + AHEAD, {}
    for path in paths:
        for file, status in _files(path):
            if status.st_mtime > limit:
                found[Path(file)] = status.st_mtime
    return found


def _files(path: Path) -> Iterable[tuple[str | Path, os.stat_result]]:
    """A file, or those of a folder; nothing where there is neither."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return _inside(path) if stat.S_ISDIR(status.st_mode) else [(path, status)]


def _inside(folder: Path | str) -> Iterator[tuple[str, os.stat_result]]:
    """The files of a folder and of those in it, each looked at once."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _inside(entry.path)
            elif entry.is_file():
                yield entry.path, entry.stat()


def _told(late: dict[Path, float]) -> str:
    path, date = min(late.items())
    others = f" (and {len(late) - 1} more)" if len(late) > 1 else ""
    return f"{path}{others} is dated {time.strftime('%Y-%m-%d %H:%M', time.localtime(date))}, in the future"
