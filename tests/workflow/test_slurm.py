"""A real SLURM of two nodes on this machine: the whole chain, and a training that is disturbed in every way there."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from helpers.checkout import REPOSITORY
from helpers.controller import IMPATIENT, finishes, newest, started, trains, until, wait
from helpers.slurm import cluster, segment_jobs, unavailable
from helpers.tiny import (
    MODELS,
    STRANGE,
    TARGETS,
    digests,
    tiny_capture_of,
    tiny_config,
    write_config,
    write_four_segments,
    write_tiny_capture,
)
from helpers.workflow import snakemake, surroundings, workflow

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(unavailable()), reason=str(unavailable()))]

MODEL, STEPS = "results/x/static/model.safetensors", 3000


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    """The cluster, in a short path (that of a socket may have 108 characters)."""
    folder = Path(f"/run/mixdepth-slurm-{os.getpid()}")
    with cluster(folder):
        yield folder
    shutil.rmtree(folder)


def command(folder: Path, *arguments: str) -> list[str]:
    profile = ["--workflow-profile", str(REPOSITORY / "profiles/slurm"), "--latency-wait", "10"]
    profile += ["--slurm-init-seconds-before-status-checks", "1", "--slurm-keep-successful-logs"]
    return [*workflow(folder, "-c", IMPATIENT), *profile, "--configfile", str(folder / "config.yaml"), *arguments]


def test_the_whole_chain_runs_as_jobs_of_the_cluster_with_the_same_bytes(slurm: Path, tmp_path: Path) -> None:
    """Whatever the cameras, and the folders above the capture, are called: no shell on the way makes anything of it."""
    elsewhere = tmp_path / "폴더 (x), @y"
    names = [name.replace(",", "") for name in STRANGE]  # which jobs of a cluster cannot be told
    there = tiny_capture_of(names, tmp_path / "클러스터 (1)", data=str(elsewhere / "x"))
    (there / "data").rename(elsewhere)
    here = shutil.copytree(there, tmp_path / "local")
    told = subprocess.run(
        command(there, "--", *TARGETS), cwd=there, env=surroundings(there), text=True, capture_output=True, timeout=900
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert (told.stdout + told.stderr).count("has been submitted with SLURM jobid") > 10
    done = snakemake(here, "--configfile", str(here / "config.yaml"), "--", *MODELS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(there) == digests(here)
    assert not list(tmp_path.rglob("ran"))


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A folder where everything but the training of the static model is done, so that the one job of the cluster is the
    training, and what an undisturbed one ends with."""
    folder = write_tiny_capture(tmp_path_factory.mktemp("training"))
    config = tiny_config()
    config["scenes"]["x"]["static"]["steps"] = STEPS
    write_config(folder, config)
    needs = [f"results/x/{name}" for name in ("static/set.npz", "space.json", "colmap_depth")]
    for targets in (needs, [MODEL]):
        done = snakemake(folder, "--configfile", str(folder / "config.yaml"), "--", *targets)
        assert done.returncode == 0, done.stdout + done.stderr
    model = (folder / MODEL).read_bytes()
    for path in (folder / MODEL).parent.glob("*model.safetensors*"):
        path.unlink()
    shutil.rmtree(folder / "results/x/runs")
    return folder, model


def test_a_training_that_is_cancelled_and_one_that_meets_its_time_limit_go_on_in_the_next_job_with_the_same_bytes(
    slurm: Path, training: tuple[Path, bytes], tmp_path: Path
) -> None:
    there = shutil.copytree(training[0], tmp_path / "there")
    run = there / "results/x/runs/static"
    with started(there, command(there, "--set-resources", "train_static:runtime=1", "--", MODEL)) as process:
        wait(lambda: trains(run), process)
        (cancelled,) = jobs("%i")
        subprocess.run(["scancel", cancelled], check=True)
        wait(lambda: newest(run), process)
        first = newest(run)
        wait(lambda: f"going on from step {first} of {STEPS}" in log_of(there), process)
        # The second job stands still until its minute is over, so that no machine is too fast for the limit.
        trainer = int((run / "lock").read_text())
        os.kill(trainer, signal.SIGSTOP)
        try:
            wait(lambda: {"TIMEOUT", "COMPLETING"} & set(jobs("%T")), process)
        finally:
            os.kill(trainer, signal.SIGCONT)
        wait(lambda: newest(run) > first, process)
        second = newest(run)
        assert 0 < first < second < STEPS, "stopped in the middle, twice"
        finishes(process, there)
    told = (there / "told.txt").read_text()
    assert told.count("has been submitted with SLURM jobid") == 3
    for step in (first, second):
        assert f"stopped by SIGTERM; the same command goes on from step {step}" in told
    assert f"going on from step {second} of {STEPS}" in log_of(there)
    assert (there / MODEL).read_bytes() == training[1]


def test_a_controller_that_is_interrupted_and_then_killed_goes_on_with_the_same_bytes(
    slurm: Path, training: tuple[Path, bytes], tmp_path: Path
) -> None:
    there = shutil.copytree(training[0], tmp_path / "there")
    run = there / "results/x/runs/static"
    with started(there, command(there, "--", MODEL)) as process:
        wait(lambda: trains(run), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) != 0
    until(lambda: not jobs("%i"))  # it cancels its jobs
    first = newest(run)
    assert 0 < first < STEPS
    with started(there, command(there, "--", MODEL)) as process:
        wait(lambda: f"going on from step {first} of {STEPS}" in log_of(there), process)
        process.kill()
    (orphan,) = jobs("%i")  # a killed one leaves them
    refused = subprocess.run(
        command(there, "--", MODEL), cwd=there, env=surroundings(there), text=True, capture_output=True, timeout=120
    )
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout + refused.stderr
    subprocess.run(["scancel", orphan], check=True)
    until(lambda: not jobs("%i"))
    subprocess.run(command(there, "--unlock"), cwd=there, env=surroundings(there), check=True, capture_output=True)
    with started(there, command(there, "--", MODEL)) as process:
        finishes(process, there)
    assert (there / MODEL).read_bytes() == training[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which the job would not fail")
def test_a_training_with_device_cuda_asks_for_one_gpu_and_the_log_of_a_failed_job_is_shown(
    slurm: Path, training: tuple[Path, bytes], tmp_path: Path
) -> None:
    """The job fails, as there is no GPU behind the stand-in."""
    there = shutil.copytree(training[0], tmp_path / "there")
    config = tiny_config()
    config["scenes"]["x"]["static"]["device"] = "cuda"
    write_config(there, config)
    with started(there, command(there, "--retries", "0", "--", MODEL)) as process:
        wait(lambda: jobs("%i"), process)
        (number,) = jobs("%i")
        asked = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True).stdout
        assert process.wait(timeout=300) == 1
    assert re.search(r"gres[:/]gpu[:=]1\b", asked), asked
    told = (there / "told.txt").read_text()
    assert "device: cuda is configured, but" in told


def test_four_segments_are_trained_on_both_nodes_at_once_and_join_to_the_bytes_of_one_after_the_other(
    slurm: Path, tmp_path: Path
) -> None:
    model, branch = "results/x/none/model.safetensors", "results/x/none/segments/static.safetensors"
    here = write_four_segments(tmp_path / "here", steps=300)
    config = ["--configfile", str(here / "config.yaml")]
    done = snakemake(here, *config, "--", branch)
    assert done.returncode == 0, done.stdout + done.stderr
    there = shutil.copytree(here, tmp_path / "there")
    done = snakemake(here, *config, "--cores", "1", "--", model)
    assert done.returncode == 0, done.stdout + done.stderr
    with started(there, command(there, "--set-resources", "train_segment:mem_mb=4500", "--", model)) as process:
        finishes(process, there)
    assert (there / model).read_bytes() == (here / model).read_bytes()
    trained = segment_jobs()
    assert sorted(job["node"] for job in trained) == ["n1", "n1", "n2", "n2"], "a node has memory for two"
    assert {job["threads"] for job in trained} == {"1"}
    assert max(job["start"] for job in trained) < min(job["end"] for job in trained), "all four at once"


def log_of(folder: Path) -> str:
    log = folder / "results/x/logs/train_static.log"
    return log.read_text() if log.is_file() else ""


def jobs(form: str) -> list[str]:
    """What squeue says of every job."""
    return subprocess.run(["squeue", "-h", "-o", form], capture_output=True, text=True).stdout.split()
