"""What a SLURM job costs beyond its work, and what two nodes gain: the tiny chain of the tests, with and without SLURM.

    .venv/bin/python benchmarks/slurm.py [jobs] [segments]    # root, Debian's SLURM, an empty /etc/slurm

`jobs`: the chain job by job. The difference of the two times, per job: waiting in the queue, starting Snakemake twice
in the job (for the job and for its step), and noticing its end.

`segments`: four segments of one variant and the job that joins them, one thread each, where there is room for one job
on a node: over two nodes, and on one. The static branch is there before. SLURM is asked every second, so that noticing
an end hides nothing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.controller import IMPATIENT  # noqa: E402
from helpers.slurm import cluster, unavailable  # noqa: E402
from helpers.tiny import TARGETS, write_four_segments, write_tiny_capture  # noqa: E402
from helpers.workflow import surroundings, workflow  # noqa: E402

PROFILE = ["--workflow-profile", str(ROOT / "profiles/slurm")]
STEPS = 4000  # of a segment: about a minute on an idle core
BRANCH, MODEL = (f"results/x/none/{name}.safetensors" for name in ("segments/static", "model"))


def timed(folder: Path, *options: str, targets: Sequence[str] = TARGETS, start: Sequence[str] = ()) -> float:
    """Seconds of one run of the chain in ``folder``; what it said is in told.txt there."""
    begin = time.monotonic()
    command = [*workflow(folder, *start), *options, "--configfile", str(folder / "config.yaml"), "--", *targets]
    done = subprocess.run(command, cwd=folder, env=surroundings(folder), text=True, capture_output=True)
    (folder / "told.txt").write_text(done.stdout + done.stderr)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - begin


def in_slurm() -> tuple[int, float, float]:
    """Jobs that SLURM has had, their seconds in its queue, and those from their start to their end."""
    text = subprocess.run(["scontrol", "show", "jobs", "--oneliner"], text=True, capture_output=True, check=True).stdout
    moments = [
        [datetime.fromisoformat(moment) for moment in re.findall(r" (?:Submit|Start|End)Time=(\S+)", line)]
        for line in text.splitlines()
    ]
    spans = [(start - submitted, end - start) for submitted, start, end in moments]
    return len(spans), *(sum(span.total_seconds() for span in kind) for kind in zip(*spans, strict=True))


def tell_jobs(folder: Path, state: Path) -> None:
    """What a job costs."""
    here = write_tiny_capture(folder / "local")
    local = timed(here, "--cores", "1")
    rules = int(re.findall(r"^total +(\d+)", (here / "told.txt").read_text(), re.M)[0])
    print(f"without SLURM: {local:.0f} s for {rules} rules, --cores 1", flush=True)
    with cluster(state):
        there = timed(write_tiny_capture(folder / "cluster"), *PROFILE, "--jobs", "1")
        jobs, queued, running = in_slurm()
    print(f"with SLURM: {there:.0f} s in {jobs} jobs, --jobs 1: {(there - local) / jobs:.1f} s more per job")
    parts = {"in the queue": queued, "starting Snakemake": running - local, "being noticed": there - queued - running}
    print(", ".join(f"{seconds / jobs:.1f} s {name}" for name, seconds in parts.items()))


def tell_segments(folder: Path, state: Path) -> None:
    """What a second node gains."""
    base = write_four_segments(folder / "base", STEPS)
    timed(base, "--cores", "2", targets=[BRANCH])
    room = [*PROFILE, "--set-resources", "train_segment:mem_mb=9000"]  # of the 10,000 of a node
    times, models = [], []
    with cluster(state):
        for nodes in (2, 1):
            if nodes == 1:
                change = ["NodeName=n2", "State=DRAIN", "Reason=benchmark"]
                subprocess.run(["scontrol", "update", *change], check=True)
            there = shutil.copytree(base, folder / f"nodes{nodes}")
            times.append(timed(there, *room, targets=[MODEL], start=["-c", IMPATIENT]))
            models.append((there / MODEL).read_bytes())
            print(f"four segments and their join over {nodes} nodes: {times[-1]:.0f} s, load {load()}", flush=True)
    if models[0] != models[1]:
        sys.exit("the models differ")
    print(f"over two nodes by on one: {times[0] / times[1]:.2f}")


def load() -> str:
    """How many processes have wanted to run lately, of all that this machine does."""
    return f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} cores"


def main() -> None:
    if why := unavailable():
        sys.exit(f"no cluster here: {why}")
    kinds = {"jobs": tell_jobs, "segments": tell_segments}
    for kind in sys.argv[1:] or kinds:
        state = Path(f"/run/mixdepth-slurm-{os.getpid()}")
        with tempfile.TemporaryDirectory() as name:
            kinds[kind](Path(name), state)
        shutil.rmtree(state)


if __name__ == "__main__":
    main()
