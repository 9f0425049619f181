"""Pixels that are not square: their shape is in the video's header, and COLMAP and given cameras go by it."""

import numpy as np
import pytest

from mixdepth.cameras.colmap import features, mapping  # isort: skip  (before pycolmap: it imports Pillow first)
import pycolmap

from helpers.clips import clip
from mixdepth.cameras.formats.transforms import write_transforms
from mixdepth.cameras.given import read_given
from mixdepth.cameras.lens import Lens
from mixdepth.errors import UserError
from mixdepth.files.images import dots, pixel_ratio, write_image
from mixdepth.frames.probe import probe_camera
from mixdepth.frames.reference import write_references
from mixdepth.results import Reference

OPTIONS = {"max_features": 100, "peak_threshold": 0.01, "upscale_to": 1}


def test_the_reference_images_say_what_the_header_says(tmp_path):
    path = clip(tmp_path / "cam00.mp4", 3, "-vf", "setsar=4/3")
    assert probe_camera(path)["pixel_ratio"] == pytest.approx(4 / 3)
    write_references(path, range(3), 2, tmp_path / "cam00")
    made = Reference(tmp_path / "cam00")
    assert [pixel_ratio(file) for file in (made.plate, *made.frames)] == pytest.approx([4 / 3] * 3, abs=1e-4)
    square = clip(tmp_path / "cam01.mp4", 3)
    assert "pixel_ratio" not in probe_camera(square)
    write_references(square, range(3), 2, tmp_path / "cam01")
    assert pixel_ratio(Reference(tmp_path / "cam01").plate) == 1


@pytest.mark.parametrize(("ratio", "size"), [(4 / 3, (80, 48)), (0.75, (60, 64)), (1.0, (60, 48))])
def test_features_are_found_where_pixels_are_square(tmp_path, ratio, size):
    write_image(tmp_path / "a.png", np.zeros((48, 60, 3), np.uint8), "PNG", **dots(ratio))
    found = features.detect({"a": tmp_path / "a.png"}, OPTIONS)["a"]
    assert (found.size, found.detection_size) == ((60, 48), size)


@pytest.mark.parametrize("ratio", [4 / 3, 1.0])
def test_one_focal_length_of_square_pixels_is_two_of_the_others(tmp_path, ratio):
    """A pixel that is 4/3 as wide as high: fy is 4/3 of fx, and the distortion is what it was."""
    write_image(tmp_path / "a.png", np.zeros((48, 60, 3), np.uint8), "PNG", **dots(ratio))
    found = features.detect({"a": tmp_path / "a.png"}, OPTIONS)
    options = {"camera_model": "SIMPLE_RADIAL", "share_intrinsics": "size"}
    camera = mapping.initial_cameras({"a": tmp_path / "a.png"}, found, options, {})["a"]
    assert (camera.model_name, camera.width) == ("SIMPLE_RADIAL", round(60 * ratio))
    camera.params = [70.0, *camera.params[1:3], -0.1]
    camera.camera_id = 1
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    image = pycolmap.Image(name="a", camera_id=1, image_id=1, keypoints=np.array([[10.0, 6.0]]))
    model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
    mapping.to_original_pixels(model, found)
    lens = mapping.as_arrays(model).lenses["a"]
    assert (lens.width, lens.height) == (60, 48)
    assert lens.focal == pytest.approx((70 / ratio, 70), rel=1e-3)
    assert lens.model == ("OPENCV" if ratio != 1 else "SIMPLE_RADIAL")
    xy = np.array([[0.3, -0.2]])
    square = Lens("SIMPLE_RADIAL", round(60 * ratio), 48, (70.0, round(60 * ratio) / 2, 24.0, -0.1))
    np.testing.assert_allclose(lens.distort(xy), square.distort(xy) / [round(60 * ratio) / 60, 1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.image(1).point2D(0).xy, [10 * 60 / round(60 * ratio), 6])


def test_given_cameras_may_be_for_the_picture_with_square_pixels(tmp_path):
    display, stored = Lens("PINHOLE", 768, 576, (700.0, 710.0, 390.0, 280.0)), (576, 576)
    write_transforms(tmp_path / "t.json", {"cam00.png": (display, np.eye(4))})
    sizes, files = {"cameras": {"cam00": stored}, "photos": {}}, {"cam00": "cam00.mp4"}
    found = read_given("transforms", tmp_path / "t.json", sizes, files, {}, ratios={"cam00": 4 / 3})
    assert found.lenses["cameras"]["cam00"] == Lens("PINHOLE", 576, 576, (700 * 0.75, 710.0, 390 * 0.75, 280.0))
    assert found.notes == []
    with pytest.raises(UserError, match="another aspect"):
        read_given("transforms", tmp_path / "t.json", sizes, files, {})
    # Or for the stored pixels.
    as_stored = Lens("PINHOLE", 576, 576, (525.0, 710.0, 292.5, 280.0))
    write_transforms(tmp_path / "t.json", {"cam00.png": (as_stored, np.eye(4))})
    found = read_given("transforms", tmp_path / "t.json", sizes, files, {}, ratios={"cam00": 4 / 3})
    assert found.lenses["cameras"]["cam00"] == as_stored
