"""A training that is killed, stopped or damaged ends with the same bytes as one that is left alone."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.checkout import REPOSITORY
from helpers.training import CAMERAS, DYNAMIC, SPACE, STATIC, blinking
from mixdepth.errors import UserError
from mixdepth.fields.storage import save_model
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import train_dynamic_field
from mixdepth.train.session import Diverged, Session, checkpoints, discard
from mixdepth.train.static import StaticTrainer, train_static_field

STEPS = 80


def train(folder: Path | None, output: Path, pause: float = 0.0) -> None:
    """A static and a dynamic field, a checkpoint at every step; ``pause`` seconds between steps."""
    static_step = StaticTrainer.step

    def slow(trainer: StaticTrainer, step: int) -> dict[str, torch.Tensor]:
        time.sleep(pause)
        return static_step(trainer, step)

    StaticTrainer.step = slow
    try:
        videos = blinking()
        data = ImageSet([v.plate for v in videos], CAMERAS)
        options = replace(STATIC, steps=STEPS, tone=True)

        def session(name: str) -> Session:
            return Session(folder and folder / name, name, {"of": "test"}, minutes=0)

        static = train_static_field(data, None, SPACE, options, session("static"))
        dynamic = train_dynamic_field(videos, static, SPACE, replace(DYNAMIC, steps=30), session("dynamic"))
        save_model(output, {}, static=static, dynamic=dynamic)
    finally:
        StaticTrainer.step = static_step


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("undisturbed") / "model.safetensors"
    train(None, path)
    return path.read_bytes()


def start(folder: Path) -> subprocess.Popen:
    code = f"import test_session as t, pathlib; p = pathlib.Path({str(folder)!r}); t.train(p, p / 'model', pause=0.02)"
    paths = (Path(__file__).parent, REPOSITORY / "tests", REPOSITORY / "src")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE, text=True)


def wait_for_steps(process: subprocess.Popen, folder: Path, count: int) -> None:
    """Until the newest checkpoint is of step ``count`` or later."""
    while process.poll() is None:
        found = checkpoints(folder / "static")
        if found and int(found[-1].stem.split("-")[1]) >= count:
            return
        time.sleep(0.01)


def test_killed_and_stopped_at_random_steps_it_ends_with_the_same_bytes(tmp_path, undisturbed):
    draw, at = random.Random(0), 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = start(tmp_path)
        at += draw.randint(5, 20)
        wait_for_steps(process, tmp_path, at)
        process.send_signal(number)
        _, log = process.communicate(timeout=60)
        assert process.returncode != 0
        if number == signal.SIGTERM:
            assert "stopped by SIGTERM; the same command goes on from step" in log
    process = start(tmp_path)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert f"static: going on from step {at}" in log or "static: going on from step" in log
    assert (tmp_path / "model").read_bytes() == undisturbed
    discard(tmp_path)
    assert not list(tmp_path.rglob("step-*"))


def test_of_damaged_checkpoints_the_one_before_is_used(tmp_path, undisturbed, capfd):
    train(tmp_path, tmp_path / "model")
    newest = checkpoints(tmp_path / "dynamic")[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    train(tmp_path, tmp_path / "model")
    assert "damaged, so the checkpoint before it is used" in capfd.readouterr().err
    assert (tmp_path / "model").read_bytes() == undisturbed


class Counter:
    """A trainer that counts; at step 7 its loss is NaN where ``fails``. It knows after which steps losses were read."""

    def __init__(self, fails: bool = False):
        self.value, self.fails, self.read = torch.zeros(1), fails, []

    def step(self, step: int) -> dict[str, "Loss"]:
        self.value += 1
        return {"loss": Loss(self, float("nan") if self.fails and step == 7 else 0.0)}

    def state(self) -> tuple[dict, dict]:
        return {"value": self.value}, {}

    def load_state(self, tensors: dict, rest: dict) -> None:
        self.value = tensors["value"]

    def preview(self):
        return torch.zeros(2, 2, 3, dtype=torch.uint8).numpy()


class Loss:
    """A figure that is still on a device."""

    def __init__(self, counter: Counter, value: float):
        self.counter, self.value = counter, value

    def __float__(self) -> float:
        self.counter.read.append(int(self.counter.value) - 1)
        return self.value


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path, capfd):
    Session(tmp_path, "test", {"rate": 1}).run(Counter(), 5)
    same, other = Counter(), Counter()
    Session(tmp_path, "test", {"rate": 1}).run(same, 5)
    assert same.value == 5, "nothing to do"
    assert "going on from step 5" in capfd.readouterr().err
    Session(tmp_path, "test", {"rate": 2}).run(other, 6)
    assert other.value == 6
    assert "rate changed, so training starts anew" in capfd.readouterr().err


def test_figures_are_read_together_as_that_waits_for_the_device():
    counter = Counter()
    Session(None, "test", {}).run(counter, 50)
    assert counter.read == [0] + 20 * [20] + 20 * [40] + 9 * [49], "those of all steps"


def test_nan_is_told_with_its_step_soon():
    counter = Counter(fails=True)
    with pytest.raises(Diverged, match=r"loss is nan at step 7.*Lower grid_rate"):
        Session(None, "test", {}).run(counter, 100)
    assert counter.value <= 7 + 20


def test_nan_is_in_no_checkpoint(tmp_path):
    with pytest.raises(Diverged, match="loss is nan at step 7"):
        Session(tmp_path, "test", {}, minutes=0).run(Counter(fails=True), 100)
    assert [int(path.stem.split("-")[1]) for path in checkpoints(tmp_path)] == [6, 7], "steps 0 to 6"


def test_what_breaks_because_of_nan_is_told_as_that():
    class Breaks(Counter):
        def step(self, step: int) -> dict[str, Loss]:
            if step == 9:
                raise RuntimeError("out of memory")
            return super().step(step)

    with pytest.raises(Diverged, match="loss is nan at step 7"):
        Session(None, "test", {}).run(Breaks(fails=True), 100)
    with pytest.raises(RuntimeError, match="out of memory"):
        Session(None, "test", {}).run(Breaks(), 100)


def test_two_trainers_do_not_share_a_folder(tmp_path):
    class Nested(Counter):
        def step(self, step: int) -> dict[str, Loss]:
            with pytest.raises(UserError, match=f"process {os.getpid()} trains here already"):
                Session(tmp_path, "second", {}).run(Counter(), 3)
            return super().step(step)

    Session(tmp_path, "first", {}).run(Nested(), 1)


def test_a_full_disk_costs_a_checkpoint_not_the_training(tmp_path, capfd, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mixdepth.train.session.os.fsync", full)
    counter = Counter()
    Session(tmp_path, "test", {}).run(counter, 3)
    assert counter.value == 3
    assert "no checkpoint at step 3: No space left on device" in capfd.readouterr().err
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("lock", "tensorboard")] == []


def test_scalars_and_pictures_are_recorded(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    Session(tmp_path, "test", {}).run(Counter(), 50)
    found = events.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [event.step for event in found.Scalars("loss")] == [0, 20, 40, 49]
    assert len(found.Images("preview")) == 3
    assert json.loads(json.dumps(found.Tags()["scalars"])) == ["loss"]


def test_a_file_system_without_locks_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("mixdepth.train.session.fcntl.flock", unsupported)
    with pytest.raises(UserError, match=r"no file can be locked there .No locks available"):
        Session(tmp_path, "x", {}).run(None, 1)
