"""The whole chain on a real SLURM of two nodes on this machine, and a training that is cancelled there."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY
from slurm import cluster, unavailable
from test_incremental import MODELS, TARGETS, digests, tiny_config, write_config, write_tiny_capture
from test_workflow import snakemake

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(unavailable()), reason=str(unavailable()))]

# Tests wait less than a cluster's controller would like.
QUICK = [
    "--latency-wait",
    "10",
    "--slurm-init-seconds-before-status-checks",
    "1",
    "--seconds-between-status-checks",
    "1",
]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    """The cluster, in a short path (that of a socket may have 108 characters)."""
    folder = Path(f"/run/mixdepth-slurm-{os.getpid()}")
    with cluster(folder):
        yield folder
    shutil.rmtree(folder)


def command(folder: Path, *targets: str) -> list[str]:
    profile = ["--workflow-profile", str(REPOSITORY / "profiles/slurm"), *QUICK, "--slurm-keep-successful-logs"]
    place = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)]
    files = ["--configfile", str(folder / "config.yaml"), "--", *targets]
    return [sys.executable, "-m", "snakemake", *place, *profile, *files]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(folder / ".cache"), "NO_COLOR": "1"}


def test_the_whole_chain_runs_as_jobs_of_the_cluster_with_the_same_bytes(slurm: Path, tmp_path: Path) -> None:
    there, here = (write_tiny_capture(tmp_path / name) for name in ("cluster", "local"))
    told = subprocess.run(
        command(there, *TARGETS), cwd=there, env=environment(there), text=True, capture_output=True, timeout=900
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert (told.stdout + told.stderr).count("has been submitted with SLURM jobid") > 10
    done = snakemake(here, "--configfile", str(here / "config.yaml"), "--", *MODELS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(there) == digests(here)


def test_a_training_that_is_cancelled_goes_on_in_the_next_job_with_the_same_bytes(slurm: Path, tmp_path: Path) -> None:
    model = "results/x/static/model.safetensors"
    config = tiny_config()
    config["scenes"]["x"]["static"]["steps"] = 3000
    there, here = (write_tiny_capture(tmp_path / name) for name in ("cluster", "local"))
    for folder in (there, here):
        write_config(folder, config)
        # What it needs is made on this machine, so that the one job of the cluster is the training.
        needs = [f"results/x/{name}" for name in ("static/set.npz", "space.json", "colmap_depth/photos.npz")]
        done = snakemake(folder, "--configfile", str(folder / "config.yaml"), "--", *needs)
        assert done.returncode == 0, done.stdout + done.stderr
    run = there / "results/x/runs/static"
    with (there / "told.txt").open("w") as told:
        process = subprocess.Popen(command(there, model), cwd=there, env=environment(there), stdout=told, stderr=told)
        try:
            wait(lambda: any(f.stat().st_size > 500 for f in run.glob("tensorboard/events*")), process)
            cancelled = subprocess.run(["squeue", "-h", "-o", "%i"], capture_output=True, text=True).stdout.split()
            assert len(cancelled) == 1
            subprocess.run(["scancel", *cancelled], check=True)
            wait(lambda: list(run.glob("step-*.safetensors")), process)
            step = int(max(run.glob("step-*.safetensors")).name.split("-")[1])
            assert 0 < step < 3000, "stopped in the middle"
            assert process.wait(timeout=600) == 0, (there / "told.txt").read_text()
        finally:
            process.kill()
    assert (there / "told.txt").read_text().count("has been submitted with SLURM jobid") == 2
    log = (there / "results/x/logs/train_static.log").read_text()
    assert f"going on from step {step} of 3000" in log, log
    done = snakemake(here, "--configfile", str(here / "config.yaml"), "--", model)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (there / model).read_bytes() == (here / model).read_bytes()


def wait(true: object, process: subprocess.Popen, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert process.poll() is None, "Snakemake ended too early"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
