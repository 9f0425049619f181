"""PanopticSports' cameras: numbering, scaling, and a clear message for every way in which the files can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.panoptic import read_panoptic
from mixdepth.errors import UserError


def meta(ids: list[int], frames: int = 2) -> dict:
    k = [[[50, 0, 32], [0, 48, 18], [0, 0, 1]] for _ in ids]
    w2c = [[[1, 0, 0, number], [0, 1, 0, 0], [0, 0, 1, 4], [0, 0, 0, 1]] for number in ids]
    return {"w": 64, "h": 36, "k": [k] * frames, "w2c": [w2c] * frames, "cam_id": [ids] * frames}


def write(folder: Path, train: dict | None = None, test: dict | None = None) -> Path:
    # Through JSON, so that every frame has lists of its own.
    (folder / "train_meta.json").write_text(json.dumps(train or meta([1, 3])))
    (folder / "test_meta.json").write_text(json.dumps(test or meta([0, 10])))
    return folder


def changed(**keys: tuple) -> dict:
    """meta([1, 3]) with one entry replaced: key=(index, value)."""
    copy = json.loads(json.dumps(meta([1, 3])))
    for key, (index, value) in keys.items():
        target = copy[key]
        for step in index[:-1]:
            target = target[step]
        target[index[-1]] = value
    return copy


def refusal(folder: Path, names: list[str]) -> str:
    with pytest.raises(UserError) as error:
        read_panoptic(folder, names, dict.fromkeys(names, (64, 36)))
    return str(error.value)


def test_cameras_of_both_files_are_found_by_number(tmp_path):
    names = ["cam00", "cam03", "cam10"]
    cameras = read_panoptic(write(tmp_path), names, dict.fromkeys(names, (64, 36)))
    assert list(cameras) == names
    camera = cameras["cam03"]
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (64, 36, 50, 48, 32, 18)
    np.testing.assert_allclose(camera.centre, [-3, 0, -4])


def test_intrinsics_follow_the_size_of_the_images(tmp_path):
    camera = read_panoptic(write(tmp_path), ["cam01"], {"cam01": (128, 72)})["cam01"]
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (100, 96, 64, 36)


def test_a_camera_without_a_pose_is_named_with_those_that_have_one(tmp_path):
    message = refusal(write(tmp_path), ["cam01", "cam07"])
    assert "no pose for cam07" in message
    assert "cam00, cam01, cam03, cam10" in message


def test_a_missing_file_or_key_is_named(tmp_path):
    assert "train_meta.json: file not found" in refusal(tmp_path, ["cam01"])
    broken = meta([0])
    del broken["w2c"]
    message = refusal(write(tmp_path, test=broken), ["cam01"])
    assert "test_meta.json: has no w2c" in message


def test_numbers_that_are_not_finite_name_the_camera(tmp_path):
    message = refusal(write(tmp_path, changed(k=((0, 1, 0, 0), float("nan")))), ["cam01"])
    assert "camera cam03" in message
    assert "not finite" in message


def test_a_moving_camera_is_refused(tmp_path):
    message = refusal(write(tmp_path, changed(w2c=((1, 0, 0, 3), 1.5))), ["cam01"])
    assert "camera cam01 moves over time" in message
    assert "moves over time" in refusal(write(tmp_path, changed(cam_id=((1, 1), 4))), ["cam01"])


def test_a_wrong_shape_is_refused(tmp_path):
    message = refusal(write(tmp_path, {**meta([1, 3]), "k": meta([1])["k"]}), ["cam01"])
    assert "k has the shape [2, 1, 3, 3], expected [2, 2, 3, 3]" in message
    assert "expected numbers" in refusal(write(tmp_path, changed(k=((0, 0), [1]))), ["cam01"])


@pytest.mark.data
def test_the_dome_of_panoptic_sports_looks_inward(shared_data):
    names = [f"cam{number:02d}" for number in range(31)]
    cameras = read_panoptic(shared_data / "panoptic_basketball", names, dict.fromkeys(names, (640, 360)))
    middle = np.mean([camera.centre for camera in cameras.values()], axis=0)
    for name, camera in cameras.items():
        assert camera.project(middle[None])[1] > 0, name
