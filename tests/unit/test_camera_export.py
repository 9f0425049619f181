"""Exported cameras: other programs read them, our readers read them back exactly, and what is lost is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.colmap import mapping as colmap  # noqa: F401  # isort: skip  (before pycolmap: it imports Pillow first)
import pycolmap

from mixdepth.cameras.export import export_cameras, llff_loss
from mixdepth.cameras.formats.colmap_files import read_colmap
from mixdepth.cameras.formats.llff import read_poses_bounds
from mixdepth.cameras.formats.transforms import read_transforms
from mixdepth.cameras.given import read_given
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model

LENSES = {
    "cam00": Lens("SIMPLE_RADIAL", 640, 480, (500.1, 320.3, 240.7, -0.12)),
    "cam01": Lens("OPENCV", 640, 480, (500.1, 505.2, 322.3, 239.4, -0.1, 0.02, 0.003, -0.002)),
    "cam02": Lens("SIMPLE_RADIAL", 640, 480, (500.1, 320.3, 240.7, -0.12)),
    "cam03": Lens("FULL_OPENCV", 640, 480, (500.1, 505.2, 322.3, 239.4, -0.1, 0.02, 0.003, -0.002, 0.1, 0.2, 0.3, 0.4)),
}
FISHEYE = Lens("OPENCV_FISHEYE", 640, 480, (300.1, 301.2, 322.3, 239.4, 0.01, -0.02, 0.003, -0.0004))


def pose(seed: int) -> np.ndarray:
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    c2w = np.eye(4)
    c2w[:3, :3] = rotation * np.linalg.det(rotation)
    c2w[:3, 3] = np.random.default_rng(seed).normal(size=3)
    return c2w


def export(
    folder: Path, lenses: dict[str, Lens] = LENSES, photos: dict[str, Lens] | None = None, points: Model | None = None
):
    """Export cameras (and photos) with made up poses: what was written, and the lines about what is lost."""
    groups = {"cameras": lenses, "photos": photos or {}}
    c2w = {group: {name: pose(seed) for seed, name in enumerate(groups[group])} for group in groups}
    bounds = {group: dict.fromkeys(groups[group], (0.3, 7.7)) for group in groups}
    images = {
        "cameras": {name: f"cameras/{name}.png" for name in lenses},
        "photos": {name: f"photos/{name}.JPG" for name in groups["photos"]},
    }
    return c2w, export_cameras(groups, c2w, bounds, images, folder, points)


@pytest.mark.parametrize("source", ["transforms", "model"])
def test_round_trips_are_exact(tmp_path, source):
    photos = {"a garden": FISHEYE}
    c2w, _ = export(tmp_path, photos=photos)
    sizes = {"cameras": dict.fromkeys(LENSES, (640, 480)), "photos": dict.fromkeys(photos, (640, 480))}
    path = {"transforms": tmp_path / "transforms.json", "model": tmp_path / "colmap"}[source]
    cameras = {name: f"{name}.mp4" for name in LENSES}
    found = read_given(source, path, sizes, cameras, {"a garden": "photos/a garden.JPG"})
    assert found.lenses == {"cameras": LENSES, "photos": photos}
    assert found.unused == []
    for group in c2w:
        for name, expected in c2w[group].items():
            # A quaternion holds a rotation to the last bits only.
            tolerance = {"transforms": 0, "model": 1e-14}[source]
            np.testing.assert_allclose(found.c2w[group][name], expected, rtol=0, atol=tolerance)


def test_text_and_binary_hold_the_same(tmp_path):
    export(tmp_path)
    binary = read_colmap(tmp_path / "colmap")
    for file in (tmp_path / "colmap").glob("*.bin"):
        file.unlink()
    text = read_colmap(tmp_path / "colmap")
    assert len(text) == len(binary) == len(LENSES)
    for (name, one), (other, two) in zip(binary, text, strict=True):
        assert (name, one.lens) == (other, two.lens)
        np.testing.assert_array_equal(one.c2w, two.c2w)


def test_llff_holds_pinholes_with_one_focal_length_exactly(tmp_path):
    lenses = {name: Lens("SIMPLE_PINHOLE", 640, 480, (500.1, 320.0, 240.0)) for name in ("cam00", "cam01")}
    c2w, lines = export(tmp_path, lenses)
    assert lines == ["poses_bounds.npy: exact", "colmap: exact", "transforms.json: exact"]
    for name, posed in read_poses_bounds(tmp_path / "poses_bounds.npy", lenses).items():
        np.testing.assert_array_equal(posed.c2w, c2w["cameras"][name])
        assert posed.lens == Lens("PINHOLE", 640, 480, (500.1, 500.1, 320.0, 240.0))
        assert posed.bounds == (0.3, 7.7)


def test_photos_alone_are_rows_too(tmp_path):
    _, lines = export(tmp_path, {}, {"b": LENSES["cam00"], "a": LENSES["cam00"]})
    assert len(read_poses_bounds(tmp_path / "poses_bounds.npy", ["a", "b"])) == 2
    assert len(lines) == 3


@pytest.fixture
def model() -> Model:
    """Points that three of the four cameras see; one of them is not exported under this name."""
    names = ["cameras/cam00.png", "cameras/cam02.png", "photos/other.png"]
    return Model(
        dict.fromkeys(names, LENSES["cam00"]),
        dict.fromkeys(names, np.eye(4)),
        points=np.random.default_rng(0).normal(size=(3, 3)),
        error=np.array([0.5, 0.25, 1 / 3]),
        track_point=np.array([0, 0, 1, 1, 2, 2]),
        track_image=np.array([0, 1, 0, 2, 1, 0]),
        track_uv=np.random.default_rng(1).uniform(0, 480, (6, 2)),
    )


@pytest.mark.parametrize("kind", ["bin", "txt"])
def test_colmap_reads_cameras_and_points(tmp_path, model, kind):
    c2w, _ = export(tmp_path, points=model)
    for file in (tmp_path / "colmap").iterdir():
        if file.suffix != f".{kind}":
            file.unlink()
    read = pycolmap.Reconstruction(tmp_path / "colmap")
    assert len(read.cameras) == 3  # two of the four lenses are equal
    images = {image.name: image for image in read.images.values()}
    assert sorted(images) == [f"cameras/{name}.png" for name in LENSES]
    for name, lens in LENSES.items():
        image = images[f"cameras/{name}.png"]
        camera = image.camera
        assert (camera.model_name, camera.width, camera.height, *camera.params) == (
            lens.model, lens.width, lens.height, *lens.params)  # fmt: skip
        expected = np.linalg.inv(c2w["cameras"][name])[:3]
        np.testing.assert_allclose(image.cam_from_world().matrix(), expected, rtol=0, atol=1e-14)
    assert sorted(read.point3D_ids()) == [1, 2, 3]
    for number in range(3):
        point = read.point3D(number + 1)
        np.testing.assert_array_equal(point.xyz, model.points[number])
        assert point.error == model.error[number]
        seen = {
            read.image(e.image_id).name: read.image(e.image_id).point2D(e.point2D_idx) for e in point.track.elements
        }
        mine = model.track_point == number
        names = [sorted(model.lenses)[index] for index in model.track_image[mine]]
        assert set(seen) == set(names) - {"photos/other.png"}
        for name, uv in zip(names, model.track_uv[mine], strict=True):
            if name in seen:
                np.testing.assert_array_equal(seen[name].xy, uv)
                assert seen[name].point3D_id == number + 1


def test_transforms_project_as_the_lens_does(tmp_path):
    """By nerfstudio's own rules: OpenGL axes, keys per frame, OpenCV's distortion, the model at the top."""
    lens = LENSES["cam01"]
    c2w, _ = export(tmp_path, {"cam01": lens})
    document = json.loads((tmp_path / "transforms.json").read_text())
    assert document["camera_model"] == "OPENCV"
    (frame,) = document["frames"]
    assert frame["file_path"] == "cameras/cam01.png"
    local = np.array([0.3, -0.2, 2.0])
    world = c2w["cameras"]["cam01"] @ [*local, 1]
    x, y, z, _ = np.linalg.inv(np.array(frame["transform_matrix"])) @ world
    assert z < 0  # it looks along -z
    x, y = x / -z, y / z
    r2 = x * x + y * y
    radial = 1 + frame["k1"] * r2 + frame["k2"] * r2**2
    u = x * radial + 2 * frame["p1"] * x * y + frame["p2"] * (r2 + 2 * x * x)
    v = y * radial + 2 * frame["p2"] * x * y + frame["p1"] * (r2 + 2 * y * y)
    expected = lens.distort(local[None, :2] / 2)[0]
    np.testing.assert_allclose([frame["fl_x"] * u + frame["cx"], frame["fl_y"] * v + frame["cy"]], expected, atol=1e-9)


@pytest.mark.parametrize(
    ("lenses", "expected"),
    [
        ({"cam00": LENSES["cam00"]}, "SIMPLE_RADIAL"),
        ({"cam00": LENSES["cam00"], "cam01": LENSES["cam01"]}, "OPENCV"),
        ({"cam03": LENSES["cam03"]}, "OPENCV"),  # nerfstudio does not know FULL_OPENCV by name
        ({"cam00": FISHEYE}, "OPENCV_FISHEYE"),
    ],
)
def test_the_top_of_transforms_names_a_model_that_nerfstudio_knows(tmp_path, lenses, expected):
    export(tmp_path, lenses)
    assert json.loads((tmp_path / "transforms.json").read_text())["camera_model"] == expected
    models = [posed.lens.model for _, posed in read_transforms(tmp_path / "transforms.json")]
    assert models == [lens.model for lens in lenses.values()]


def test_what_nerfstudio_cannot_mix_is_said(tmp_path):
    _, lines = export(tmp_path, {"cam00": LENSES["cam00"], "cam01": FISHEYE})
    assert "nerfstudio takes the fisheye lenses of cameras/cam01.png for perspective ones" in lines[2]
    _, lines = export(tmp_path, LENSES)
    assert "nerfstudio takes k4 for that of r^8 and leaves out k5 and k6 of cameras/cam03.png" in lines[2]


def test_k4_alone_is_another_lens_for_nerfstudio_and_one_of_r8_is_its_own(tmp_path):
    """nerfstudio's k4 is the coefficient of r^8 (its camera_utils.py), OpenCV's stands below the line."""
    rational = Lens("FULL_OPENCV", 640, 480, (500.0, 505.0, 322.0, 239.0, -0.1, 0.02, 0, 0, 0, 0.02, 0, 0))
    _, lines = export(tmp_path / "a", {"cam00": rational})
    assert "nerfstudio takes k4 for that of r^8" in lines[2]
    brown = Lens("BROWN4", 640, 480, (500.0, 505.0, 322.0, 239.0, -0.22, 0.14, 0.003, -0.002, -0.06, 0.012))
    c2w, lines = export(tmp_path / "b", {"cam00": brown})
    assert lines[1].startswith("colmap: off by up to 0.0")
    assert lines[2] == "transforms.json: exact"
    document = json.loads((tmp_path / "b" / "transforms.json").read_text())
    assert (document["camera_model"], document["frames"][0]["camera_model"]) == ("OPENCV", "OPENCV")
    assert document["frames"][0]["k4"] == 0.012
    ((_, posed),) = read_transforms(tmp_path / "b" / "transforms.json")
    assert posed.lens == brown
    np.testing.assert_array_equal(posed.pose, c2w["cameras"]["cam00"])


# What LLFF loses, worked out by hand


def test_llff_loses_the_principal_point():
    loss = llff_loss(Lens("PINHOLE", 640, 480, (500.0, 500.0, 323.0, 244.0)))
    assert loss == pytest.approx({"all": 5, "principal point": 5, "fx and fy": 0, "distortion": 0})


def test_llff_loses_the_second_focal_length():
    # Its mean is 500: at the corner x is off by 320 / 480 * 20, y by 240 / 520 * -20.
    loss = llff_loss(Lens("PINHOLE", 640, 480, (480.0, 520.0, 320.0, 240.0)))
    expected = np.hypot(320 / 480 * 20, 240 / 520 * 20)
    assert loss == pytest.approx({"all": expected, "principal point": 0, "fx and fy": expected, "distortion": 0})


def test_llff_loses_the_distortion():
    # At the corner the undistorted radius r solves r (1 - 0.1 r^2) = 0.8: it is shown at 500 r instead of 400.
    r = next(root.real for root in np.roots([-0.1, 0, 1, -0.8]) if 0.8 < root.real < 1)
    loss = llff_loss(Lens("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.1)))
    assert loss == pytest.approx(
        {"all": 500 * r - 400, "principal point": 0, "fx and fy": 0, "distortion": 500 * r - 400}
    )


def test_the_worst_camera_is_named(tmp_path):
    lenses = {"cam00": LENSES["cam00"], "cam01": Lens("PINHOLE", 640, 480, (500.0, 500.0, 350.0, 280.0))}
    _, lines = export(tmp_path, lenses)
    assert lines[0].startswith("poses_bounds.npy: off by up to 50 pixels (camera cam01: principal point 50, ")


@pytest.mark.data
def test_basketball_is_off_in_llff(shared_data):
    names = {f"cam{number:02d}": "a.mp4" for number in range(31)}
    sizes = {"cameras": dict.fromkeys(names, (640, 360)), "photos": {}}
    lenses = read_given("panoptic", shared_data / "panoptic_basketball", sizes, names, {}).lenses["cameras"]
    # 14 pixels along an axis, 16 in all.
    offsets = np.array([lens.principal_point for lens in lenses.values()]) - [320, 180]
    assert np.abs(offsets).max() == pytest.approx(14.4, abs=0.1)
    losses = {name: llff_loss(lens) for name, lens in lenses.items()}
    assert max(loss["all"] for loss in losses.values()) == pytest.approx(16.4, abs=0.1)
    assert all(loss["principal point"] > 0.9 * loss["all"] for loss in losses.values() if loss["all"] > 5)
