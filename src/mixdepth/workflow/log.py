"""The log of a stage: all that it prints, also seen live."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mixdepth.workflow.out_of_memory import killed

PATIENCE = 10.0  # seconds that the log waits for a child process that outlives the script


@contextlib.contextmanager
def kept(log: Path, name: str, rule: str) -> Iterator[None]:
    """Send file descriptors 1 and 2, so also those of child processes and C++ libraries, to stderr and to ``log``.

    The copying is done by a process of its own (mixdepth/workflow/copier.py), which also tells if this one is killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    before = os.dup(1), os.dup(2)
    ended, end = os.pipe()
    copier = _copier(log, ended, before[1], killed(name, rule, sure=False), killed(name, rule, sure=True))
    os.close(ended)
    assert copier.stdin is not None  # a pipe
    for number in (1, 2):
        os.dup2(copier.stdin.fileno(), number)
    copier.stdin.close()
    try:
        yield
    finally:
        _flush()
        for number, saved in zip((1, 2), before, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        with contextlib.suppress(BrokenPipeError):  # the copier was killed itself
            os.write(end, b".")
        os.close(end)
        # A child process that outlives the script keeps the pipe open; it must not keep the workflow waiting.
        try:
            copier.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            copier.kill()
            copier.wait()


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _copier(log: Path, ended: int, shown: int, *messages: str) -> subprocess.Popen[bytes]:
    """Start the process that copies what it is sent to ``shown`` and ``log``.

    SLURM signals every process of a job, a terminal every one in front. It is deaf to that: a training whose progress
    nobody reads would end without its last checkpoint.
    """
    program = str(Path(__file__).with_name("copier.py"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", program, str(log), str(ended), *messages],
            stdin=subprocess.PIPE,
            stdout=shown,
            pass_fds=[ended],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
