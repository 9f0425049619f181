"""Jobs beside each other on a machine with several GPUs: stand-ins here, but real processes and their real locks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

JOB = """
import sys
from types import SimpleNamespace
import torch
from mixdepth.compute import device

device.WAIT = 0.01
uuids = sys.argv[1].split(",")
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: len(uuids)
torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=uuids[index])
torch.cuda.set_device = lambda index: None
print(uuids[device.training_device("auto").index], flush=True)
assert device.rendering_device("cuda") == device.training_device("cuda"), "a job keeps its GPU"
sys.stdin.read()
"""


class Job:
    """A process that takes a GPU and keeps it until it is told to end."""

    def __init__(self, folder: Path, uuids: str = "GPU-a,GPU-b"):
        self.process = subprocess.Popen(
            [sys.executable, "-c", JOB, uuids],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )

    def gpu(self) -> str:
        return self.process.stdout.readline().strip()

    def waits(self) -> bool:
        return self.process.stderr.readline() == "waiting for a GPU: other jobs have all 2 of them\n"


@pytest.fixture
def job(tmp_path: Path) -> Iterator:
    jobs = []

    def start(*args: str) -> Job:
        jobs.append(Job(tmp_path, *args))
        return jobs[-1]

    yield start
    for started in jobs:
        started.process.kill()
        started.process.communicate()


def test_jobs_get_different_gpus_and_one_too_many_waits_even_for_one_that_is_killed(job):
    one, two = job(), job()
    taken = {one.gpu(), two.gpu()}
    assert taken == {"GPU-a", "GPU-b"}
    third = job()
    assert third.waits()
    one.process.kill()
    assert third.gpu() in taken


def test_gpus_that_a_cluster_calls_number_0_in_each_job_are_told_apart(job):
    assert [job(uuid).gpu() for uuid in ("GPU-a", "GPU-b")] == ["GPU-a", "GPU-b"]
