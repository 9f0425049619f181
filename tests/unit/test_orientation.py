"""Cameras made for stored pixels are turned along with pictures that a tag turns, exactly."""

from pathlib import Path

import numpy as np
import pytest

from helpers.looking import look_at
from mixdepth.cameras.formats.colmap_files import write_colmap
from mixdepth.cameras.formats.posed import Posed
from mixdepth.cameras.given import Given, read_given
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.orientation import turn
from mixdepth.errors import UserError

LENS = Lens("OPENCV", 240, 180, (160.0, 165.0, 124.0, 87.0, -0.1, 0.02, 0.003, -0.002))
SQUARE = Lens("PINHOLE", 200, 200, (160.0, 165.0, 104.0, 97.0))


def ring(count: int, arc: float = 90.0) -> list[np.ndarray]:
    """Upright cameras around the origin."""
    angles = np.radians(np.linspace(0, arc, count))
    return [look_at([4 * np.cos(a), -0.5, 4 * np.sin(a)], [0, 0, 0]).c2w for a in angles]


def stored(lens: Lens, c2w: np.ndarray, degrees: int) -> Posed:
    """The camera of the pixels as they are stored, of the upright one: turned back."""
    return turn(Posed(lens, c2w), -degrees // 90)


def given(tmp_path: Path, cameras: dict[str, Posed], turned: dict[str, int], upright: Lens) -> Given:
    write_colmap(tmp_path, {f"{name}.jpg": (posed.lens, posed.pose) for name, posed in cameras.items()})
    sizes = {"cameras": {}, "photos": dict.fromkeys(cameras, (upright.width, upright.height))}
    photos = {name: f"{name}.jpg" for name in cameras}
    return read_given("model", tmp_path, sizes, {}, photos, {"photos": turned})


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_camera_sees_the_same_ray_at_the_turned_pixel(degrees: int):
    """A quarter turn clockwise takes pixel (x, y) of a picture h high to (h - y, x)."""
    posed = Posed(LENS, ring(3)[1])
    turned, uv, height = turn(posed, degrees // 90), np.array([[0.0, 0], [240, 0], [30, 170]]), [180, 240, 180]
    rays = np.column_stack([LENS.undistort(uv), np.ones(3)]) @ posed.pose[:3, :3].T
    for quarter in range(degrees // 90):
        uv = np.stack([height[quarter] - uv[:, 1], uv[:, 0]], axis=1)
    np.testing.assert_allclose(
        np.column_stack([turned.lens.undistort(uv), np.ones(3)]) @ turned.pose[:3, :3].T, rays, rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(turned.pose[:3, 3], posed.pose[:3, 3])
    again = turn(turned, 4 - degrees // 90)
    assert again.lens == LENS
    np.testing.assert_array_equal(again.pose, posed.pose)


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("lens", [LENS.turned(1), SQUARE], ids=["portrait", "square"])
@pytest.mark.parametrize("made_for", ["stored", "upright"])
@pytest.mark.parametrize("tagged", ["all", "some"])
def test_whichever_pixels_a_model_is_for_its_cameras_fit_the_upright_pictures(
    tmp_path: Path, degrees: int, lens: Lens, made_for: str, tagged: str
):
    """Of a half turn of all pictures nothing but the program's way tells: COLMAP's is the stored pixels."""
    names = ["a", "b", "c", "d"]
    truth = dict(zip(names, ring(4), strict=True))
    turned = dict.fromkeys(names[: 2 if tagged == "some" else 4], degrees)
    if made_for == "stored":
        cameras = {name: stored(lens, c2w, turned.get(name, 0)) for name, c2w in truth.items()}
    else:
        cameras = {name: Posed(lens, c2w) for name, c2w in truth.items()}
    found = given(tmp_path, cameras, turned, lens)
    told = degrees != 180 or tagged == "some" or made_for == "stored"
    assert any("stored pixels of a, b" in note for note in found.notes) == (made_for == "stored" or not told)
    for name, c2w in truth.items():
        right = found.lenses["photos"][name] == lens and np.abs(found.c2w["photos"][name] - c2w).max() < 1e-12
        assert right == (told or name not in turned)


def test_frames_that_ffmpeg_took_from_a_video_were_upright(tmp_path: Path):
    """Nothing tells of a half turn of all videos; ffmpeg and OpenCV turn them."""
    truth = dict(zip(("cam00", "cam01", "cam02"), ring(3), strict=True))
    write_colmap(tmp_path, {f"{name}.png": (LENS, c2w) for name, c2w in truth.items()})
    sizes = {"cameras": dict.fromkeys(truth, (240, 180)), "photos": {}}
    files = {name: f"{name}.mp4" for name in truth}
    found = read_given("model", tmp_path, sizes, files, {}, {"cameras": dict.fromkeys(truth, 180)})
    for name, c2w in truth.items():
        np.testing.assert_allclose(found.c2w["cameras"][name], c2w, rtol=0, atol=1e-12)
    # One that hangs upside down tells.
    hanging = turn(Posed(LENS, truth["cam01"]), 2)
    stored = {f"{name}.png": (LENS, c2w) for name, c2w in truth.items()} | {"cam01.png": (hanging.lens, hanging.pose)}
    write_colmap(tmp_path, stored)
    found = read_given("model", tmp_path, sizes, files, {}, {"cameras": {"cam01": 180}})
    np.testing.assert_allclose(found.c2w["cameras"]["cam01"], truth["cam01"], rtol=0, atol=1e-12)
    assert found.lenses["cameras"]["cam01"] == LENS


def test_another_aspect_is_still_refused(tmp_path: Path):
    cameras = {name: Posed(SQUARE, c2w) for name, c2w in zip("ab", ring(2), strict=True)}
    with pytest.raises(UserError, match="another aspect"):
        given(tmp_path, cameras, dict.fromkeys("ab", 90), LENS.turned(1))
