"""The workflow as a module of another one: below a prefix, and fetched from where a tag of it is served."""

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.checkout import REPOSITORY
from helpers.tiny import write_tiny_capture
from helpers.workflow import other_workflow


@pytest.fixture
def tag(tmp_path: Path) -> Iterator[str]:
    """The address of the files of a tag, as a host of repositories serves them."""
    repository, served = tmp_path / "repository", tmp_path / "served"
    for name in ("rules", "workflow", "envs"):
        shutil.copytree(REPOSITORY / name, repository / name)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(repository))
    for arguments in (("init",), ("add", "."), ("commit", "-m", "as it is here"), ("tag", "v1")):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    subprocess.run([*git, "worktree", "add", str(served), "v1"], check=True, capture_output=True)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/workflow/Snakefile"
        server.shutdown()


@pytest.mark.slow
def test_another_workflow_makes_our_video_below_its_own_prefix(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path)
    done = other_workflow(folder, str(REPOSITORY / "workflow/Snakefile"), "--", "made/results/x/video.mp4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "made/results/x/video.mp4").stat().st_size > 0
    assert not (folder / "results").exists()
    assert not (folder / "made/data").exists()
    # An older replacement, which Snakemake's dates do not see.
    video = folder / "data/x/videos/cam01.mp4"
    shutil.copy(video.with_name("cam02.mp4"), video)
    os.utime(video, (1e9, 1e9))
    planned = other_workflow(folder, str(REPOSITORY / "workflow/Snakefile"), "-n", "--", "made/results/x/video.mp4")
    told = planned.stdout + planned.stderr
    assert "made/results/x/frames/cam01/rgb.npy: made from another data/x/videos/cam01.mp4" in told
    assert "rule mixdepth_frame_store:" in told


def test_a_workflow_that_is_fetched_from_a_tag_plans_and_runs(tmp_path: Path, tag: str) -> None:
    folder = write_tiny_capture(tmp_path / "user")
    planned = other_workflow(folder, tag, "-n", "--", "made/results/x/report.html")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "mixdepth_report_html" in planned.stdout + planned.stderr
    done = other_workflow(folder, tag, "--", "made/results/x/capture.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "made/results/x/capture.json").is_file()
