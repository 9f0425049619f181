"""The cameras stage: the gate before training, what is left out, given bounds in the world's unit."""

from dataclasses import replace
from pathlib import Path

# First: it sees to it that Pillow is imported before pycolmap.
from mixdepth.cameras import tasks  # isort: skip
import numpy as np
import pycolmap
import pytest

from helpers.stages import work
from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.formats.colmap_files import read_colmap, read_points, write_colmap
from mixdepth.cameras.formats.llff import write_poses_bounds
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.errors import UserError
from mixdepth.files.io import read_json, read_npz, write_json
from mixdepth.scene.scene import Scene

WIDTH, HEIGHT = 64, 48
LENS = Lens("PINHOLE", WIDTH, HEIGHT, (60.0, 60.0, WIDTH / 2, HEIGHT / 2))
CAMERAS = ("cam00", "cam01", "cam02")
POSES = {"source": "colmap", "path": None, "trust": False, "intrinsics": None, "allow_missing": False}


def pose(x: float) -> np.ndarray:
    c2w = np.eye(4)
    c2w[0, 3] = x
    return c2w


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Three cameras in a row and one photo; the first camera is held out."""
    return Scene(
        name="x",
        data=tmp_path / "data",
        cameras={name: f"{name}.mp4" for name in CAMERAS},
        photos={"a": "photos/a.jpg"},
        train_cameras=["cam01", "cam02"],
        test_cameras=["cam00"],
        train_photos=["a"],
        test_photos=[],
        variants=[],
        video_variant="colmap",
        video_camera="cam00",
        options={
            "poses": POSES,
            "world": {"up": "keep", "baseline": {"cameras": ["cam00", "cam01"], "distance": 0.3}},  # as written below
            "scale": 0.5,
            "photo_scale": None,
            "near": None,
            "far": None,
        },
    )


def capture() -> dict:
    entry = {"width": WIDTH, "height": HEIGHT}
    return {"cameras": dict.fromkeys(CAMERAS, entry), "photos": {"a": entry}}


def write_model(folder: Path, names: list[str], count: int = 40) -> None:
    """A COLMAP model of cameras in a row, names sorted, that see ``count`` of forty points at depth 4; also as pycolmap
    reads it."""
    points = np.random.default_rng(0).uniform((-0.5, -0.5, 3.8), (0.5, 0.5, 4.2), (40, 3))[:count]
    images = {name: (LENS, pose(0.3 * i)) for i, name in enumerate(names)}
    uv = [Camera(WIDTH, HEIGHT, 60, 60, WIDTH / 2, HEIGHT / 2, c2w).project(points)[0] for _, c2w in images.values()]
    model = Model(
        dict.fromkeys(names, LENS),
        {name: c2w for name, (_, c2w) in images.items()},
        points,
        np.zeros(len(points)),
        np.tile(np.arange(len(points)), len(names)),
        np.repeat(np.arange(len(names)), len(points)),
        np.concatenate(uv),
    )
    write_colmap(folder, images, model)
    pycolmap.Reconstruction(folder).write_binary(folder)


def prepared(scene: Scene, folder: Path, verdict: str, images: list[str]) -> None:
    """Everything that the gate's rule reads."""
    write_model(folder / "sfm", images)
    work(tasks.write_cameras, "cameras", scene, folder, capture())
    for name in ("sparse", "sparse_plates"):
        write_model(folder / name, images)
    report = {"verdict": verdict, "score": 0.1, "reason": "photos/a.jpg contradicts its pose.", "images": {}}
    write_json(folder / "cameras_report.json", report)


EVERY = ["cameras/cam00.png", "cameras/cam01.png", "cameras/cam02.png", "photos/a.jpg"]


@pytest.mark.parametrize("verdict", ["contradicted", "unproven"])
def test_colmap_s_cameras_pass_the_gate_only_if_trusted(scene: Scene, tmp_path: Path, verdict: str) -> None:
    prepared(scene, tmp_path, verdict, EVERY)
    with pytest.raises(UserError, match=r"not to be trusted.*photos/a.jpg contradicts.*trust: true"):
        work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    assert not (tmp_path / "bounds.json").exists()
    assert (tmp_path / "cameras_report.json").exists()


def test_the_user_can_override_the_gate(scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    prepared(scene, tmp_path, "contradicted", EVERY)
    scene = replace(scene, options={**scene.options, "poses": {**POSES, "trust": True}})
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    assert "poses.trust" in capsys.readouterr().err
    assert len(read_npz(tmp_path / "colmap_depth/cam01.npz")["z"]) > 20


def test_given_cameras_without_evidence_go_on_and_contradicted_ones_do_not(scene: Scene, tmp_path: Path) -> None:
    prepared(scene, tmp_path, "unproven", EVERY)
    cameras = {name: Camera(WIDTH, HEIGHT, 60, 60, 32, 24, pose(0.3 * i)) for i, name in enumerate(CAMERAS)}
    write_poses_bounds(scene.data / "poses_bounds.npy", cameras, dict.fromkeys(CAMERAS, (2.0, 6.0)))
    scene = replace(scene, photos={}, train_photos=[], options={**scene.options, "poses": {**POSES, "source": "llff"}})
    scene.options["world"] = {"up": None, "baseline": {"cameras": ["cam00", "cam01"], "distance": 3.0}}
    work(tasks.write_cameras, "cameras", scene, tmp_path, {**capture(), "photos": {}})
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    # The file's bounds, in the unit in which the cameras are 3 and not 0.3 apart.
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam01"] == pytest.approx([20.0, 60.0])
    write_json(
        tmp_path / "cameras_report.json", {**read_json(tmp_path / "cameras_report.json"), "verdict": "contradicted"}
    )
    with pytest.raises(UserError, match="not to be trusted"):
        work(tasks.write_depth, "colmap_depth", scene, tmp_path)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ((3.4, 5.0), True),  # points are 3.8 to 4.2 away
        ((1.2, 16.0), True),
        ((0.01, 1000.0), False),  # placeholders
        ((0.9, 5.0), False),
        ((3.0, 17.0), False),
        ((2360.0, 7390.0), False),  # millimetres
        ((4.9, 20.0), False),  # cuts off what is there
    ],
)
def test_near_and_far_of_llff_count_unless_the_points_are_against_them(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture, told: tuple[float, float], believed: bool
) -> None:
    prepared(scene, tmp_path, "trusted", EVERY)
    cameras = {name: Camera(WIDTH, HEIGHT, 60, 60, 32, 24, pose(0.3 * i)) for i, name in enumerate(CAMERAS)}
    write_poses_bounds(scene.data / "poses_bounds.npy", cameras, dict.fromkeys(CAMERAS, told))
    scene = replace(scene, photos={}, train_photos=[], options={**scene.options, "poses": {**POSES, "source": "llff"}})
    work(tasks.write_cameras, "cameras", scene, tmp_path, {**capture(), "photos": {}})
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    bounds, warned = read_json(tmp_path / "bounds.json")["cameras"], capsys.readouterr().err
    assert ("poses_bounds.npy: near and far of cam00, cam01, cam02" in warned) is not believed
    for name in CAMERAS:  # the held-out one, of which no depths are known, too
        assert bounds[name] == (list(told) if believed else pytest.approx([3.8, 4.2], abs=0.05))
    # Both set: nobody asks the file.
    scene = replace(scene, options={**scene.options, "near": 1.0, "far": 9.0})
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam01"] == [1.0, 9.0]
    assert "near and far" not in capsys.readouterr().err


def test_one_camera_whose_near_and_far_are_wrong_is_the_only_one_that_loses_them(scene: Scene, tmp_path: Path) -> None:
    prepared(scene, tmp_path, "trusted", EVERY)
    cameras = {name: Camera(WIDTH, HEIGHT, 60, 60, 32, 24, pose(0.3 * i)) for i, name in enumerate(CAMERAS)}
    told = {"cam00": (3.0, 5.0), "cam01": (3.0, 5.0), "cam02": (3.0, 500.0)}
    write_poses_bounds(scene.data / "poses_bounds.npy", cameras, told)
    scene = replace(scene, photos={}, train_photos=[], options={**scene.options, "poses": {**POSES, "source": "llff"}})
    work(tasks.write_cameras, "cameras", scene, tmp_path, {**capture(), "photos": {}})
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    bounds = read_json(tmp_path / "bounds.json")["cameras"]
    assert [bounds[name] for name in CAMERAS[:2]] == [[3.0, 5.0], [3.0, 5.0]]
    assert bounds["cam02"] == pytest.approx([3.8, 4.2], abs=0.05)


def test_exports_have_the_coordinates_that_given_poses_came_in(scene: Scene, tmp_path: Path) -> None:
    """UTM coordinates: near their middle inside, as they came outside."""
    write_model(tmp_path / "sparse", EVERY[:3])
    offset = np.array([448262.0, 120.0, 4512345.0])
    images = {f"{name}.png": (LENS, pose(0.3 * i)) for i, name in enumerate(CAMERAS)}
    for _, c2w in images.values():
        c2w[:3, 3] += offset
    write_colmap(scene.data / "sparse/0", images)
    options = {**scene.options, "poses": {**POSES, "source": "model"}, "world": {"up": None, "baseline": None}}
    scene = replace(scene, photos={}, train_photos=[], options=options)
    work(tasks.write_cameras, "cameras", scene, tmp_path, {**capture(), "photos": {}})
    assert max(np.abs(camera.centre).max() for camera in load_cameras(tmp_path / "cameras.json").values()) < 1
    write_json(tmp_path / "bounds.json", {"cameras": {name: [3.0, 5.0] for name in CAMERAS}, "photos": {}})
    work(tasks.export, "export", scene, tmp_path)
    back = dict(read_colmap(tmp_path / "export/colmap"))
    points, _ = read_points(tmp_path / "export/colmap/points3D.bin")
    for name in CAMERAS:
        expected = images[f"{name}.png"][1]
        np.testing.assert_allclose(back[f"cameras/{name}.png"].pose, expected, rtol=0, atol=1e-8)
    assert np.linalg.norm(points.mean(axis=0) - offset - [0.3, 0, 4.0]) < 0.6


def test_what_partial_registration_left_out_is_in_no_file_and_named(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    prepared(scene, tmp_path, "trusted", ["cameras/cam00.png", "cameras/cam01.png"])
    told = capsys.readouterr().err
    assert "cameras/cam02.png" in told
    assert "photos/a.jpg" in told
    assert set(load_cameras(tmp_path / "cameras.json")) == {"cam00", "cam01"}
    for name in ("sparse", "sparse_plates"):
        write_model(tmp_path / name, EVERY[:2])
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    assert len(read_npz(tmp_path / "colmap_depth/cam02.npz")["z"]) == 0
    assert read_npz(tmp_path / "colmap_depth/photos/points.npz")["names"].tolist() == []
    assert set(read_json(tmp_path / "bounds.json")["cameras"]) == {"cam00", "cam01"}


def test_colmap_s_world_is_level_and_of_unit_size(scene: Scene, tmp_path: Path) -> None:
    write_model(tmp_path / "sfm", EVERY)
    scene.options["world"] = {"up": None, "baseline": None}
    work(tasks.write_cameras, "cameras", scene, tmp_path, capture())
    every = [*load_cameras(tmp_path / "cameras.json").values(), *load_cameras(tmp_path / "photos.json").values()]
    centres = np.array([camera.centre for camera in every])
    assert np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean() == pytest.approx(1)
    assert all(-camera.c2w[2, 1] == pytest.approx(1) for camera in every)  # the images' up is the world's z
    assert "unit" in read_json(tmp_path / "world.json")["reason"]
    assert every[0].width == WIDTH / 2


def test_points_of_what_stands_still_give_depth_and_those_of_a_moment_bounds(scene: Scene, tmp_path: Path) -> None:
    prepared(scene, tmp_path, "trusted", EVERY)
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    bounds = read_json(tmp_path / "bounds.json")
    write_model(tmp_path / "sparse_plates", EVERY, 15)
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    assert len(read_npz(tmp_path / "colmap_depth/cam01.npz")["z"]) == 15
    assert read_json(tmp_path / "bounds.json") == bounds
    write_model(tmp_path / "sparse", EVERY, 15)
    work(tasks.write_depth, "colmap_depth", scene, tmp_path)
    assert read_json(tmp_path / "bounds.json") != bounds
