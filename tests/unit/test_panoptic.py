"""PanopticSports' cameras: numbering, scaling, and a clear message for every way in which the files can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.formats.panoptic import read_panoptic
from mixdepth.cameras.lens import Lens
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


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        read_panoptic(folder)
    return str(error.value)


def test_cameras_of_both_files_are_found_by_number(tmp_path):
    cameras = read_panoptic(write(tmp_path))
    assert sorted(cameras) == ["cam00", "cam01", "cam03", "cam10"]
    assert cameras["cam03"].lens == Lens("PINHOLE", 64, 36, (50, 48, 32, 18))
    np.testing.assert_allclose(cameras["cam03"].c2w, [[1, 0, 0, -3], [0, 1, 0, 0], [0, 0, 1, -4], [0, 0, 0, 1]])


def test_a_missing_file_or_key_is_named(tmp_path):
    assert "train_meta.json: file not found" in refusal(tmp_path)
    broken = meta([0])
    del broken["w2c"]
    message = refusal(write(tmp_path, test=broken))
    assert "test_meta.json: has no w2c" in message


def test_numbers_that_are_not_finite_name_the_camera(tmp_path):
    message = refusal(write(tmp_path, changed(k=((0, 1, 0, 0), float("nan")))))
    assert "camera cam03" in message
    assert "not finite" in message


def test_a_pose_that_is_no_rotation_names_the_camera(tmp_path):
    mirrored = meta([1, 3], frames=1)
    mirrored["w2c"][0][1][0][0] = -1
    assert "camera cam03: its rotation is mirrored" in refusal(write(tmp_path, mirrored))


def test_a_moving_camera_is_refused(tmp_path):
    message = refusal(write(tmp_path, changed(w2c=((1, 0, 0, 3), 1.5))))
    assert "camera cam01 moves over time" in message
    assert "moves over time" in refusal(write(tmp_path, changed(cam_id=((1, 1), 4))))


def test_a_wrong_shape_is_refused(tmp_path):
    message = refusal(write(tmp_path, {**meta([1, 3]), "k": meta([1])["k"]}))
    assert "k has the shape [2, 1, 3, 3], expected [2, 2, 3, 3]" in message
    assert "expected numbers" in refusal(write(tmp_path, changed(k=((0, 0), [1]))))


@pytest.mark.data
def test_the_dome_of_panoptic_sports_looks_inward(shared_data):
    names = [f"cam{number:02d}" for number in range(31)]
    cameras = read_panoptic(shared_data / "panoptic_basketball")
    assert sorted(cameras) == names
    middle = np.mean([posed.c2w[:3, 3] for posed in cameras.values()], axis=0)
    for name, posed in cameras.items():
        assert (middle - posed.c2w[:3, 3]) @ posed.c2w[:3, 2] > 0, name
