"""Faults that are made to happen: full disks in every stage, read-only inputs, two runs at once."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mixdepth.cameras import colmap  # isort: skip (Pillow before pycolmap)
import numpy as np
import pycolmap
import pytest
from conftest import REPOSITORY
from test_cli import finished  # noqa: F401 (a fixture)
from test_incremental import write_tiny_capture
from test_workflow import snakemake

from mixdepth import cli
from mixdepth.errors import UserError

PREPARE = ["--config", "config.yaml", "prepare"]
# Stage: its command, and the outputs that must be gone so that it has something to do.
STAGES: dict[str, tuple[list[str], list[str]]] = {
    "probe": (PREPARE, ["capture.json"]),
    "sync": (PREPARE, ["sync.json"]),
    "reference": (PREPARE, ["reference/cam01"]),
    "cameras": (PREPARE, ["cameras.json", "photos.json", "lenses.json", "world.json"]),
    "verify_held_out": (PREPARE, ["held_out_report.json"]),
    "triangulate": (PREPARE, ["cameras_report.json", "sparse"]),
    "colmap_depth": (PREPARE, ["colmap_depth", "bounds.json", "poses_bounds.npy"]),
    "space": (PREPARE, ["space.json"]),
    "frame_store": (PREPARE, ["frames/cam01"]),
    "static_set": (PREPARE, ["static/set.npz"]),
    "train_static": (["train", "static"], ["static/model.safetensors"]),
    "static_depth": (["train", "static"], ["static/depth"]),
    "train_dynamic": (["train", "none"], ["none/model.safetensors"]),
    "render": (["render", "none"], ["none/renders"]),
    "evaluate": (["evaluate", "none"], ["none/metrics.json"]),
}


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Something mounted at ``folder``; skips where that may not be done."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", *options, str(folder)]
    if not sys.platform.startswith("linux") or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs root on Linux to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leave not a byte."""
    with (disk / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


@pytest.mark.slow
def test_a_full_disk_is_told_in_every_stage_and_the_same_command_goes_on_afterwards(
    finished: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "data", "data")
    shutil.copy(finished / "config.yaml", "config.yaml")
    with mounted(tmp_path / "results", "-t", "tmpfs", "-o", "size=64m", "tmpfs"):
        shutil.copytree(finished / "results", "results", dirs_exist_ok=True)
        results = Path("results/x")
        for stage, (command, outputs) in STAGES.items():
            for name in outputs:
                shutil.rmtree(results / name) if (results / name).is_dir() else (results / name).unlink()
            fill(Path("results"))
            capsys.readouterr()
            status = cli.main(command)
            said = capsys.readouterr().err
            assert status == 1, stage
            assert "no space left on the device" in said, f"{stage}: {said}"
            assert "Traceback" not in said
            assert not list(results.rglob("*.part*")), stage
            Path("results/filler").unlink()
            assert cli.main(command) == 0, stage
            for name in outputs:
                for path in [p for p in finished.glob(f"results/x/{name}/**/*") if p.suffix in (".npy", ".npz")]:
                    again = Path("results") / path.relative_to(finished / "results")
                    assert again.read_bytes() == path.read_bytes(), again


def test_a_colmap_model_that_the_disk_cuts_short_is_not_taken_for_whole(tmp_path: Path) -> None:
    """COLMAP itself says nothing."""
    model = pycolmap.Reconstruction()
    for number in range(5000):
        model.add_point3D(np.array([number, 1.0, 2.0]), pycolmap.Track(), np.zeros(3, np.uint8))
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        with pytest.raises(UserError, match=r"disk/sparse: no space left on the device"):
            colmap.write_model(model, disk / "sparse")
        assert not list(disk.rglob("*.crc32"))


@pytest.mark.slow
def test_a_capture_that_may_only_be_read_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_capture(tmp_path)
    monkeypatch.chdir(folder)
    with mounted(folder / "data", "--bind", "-o", "ro", str(folder / "data")):
        with pytest.raises(OSError, match="Read-only"):
            (folder / "data/x/new").touch()
        assert cli.main(PREPARE) == 0
        done = snakemake(folder, "--configfile", "config.yaml", "--", "results/x/contact_sheet.jpg")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_of_two_runs_at_once_the_second_is_refused_and_the_first_finishes(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path)
    target = "results/x/frames/cam01/rgb.npy"
    arguments = ["--configfile", str(folder / "config.yaml"), "--", target]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    with subprocess.Popen([*command, *arguments], cwd=folder, stderr=subprocess.DEVNULL) as first:
        locks = folder / ".snakemake/locks"
        end = time.monotonic() + 60
        while not (locks.is_dir() and list(locks.iterdir())) and first.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        first.send_signal(signal.SIGSTOP)  # else it may be done before the second looks
        second = snakemake(folder, *arguments)
        first.send_signal(signal.SIGCONT)
        assert first.wait() == 0
    told = second.stdout + second.stderr
    assert second.returncode != 0, told
    assert "cannot be locked" in told
    assert "--unlock" in told
    assert (folder / target).exists()
