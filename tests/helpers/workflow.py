"""This repository's workflow on a folder of its own: runs, and jobs read from dry runs."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers.checkout import REPOSITORY

OTHER = """
configfile: "config.yaml"

module mixdepth:
    snakefile: "{snakefile}"
    config: config
    prefix: "made"

use rule * from mixdepth as mixdepth_*
"""


@dataclass
class Job:
    """One job of a dry run."""

    rule: str
    input: set[str]
    output: set[str]


def workflow(folder: Path, *start: str) -> list[str]:
    """The command that runs this repository's workflow with ``folder`` as the place of its data and results; ``start``
    where it is not `-m snakemake` that Python runs."""
    place = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    return [sys.executable, *(start or ("-m", "snakemake")), *place]


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of that command."""
    return {**os.environ, "XDG_CACHE_HOME": str(folder / ".cache"), "NO_COLOR": "1"}


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this repository's workflow with ``folder`` as the place of its data and results."""
    command = [*workflow(folder), "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, env=surroundings(folder), text=True, capture_output=True)


def other_workflow(folder: Path, snakefile: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a workflow of somebody else that uses ours."""
    (folder / "Snakefile").write_text(OTHER.format(snakefile=snakefile))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    return subprocess.run(command, cwd=folder, env=surroundings(folder), text=True, capture_output=True)


def plan(folder: Path, *targets: str) -> list[Job]:
    """The jobs that ``targets`` need, from a dry run; the configuration is ``folder``/config.yaml."""
    done = snakemake(folder, "-n", "--configfile", str(folder / "config.yaml"), "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = []
    for block in re.split(r"\n(?:local)?(?:rule|checkpoint) ", done.stdout + done.stderr)[1:]:
        files = {key: re.search(rf"^    {key}: (.*)$", block, re.M) for key in ("input", "output")}
        parts = {key: set(match[1].split(", ")) if match else set() for key, match in files.items()}
        jobs.append(Job(block.split(":")[0], parts["input"], parts["output"]))
    return jobs


def behind(jobs: list[Job], target: str) -> set[str]:
    """``target`` and every file that it is made from, directly or not.

    Not what rule `cameras` takes from videos and photos, which is their sizes and no pixel, nor what a camera's frames
    take from other cameras' videos, which is their frame rate.
    """
    found, queue = set(), [target]
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found.add(path)
        queue += [
            file
            for job in jobs
            if path in job.output
            for file in job.input
            if not re.search("/(videos|photos)/", file) or pixels_are_read(job, file)
        ]
    return found


def pixels_are_read(job: Job, file: str) -> bool:
    """Whether a job looks at the pixels of this video or photo of the capture."""
    if job.rule in ("frame_store", "reference"):
        return any(f"/{Path(file).stem}" in path for path in job.output)
    return job.rule != "cameras"
