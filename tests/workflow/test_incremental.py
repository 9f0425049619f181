"""Real runs of the whole chain on a capture of seconds: what is redone when something changes, and what is not."""

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.checkout import REPOSITORY
from helpers.tiny import CAMERAS, FRAMES, TARGETS, outputs, picture, tiny_config, write_config, write_tiny_capture
from helpers.workflow import snakemake
from mixdepth.frames.encode import write_video

pytestmark = pytest.mark.slow


def make(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Run (or with ``-n`` plan) all targets; the jobs as "rule wildcard wildcard", in the order of their output."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        done = snakemake(folder, *arguments, "--configfile", str(folder / "config.yaml"), "--", *TARGETS)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    jobs = []
    for block in re.split(r"\n(?:local)?rule ", told)[1:]:
        wildcards = re.search(r"^    wildcards: (.*)$", block, re.M)
        values = [part.split("=")[1] for part in wildcards[1].split(", ")] if wildcards else []
        jobs.append(" ".join([block.split(":")[0], *(value for value in values if value != "x")]))
    return jobs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny scene with everything made once. Tests only plan on it, and leave it as they found it."""
    folder = write_tiny_capture(tmp_path_factory.mktemp("tiny"))
    make(folder, "--cores", "4")
    return folder


def replan(folder: Path, **options: Any) -> list[str]:
    """What would be redone with other options."""
    write_config(folder, tiny_config(**options))
    try:
        return make(folder, "-n")
    finally:
        write_config(folder, tiny_config())


def retouched(folder: Path, path: str) -> list[str]:
    """What would be redone after ``path`` was touched."""
    file = folder / path
    before = file.stat()
    os.utime(file)
    try:
        return make(folder, "-n")
    finally:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def trained(jobs: list[str]) -> set[str]:
    return {job for job in jobs if job.startswith("train_")}


def test_a_second_run_does_nothing(finished: Path) -> None:
    assert make(finished, "-n") == []


def test_an_older_video_in_the_place_of_another_redoes_what_a_newer_one_does(finished: Path, tmp_path: Path) -> None:
    newer = retouched(finished, "data/x/videos/cam01.mp4")
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    video = tmp_path / "data/x/videos/cam01.mp4"
    date = video.stat().st_mtime_ns
    write_video([picture(0.3, frame) for frame in range(FRAMES)], video, 30)
    os.utime(video, (0, 0))
    assert make(tmp_path, "-n") == newer
    make(tmp_path, "--touch")
    assert make(tmp_path, "-n") == newer, "what is touched is not made"
    shutil.copyfile(finished / "data/x/videos/cam01.mp4", video)
    os.utime(video, ns=(date, date))
    assert make(tmp_path, "-n") == []


def test_results_without_snakemakes_notes_say_themselves_what_they_were_made_from(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake"))
    assert make(tmp_path, "-n") == []
    options = tiny_config()["scenes"]["x"]
    assert trained(replan(tmp_path, static={**options["static"], "steps": 13})) == trained(
        replan(finished, static={**options["static"], "steps": 13})
    )
    assert make(tmp_path, "-n") == []


def test_touching_a_training_video_redoes_what_depends_on_it(finished: Path) -> None:
    jobs = retouched(finished, "data/x/videos/cam01.mp4")
    assert {job for job in jobs if job.startswith("frame_store")} == {"frame_store cam01"}
    assert {job for job in jobs if job.startswith("reference")} == {"reference cam01"}
    assert "cameras" not in jobs
    assert {f"train_dynamic {variant}" for variant in ("none", "colmap", "distilled", "inherited")} <= trained(jobs)


def test_touching_the_held_out_video_trains_nothing(finished: Path) -> None:
    jobs = retouched(finished, "data/x/videos/cam00.mp4")
    assert {job for job in jobs if job.startswith("frame_store")} == {"frame_store cam00"}
    assert trained(jobs) == set()
    assert {"evaluate none", "evaluate inherited", "video"} <= set(jobs)


def test_touching_a_photo_redoes_the_static_stage(finished: Path) -> None:
    jobs = retouched(finished, "data/x/photos/cam01.png")
    assert "train_static" in jobs
    assert not [job for job in jobs if job.startswith("frame_store")]
    # Its features help to triangulate the sparse depth, which `colmap` learns from; `none` learns from videos alone,
    # but in a space that is fitted to the same points.
    assert "triangulate" in jobs


def test_a_setting_of_one_variant_retrains_that_variant_only(finished: Path) -> None:
    assert trained(replan(finished, variant_options={"colmap": {"steps": 13}})) == {"train_dynamic colmap"}


def test_a_dynamic_setting_leaves_the_static_stage_alone(finished: Path) -> None:
    dynamic = {**tiny_config()["scenes"]["x"]["dynamic"], "seed": 1}
    jobs = replan(finished, dynamic=dynamic)
    assert trained(jobs) == {f"train_dynamic {variant}" for variant in ("none", "colmap", "distilled", "inherited")}
    assert not [job for job in jobs if "static" in job or "frame" in job]


def test_a_static_setting_leaves_none_and_colmap_alone(finished: Path) -> None:
    static = {**tiny_config()["scenes"]["x"]["static"], "seed": 1}
    jobs = replan(finished, static=static)
    assert trained(jobs) == {"train_static", "train_dynamic distilled", "train_dynamic inherited"}
    assert "static_depth" in jobs
    assert not [job for job in jobs if job.split()[-1] in ("none", "colmap")]
    assert not {"evaluate none", "render none cam00"} & set(jobs)


def test_a_preset_retrains_what_it_changes_and_nothing_else(finished: Path) -> None:
    assert replan(finished, preset="tiny") == [], "the scene itself sets all that this preset has"
    jobs = replan(finished, preset="L")
    variants = {f"train_dynamic {variant}" for variant in ("none", "colmap", "distilled", "inherited")}
    assert trained(jobs) == {"train_static", *variants}
    assert not [job for job in jobs if job.split()[0] in ("frame_store", "cameras", "triangulate", "static_set")]


def test_choosing_fewer_frames_does_not_move_the_cameras(finished: Path) -> None:
    jobs = replan(finished, frames={"count": 3})
    assert {job for job in jobs if job.startswith("frame_store")} == {f"frame_store {name}" for name in CAMERAS}
    assert "cameras" not in jobs


def test_runs_from_scratch_make_the_same_bytes_whatever_the_cores_and_the_surroundings(
    finished: Path, tmp_path: Path
) -> None:
    """One job after the other, not four at once; another folder, language, time zone and order of hashes."""
    folder = write_tiny_capture(tmp_path / "another place")
    make(folder, "--cores", "1", PYTHONHASHSEED="7", TZ="Asia/Seoul", LC_ALL="C.UTF-8", OMP_NUM_THREADS="3")
    found, expected = outputs(folder), outputs(finished)
    assert len(found) > 100
    assert [name for name in expected if found.get(name) != expected[name]] == []
    assert found.keys() == expected.keys()


class Dice(random.Random):
    """Chooses the first, and this share of the time."""

    def __init__(self, share: float):
        super().__init__(0)
        self.share = share

    def randrange(self, *_: int) -> int:
        return 0

    def random(self) -> float:
        return self.share


def test_after_kills_of_colmap_snakemake_a_trainer_and_ffmpeg_the_same_command_ends_with_the_same_bytes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """benchmarks/faults/kill.py does it twenty times at random moments."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks" / "faults")
    import kill

    folder, targets = write_tiny_capture(tmp_path), ["results/x/inherited/model.safetensors", "results/x/video.mp4"]
    for victim, share in (("COLMAP", 0.0), ("Snakemake", 0.15), ("trainer", 0.0), ("ffmpeg", 0.0)):
        run = kill.start(folder, targets=targets)
        while not kill.kill(folder, run, victim, Dice(share)) or run.wait() == 0:
            # ffmpeg may have ended before it was seen, or as it was killed.
            assert (victim, run.wait()) == ("ffmpeg", 0), (folder / "told.txt").read_text()
            (folder / "results/x/video.mp4").unlink()
            run = kill.start(folder, targets=targets)
        if victim == "Snakemake":
            assert kill.start(folder, targets=targets).wait() != 0
            assert "--unlock" in (folder / "told.txt").read_text()
            assert kill.start(folder, "--unlock", targets=targets).wait() == 0
    assert kill.start(folder, targets=targets).wait() == 0, (folder / "told.txt").read_text()
    found, expected = outputs(folder), outputs(finished)
    assert {"video.mp4", "inherited/model.safetensors"} <= found.keys()
    assert [name for name in found if found[name] != expected.get(name)] == []
    assert kill.processes(folder) == {}


def test_logs_and_benchmarks_are_kept_for_every_job(finished: Path) -> None:
    results = finished / "results" / "x"
    logs = {path.stem for path in (results / "logs").glob("*.log")}
    assert {"train_static", "train_dynamic.none", "frame_store.cam00", "video", "static_depth"} <= logs
    assert logs == {path.stem for path in (results / "benchmarks").glob("*.tsv")}
    assert "static x" in (results / "logs" / "train_static.log").read_text()
