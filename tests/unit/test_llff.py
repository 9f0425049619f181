"""poses_bounds.npy: its convention, its round trip, and a clear message for every way in which it can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.formats.llff import read_poses_bounds, write_poses_bounds
from mixdepth.cameras.formats.posed import Posed
from mixdepth.errors import UserError

NAMES = ["cam00", "cam01", "cam02"]


def random_camera(seed: int) -> Camera:
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    c2w = np.eye(4)
    c2w[:3, :3] = rotation * np.linalg.det(rotation)
    c2w[:3, 3] = [seed, -0.5, 2.25]
    return Camera(160, 120, 137.5, 137.5, 80, 60, c2w)


@pytest.fixture
def rows(tmp_path: Path) -> np.ndarray:
    cameras = {name: random_camera(seed) for seed, name in enumerate(NAMES)}
    write_poses_bounds(tmp_path / "good.npy", cameras, dict.fromkeys(NAMES, (1.5, 9.0)))
    return np.load(tmp_path / "good.npy")


def camera(posed: Posed) -> Camera:
    return Camera(posed.lens.width, posed.lens.height, *posed.lens.focal, *posed.lens.principal_point, posed.c2w)


def refusal(path: Path, rows: np.ndarray) -> str:
    """What reading ``rows`` says; it must name the file."""
    np.save(path, rows)
    with pytest.raises(UserError) as error:
        read_poses_bounds(path, NAMES)
    assert str(path) in str(error.value)
    return str(error.value)


def test_round_trip_is_exact(tmp_path):
    cameras = {name: random_camera(seed) for seed, name in enumerate(["cam02", "cam00", "cam01"])}
    bounds = {"cam00": (1.0, 2.0), "cam01": (0.5, 8.0), "cam02": (3.0, 4.0)}
    write_poses_bounds(tmp_path / "poses_bounds.npy", cameras, bounds)
    read = read_poses_bounds(tmp_path / "poses_bounds.npy", {"cam02", "cam00", "cam01"})
    assert list(read) == NAMES
    for name, written in cameras.items():
        assert read[name].bounds == bounds[name]
        np.testing.assert_array_equal(read[name].c2w, written.c2w)
        for key in ("width", "height", "fx", "fy", "cx", "cy"):
            assert getattr(camera(read[name]), key) == getattr(written, key)


def test_a_row_worked_out_by_hand(tmp_path):
    # A camera at (1, 2, 3) that looks along world -z with world y up: right = x, down = -y, backwards = z.
    row = [0, 1, 0, 1, 100, -1, 0, 0, 2, 200, 0, 0, 1, 3, 150, 0.5, 7]
    np.save(tmp_path / "row.npy", np.array([row], float))
    posed = read_poses_bounds(tmp_path / "row.npy", ["cam00"])["cam00"]
    read = camera(posed)
    expected = [[1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]]
    np.testing.assert_array_equal(read.c2w, expected)
    assert (read.width, read.height, read.fx, read.fy, read.cx, read.cy) == (200, 100, 150, 150, 100, 50)
    assert posed.bounds == (0.5, 7.0)
    # Two units before it, one to the right and one up: 75 pixels right of the middle and 75 above it.
    uv, z = read.project(np.array([[2.0, 3.0, 1.0]]))
    np.testing.assert_allclose(uv, [[175, -25]])
    np.testing.assert_allclose(z, [2])
    write_poses_bounds(tmp_path / "again.npy", {"cam00": read}, {"cam00": posed.bounds})
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), [row])


def test_cameras_with_two_focal_lengths_are_written_with_their_mean(tmp_path):
    write_poses_bounds(tmp_path / "a.npy", {"cam00": Camera(8, 6, 10, 12, 4, 3, np.eye(4))}, {"cam00": (1, 2)})
    assert np.load(tmp_path / "a.npy")[0, 14] == 11


def test_wrong_number_of_rows_names_the_cameras(tmp_path, rows):
    message = refusal(tmp_path / "p.npy", rows[:2])
    assert "2 rows" in message
    assert "3 cameras: cam00, cam01, cam02" in message


def test_not_finite_names_the_camera(tmp_path, rows):
    rows[1, 3] = np.nan
    assert "row 1 (camera cam01): not finite" in refusal(tmp_path / "p.npy", rows)
    rows[1, 3] = 0
    rows[2, 16] = np.inf
    assert "row 2 (camera cam02): not finite" in refusal(tmp_path / "p.npy", rows)


def test_a_matrix_that_is_no_rotation_names_the_camera(tmp_path, rows):
    bent = rows.copy()
    bent[2, [0, 5, 10]] *= 1.1
    assert "camera cam02): its rotation is not orthonormal" in refusal(tmp_path / "p.npy", bent)
    mirrored = rows.copy()
    mirrored[0, [0, 5, 10]] *= -1
    assert "camera cam00): its rotation is mirrored" in refusal(tmp_path / "p.npy", mirrored)


@pytest.mark.parametrize("bounds", [(0, 5), (-1, 5), (5, 5), (6, 5)])
def test_bounds_out_of_order_name_the_camera(tmp_path, rows, bounds):
    rows[1, 15:] = bounds
    message = refusal(tmp_path / "p.npy", rows)
    assert "camera cam01): near" in message
    assert "0 < near < far" in message


def test_a_rounded_rotation_becomes_the_nearest_one(tmp_path, rows):
    exact = rows.copy()
    rows[:, :15] = rows[:, :15].astype(np.float16)
    np.save(tmp_path / "p.npy", rows)
    for posed, row in zip(read_poses_bounds(tmp_path / "p.npy", NAMES).values(), exact, strict=True):
        rotation = posed.c2w[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        down, right, backwards = row[:15].reshape(3, 5)[:, :3].T
        np.testing.assert_allclose(rotation, np.stack([right, down, -backwards], axis=1), atol=1e-3)


def test_a_focal_length_of_zero_is_refused(tmp_path, rows):
    rows[0, 14] = 0
    assert "camera cam00): h 120, w 160, f 0" in refusal(tmp_path / "p.npy", rows)


def test_wrong_shape_or_type_is_refused(tmp_path, rows):
    assert "shape [3, 15]" in refusal(tmp_path / "p.npy", rows[:, :15])
    assert "shape [51]" in refusal(tmp_path / "p.npy", rows.ravel())
    assert "complex128" in refusal(tmp_path / "p.npy", rows.astype(complex))
    assert "pickled" in refusal(tmp_path / "p.npy", np.array([{"pose": 1}], dtype=object))


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"p\.npy: file not found"):
        read_poses_bounds(tmp_path / "p.npy", NAMES)
    (tmp_path / "p.npy").write_bytes(b"not an array")
    with pytest.raises(UserError, match=r"p\.npy: cannot be read"):
        read_poses_bounds(tmp_path / "p.npy", NAMES)


@pytest.mark.data
def test_the_published_file_of_fern_reads_to_a_forward_facing_rig(shared_data):
    names = [path.stem for path in sorted((shared_data / "fern" / "images_4").iterdir())]
    posed = read_poses_bounds(shared_data / "fern" / "poses_bounds.npy", names)
    cameras = {name: camera(value).resized(1008, 756) for name, value in posed.items()}
    forward = np.array([other.c2w[:3, 2] for other in cameras.values()])
    mean = forward.mean(axis=0) / np.linalg.norm(forward.mean(axis=0))
    assert np.degrees(np.arccos(forward @ mean)).max() < 15
    assert cameras[names[0]].fx == pytest.approx(3260.526 / 4, rel=1e-5)
    # What one camera sees in the middle of its depth range, most others see too: all look at one place.
    first = cameras[names[0]]
    middle = first.unproject(np.array([[504.0, 378.0]]), np.array([np.mean(posed[names[0]].bounds)]))
    for other in cameras.values():
        uv, z = other.project(middle)
        assert z[0] > 0
        assert (np.abs(uv[0] - [504, 378]) < [504, 378]).all()
