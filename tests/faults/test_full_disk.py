"""A full disk in every stage: the file is named, nothing half-written is left, the same job succeeds afterwards."""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from helpers.jobs import EVERYTHING, Made, PlannedJob, plan_jobs, render_nothing, write_everything
from helpers.mounts import mounted
from mixdepth.demo import capture as demo
from mixdepth.demo import rig
from mixdepth.errors import UserError
from mixdepth.files.io import disk_errors

BLOCK = 4096  # bytes, of a tmpfs


def fill(disk: Path, left: int = 0) -> None:
    """Leave ``left`` blocks."""
    (disk / "filler").mkdir()
    with (disk / "filler/bytes").open("xb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * BLOCK):
            pass
    with contextlib.suppress(OSError):
        os.truncate(disk / "filler/bytes", max((disk / "filler/bytes").stat().st_size - left * BLOCK, 0))


def written(job: PlannedJob) -> int:
    """Blocks that its files take."""
    files = [p for path in job.outputs for p in (path, *path.rglob("*")) if p.is_file()]
    return sum(-(-path.stat().st_size // BLOCK) for path in files)


def contents(job: PlannedJob) -> dict[Path, bytes]:
    files = [p for path in job.outputs for p in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {path: path.read_bytes() for path in files if path.is_file()}


def runs(job: PlannedJob) -> list[Path]:
    """What a training keeps to go on from; what joins the parts of one keeps nothing."""
    trained = [path.parent for path in job.outputs if job.script.startswith("train_")]
    models = [path.parent if path.name == "segments" else path for path in trained]
    kept = [path.parent / "runs" / path.name for path in models]
    return [path for path in kept if path.exists()]


def refuses_a_full_disk(job: PlannedJob, disk: Path, left: int, capfd: pytest.CaptureFixture) -> None:
    """The job says one thing, and leaves nothing half-written."""
    job.make_room()
    fill(disk, left)
    capfd.readouterr()
    assert not job.run(), f"{job.rule} does not notice"
    said = capfd.readouterr().err
    found = re.findall(r"^mixdepth: error in rule .*: ([^ ]+): no space left on the device ", said, re.M)
    assert len(found) == 1, said
    named = Path(found[0]).absolute().relative_to(disk)
    own = [*job.outputs, *runs(job), Path("tmp")]
    assert any(path in (named, *named.parents) or named in path.parents for path in own), (job.rule, named)
    assert "Traceback" not in said, said
    assert not list(Path().rglob("*.part*")), job.rule
    shutil.rmtree(disk / "filler")


def test_every_script_has_a_job_that_meets_a_full_disk(tmp_path: Path) -> None:
    scripts, jobs = plan_jobs(write_everything(tmp_path), *EVERYTHING)
    assert {job.script for job in jobs} == scripts


def test_where_no_folder_for_temporary_files_is_found_the_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where every disk is full, before anything else is noticed."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    with pytest.raises(UserError, match="sfm: no space left on the device"), disk_errors(Path("sfm")):
        tempfile.gettempdir()


def test_a_disk_that_the_demo_s_videos_fill_is_told(tmp_path: Path) -> None:
    """Its photos, which come first, need more."""
    noise = np.random.default_rng(0).integers(0, 255, (4, rig.HEIGHT, rig.WIDTH, 3), np.uint8)
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        with pytest.raises(UserError, match=r"cam00\.mp4: no space left on the device"):
            demo.write_video(tmp_path / "disk/cam00.mp4", noise)
        assert not list((tmp_path / "disk").iterdir())


@pytest.mark.slow
def test_a_full_disk_is_told_in_every_stage_and_the_same_job_succeeds_afterwards(
    made: Made, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Once with not a byte left, once with half of what the job writes; temporary files are on that disk too."""
    disk, met = tmp_path / "disk", set()
    with (
        mounted(disk, "-t", "tmpfs", "-o", "size=100m,nr_inodes=3000", "tmpfs"),
        contextlib.chdir(disk),
        pytest.MonkeyPatch.context() as patch,
    ):
        made.copy(disk)
        render_nothing(patch)
        (disk / "tmp").mkdir()
        patch.setattr(tempfile, "tempdir", str(disk / "tmp"))
        for job in made.jobs:
            kind = job.script, job.smk.wildcards.get("kind")
            if kind not in met:
                met.add(kind)
                before, blocks = contents(job), written(job)
                for run in runs(job):
                    shutil.rmtree(run)
                for left in (0, blocks // 2) if blocks > 1 else (0,):
                    refuses_a_full_disk(job, disk, left, capfd)
                assert job.run(), capfd.readouterr().err
                assert contents(job) == before or job.script == "provenance.py", f"{job.rule}: not the same bytes"
