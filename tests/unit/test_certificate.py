"""Certificates: what a result is and what it was made from; cheap to check, and never mistaken for another's."""

import hashlib
import json
import os
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest

from helpers.captures import capture
from mixdepth.errors import CaptureError
from mixdepth.files import certificate
from mixdepth.files.certificate import certificate_of, certify, hashed, identity, read_certificate, refuse_changed
from mixdepth.results import Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.workflow import stages
from mixdepth.workflow.graph import Job, flat
from mixdepth.workflow.made import certified, checkpoint_identity, flattened, outdated
from mixdepth.workflow.versions import STAGE_VERSIONS


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certified file that counts as large."""
    monkeypatch.setattr(certificate, "SMALL", 3)
    path = tmp_path / "rgb.npy"
    path.write_bytes(b"large")
    certify([path], {})
    return path


def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes are read from now on."""
    found: list[Path] = []
    digest = certificate.digest
    monkeypatch.setattr(certificate, "digest", lambda path: found.append(path) or digest(path))
    return found


def test_a_large_file_of_the_same_date_is_not_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch)
    refuse_changed(large)
    assert found == []
    refuse_changed(large, whole=True)
    assert found == [large]


def test_the_bytes_of_a_copy_are_read_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(large, (0, 1))
    found = read(monkeypatch)
    refuse_changed(large)
    assert found == [large]
    refuse_changed(large)
    assert found == [large], "the certificate has the new date"
    large.write_bytes(b"other")
    with pytest.raises(ValueError, match="not as it was written"):
        refuse_changed(large)


def test_a_file_of_a_certified_folder_and_a_link_to_it_are_checked(tmp_path: Path) -> None:
    folder = tmp_path / "depth"
    (folder / "photos").mkdir(parents=True)
    for name in ("cam00.npz", "photos/points.npz"):
        (folder / name).write_bytes(name.encode())
    certify([folder], {})
    (tmp_path / "link").symlink_to(folder / "cam00.npz")
    assert sorted(read_certificate(folder)["files"]) == ["cam00.npz", "photos/points.npz"]
    before = identity(folder)
    for name in ("cam00.npz", "photos/points.npz"):
        refuse_changed(folder / name)
        (folder / name).write_bytes(b"other")
        with pytest.raises(ValueError, match=r"delete .*\.depth\.made\.json"):
            refuse_changed(folder / name)
    with pytest.raises(ValueError, match="not as it was written"):
        refuse_changed(tmp_path / "link")
    certify([folder], {})
    assert identity(folder) != before


def test_what_is_written_in_order_is_not_read_again_for_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hashed(tmp_path / "part") as file:
        file.write(b"first ")
        file.write(memoryview(b"second"))
    (tmp_path / "part").rename(tmp_path / "whole")
    monkeypatch.setattr(hashlib, "file_digest", None)
    certify([tmp_path / "whole"], {})
    assert identity(tmp_path / "whole") == sha256(b"first second")


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"files": 1}', '{"files": {"": {"bytes": 1}}}', '{"stage": 1, "files": {}}']
)
def test_what_is_no_certificate_says_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    certificate_of(path).write_text(text)
    assert read_certificate(path) is None
    refuse_changed(path)


def test_a_certificate_that_is_a_pipe_or_too_large_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    certify([path], {})
    monkeypatch.setattr(certificate, "LARGEST", 10)
    assert read_certificate(path) is None
    certificate_of(path).unlink()
    os.mkfifo(certificate_of(path))
    assert read_certificate(path) is None, "and nobody waits"


# What a job's results were made from.


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)
    for path in sorted(capture(tmp_path / "data/x", photos=1).rglob("*.*")):
        path.write_text(path.name)
    return configured()


def configured(**options: object) -> Scene:
    return load_config({"scenes": {"x": {"data": "data/x", **options}}})["x"]


RESULTS = Results("results/x")
STORE = Job(stages.STAGES["frame_store"], {"camera": "cam01"})


def make(scene: Scene, job: Job, data: str = "made") -> None:
    """Make the files of a job, each with its name and ``data``."""
    reads, makes = job.reads(RESULTS, scene), job.makes(RESULTS)

    def work() -> None:
        for path in flat(makes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path} {data}")

    certified(job.stage, replace(scene, options=job.stage.settings(scene, **job.wildcards)), reads, makes, work)


def test_a_result_is_up_to_date_until_something_that_it_was_made_from_changes(scene: Scene) -> None:
    video = Path("data/x/videos/cam01.mp4")
    make(scene, STORE)
    assert outdated(STORE, scene, RESULTS) == ""
    os.utime(video, (0, 0))
    assert outdated(STORE, scene, RESULTS) == "", "the same bytes"
    dates = [read_certificate(path)["sources"]["videos/cam01.mp4"]["date"] for path in flat(STORE.makes(RESULTS))]
    assert dates == [0, 0, 0], "and so not read again at the next start"
    video.write_text("CAM01.mp4")  # as many
    os.utime(video, (1, 1))
    assert outdated(STORE, scene, RESULTS) == "made from another data/x/videos/cam01.mp4"
    make(scene, STORE)
    assert outdated(STORE, scene, RESULTS) == ""
    assert outdated(STORE, configured(scale=0.5), RESULTS) == "made with other settings (scale 1.0, now 0.5)"


def test_a_new_version_of_a_stage_makes_its_results_outdated(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    make(scene, STORE)
    monkeypatch.setitem(STAGE_VERSIONS, "frames", 1000)
    assert outdated(STORE, scene, RESULTS).endswith(", now 1000")


def test_another_result_that_took_the_place_of_an_input_is_seen(scene: Scene) -> None:
    motion = Job.of("motion", camera="cam01")
    make(scene, STORE)
    make(scene, motion)
    assert outdated(motion, scene, RESULTS) == ""
    make(scene, STORE, "made again with other bytes")
    assert outdated(motion, scene, RESULTS) == "made from another results/x/frames/cam01/rgb.npy"
    make(scene, STORE)
    assert outdated(motion, scene, RESULTS) == "", "the same bytes as then"


def test_other_training_cameras_are_other_inputs(scene: Scene) -> None:
    training = Job.of("train_dynamic", variant="none")
    for camera in ("cam01", "cam02"):
        make(scene, Job.of("frame_store", camera=camera))
        make(scene, Job.of("motion", camera=camera))
    make(scene, training)
    assert outdated(training, scene, RESULTS) == ""
    fewer = configured(train_cameras=["cam01"])
    assert outdated(training, fewer, RESULTS) == "made from other results (../frames/cam02/rgb.npy too)"


def test_a_checkpoint_is_of_use_under_the_same_settings_inputs_and_code_alone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Job(stages.STAGES["train_dynamic"], {"variant": "none"})
    reads, makes = training.reads(RESULTS, scene), training.makes(RESULTS)
    for path in flat(reads):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)

    def asked(options: dict) -> dict:
        return checkpoint_identity(training.stage, replace(scene, options=options), reads, makes)

    options = training.stage.settings(scene, variant="none")
    before = asked(options)
    keys = flattened(options)
    assert {"quality", "dynamic.seed", "dynamic.static.depth_weight", "dynamic.hull_vote"} < set(keys)
    for key in keys:
        *sections, last = key.split(".")
        changed = json.loads(json.dumps(options))
        reduce(getitem, sections, changed)[last] = "another"
        now = asked(changed)
        assert {name for name in now if now[name] != before.get(name)} == {key}
    for path in flat(reads):
        path.write_text("other")
        assert asked(options) != before, path
        path.write_text(path.name)
        assert asked(options) == before
    monkeypatch.setitem(STAGE_VERSIONS, "dynamic", 1000)
    assert asked(options) != before


def test_results_without_their_capture_are_not_called_outdated(scene: Scene) -> None:
    make(scene, STORE)
    Path("data").rename("elsewhere")
    assert outdated(STORE, scene, RESULTS) == ""


def test_a_video_that_changes_while_it_is_read_makes_nothing_final(scene: Scene) -> None:
    reads, makes = STORE.reads(RESULTS, scene), STORE.makes(RESULTS)
    with pytest.raises(CaptureError, match=r"cam01\.mp4: it changed while it was being read"):
        certified(STORE.stage, scene, reads, makes, lambda: Path("data/x/videos/cam01.mp4").write_text("longer now"))
    assert read_certificate(flat(makes)[0]) is None
