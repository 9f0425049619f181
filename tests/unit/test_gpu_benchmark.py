"""The benchmarks for GPUs, small and on CPU: what they find comes out, whatever fails."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from helpers.bare import ABSENT
from helpers.checkout import REPOSITORY
from mixdepth.compute import device
from mixdepth.errors import UserError
from mixdepth.scene.config import load_config
from mixdepth.train.options import DynamicOptions, StaticOptions, from_mapping

FOLDER = REPOSITORY / "benchmarks" / "gpu"
CPU = torch.device("cpu")


def on_a_gpu_node(program: str, out: Path, *arguments: str) -> subprocess.CompletedProcess:
    """``benchmarks/gpu/program.py``, small, in one thread, where no module is that a GPU node may lack."""
    code = f"import sys; sys.modules.update(dict.fromkeys({(*ABSENT, 'numba', 'tensorboard')!r})); "
    code += f"sys.path.insert(0, {str(FOLDER)!r}); import {program}; {program}.main({['--small', *arguments]!r})"
    env = {**os.environ, "OUT": str(out), "TMPDIR": str(out), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], ModuleType]:
    """One of the files in benchmarks/gpu, which import each other."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("OUT", str(tmp_path))
    return import_module


@pytest.mark.slow
def test_the_first_contact_runs_small_with_what_a_gpu_node_has(tmp_path: Path):
    done = on_a_gpu_node("first", tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "first.json").read_text())
    stages = ["where", "limits", "kernels", "small", "tests", "capture", "train", "parts", "profile", "render"]
    assert [stage for stage, values in found.items() if "done, s" in values] == stages
    assert all(f"{stage}: done, s: " in done.stderr for stage in stages)
    assert found["limits"]["copy, GB/s"] > 0
    assert len(found["kernels"]) == 5  # four kernels
    assert found["small"]["training"]["PSNR, dB"] > 10
    assert len(found["train"]["static, ms a step by tenths"]) >= 10
    assert None not in found["train"]["set-up by parts, s"].values()
    for part in ("static", "dynamic"):
        assert None not in found["parts"][f"{part} step, ms"].values()
        needs = found["parts"][f"{part} step needs at least"]
        assert {"GB", "GFLOP", "points in density_grid", "points in colour_grid"} <= set(needs)
        assert min(needs.values()) > 0
        assert f"{part}, 3 steps" in (tmp_path / "profile.txt").read_text()
    assert found["render"]["single frames of other views, frames/s"] > 0
    assert (tmp_path / "first.md").read_text() == done.stdout
    assert not Path(found["capture"]["capture"].split(" in ")[1]).exists(), "it may be in memory"


def test_a_stage_that_raises_is_told_and_the_next_ones_run(monkeypatch, program, tmp_path, capsys):
    first = program("first")

    def broken(*_):
        yield "before", 1.5
        yield "one of two", lambda: 1 / 0
        yield "two of two", 2.5
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(first, "limits", broken)
    monkeypatch.setattr(first, "compare_kernels", lambda *_: iter([("grid_sum", {"ms": 1.0})]))
    with pytest.raises(SystemExit, match="failed: limits"):
        first.main(["--small", "where", "limits", "kernels", "parts"])
    found = json.loads((tmp_path / "first.json").read_text())
    assert found["limits"] == {
        "before": 1.5,
        "one of two FAILED": "ZeroDivisionError: division by zero",
        "two of two": 2.5,
        "FAILED": "RuntimeError: CUDA error",
    }
    assert found["kernels"]["grid_sum"] == {"ms": 1.0}
    assert "needs the stage train" in found["parts"]["FAILED"]
    said = capsys.readouterr()
    assert "1 / 0" in said.err, "the traceback"
    assert "| limits: FAILED | RuntimeError: CUDA error |" in said.out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_only_what_is_small_runs(program, tmp_path):
    with pytest.raises(SystemExit, match="failed: where, limits"):
        program("first").main(["where", "limits"])
    found = json.loads((tmp_path / "first.json").read_text())
    assert found["where"]["versions"]["torch"]
    assert "device: cuda is configured, but" in found["limits"]["FAILED"]


def test_a_stage_that_does_not_fit_is_skipped(program, tmp_path):
    with pytest.raises(SystemExit, match=r"^$"):
        program("first").main(["--small", "--seconds", "10", "where", "limits"])
    found = json.loads((tmp_path / "first.json").read_text())
    assert "done, s" in found["where"]
    assert "it needs 15" in found["limits"]["skipped"]


def test_the_limits_leave_tf32_as_it_was(monkeypatch, program):
    """Geometry is made of products too, and TF32 has ten bits."""
    timing = program("timing")
    on = []

    def milliseconds(*_):
        on.append(torch.backends.cuda.matmul.allow_tf32)
        if on[-1]:
            raise RuntimeError("no TF32")
        return 1.0

    monkeypatch.setattr(timing, "milliseconds", milliseconds)
    with pytest.raises(RuntimeError, match="no TF32"):
        list(timing.limits(CPU, True))
    assert on == [False, False, True]
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_part_that_is_not_there_any_more_is_told_and_the_others_are_timed(program):
    timing = program("timing")
    before = device.room
    names = {
        "mixdepth.compute.device.room": "room",
        "mixdepth.compute.device.gone": "gone",
        "mixdepth.gone.Class.step": "class",
    }
    with timing.timed(names, CPU) as spent:
        assert device.room is not before
        assert device.room(CPU) == 0
    assert device.room is before
    assert spent.pop("room") > 0
    assert spent == {"gone": None, "class": None}


@pytest.mark.slow
def test_the_benchmark_runs_small_with_what_a_gpu_node_has(tmp_path: Path):
    done = on_a_gpu_node("run", tmp_path, "--device", "cpu", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = dict(line.strip("| ").split(" | ")[:2] for line in done.stdout.splitlines())
    assert float(rows["long: PSNR, dB"]) > 18
    assert float(rows["long: PSNR of what moves, dB"]) > 18
    assert {"render: a camera's video, frames/s", "steps: dynamic step, ms", "steps: copy, GB/s"} <= set(rows)
    assert "train static: starting" in done.stderr
    assert "going on from step" not in done.stderr, "trainers are kept for what comes after them"
    assert (tmp_path / "gpu.md").read_text() == done.stdout
    assert json.loads((tmp_path / "gpu.json").read_text()) == json.loads((tmp_path / "results.json").read_text())


def test_the_benchmark_keeps_what_it_found_whatever_fails(monkeypatch, program, tmp_path):
    run = program("run")

    def learn(_):
        yield "PSNR, dB", math.nan
        raise ValueError("scores")

    monkeypatch.setattr(run, "Run", lambda *_: None)
    monkeypatch.setattr(run, "learn", learn)
    monkeypatch.setattr(run, "time_steps", lambda *_: iter([("copy, GB/s", 3.0)]))
    arguments = ["--small", "--device", "cpu", "--folder", str(tmp_path / "capture"), "train", "steps"]
    with pytest.raises(SystemExit, match="failed: train"):
        run.main(arguments)
    for path in (tmp_path / "gpu.json", tmp_path / "capture/results.json"):
        found = json.loads(path.read_text())
        assert math.isnan(found["train"]["PSNR, dB"])
        assert found["steps"]["copy, GB/s"] == 3
    table = (tmp_path / "gpu.md").read_text()
    assert "| train: FAILED | ValueError: scores |" in table
    assert "| train: PSNR, dB | nan |" in table
    monkeypatch.setattr(run, "learn", lambda _: iter([("PSNR, dB", 30.0)]))
    with pytest.raises(SystemExit, match=r"^$"):
        run.main([*arguments[:-2], "train", "long"])
    table = (tmp_path / "gpu.md").read_text()
    assert "FAILED" not in table
    assert "| train: PSNR, dB | 30 | 29.70 |" in table
    assert "| steps: copy, GB/s | 3 |" in table, "of the command before"


def test_time_that_is_up_ends_any_stage_with_a_table(monkeypatch, program, tmp_path):
    run = program("run")

    def make_data(*_):
        yield "capture", "large"
        while True:
            time.sleep(0.01)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(run, "make_data", make_data)
    with pytest.raises(SystemExit, match="failed: data"):
        run.main(["--small", "--folder", str(tmp_path), "--device", "cpu", "--minutes", "0.005", "data", "train"])
    assert signal.getsignal(signal.SIGTERM) == before
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["data"]["capture"] == "large"
    assert "the same command goes on" in found["data"]["STOPPED"]
    assert "train" not in found
    assert "| data: STOPPED | time is up" in (tmp_path / "gpu.md").read_text()


def test_a_capture_is_in_memory_where_half_of_that_stays_free(monkeypatch, program, tmp_path):
    capture = program("capture")
    free = {"/dev/shm": 70e9, str(tmp_path): 30e9}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free[str(place)]))
    monkeypatch.setattr(capture.tempfile, "gettempdir", lambda: str(tmp_path))
    name, size = "mixdepth-test-of-place", (20, 300, 1352, 1014)  # 24.7 GB
    assert capture.place_for(name, size) == Path("/dev/shm", name)
    free["/dev/shm"] = 49e9
    assert capture.place_for(name, size) == tmp_path / name
    free[str(tmp_path)] = 20e9
    with pytest.raises(UserError, match=r"20.0 GB are free, and 20 cameras need 27.1"):
        capture.place_for(name, size)
    (tmp_path / name).mkdir()
    assert capture.place_for(name, size) == tmp_path / name, "where it is already"


def test_the_benchmark_trains_the_preset_t(program):
    """It says its settings itself, as a GPU node may have nothing that reads YAML."""
    training = program("training")
    config = {"scenes": {"x": {"data": ".", "preset": "T"}}}
    options = load_config(config)._options["x"]
    dynamic, static = from_mapping(DynamicOptions, options["dynamic"]), from_mapping(StaticOptions, options["static"])
    assert (static, dynamic) == (training.STATIC, training.DYNAMIC)
