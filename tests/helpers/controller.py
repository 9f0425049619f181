"""Snakemake as the controller of a cluster's jobs: started, waited for, disturbed."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from helpers.workflow import surroundings

# Snakemake, which asks every second whether a job has ended: executors wait ten seconds, and longer each time.
IMPATIENT = """
import asyncio
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.sleep = lambda executor: asyncio.sleep(1)
main()
"""


@contextlib.contextmanager
def started(folder: Path, command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen]:
    """A ``command`` that runs in ``folder``; what it says goes to told.txt there."""
    with (folder / "told.txt").open("a") as told:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**surroundings(folder), **environment},
            stdout=told,
            stderr=told,
            # A shell's background jobs, and pytest under some, ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            yield process
        finally:
            process.kill()


def finishes(process: subprocess.Popen, folder: Path) -> None:
    assert process.wait(timeout=600) == 0, (folder / "told.txt").read_text()


def newest(run: Path) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    return max((int(path.name.split("-")[1].split(".")[0]) for path in run.glob("step-*.safetensors")), default=0)


def trains(run: Path) -> bool:
    """Whether a training has got somewhere."""
    return any(file.stat().st_size > 500 for file in run.glob("tensorboard/events*"))


def wait(true: Callable[[], object], process: subprocess.Popen) -> None:
    """Until something is true, of a Snakemake that runs."""

    def running() -> object:
        assert process.poll() is None, "Snakemake ended too early"
        return true()

    until(running)


def until(true: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.2)
