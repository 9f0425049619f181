"""Depth is scored without a truth: what is wrong is found, what is hidden does not count, nothing held out trains."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers.place import HEIGHT, NAMES, OPTIONS, WIDTH, place_camera, place_lens, place_view, write_place
from helpers.stages import work
from mixdepth.cameras import tasks
from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.lens import save_lenses
from mixdepth.evaluation.consistency import (
    FEWEST_POINTS,
    LONGER_SIDE,
    Score,
    differences,
    neighbours,
    point_errors,
    reduced,
    relative_scores,
    spread,
)
from mixdepth.evaluation.protocol import few_points
from mixdepth.evaluation.tasks import point_scores
from mixdepth.files.io import read_npz, write_npz
from mixdepth.scene.settings import Settings

# Cameras

PLANE = 5.0


def beside(x: float, turned: float = 0.0) -> Camera:
    """A camera at ``x`` that looks along z, turned about y by degrees."""
    c, s = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    c2w = np.eye(4)
    c2w[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    c2w[0, 3] = x
    return Camera(64, 48, 60.0, 60.0, 32.0, 24.0, c2w)


def plane(camera: Camera, slope: float = 0.0) -> np.ndarray:
    """z-depth [H, W] of the plane z = PLANE + slope * x."""
    grid = np.stack(np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5), axis=-1).reshape(-1, 2)
    ray = camera.unproject(grid, np.ones(len(grid))) - camera.centre
    depth = (PLANE + slope * camera.centre[0] - camera.centre[2]) / (ray[:, 2] - slope * ray[:, 0])
    return depth.reshape(camera.height, camera.width)


@pytest.mark.parametrize("slope", [0.0, 0.6])
@pytest.mark.parametrize("factor", [1.0, 1.02, 1.1, 0.9, 2.0, 0.5])
def test_depth_that_is_off_by_a_factor_differs_by_that_from_a_neighbour_s(factor: float, slope: float) -> None:
    one, two = beside(0), beside(0.4, -4)
    off = differences(one, factor * plane(one, slope), two, plane(two, slope))
    assert len(off) > 0.5 * 64 * 48
    if slope == 0:  # else the point meets the plane elsewhere, where it is nearer or farther
        assert np.median(off) == pytest.approx(abs(factor - 1), abs=0.01)
    assert (np.median(off) > 0.01) == (factor != 1)
    if factor == 1:
        assert off.max() < 1e-6, "the look-up between pixels is exact on a plane"


def test_a_neighbour_of_another_size_gives_the_same() -> None:
    one, two = beside(0), beside(0.4, -4).resized(40, 30)
    assert differences(one, plane(one, 0.3), two, plane(two, 0.3)).max() < 1e-6
    large = beside(0).resized(1280, 960)
    assert max(reduced(large).width, reduced(large).height) == LONGER_SIDE
    off = differences(large, plane(large), reduced(large), plane(reduced(large)))
    assert off.max() < 1e-6
    assert len(off) == LONGER_SIDE * LONGER_SIDE * 3 // 4, "the number of compared pixels does not grow with the size"


def views() -> tuple[list[Camera], list[np.ndarray]]:
    """Two cameras with a wall and a board before it, which hides other parts of the wall from each, and true depths."""
    cameras = [place_camera(0), place_camera(2)]
    return cameras, [place_view(camera)[1] for camera in cameras]


def test_what_an_occluder_hides_does_not_count() -> None:
    (one, two), (here, there) = views()
    off = differences(one, here, two, there)
    assert (off < 0.05).mean() > 0.99
    # A part of the wall that camera one sees lies behind the board for camera two: more than the rim of the board.
    wall = here > 4.3
    points = one.unproject(np.stack(wall.nonzero()[::-1], axis=1) + 0.5, here[wall])
    uv, z = two.project(points)
    inside = ((uv >= 0) & (uv < [WIDTH, HEIGHT])).all(axis=1)
    column, row = uv[inside].astype(int).T
    hidden = there[row, column] < 0.9 * z[inside]
    assert hidden.sum() > 300
    assert len(off) <= wall.size - (~inside).sum() - 0.8 * hidden.sum()


@pytest.mark.parametrize("side", [0, 1])
def test_a_floater_counts_whichever_camera_has_it(side: int) -> None:
    cameras, depths = views()
    clean = differences(cameras[0], depths[0], cameras[1], depths[1])
    depths[side] = depths[side].copy()
    depths[side][:40, 70:130] = 3.2  # in the air, where the other camera looks through it
    off = differences(cameras[0], depths[0], cameras[1], depths[1])
    assert (off > 0.05).sum() - (clean > 0.05).sum() > 0.5 * 40 * 60


def test_pixels_without_a_source_do_not_count() -> None:
    one, two = beside(0), beside(0.4)
    valid = np.zeros((48, 64), bool)
    valid[:, 20:] = True
    depth = np.where(valid, plane(one), 1.0)
    off = differences(one, depth, two, plane(two), valid)
    assert off.max() < 1e-6
    assert len(off) <= valid.sum()


def test_neighbours_are_the_nearest_that_look_the_same_way() -> None:
    cameras = {"a": beside(0), "b": beside(3), "c": beside(-1), "d": beside(0.5, 90), "e": beside(2), "f": beside(0)}
    assert neighbours("a", cameras, cameras) == ["c", "e"], "d looks elsewhere, f stands in the same place"
    assert neighbours("a", cameras, ["a", "b", "x"]) == ["b"], "only those in use that have a pose"
    assert neighbours("d", cameras, cameras) == []


def test_frames_are_spread_over_the_whole() -> None:
    assert spread(24, 3) == [0, 12, 23]
    assert spread(2, 3) == [0, 1]
    assert spread(1, 3) == [0]
    assert len(spread(1000, 15)) == 15


# COLMAP's points


def points_file(path: Path, sigma: float = 0.01, count: int = 40) -> np.ndarray:
    """Points at whole pixels of a depth map of 20 x 30, each of another depth."""
    rng = np.random.default_rng(0)
    pixel = rng.choice(20 * 30, count, replace=False)
    row, column = np.divmod(pixel, 30)
    z = rng.uniform(2, 6, count)
    write_npz(path, {"uv": np.stack([column + 0.3, row + 0.9], axis=1), "z": z, "sigma": sigma * z})
    depth = np.full((9, 20, 30), 50.0, np.float32)
    depth[:, row, column] = z
    return depth


def test_depth_at_points_is_compared_with_theirs(tmp_path: Path) -> None:
    depth = points_file(tmp_path / "a.npz")
    assert point_errors(depth, tmp_path / "a.npz").max() < 1e-6
    found = relative_scores(point_errors(1.1 * depth, tmp_path / "a.npz"), "points")
    assert found == pytest.approx({"median_relative": 0.1, "within_5_percent": 0.0, "points": 40})
    depth[:4] = 1.0  # something passes in fewer than half of the frames
    assert point_errors(depth, tmp_path / "a.npz").max() < 1e-6


def test_unsure_points_do_not_count(tmp_path: Path) -> None:
    depth = points_file(tmp_path / "a.npz", sigma=0.03)
    assert len(point_errors(depth, tmp_path / "a.npz")) == 0


def test_cameras_with_few_points_have_no_score_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "held_out_depth"
    seen = [
        SimpleNamespace(name=name, depth=points_file(folder / f"{name}.npz", count=n))
        for name, n in (("a", 6), ("b", 7))
    ]
    found = point_scores(seen, folder)
    assert found.cameras == {"a": Score(None, few_points(6)), "b": Score(None, few_points(7))}
    assert found.whole.value["points"] == 13 > FEWEST_POINTS
    missing = point_scores([SimpleNamespace(name="c", depth=None)], folder)
    assert missing.whole == missing.cameras["c"]
    assert missing.whole.value is None
    assert "c.npz is not there" in missing.whole.reason


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimpleNamespace, Path]:
    """The place with exact poses, cam01 held out, everything up to the held-out points."""
    data, folder = tmp_path_factory.mktemp("place"), tmp_path_factory.mktemp("results")
    write_place(data)
    for name in NAMES:
        (folder / "reference" / name).mkdir(parents=True)
        shutil.copy(data / f"{name}.png", folder / "reference" / name / "frame_0000.png")
        moving = Image.new("L", (WIDTH, HEIGHT))
        if name == "cam02":  # a mover in a training camera takes its points away from the held-out one too
            moving.paste(255, (0, 0, WIDTH, HEIGHT // 3))
        moving.save(folder / "reference" / name / "moving.png")
    save_cameras(folder / "cameras.json", {name: place_camera(i) for i, name in enumerate(NAMES)})
    save_cameras(folder / "photos.json", {})
    save_lenses(folder / "lenses.json", {"cameras": dict.fromkeys(NAMES, place_lens()), "photos": {}})
    scene = SimpleNamespace(
        name="place", train_cameras=["cam00", "cam02", "cam03"], test_cameras=["cam01"], used_cameras=NAMES,
        train_photos=[], photos={}, config=Settings.of({"colmap": OPTIONS}),
    )  # fmt: skip
    work(tasks.write_held_out_points, "held_out_points", scene, folder)
    return scene, folder


def test_held_out_points_are_where_the_camera_sees_the_place(held_out: tuple[SimpleNamespace, Path]) -> None:
    _, folder = held_out
    found = read_npz(folder / "held_out_depth/cam01.npz")
    assert len(found["z"]) > 100
    truth = place_view(place_camera(1))[1]
    off = point_errors(truth[None], folder / "held_out_depth/cam01.npz")
    assert np.median(off) < 0.005
    assert (off < 0.05).mean() > 0.95
    scaled = relative_scores(point_errors(1.1 * truth[None], folder / "held_out_depth/cam01.npz"), "points")
    assert scaled["median_relative"] == pytest.approx(0.1, abs=0.01)
    # Few are left in the rows that cam02 sees moving: those that it does not observe.
    share = (found["uv"][:, 1] < 0.8 * HEIGHT / 3).mean()
    assert share < 0.5 * 0.8 / 3


def test_held_out_points_are_the_same_in_every_run(held_out: tuple[SimpleNamespace, Path]) -> None:
    scene, folder = held_out
    before = (folder / "held_out_depth/cam01.npz").read_bytes()
    work(tasks.write_held_out_points, "held_out_points", scene, folder)
    assert (folder / "held_out_depth/cam01.npz").read_bytes() == before


def test_a_held_out_camera_without_a_pose_has_no_points(held_out: tuple[SimpleNamespace, Path], tmp_path: Path) -> None:
    scene, folder = held_out
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    scene = SimpleNamespace(**{**vars(scene), "test_cameras": ["cam01", "cam09"], "used_cameras": [*NAMES, "cam09"]})
    work(tasks.write_held_out_points, "held_out_points", scene, tmp_path)
    assert len(read_npz(tmp_path / "held_out_depth/cam09.npz")["z"]) == 0
