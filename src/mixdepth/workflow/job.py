"""What every workflow script needs around its work: the scene, a log that is also seen live, clear errors.

Scripts import this module before torch, because the environment set here is read when torch is loaded.
"""

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixdepth.errors import UserError
from mixdepth.files.io import disk_errors, sweep
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.workflow.graph import given
from mixdepth.workflow.out_of_memory import killed, memory_errors

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

# Idle OpenMP threads sleep instead of spinning: two jobs on two cores otherwise slow each other several times.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PATIENCE = 10.0  # seconds that the log waits for a child process that outlives the script
LOOK_EVERY = 1.0  # seconds between two looks whether Snakemake is still there


def run(smk: "Snakemake", main: Callable[["Snakemake"], None]) -> None:
    """Run a script's ``main`` with everything it prints shown live and kept in the rule's log.

    A :class:`UserError` is printed alone; any other exception with its traceback. Both end the script with status 1.
    """
    failed = True
    of = ", ".join(f"{key} {value}" for key, value in smk.wildcards.items())
    name = f"{smk.rule}{f' ({of})' if of else ''}"
    with _tee(Path(smk.log[0]), name, smk.rule), _ends_with_snakemake():
        faulthandler.enable()
        try:
            for output in smk.output:
                sweep(Path(output))
            with disk_errors(Path(smk.output[0])), memory_errors(smk.rule):
                main(smk)
            failed = False
        except UserError as error:
            print(f"mixdepth: error in rule {name}: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
    if failed:
        sys.exit(1)


def scene(smk: "Snakemake") -> Scene:
    """The scene of this job as the plan has it, with the settings that its rule declares and no others."""
    return planned(smk.params.scene, smk.params.settings)


def planned(roles: Mapping[str, Any], declared: Mapping[str, Any]) -> Scene:
    """A scene of the plan's params (see :func:`mixdepth.workflow.sections.roles`)."""
    return Scene(**{**roles, "data": Path(roles["data"])}, options=dict(declared))


def files(smk: "Snakemake") -> dict[str, Any]:
    """The results that this job reads and makes, by name: a Path, or a list of them; what there is none of is left out.
    The capture's own files are not among them: the scene names them."""
    named = given(dict(smk.input.items())) | dict(smk.output.items())
    return {name: Path(file) if isinstance(file, str) else [Path(one) for one in file] for name, file in named.items()}


def results(smk: "Snakemake") -> Results:
    """All files of this job's scene: for what lies beside inputs and outputs, and for pages of whatever there is."""
    root = Path(smk.log[0]).parents[1 + len(Path(smk.wildcards.scene).parts)]
    return Results(*(root / folder for folder in smk.params.folders))


@contextlib.contextmanager
def _ends_with_snakemake() -> Iterator[None]:
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


@contextlib.contextmanager
def _tee(log: Path, name: str, rule: str) -> Iterator[None]:
    """Send file descriptors 1 and 2, so also those of child processes and C++ libraries, to stderr and to ``log``.

    The copying is done by a process of its own (mixdepth/workflow/copier.py), which also tells if this one is killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    before = os.dup(1), os.dup(2)
    read, write = os.pipe()
    messages = killed(name, rule, sure=False), killed(name, rule, sure=True)
    # SLURM signals every process of a job, a terminal every one in front. The copier is deaf to that: a training whose
    # progress nobody reads would end without its last checkpoint.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    copier = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("copier.py")), str(log), str(read), *messages],
        stdin=subprocess.PIPE,
        stdout=before[1],
        pass_fds=[read],
    )
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(read)
    assert copier.stdin is not None
    os.dup2(copier.stdin.fileno(), 1)
    os.dup2(copier.stdin.fileno(), 2)
    copier.stdin.close()
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in zip((1, 2), before, strict=True):
            os.dup2(saved, number)
            os.close(saved)
        with contextlib.suppress(BrokenPipeError):  # the copier was killed itself
            os.write(write, b".")
        os.close(write)
        # A child process that outlives the script keeps the pipe open; it must not keep the workflow waiting.
        try:
            copier.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            copier.kill()
            copier.wait()
