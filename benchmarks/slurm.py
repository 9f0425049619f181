"""What a SLURM job costs beyond its work: the tiny chain of the tests, one job at a time, with and without SLURM.

    .venv/bin/python benchmarks/slurm.py    # root, Debian's SLURM, an empty /etc/slurm

The difference of the two times, per job: waiting in the queue, starting Snakemake twice in the job (for the job and for
its step), and noticing its end.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.slurm import cluster, unavailable  # noqa: E402
from helpers.tiny import TARGETS, write_tiny_capture  # noqa: E402
from helpers.workflow import snakemake  # noqa: E402


def timed(folder: Path, *options: str) -> tuple[float, str]:
    """Seconds and messages of one run of the chain in ``folder``."""
    start = time.monotonic()
    done = snakemake(folder, *options, "--configfile", str(folder / "config.yaml"), "--", *TARGETS)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - start, done.stdout + done.stderr


def in_slurm() -> tuple[int, float, float]:
    """Jobs that SLURM has had, their seconds in its queue, and those from their start to their end."""
    text = subprocess.run(["scontrol", "show", "jobs", "--oneliner"], text=True, capture_output=True, check=True).stdout
    moments = [
        [datetime.fromisoformat(moment) for moment in re.findall(r" (?:Submit|Start|End)Time=(\S+)", line)]
        for line in text.splitlines()
    ]
    spans = [(start - submitted, end - start) for submitted, start, end in moments]
    return len(spans), *(sum(span.total_seconds() for span in kind) for kind in zip(*spans, strict=True))


def main() -> None:
    if why := unavailable():
        sys.exit(f"no cluster here: {why}")
    state = Path(f"/run/mixdepth-slurm-{os.getpid()}")
    with tempfile.TemporaryDirectory() as name:
        local, told = timed(write_tiny_capture(Path(name) / "local"), "--cores", "1")
        rules = int(re.findall(r"^total +(\d+)", told, re.M)[0])
        print(f"without SLURM: {local:.0f} s for {rules} rules, --cores 1", flush=True)
        profile = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--jobs", "1"]
        with cluster(state):
            there, _ = timed(write_tiny_capture(Path(name) / "cluster"), *profile)
            jobs, queued, running = in_slurm()
        shutil.rmtree(state)
    print(f"with SLURM: {there:.0f} s in {jobs} jobs, --jobs 1: {(there - local) / jobs:.1f} s more per job")
    parts = {"in the queue": queued, "starting Snakemake": running - local, "being noticed": there - queued - running}
    print(", ".join(f"{seconds / jobs:.1f} s {name}" for name, seconds in parts.items()))


if __name__ == "__main__":
    main()
