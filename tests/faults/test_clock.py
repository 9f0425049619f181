"""A clock that jumps back, or was ahead: what is counted does not follow it, and files from the future are refused."""

import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from helpers.captures import write_capture
from helpers.checkout import REPOSITORY
from helpers.tiny import write_tiny_capture
from helpers.workflow import snakemake
from mixdepth.errors import UserError
from mixdepth.workflow.dates import AHEAD, check_dates


def test_no_interval_is_measured_by_a_clock_that_can_jump() -> None:
    """Progress and checkpoints go by ``time.monotonic``, which no change of the machine's time moves."""
    sources = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "workflow").rglob("*.py")]
    assert len(sources) > 50
    found = [path.name for path in sources if re.search(r"\btime\.time(_ns)?\(|import time_ns", path.read_text())]
    assert sorted(found) == ["dates.py", "io.py"]  # compare dates of files with today's


def ahead(path: Path, seconds: float = 2 * AHEAD) -> None:
    os.utime(path, (time.time() + seconds,) * 2)


def test_a_capture_from_the_future_is_refused_before_anything_runs(tmp_path: Path) -> None:
    folder = write_capture(tmp_path)
    video = "data/x/videos/cam01.mp4"
    ahead(folder / video)
    arguments = ["-n", "--configfile", "config.yaml", "--", "results/x/video.mp4"]
    done = snakemake(folder, *arguments)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "Traceback" not in told
    assert f"{video} is dated 20" in told
    subprocess.run(shlex.split(re.search(rf"touch {video}", told)[0]), cwd=folder, check=True)
    assert snakemake(folder, *arguments).returncode == 0


def test_dates_within_what_file_servers_differ_by_pass_and_images_in_folders_are_looked_at(tmp_path: Path) -> None:
    (image := tmp_path / "cam00" / "it's 1.png").parent.mkdir()
    image.touch()
    ahead(image, AHEAD / 2)
    check_dates([tmp_path / "cam00", tmp_path / "absent"], tmp_path / "results")
    ahead(image)
    with pytest.raises(UserError, match=re.escape(f"touch {shlex.quote(str(image))}")):
        check_dates([tmp_path / "cam00"], tmp_path / "results")


@pytest.mark.slow
def test_results_of_a_clock_that_was_ahead_go_on_after_the_command_that_the_message_names(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path)
    arguments = ["--configfile", "config.yaml", "--", "results/x/frames/cam01/rgb.npy"]
    done = snakemake(folder, *arguments[:-1], "results/x/capture.json")
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (folder / "results").rglob("*"):
        ahead(path)
    done = snakemake(folder, *arguments)
    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in told
    subprocess.run(shlex.split(re.search(r"find .* \+", told)[0]), cwd=folder, check=True)
    done = snakemake(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule probe" not in done.stdout + done.stderr, "what is finished is kept"
    assert (folder / arguments[-1]).exists()
