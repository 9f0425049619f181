"""Faults that are made to happen: full disks (each stage: test_full_disk.py), read-only inputs, two runs at once."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from mixdepth.cameras.colmap import mapping as colmap  # isort: skip (Pillow before pycolmap)
import numpy as np
import pycolmap
import pytest

from helpers.checkout import REPOSITORY
from helpers.mounts import mounted
from helpers.tiny import write_tiny_capture
from helpers.workflow import snakemake
from mixdepth.cli import parser as cli
from mixdepth.errors import UserError

PREPARE = ["--config", "config.yaml", "prepare"]


@pytest.mark.slow
def test_the_command_line_tells_a_full_disk_and_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The stages one by one are in test_full_disk.py."""
    monkeypatch.chdir(write_tiny_capture(tmp_path))
    with mounted(tmp_path / "results", "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        filler = Path("results/filler")
        filler.write_bytes(bytes((1 << 20) - (40 << 12)))  # some stages fit
        assert cli.main(PREPARE) == 1
        said = capsys.readouterr().err
        assert "results/x/capture.json: being made" in said
        assert said.count("mixdepth: error: results/x/") == said.count("no space left on the device") == 1, said
        assert "Traceback" not in said
        assert not list(Path("results").rglob("*.part*"))
        filler.unlink()
        assert cli.main(PREPARE) == 0
        assert "results/x/capture.json: exists, skipped" in capsys.readouterr().err


def test_a_colmap_model_that_the_disk_cuts_short_is_not_taken_for_whole(tmp_path: Path) -> None:
    """COLMAP itself says nothing."""
    model = pycolmap.Reconstruction()
    for number in range(5000):
        model.add_point3D(np.array([number, 1.0, 2.0]), pycolmap.Track(), np.zeros(3, np.uint8))
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        with pytest.raises(UserError, match=r"disk/sparse/points3D.bin: no space left on the device"):
            colmap.write_model(model, disk / "sparse")
        assert not list(disk.rglob("points3D.bin*"))


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
