"""A stage ends where the Snakemake that started it was killed."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

LOOK_EVERY = 1.0  # seconds between two looks whether Snakemake is still there


@contextlib.contextmanager
def ends_with_snakemake() -> Iterator[None]:
    """Send this process SIGTERM if a Snakemake above it is killed: the next run would start the same job beside it.

    A process whose parent has ended gets another one, and this is what is looked for. Needs /proc, so Linux.
    """
    watched = dict(_children_of_snakemake(os.getpid()))
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_EVERY):
            if any(_parent(child) != parent for child, parent in watched.items()):
                print("mixdepth: the Snakemake that started this has ended, so it ends too", file=sys.stderr)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _children_of_snakemake(process: int) -> Iterator[tuple[int, int]]:
    """A process and those above it whose parent is Snakemake itself, with that; a shell between them may end first."""
    while parent := _parent(process):
        with contextlib.suppress(OSError):
            python, *arguments = map(os.fsdecode, Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0"))
            if Path(python).name.startswith("python") and "snakemake" in {Path(part).name for part in arguments}:
                yield process, parent
        process = parent


def _parent(process: int) -> int | None:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return None
