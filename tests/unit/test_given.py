"""Given cameras: every format is read as its own programs read it, found by name, and refused clearly where wrong."""

import contextlib
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.colmap import mapping as colmap  # isort: skip  (before pycolmap: it imports Pillow first)
import pycolmap

from mixdepth.cameras.formats.calibration import read_calibration
from mixdepth.cameras.formats.colmap_files import read_colmap, write_colmap
from mixdepth.cameras.formats.transforms import read_transforms, write_transforms
from mixdepth.cameras.given import Given, read_given, read_lenses
from mixdepth.cameras.lens import Lens
from mixdepth.errors import UserError

SIZE = (640, 480)
SIZES = {"cameras": {"cam00": SIZE, "cam01": SIZE}, "photos": {}}
LENS = Lens("OPENCV", 640, 480, (500.0, 505.0, 322.0, 239.0, -0.1, 0.02, 0.003, -0.002))


def pose(seed: int) -> np.ndarray:
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    c2w = np.eye(4)
    c2w[:3, :3] = rotation * np.linalg.det(rotation)
    c2w[:3, 3] = [seed, -0.5, 2.25]
    return c2w


def cameras(*names: str) -> dict[str, tuple[Lens, np.ndarray]]:
    return {name: (LENS, pose(seed)) for seed, name in enumerate(names)}


def model(folder: Path, *names: str) -> Path:
    write_colmap(folder, cameras(*names))
    return folder


def transforms(path: Path, *names: str, **changes: object) -> Path:
    """A file with one frame per name; ``changes`` to the first frame (None: without that key)."""
    write_transforms(path, cameras(*names))
    document = json.loads(path.read_text())
    for key, value in changes.items():
        document["frames"][0][key] = value
        if value is None:
            del document["frames"][0][key]
    path.write_text(json.dumps(document))
    return path


def given(source: str, path: Path, sizes: dict = SIZES, photos: dict | None = None, names: tuple = ()) -> Given:
    cameras = {name: f"{name}.mp4" for name in names or sizes["cameras"]}
    return read_given(source, path, sizes, cameras, photos or {})


def refusal(source: str, path: Path, sizes: dict = SIZES, photos: dict | None = None) -> str:
    """What reading says; it must name the file."""
    with pytest.raises(UserError) as error:
        given(source, path, sizes, photos)
    assert str(path) in str(error.value)
    return str(error.value)


# Names


@pytest.mark.parametrize(
    "names",
    [
        ("cam00.png", "cam01.png"),
        ("cameras/cam00.png", "cameras/cam01.png", "photos/0.jpg", "photos/1.jpg"),
        ("./images/cam00", "./images/cam01"),
        ("images\\cam00.png", "images\\cam01.png"),
        ("0.jpg", "1.jpg"),
        ("images_4/00.jpg", "images_4/01.jpg"),
        ("cam00/0007.png", "cam01/0007.png"),
        ("ims/0/000001.jpg", "ims/1/000000.jpg"),
        ("frame_0/cam00.png", "frame_0/cam01.png"),
        ("cam_0.png", "cam_1.png"),
        ("Camera 0/a.png", "Camera 1/a.png"),
        ("int_cam00_img.png", "int_cam01_img.png"),
    ],
)
def test_cameras_are_found_by_name(tmp_path, names):
    # In the file's last places first, so that an order of the list would be wrong.
    write_colmap(tmp_path, dict(reversed(cameras(*names).items())))
    found = given("model", tmp_path)
    for seed, name in enumerate(("cam00", "cam01")):
        np.testing.assert_allclose(found.c2w["cameras"][name], pose(seed), rtol=0, atol=1e-12)
        assert found.lenses["cameras"][name] == LENS


@pytest.mark.parametrize(
    "names",
    [
        ("/data/2024/take/images/0.png", "/data/2024/take/images/1.png"),
        ("cam_2024/images/0.png", "cam_2024/images/1.png"),
        ("cam00/0/frame.png", "cam01/0/frame.png"),
        ("0/images/cam_0.png", "0/images/cam_1.png"),
        ("cam00/0007/frame.png", "cam01/0008/frame.png"),
        ("cam00.left", "cam01.left"),
    ],
)
def test_a_folder_that_all_names_share_says_nothing(tmp_path, names):
    sizes = SIZES if "left" not in names[0] else {"cameras": {"cam00.left": SIZE, "cam01.left": SIZE}, "photos": {}}
    found = given("transforms", transforms(tmp_path / "t.json", *names), sizes)
    for seed, name in enumerate(sizes["cameras"]):
        np.testing.assert_array_equal(found.c2w["cameras"][name], pose(seed))


def test_frames_of_one_camera_are_not_several_cameras(tmp_path):
    """All share its folder; but they have one pose."""
    write_transforms(tmp_path / "t.json", {f"05/000{t}.png": (LENS, pose(5)) for t in (0, 1)})
    assert "no pose for video camera cam00, cam01" in refusal("transforms", tmp_path / "t.json")


@pytest.mark.parametrize(
    "folder", ["01", "100", "2024", "0", "cam0", "Camera 2024", "DJI_0238", "images_4", "rig1/front"]
)
def test_photos_in_any_folder_are_found_where_there_are_no_cameras(tmp_path, folder):
    photos = {name: f"photos/{name}.png" for name in ("01_00000", "01_00001")}
    sizes = {"cameras": {}, "photos": dict.fromkeys(photos, SIZE)}
    found = given("model", model(tmp_path, *(f"{folder}/{name}.png" for name in photos)), sizes, photos)
    for seed, name in enumerate(photos):
        np.testing.assert_allclose(found.c2w["photos"][name], pose(seed), atol=1e-12)


def test_the_same_letters_are_one_name(tmp_path):
    """macOS writes what others write as one character as two."""
    one, two = "K\u00fcche", "Ku\u0308che"
    for there, here in ((one, two), (two, one)):
        path, sizes = transforms(tmp_path / "t.json", f"{there}0.png", f"{there}1.png"), {"cameras": {}, "photos": {}}
        sizes["cameras"] = {f"{here}0": SIZE, f"{here}1": SIZE}
        np.testing.assert_array_equal(given("transforms", path, sizes).c2w["cameras"][f"{here}1"], pose(1))
        sizes = {"cameras": {}, "photos": {f"{here}0": SIZE}}
        found = given("transforms", path, sizes, {f"{here}0": f"photos/{here}0.png"})
        np.testing.assert_array_equal(found.c2w["photos"][f"{here}0"], pose(0))


def test_rows_of_llff_are_in_the_order_of_file_names_as_text(tmp_path):
    """As LLFF's imgs2poses.py sorts them (``np.argsort(names)`` in llff/poses/pose_utils.py): 1, 10, 11, 2."""
    files = {f"cam{number:02d}": f"data/videos/{number}.mp4" for number in range(1, 12)}
    order = sorted(files, key=lambda name: Path(files[name]).name)
    assert order[:4] == ["cam01", "cam10", "cam11", "cam02"]
    rows = []
    for row in range(11):
        right, down, ahead, centre = pose(row)[:3].T
        rows.append([*np.stack([down, right, -ahead, centre, [480, 640, 500]], axis=1).ravel(), 1.0, 9.0])
    np.save(tmp_path / "p.npy", np.array(rows))
    sizes = {"cameras": dict.fromkeys(files, SIZE), "photos": {}}
    found = read_given("llff", tmp_path / "p.npy", sizes, files, {})
    for row, name in enumerate(order):
        np.testing.assert_allclose(found.c2w["cameras"][name], pose(row), atol=1e-12)
    assert any("as text" in note and "1.mp4, 10.mp4, 11.mp4, 2.mp4" in note for note in found.notes)
    # Names that the configuration gives are sorted as such.
    named = {name: f"data/take/{name[::-1]}.mp4" for name in files}
    found = read_given("llff", tmp_path / "p.npy", sizes, named, {})
    for row, name in enumerate(sorted(files)):
        np.testing.assert_allclose(found.c2w["cameras"][name], pose(row), atol=1e-12)
    assert found.notes == []


@pytest.mark.parametrize(
    "names",
    [
        ("frame_00000.png", "frame_00001.png"),  # frame 1 is not camera 1
        ("cam10.png", "cam11.png"),
        ("webcam0.png", "webcam1.png"),
        ("cam05/0000.png", "cam06/0001.png"),  # the folder is the camera
        ("ims/5/000000.jpg", "ims/6/000001.jpg"),
    ],
)
def test_other_names_are_refused_with_both_lists(tmp_path, names):
    message = refusal("transforms", transforms(tmp_path / "t.json", *names))
    assert "no pose for video camera cam00, cam01" in message
    assert f"it has poses for {', '.join(names)}" in message


def test_frames_of_a_still_camera_are_one(tmp_path):
    write_transforms(tmp_path / "t.json", {f"cam0{c}/000{t}.png": (LENS, pose(c)) for c in (0, 1) for t in (0, 1)})
    found = given("transforms", tmp_path / "t.json")
    np.testing.assert_array_equal(found.c2w["cameras"]["cam01"], pose(1))
    assert found.unused == []


def test_two_poses_for_one_camera_are_refused(tmp_path):
    message = refusal("model", model(tmp_path, "a/cam00.png", "b/cam00.png", "cam01.png"))
    assert "camera cam00 could be a/cam00.png or b/cam00.png" in message


def test_a_number_that_two_cameras_share_says_nothing(tmp_path):
    sizes = {"cameras": {"left_cam1": SIZE, "right_cam1": SIZE}, "photos": {}}
    message = refusal("model", model(tmp_path, "cam1.png", "left_cam1.png"), sizes)
    assert "no pose for video camera right_cam1" in message


def test_a_pose_without_a_video_is_reported(tmp_path):
    found = given("model", model(tmp_path, "cam00.png", "cam01.png", "cam07.png"))
    assert found.unused == ["cam07.png"]
    assert found.notes == [f"{tmp_path}: no video or photo for cam07.png"]
    assert sorted(found.c2w["cameras"]) == ["cam00", "cam01"]


def test_a_photo_has_its_own_pose_or_that_of_its_camera(tmp_path):
    photos = {"garden": "data/photos/garden.jpg", "cam01": "data/photos/cam01.jpg"}
    sizes = {**SIZES, "photos": {"garden": SIZE, "cam01": (1280, 960)}}
    path = model(tmp_path, "cameras/cam00.png", "cameras/cam01.png", "photos/garden.jpg")
    found = given("model", path, sizes, photos)
    np.testing.assert_allclose(found.c2w["photos"]["garden"], pose(2), atol=1e-12)
    np.testing.assert_allclose(found.c2w["photos"]["cam01"], pose(1), atol=1e-12)
    assert found.lenses["photos"]["cam01"].focal == (1000, 1010)
    # The photo's own image counts before the camera of its name.
    path = model(tmp_path, "cameras/cam00.png", "cameras/cam01.png", "photos/garden.jpg", "photos/cam01.jpg")
    found = given("model", path, sizes, photos)
    np.testing.assert_allclose(found.c2w["photos"]["cam01"], pose(3), atol=1e-12)
    np.testing.assert_allclose(found.c2w["cameras"]["cam01"], pose(1), atol=1e-12)


def test_a_photo_without_a_pose_is_named(tmp_path):
    sizes = {**SIZES, "photos": {"garden": SIZE}}
    message = refusal("model", model(tmp_path, "cam00.png", "cam01.png"), sizes, {"garden": "photos/garden.jpg"})
    assert "photos without a pose: garden" in message
    assert "it has cam00.png, cam01.png" in message


def test_photos_alone_are_found_by_file_or_stem(tmp_path):
    photos = {"a": "photos/a.jpg", "b": "photos/b.jpg"}
    sizes = {"cameras": {}, "photos": dict.fromkeys(photos, SIZE)}
    found = given("transforms", transforms(tmp_path / "t.json", "images/b.jpg", "a.png"), sizes, photos)
    np.testing.assert_array_equal(found.c2w["photos"]["a"], pose(1))
    np.testing.assert_array_equal(found.c2w["photos"]["b"], pose(0))


# Sizes


def test_the_lens_follows_the_size_of_the_image(tmp_path):
    sizes = {"cameras": {"cam00": (320, 240), "cam01": SIZE}, "photos": {}}
    lens = given("model", model(tmp_path, "0.png", "1.png"), sizes).lenses["cameras"]["cam00"]
    assert lens == Lens("OPENCV", 320, 240, (250.0, 252.5, 161.0, 119.5, *LENS.params[4:]))
    xy = np.array([[0.3, -0.4]])
    np.testing.assert_allclose(lens.distort(xy), LENS.distort(xy) / 2)


def test_a_lens_of_one_focal_length_keeps_its_model_at_another_size(tmp_path):
    lens = Lens("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.1))
    write_colmap(tmp_path, {"0.png": (lens, pose(0)), "1.png": (lens, pose(1))})
    sizes = {"cameras": {"cam00": (320, 240), "cam01": (640, 483)}, "photos": {}}
    lenses = given("model", tmp_path, sizes).lenses["cameras"]
    assert lenses["cam00"] == Lens("SIMPLE_RADIAL", 320, 240, (250.0, 160.0, 120.0, -0.1))
    assert lenses["cam01"].model == "OPENCV"
    np.testing.assert_allclose(lenses["cam01"].distort(np.array([[0.3, -0.4]])) * [1, 480 / 483],
                               lens.distort(np.array([[0.3, -0.4]])))  # fmt: skip


def test_another_aspect_is_refused_and_a_slight_crop_is_told(tmp_path):
    path = model(tmp_path, "0.png", "1.png")
    message = refusal("model", path, {"cameras": {"cam00": SIZE, "cam01": (640, 360)}, "photos": {}})
    assert "camera cam01: made for images of 640x480 pixels, but the image is 640x360" in message
    found = given("model", path, {"cameras": {"cam00": SIZE, "cam01": (640, 477)}, "photos": {}})
    assert "camera cam01: made for images of 640x480 pixels, scaled per axis to 640x477" in found.notes[0]
    assert "up to 3 pixels" in found.notes[0]
    assert given("model", path, {"cameras": {"cam00": SIZE, "cam01": (213, 160)}, "photos": {}}).notes == []


# LLFF and PanopticSports (the formats themselves: test_llff.py, test_panoptic.py)


def test_rows_of_cameras_that_are_left_alone_count(tmp_path):
    rows = [[0, 1, 0, x, 480, -1, 0, 0, 2, 640, 0, 0, 1, 3, 500, 0.5 + x, 7] for x in range(3)]
    np.save(tmp_path / "p.npy", np.array(rows, float))
    sizes = {"cameras": {"cam02": (320, 240)}, "photos": {"cam01": SIZE}}
    names = ("cam00", "cam01", "cam02")
    found = given("llff", tmp_path / "p.npy", sizes, {"cam01": "photos/cam01.jpg"}, names)
    assert found.c2w["cameras"]["cam02"][0, 3] == 2
    assert found.lenses["cameras"]["cam02"] == Lens("PINHOLE", 320, 240, (250.0, 250.0, 160.0, 120.0))
    assert found.bounds == {"cameras": {"cam02": (2.5, 7.0)}, "photos": {"cam01": (1.5, 7.0)}}
    assert "3 rows, but there are 1 cameras: cam02" in refusal("llff", tmp_path / "p.npy", sizes)


def test_panoptic_cameras_are_found_by_number(tmp_path):
    for file, ids in (("train_meta.json", [1, 3]), ("test_meta.json", [0])):
        k = [[[500, 0, 320], [0, 500, 240], [0, 0, 1]] for _ in ids]
        w2c = [[[1, 0, 0, -number], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] for number in ids]
        meta = {"w": 640, "h": 480, "k": [k], "w2c": [w2c], "cam_id": [ids]}
        (tmp_path / file).write_text(json.dumps(meta))
    found = given("panoptic", tmp_path)
    assert found.c2w["cameras"]["cam01"][0, 3] == 1
    assert found.unused == ["cam03"]
    message = refusal("panoptic", tmp_path, {"cameras": {"cam07": SIZE}, "photos": {}})
    assert "no pose for video camera cam07" in message
    assert "cam00, cam01, cam03" in message


# COLMAP's model


ALL_LENSES = [
    Lens("SIMPLE_PINHOLE", 640, 480, (500.0, 320.0, 240.0)),
    Lens("PINHOLE", 640, 480, (500.0, 510.0, 322.0, 239.0)),
    Lens("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.12)),
    Lens("RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.12, 0.03)),
    LENS,
    Lens("OPENCV_FISHEYE", 640, 480, (300.0, 301.0, 322.0, 239.0, 0.01, -0.02, 0.003, -0.0004)),
    Lens("FULL_OPENCV", 640, 480, (500.0, 505.0, 322.0, 239.0, -0.1, 0.02, 0.003, -0.002, 0.01, 0.1, 0.02, 0.003)),
]


@pytest.fixture
def reconstruction() -> pycolmap.Reconstruction:
    model = pycolmap.Reconstruction()
    for number, lens in enumerate(ALL_LENSES, start=1):
        camera = colmap.colmap_camera(lens)
        camera.camera_id = number
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(
            name=f"images/with blank {number}.png",
            keypoints=np.random.default_rng(number).uniform(0, 480, (number % 3, 2)),
            camera_id=number,
            image_id=10 + number,
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.linalg.inv(pose(number))[:3]))
    return model


@pytest.mark.parametrize("kind", ["binary", "text"])
@pytest.mark.parametrize("old", [False, True], ids=["with rigs", "without rigs"])
def test_colmaps_own_files_are_read(tmp_path, reconstruction, kind, old):
    getattr(reconstruction, f"write_{kind}")(tmp_path)
    if old:
        for file in [*tmp_path.glob("rigs.*"), *tmp_path.glob("frames.*")]:
            file.unlink()
    found = dict(read_colmap(tmp_path))
    assert len(found) == len(ALL_LENSES)
    for number, lens in enumerate(ALL_LENSES, start=1):
        posed = found[f"images/with blank {number}.png"]
        assert posed.lens == lens
        np.testing.assert_allclose(posed.c2w, pose(number), rtol=0, atol=1e-12)


@pytest.mark.data
@pytest.mark.parametrize("group", ["cameras", "photos"])
def test_the_model_of_other_images_is_refused_with_both_lists(shared_data, group):
    files = sorted((shared_data / "flame_steak5" / "images").iterdir())
    sizes = {"cameras": {}, "photos": {}}
    sizes[group] = {f"cam{int(f.stem):02d}" if group == "cameras" else f.stem: (2704, 2028) for f in files}
    photos = {f.stem: str(f) for f in files} if group == "photos" else {}
    message = refusal("model", shared_data / "flame_steak5" / "sparse" / "0", sizes, photos)
    assert ("cam01, cam02, cam04" if group == "cameras" else "1, 2, 4") in message
    assert "0.jpg, 14.jpg, 3.jpg, 5.jpg, 8.jpg" in message


def test_a_folder_without_a_model_is_refused(tmp_path):
    assert "expected cameras.bin and images.bin" in refusal("model", tmp_path)


def test_a_model_that_is_cut_short_is_refused(tmp_path):
    path = model(tmp_path, "0.png", "1.png")
    for file in ("cameras.bin", "images.bin"):
        whole = (path / file).read_bytes()
        for length in (0, 5, 8, 20, len(whole) // 2, len(whole) - 1):
            (path / file).write_bytes(whole[:length])
            with pytest.raises(UserError, match=f"{file}.*(cut short|damaged)"):
                read_colmap(path)
        (path / file).write_bytes(whole)


def test_an_absurd_count_is_refused_at_once(tmp_path):
    path = model(tmp_path, "0.png", "1.png")
    whole = (path / "images.bin").read_bytes()
    (path / "images.bin").write_bytes(struct.pack("<Q", 2**62) + whole[8:])
    assert f"says that {2**62} records follow" in refusal("model", path)
    points = whole.index(b"0.png\0") + 6
    (path / "images.bin").write_bytes(whole[:points] + struct.pack("<Q", 2**61) + whole[points + 8 :])
    assert f"says that {2**61} records follow" in refusal("model", path)


def test_damaged_bytes_give_a_users_error_or_a_camera(tmp_path):
    path, random = model(tmp_path, "0.png", "1.png"), np.random.default_rng(0)
    for file in ("cameras.bin", "images.bin", "cameras.txt", "images.txt"):
        whole = (path / file).read_bytes()
        if file == "cameras.txt":
            (path / "cameras.bin").unlink()  # from here on the text counts
        for _ in range(150):
            damaged = bytearray(whole)
            for place in random.integers(0, len(whole), 1 + random.integers(4)):
                damaged[place] = random.integers(256)
            (path / file).write_bytes(
                damaged[: random.integers(len(whole)) or None] if random.random() < 0.3 else damaged
            )
            with contextlib.suppress(UserError):
                given("model", path)
        (path / file).write_bytes(whole)


def edited(path: Path, file: str, old: str, new: str) -> Path:
    text = (path / file).read_text()
    assert old in text
    (path / file).write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("cameras.txt", "OPENCV", "THIN_PRISM_FISHEYE", "THIN_PRISM_FISHEYE, which is not supported"),
        ("cameras.txt", "640", "six", "line 2: invalid literal for int"),
        ("cameras.txt", " 640 480", "", "has 8 words|has 6 parameters|invalid literal"),
        ("cameras.txt", "500.0 ", "", "line 2: has 7 parameters; OPENCV has fx, fy, cx"),
        ("cameras.txt", "500.0", "nan", "not finite"),
        ("cameras.txt", "500.0", "-5", "focal lengths -5, 505"),
        ("images.txt", " 1 0.png", " 9 0.png", "image 0.png: its camera 9 is not in the model; it has \\[1\\]"),
        ("images.txt", " 1 0.png", " 1", "line 3: has 9 words"),
        ("images.txt", " 0.png\n", " 0.png\n1.5 2.5\n", "line 4: expected X Y POINT3D_ID"),
        ("images.txt", "1 0.", "1 0.7", "its quaternion has the length"),
    ],
)
def test_a_broken_line_of_text_is_named(tmp_path, file, old, new, expected):
    path = model(tmp_path, "0.png", "1.png")
    for binary in path.glob("*.bin"):
        binary.unlink()
    with pytest.raises(UserError, match=expected) as error:
        read_colmap(edited(path, file, old, new))
    assert file in str(error.value)


def test_an_unsupported_lens_in_a_binary_model_is_named(tmp_path):
    path = model(tmp_path, "0.png", "1.png")
    whole = (path / "cameras.bin").read_bytes()
    for number, name in ((10, "THIN_PRISM_FISHEYE"), (99, "99")):
        (path / "cameras.bin").write_bytes(whole[:12] + struct.pack("<i", number) + whole[16:])
        message = refusal("model", path)
        assert f"lens model {name}, which is not supported" in message
        assert "colmap image_undistorter" in message


# transforms.json


def test_transforms_worked_out_by_hand(tmp_path):
    # Axes right, up, backwards along the world's x, y, z: looks along -z from (1, 2, 3); in OpenCV down is -y.
    frame = {"file_path": "./cam00", "transform_matrix": [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]}
    document = {"w": 200, "h": 100, "camera_angle_x": math.pi / 2, "applied_transform": [], "frames": [frame]}
    (tmp_path / "t.json").write_text(json.dumps(document))
    ((name, posed),) = read_transforms(tmp_path / "t.json")
    assert name == "./cam00"
    np.testing.assert_array_equal(posed.c2w, [[1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]])
    assert (posed.lens.model, posed.lens.width, posed.lens.height) == ("PINHOLE", 200, 100)
    np.testing.assert_allclose(posed.lens.params, (100, 100, 100, 50))


@pytest.mark.parametrize(
    ("keys", "lens"),
    [
        ({"fl_x": 500}, Lens("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0))),
        ({"fl_x": 500, "fl_y": 505, "cx": 322, "k1": 0.0}, Lens("PINHOLE", 640, 480, (500.0, 505.0, 322.0, 240.0))),
        ({"fl_x": 500, "k1": -0.1, "p2": 0.01}, Lens("OPENCV", 640, 480, (500, 500, 320, 240, -0.1, 0, 0, 0.01))),
        (
            {"fl_x": 500, "k1": -0.1, "camera_model": "SIMPLE_PINHOLE"},
            Lens("OPENCV", 640, 480, (500, 500, 320, 240, -0.1, 0, 0, 0)),
        ),
        (
            {"fl_x": 500, "k1": -0.1, "k3": 0.2, "camera_model": "OPENCV"},
            Lens("FULL_OPENCV", 640, 480, (500, 500, 320, 240, -0.1, 0, 0, 0, 0.2, 0, 0, 0)),
        ),
        (  # nerfstudio's k4 is that of r^8
            {"fl_x": 500, "k1": -0.2, "k2": 0.1, "k3": -0.05, "k4": 0.01, "p1": 1e-3, "camera_model": "OPENCV"},
            Lens("BROWN4", 640, 480, (500, 500, 320, 240, -0.2, 0.1, 1e-3, 0, -0.05, 0.01)),
        ),
        (
            {"fl_x": 500, "k4": 0.01, "camera_model": "FULL_OPENCV"},
            Lens("FULL_OPENCV", 640, 480, (500, 500, 320, 240, 0, 0, 0, 0, 0, 0.01, 0, 0)),
        ),
        (
            {"fl_x": 500, "k4": 0.01, "k5": 0.02},
            Lens("FULL_OPENCV", 640, 480, (500, 500, 320, 240, 0, 0, 0, 0, 0, 0.01, 0.02, 0)),
        ),
        (
            {"fl_x": 500, "k1": -0.1, "k4": 0.2, "p1": 0.1, "camera_model": "OPENCV_FISHEYE"},
            Lens("OPENCV_FISHEYE", 640, 480, (500, 500, 320, 240, -0.1, 0, 0, 0.2)),
        ),
        (
            {"fl_x": 500, "is_fisheye": True},
            Lens("OPENCV_FISHEYE", 640, 480, (500, 500, 320, 240, 0, 0, 0, 0)),
        ),
    ],
)
@pytest.mark.parametrize("place", ["top", "frame"])
def test_intrinsics_of_transforms(tmp_path, keys, lens, place):
    frame = {"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}
    keys = {"w": 640, "h": 480} | keys
    document = {**keys, "frames": [frame]} if place == "top" else {"fl_x": 1, "frames": [{**frame, **keys}]}
    (tmp_path / "t.json").write_text(json.dumps(document))
    assert read_transforms(tmp_path / "t.json")[0][1].lens == lens


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"file_path": None}, "frame 0 has no file_path"),
        ({"transform_matrix": None}, "frame 0 (cam00.png): has no transform_matrix"),
        ({"fl_x": None}, "frame 0 (cam00.png): has no fl_x"),
        ({"w": None}, "frame 0 (cam00.png): has no w;"),
        ({"fl_x": "wide"}, "fl_x: could not convert string to float"),
        ({"fl_x": [1, 2]}, "fl_x: has the shape [2]; expected one number"),
        ({"cx": math.nan}, "cx: not finite"),
        ({"fl_x": 0}, "focal lengths 0, 505"),
        ({"w": 0}, "images of 0x480 pixels"),
        ({"w": 10**400}, "w: int too large"),
        ({"camera_model": "EQUIRECTANGULAR"}, "camera_model is 'EQUIRECTANGULAR'; expected one of SIMPLE_PINHOLE"),
        ({"camera_model": ["OPENCV"]}, "camera_model is ['OPENCV']"),
        (
            {"k1": 0.1, "k2": -0.5, "k3": 0.9, "k4": -0.6, "fl_x": 420, "fl_y": 420},
            "its lens has a k4 of r^8 that COLMAP's lenses",
        ),
        ({"ftheta_p0": 1}, "ftheta_p0, a lens that is not supported"),
        ({"transform_matrix": [[1, 2], [3, 4]]}, "transform_matrix: has the shape [2, 2]; expected 4 x 4 numbers"),
        (
            {"transform_matrix": np.diag([1, 1, 1, 2.0]).tolist()},
            "last row of transform_matrix is [0.0, 0.0, 0.0, 2.0]",
        ),
        ({"transform_matrix": np.diag([1, 1, -1, 1.0]).tolist()}, "its rotation is mirrored"),
        ({"transform_matrix": np.diag([2, 2, 2, 1.0]).tolist()}, "its rotation is not orthonormal"),
        ({"transform_matrix": [[math.inf] * 4] * 4}, "transform_matrix: not finite"),
    ],
)
def test_a_wrong_frame_is_named(tmp_path, changes, expected):
    assert expected in refusal("transforms", transforms(tmp_path / "t.json", "cam00.png", "cam01.png", **changes))


@pytest.mark.parametrize("angle", [0, 4, -1])
def test_an_impossible_angle_is_refused(tmp_path, angle):
    path = transforms(tmp_path / "t.json", "cam00.png", "cam01.png", fl_x=None, camera_angle_x=angle)
    assert f"a camera angle of {angle}" in refusal("transforms", path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "holds a list"),
        ("{}", "has no frames"),
        ('{"frames": {}}', "has no frames"),
        ('{"frames": [3]}', "frame 0 has no file_path"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("\0\xff", "cannot be read as JSON"),
        ("1" * 10_000, "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_no_transforms_is_refused(tmp_path, text, expected):
    (tmp_path / "t.json").write_text(text, encoding="latin-1")
    assert expected in refusal("transforms", tmp_path / "t.json")


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    assert "file not found" in refusal("transforms", tmp_path / "t.json")
    assert "cannot be read" in refusal("transforms", tmp_path)
    assert "file not found" in refusal("toml", tmp_path / "c.toml")
    assert "not a TOML file" in refusal("toml", tmp_path)


# TOML calibrations


TABLE = """
[{section}]
{name}
size = [ 640.0, 480.0]
matrix = [ [ 500.0, 0.0, 321.5], [ 0.0, 505.0, 238.5], [ 0.0, 0.0, 1.0]]
distortions = {distortions}
rotation = [ 0.0, 1.5707963267948966, 0.0]
translation = [ 1.0, 2.0, {z}]
fisheye = {fisheye}
"""


def table(section: str, name: str = "", distortions: str = "[ -0.1, 0.02, 0.003, -0.002]", **values: object) -> str:
    values = {"z": 3.0, "fisheye": "false"} | values
    return TABLE.format(section=section, name=f'name = "{name}"' if name else "", distortions=distortions, **values)


def calibration(path: Path, *tables: str) -> Path:
    path.write_text("".join(tables) + "\n[metadata]\nadjusted = false\nerror = 0.0\n")
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("cam_00", "cam_01"),
        ("cam_0", "cam_1"),
        ("int_cam0_img", "int_cam1_img"),
        ("int_cam00_img", "int_cam01_img"),
        ("cam00", "cam01"),
        ("cameras.0", "cameras.1"),  # Caliscope's own
        ("0", "1"),
    ],
)
def test_calibrations_are_found_by_name(tmp_path, names):
    path = calibration(tmp_path / "c.toml", table(names[1], z=1), table(names[0], z=0))
    found = given("toml", path)
    # World to camera: a quarter turn about y takes the world's x to the camera's -z; centre = -R^T t.
    rotation = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    for z, name in enumerate(("cam00", "cam01")):
        c2w = found.c2w["cameras"][name]
        np.testing.assert_allclose(c2w[:3, :3], rotation.T, atol=1e-15)
        np.testing.assert_allclose(c2w[:3, 3], -rotation.T @ [1, 2, z], atol=1e-15)
        # Pixel centres of OpenCV are at whole numbers.
        assert found.lenses["cameras"][name] == LENS
    assert found.unused == []


def test_the_name_inside_counts_before_the_section(tmp_path):
    path = calibration(tmp_path / "c.toml", table("cam_0", "cam_1", z=1), table("cam_1", "cam_0", z=0))
    assert given("toml", path).c2w["cameras"]["cam01"][0, 3] == pytest.approx(1)


def test_five_distortions_and_fisheye_are_held(tmp_path):
    five, fisheye = "[-0.1, 0.02, 0.003, -0.002, 0.04]", "[0.1, 0.2, 0.3, 0.4]"
    path = calibration(
        tmp_path / "c.toml", table("0", distortions=five), table("1", distortions=fisheye, fisheye="true")
    )
    (_, one), (_, two) = read_calibration(path)
    assert one.lens == Lens("FULL_OPENCV", 640, 480, (*LENS.params, 0.04, 0, 0, 0))
    assert two.lens == Lens("OPENCV_FISHEYE", 640, 480, (500.0, 505.0, 322.0, 239.0, 0.1, 0.2, 0.3, 0.4))


def test_rodrigues_is_scipys(tmp_path):
    from scipy.spatial.transform import Rotation

    vector = [1.6882754799999993, 1.0483220499999997, -0.41955852000000016]
    text = table("0").replace("[ 0.0, 1.5707963267948966, 0.0]", str(vector))
    matrix = table("1").replace(
        "[ 0.0, 1.5707963267948966, 0.0]", str(Rotation.from_rotvec(vector).as_matrix().tolist())
    )
    nothing = table("2").replace("1.5707963267948966", "0.0")
    (_, one), (_, two), (_, three) = read_calibration(calibration(tmp_path / "c.toml", text, matrix, nothing))
    np.testing.assert_allclose(one.c2w[:3, :3].T, Rotation.from_rotvec(vector).as_matrix(), atol=1e-15)
    np.testing.assert_allclose(two.c2w, one.c2w, atol=1e-15)
    np.testing.assert_array_equal(three.c2w[:3, :3], np.eye(3))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("size = [ 640.0, 480.0]\n", "", "[cam_0]: has no size"),
        ("matrix", "matrx", "[cam_0]: has no matrix"),
        ("translation", "trans", "[cam_0]: expected both rotation and translation"),
        ("[ 640.0, 480.0]", "[ 640.0]", "[cam_0]: size: has the shape [1]; expected 2 numbers"),
        ("500.0", "nan", "[cam_0]: matrix: not finite"),
        ("500.0, 0.0", "500.0, 0.5", "[cam_0]: matrix is"),
        ("1.5707963267948966", "inf", "[cam_0]: rotation: not finite"),
        ("[ 0.0, 1.5707963267948966, 0.0]", "[[1, 0, 0], [0, 1, 0], [0, 0, -1]]", "its rotation is mirrored"),
        ("-0.002]", "-0.002, 0, 0, 0, 0, 1.0]", "its lens has s1, which"),
        ("= [ -0.1, 0.02", "= [ [-0.1], 0.02", "[cam_0]: distortions"),
        ("size = [", "size = ", "not a TOML file"),
        (
            "rotation = [ 0.0, 1.5707963267948966, 0.0]\ntranslation = [ 1.0, 2.0, 3.0]\n",
            "",
            "no pose for video camera cam00",
        ),
    ],
)
def test_a_wrong_calibration_is_named(tmp_path, old, new, expected):
    good = table("cam_0")
    assert old in good
    path = calibration(tmp_path / "c.toml", good.replace(old, new, 1), table("cam_1"))
    assert expected in refusal("toml", path)


def test_a_toml_file_without_cameras_is_refused(tmp_path):
    assert "has no camera" in refusal("toml", calibration(tmp_path / "c.toml"))
    (tmp_path / "c.toml").write_text("cameras = 3\na = " + "[" * 100_000)
    assert "not a TOML file" in refusal("toml", tmp_path / "c.toml")


# Lenses alone


def test_known_lenses_are_found_by_name(tmp_path):
    path = calibration(
        tmp_path / "c.toml", table("cam_0").replace("rotation", "#").replace("translation", "#"), table("x")
    )
    assert read_lenses(path, {"cam00": (320, 240), "cam05": SIZE})["cam00"].focal == (250, 252.5)
    assert list(read_lenses(path, {"cam00": SIZE, "cam05": SIZE})) == ["cam00"]
    with pytest.raises(UserError, match=r"c\.toml: has no lens of cam05; it has cam_0, x\."):
        read_lenses(path, {"cam05": SIZE})
    path = transforms(tmp_path / "t.json", "cam00.png", "cam01.png")
    assert read_lenses(path, SIZES["cameras"]) == {"cam00": LENS, "cam01": LENS}
    with pytest.raises(UserError, match=r"expected a transforms\.json or a calibration"):
        read_lenses(tmp_path / "lenses.yaml", SIZES["cameras"])


# Rigs


def rig_model(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """A model of two frames of a rig with two cameras, written by COLMAP; the pose of every image."""
    folder.mkdir(parents=True, exist_ok=True)
    model, poses = pycolmap.Reconstruction(), {}
    second = pycolmap.Rigid3d(np.linalg.inv(pose(9))[:3])
    rig = pycolmap.Rig(rig_id=1)
    for number in (1, 2):
        camera = colmap.colmap_camera(LENS)
        camera.camera_id = number
        model.add_camera(camera)
        if number == 1:
            rig.add_ref_sensor(camera.sensor_id)
        else:
            rig.add_sensor(camera.sensor_id, second)
    model.add_rig(rig)
    for moment in (0, 1):
        frame = pycolmap.Frame(frame_id=moment + 1, rig_id=1)
        world = pycolmap.Rigid3d(np.linalg.inv(pose(moment))[:3])
        frame.rig_from_world = world
        images = []
        for number in (1, 2):
            name, image_id = f"cam0{number}/{moment}.png", 10 * number + moment
            image = pycolmap.Image(name=name, camera_id=number, image_id=image_id)
            image.frame_id = moment + 1
            frame.add_data_id(image.data_id)
            images.append(image)
            steps = np.vstack([((second if number == 2 else pycolmap.Rigid3d()) * world).matrix(), [0, 0, 0, 1]])
            poses[name] = np.linalg.inv(steps)
        model.add_frame(frame)
        for image in images:
            model.add_image(image)
        model.register_frame(moment + 1)
    getattr(model, f"write_{kind}")(folder)
    return poses


@pytest.mark.parametrize("kind", ["binary", "text"])
def test_rigs_and_frames_count_where_the_images_are_out_of_date(tmp_path, kind):
    """As for COLMAP itself."""
    poses = rig_model(tmp_path, kind)
    path = tmp_path / ("images.bin" if kind == "binary" else "images.txt")
    for change in (False, True):
        if change and kind == "text":
            lines = [line.split(" ") for line in path.read_text().splitlines()]
            path.write_text("\n".join(" ".join([*w[:5], "7", *w[6:]]) if len(w) == 10 else " ".join(w) for w in lines))
        elif change:
            data = bytearray(path.read_bytes())
            data[8 + 4 + 32 : 8 + 4 + 40] = struct.pack("<d", 7.0)
            path.write_bytes(data)
        found = dict(read_colmap(tmp_path))
        theirs = pycolmap.Reconstruction(tmp_path)
        for image in theirs.images.values():
            expected = np.vstack([image.cam_from_world().inverse().matrix(), [0, 0, 0, 1]])
            np.testing.assert_allclose(poses[image.name], expected, rtol=0, atol=1e-12)
            np.testing.assert_allclose(found[image.name].pose, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("file", ["rigs", "frames"])
def test_a_rig_model_that_is_cut_short_is_refused(tmp_path, file):
    rig_model(tmp_path / "b", "binary")
    rig_model(tmp_path / "t", "text")
    whole = (tmp_path / f"b/{file}.bin").read_bytes()
    for length in (0, 5, 20, len(whole) - 1):
        (tmp_path / f"b/{file}.bin").write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"{file}\.bin.*(cut short|damaged)"):
            read_colmap(tmp_path / "b")
    path = tmp_path / f"t/{file}.txt"
    path.write_text(path.read_text().rstrip()[:-5])
    with contextlib.suppress(UserError):  # a shorter number is a number
        read_colmap(tmp_path / "t")
    path.write_text("1 1 x")
    with pytest.raises(UserError, match=rf"{file}\.txt: line 1"):
        read_colmap(tmp_path / "t")


def test_files_may_begin_with_a_byte_order_mark(tmp_path):
    """As PowerShell and Notepad write them."""
    path = model(tmp_path / "m", "0.png", "1.png")
    for file in path.glob("*.bin"):
        file.unlink()
    for file in path.glob("*.txt"):
        file.write_text(file.read_text(), encoding="utf-8-sig")
    np.testing.assert_allclose(given("model", path).c2w["cameras"]["cam01"], pose(1), atol=1e-12)
    path = transforms(tmp_path / "t.json", "0.png", "1.png")
    path.write_text(path.read_text(), encoding="utf-8-sig")
    np.testing.assert_array_equal(given("transforms", path).c2w["cameras"]["cam01"], pose(1))
    path = calibration(tmp_path / "c.toml", table("cam00"), table("cam01"))
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert sorted(given("toml", path).c2w["cameras"]) == ["cam00", "cam01"]
