"""Camera paths: where they lead, what time they show, and that what they show is the model's own."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.camera_paths import FRAMES, lay_out, rig, settings
from helpers.captures import capture
from helpers.looking import FORWARD, INWARD, OUTWARD, look_at
from helpers.stages import work
from helpers.training import everywhere
from mixdepth.cameras.camera import Camera, load_cameras, moved
from mixdepth.cameras.formats.camera_path import read_camera_path, write_camera_path
from mixdepth.cameras.space import Space
from mixdepth.errors import UserError
from mixdepth.fields.dynamic import embedded
from mixdepth.fields.storage import load_model
from mixdepth.files.io import write_json
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.orbit import orbit
from mixdepth.rendering.paths import Clock, between, fitted, make_path
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.tasks import render_camera, render_path, shares
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene

CLOCK = Clock(frames=24, fps=12.0)


# Where


def test_a_move_begins_and_ends_exactly_at_its_cameras_and_is_straight():
    path = make_path(settings(kind="move", cameras=["cam01", "cam03"], frames=9), rig(FORWARD), CLOCK)
    first, last = FORWARD[1], FORWARD[3]
    assert path.cameras[0] is first
    assert path.cameras[-1] is last
    way = last.centre - first.centre
    for before, after in zip(path.cameras[:-1], path.cameras[1:], strict=True):
        step = after.centre - before.centre
        assert np.abs(np.cross(step, way)).max() < 1e-12
        assert step @ way > 0
    for camera in path.cameras:
        assert np.abs(camera.c2w[:3, :3].T @ camera.c2w[:3, :3] - np.eye(3)).max() < 1e-12
    assert np.allclose(path.cameras[4].centre, (first.centre + last.centre) / 2)


@pytest.mark.parametrize("degrees", [0, 1e-6, 30, 179.9999, 180])
def test_half_way_is_half_the_turn_whatever_the_angle(degrees: float):
    a = look_at([1, 2, 3], [0, 0, 0])
    angle, axis = math.radians(degrees), np.array([2.0, -1, 2]) / 3
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * skew @ skew
    c2w = np.eye(4)
    c2w[:3, :3] = a.c2w[:3, :3] @ turn
    b = Camera(a.width, a.height, a.fx + 10, a.fy, a.cx, a.cy, c2w)
    half = between(a, b, 0.5)
    assert half.fx == a.fx + 5
    step = a.c2w[:3, :3].T @ half.c2w[:3, :3]
    assert np.abs(step @ step - turn).max() < 1e-5


def test_a_tour_visits_every_camera_and_always_the_nearest_next():
    path = make_path(settings(kind="move", frames=31), rig(FORWARD), CLOCK)
    assert [path.cameras[k].centre.tolist() for k in (0, 10, 20, 30)] == [
        pytest.approx(FORWARD[k].centre.tolist()) for k in (3, 2, 1, 0)
    ]


def spherical(camera: Camera, focus: np.ndarray) -> np.ndarray:
    offset = camera.centre - focus
    return np.array([math.atan2(offset[0], -offset[2]), math.asin(-offset[1] / np.linalg.norm(offset))])


def test_a_spiral_of_a_rig_that_looks_forward_stays_within_its_cameras_and_looks_where_they_look():
    eyes = [(-1, 0.3, 0), (-0.2, -0.5, 0.1), (0.5, 0.4, -0.1), (1.2, -0.1, 0), (0.2, 0.1, 0.05)]
    cameras = [look_at(list(eye), [0, 0, 6], 64, 48) for eye in eyes]
    focus = np.array([0.0, 0, 6])
    poses = orbit(cameras, 2.0, 9.0, np.arange(40) / 40)
    corners = np.array([spherical(camera, focus) for camera in cameras])
    distances = [np.linalg.norm(camera.centre - focus) for camera in cameras]
    extent = []
    for pose in poses:
        camera = Camera(64, 48, 60, 60, 32, 24, pose)
        here = spherical(camera, focus)
        extent.append(here)
        for turn in np.linspace(0, 2 * math.pi, 90):
            normal = np.array([math.cos(turn), math.sin(turn)])
            assert normal @ here <= (corners @ normal).max() + 1e-6, "within the hull of the cameras"
        assert min(distances) <= np.linalg.norm(pose[:3, 3] - focus) <= max(distances)
        assert camera.project(focus[None])[0] == pytest.approx(np.array([[32, 24]])), "looks at their place"
        assert camera.c2w[1, 1] > 0.9, "upright"
    assert np.ptp(extent, axis=0)[0] > 0.5 * np.ptp(corners, axis=0)[0], "and uses the room there is"
    steps = [np.linalg.norm(b[:3, 3] - a[:3, 3]) for a, b in zip(poses, [*poses[1:], poses[0]], strict=True)]
    assert max(steps) < 3 * np.mean(steps), "without a jump, from its end to its start too"


def test_a_spiral_of_a_rig_all_around_goes_all_around_at_its_height_and_distance():
    circle = [look_at([4 * math.cos(a), -1.0, 4 * math.sin(a)], [0, 0, 0]) for a in np.arange(8) / 8 * 2 * math.pi]
    eyes = np.array([pose[:3, 3] for pose in orbit(circle, 2.0, 9.0, np.arange(36) / 36)])
    assert np.abs(np.linalg.norm(eyes[:, [0, 2]], axis=1) - 4).max() < 1e-3
    assert np.abs(eyes[:, 1] + 1).max() < 1e-3
    angles = np.unwrap(np.arctan2(eyes[:, 2], eyes[:, 0]))
    assert np.allclose(np.abs(np.diff(angles)), 2 * math.pi / 36)


def test_a_spiral_of_half_a_circle_does_not_leave_it():
    """Nor where the seam of the angles lies."""
    for start in (0.0, 2.5, 4.0):
        angles = start + np.linspace(0, math.pi, 7)
        half = [look_at([4 * math.cos(a), -1.0, 4 * math.sin(a)], [0, 0, 0]) for a in angles]
        eyes = np.array([pose[:3, 3] for pose in orbit(half, 2.0, 9.0, np.arange(36) / 36)])
        middle = np.array([math.cos(start + math.pi / 2), 0, math.sin(start + math.pi / 2)])
        assert (eyes @ middle).min() > -1e-6
        assert np.linalg.norm(eyes[:, [0, 2]], axis=1) == pytest.approx(np.full(36, 4.0), abs=1e-3)


def test_parallel_cameras_have_a_spiral_and_cameras_that_look_apart_a_reason_why_not():
    parallel = [look_at([x, y, 0], [x, y, 5]) for x, y in ((-1, 0), (0, 1), (1, 0), (0, -1))]
    eyes = np.array([pose[:3, 3] for pose in orbit(parallel, 2.0, 20.0, np.arange(12) / 12)])
    assert 0.5 < np.abs(eyes[:, :2]).max() <= 1
    with pytest.raises(UserError, match="no place in common"):
        orbit(OUTWARD, 2.0, 9.0, np.arange(4) / 4)
    assert len(orbit(INWARD, 2.0, 9.0, np.arange(4) / 4)) == 4


def test_pictures_of_another_size_keep_the_view_from_top_to_bottom():
    camera = FORWARD[0]
    wide = fitted(camera, 128, 64)
    point = camera.unproject(np.array([[20.0, 10]]), np.array([4.0]))
    (u, v), (x, y) = camera.project(point)[0][0], wide.project(point)[0][0]
    assert y / 64 == pytest.approx(v / 48)
    assert (x - 64) / 64 == pytest.approx((u - 32) / 48)
    path = make_path(settings(kind="camera", width=32), rig(FORWARD), CLOCK)
    assert {(c.width, c.height) for c in path.cameras} == {(32, 24)}


# When


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"time": "play", "frames": 26}, [*range(24), 23, 23]),
        ({"time": "loop", "frames": 26}, [*range(24), 0, 1]),
        ({"time": "pingpong", "frames": 48}, [*range(24), *range(22, -1, -1), 1]),
        ({"time": "freeze", "frames": 3}, [12, 12, 12]),
        ({"time": "freeze", "frames": 3, "at": 2.5}, [2.5, 2.5, 2.5]),
        ({"time": "play", "speed": 0.25, "at": 1, "frames": 6}, [1, 1.25, 1.5, 1.75, 2, 2.25]),
        ({"time": "play", "fps": 24, "frames": 4}, [0, 0.5, 1, 1.5]),
        ({"time": "loop", "speed": 0.5, "at": 22.5, "frames": 4}, [22.5, 23, 23, 0]),
    ],
    ids=str,
)
def test_time_passes_as_asked(given: dict, expected: list[float]):
    path = make_path(settings(kind="camera", **given), rig(FORWARD), CLOCK)
    assert path.times.tolist() == expected
    assert len({id(camera) for camera in path.cameras}) == 1, "a camera that stands still is one object"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "camera", "time": "play"}, 24),
        ({"time": "play", "speed": 0.25}, 93),
        ({"time": "freeze"}, 48),
        ({"time": "pingpong"}, 92),
        ({"time": "loop"}, 48),
        ({"kind": "move", "time": "freeze"}, 72),  # three ways of two seconds
        ({"seconds": 1.5, "fps": 30}, 45),
    ],
    ids=str,
)
def test_a_path_is_as_long_as_asked_or_lasts_whole_rounds(given: dict, expected: int):
    assert len(make_path(settings(**given), rig(FORWARD), CLOCK).cameras) == expected


def test_a_capture_of_one_frame_has_paths_too():
    for time in ("play", "loop", "pingpong", "freeze"):
        path = make_path(settings(kind="camera", time=time), rig(FORWARD), Clock(1, 12.0))
        assert set(path.times) == {0.0}


def test_embeddings_between_frames_are_mixed_and_those_of_frames_exact():
    table = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([[0.0, 1.25, 4.0]], dtype=torch.float64)
    found = embedded(table, times)[0]
    assert torch.equal(found[0], table[0])
    assert torch.equal(found[2], table[4])
    assert torch.allclose(found[1], 0.75 * table[1] + 0.25 * table[2])
    region = everywhere(32)
    assert region.bits(torch.tensor([[3.5]])).item() == 2**1 + 2**2, "the parts of both frames"
    assert region.bits(torch.tensor([[4.0]])).item() == 2**2


# nerfstudio's file


def test_nerfstudios_file_is_read_in_its_own_convention(tmp_path: Path):
    """Worked out by hand: at (1, 2, 3), looking along -z of the world with y up, which is OpenGL's identity."""
    entry = {"camera_to_world": [1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1], "fov": 90, "aspect": 2}
    meta = {"camera_type": "perspective", "render_height": 20, "render_width": 40, "fps": 24, "seconds": 1}
    write_json(tmp_path / "a.json", {**meta, "camera_path": [entry]})
    (camera,), times, fps = read_camera_path(tmp_path / "a.json")
    assert times is None
    assert fps == 24
    assert (camera.width, camera.height) == (40, 20)
    assert camera.fx == pytest.approx(10)
    assert camera.c2w.tolist() == [[1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]]
    uv, z = camera.project(np.array([[1.0, 3, 1]]))  # one up, two ahead
    assert uv[0].tolist() == pytest.approx([20, 5])
    assert z[0] == 2


def test_a_written_path_is_read_as_it_was(tmp_path: Path):
    cameras = [Camera(64, 48, 50, 50, 32, 24, camera.c2w) for camera in FORWARD]
    write_camera_path(tmp_path / "p.json", cameras, 30.0, np.array([0, 0.25, 0.5, 1]))
    path = make_path(settings(kind="file", file="p.json"), rig(FORWARD), CLOCK, tmp_path / "p.json")
    assert path.fps == 30
    assert path.times.tolist() == [0, 5.75, 11.5, 23]
    for found, expected in zip(path.cameras, cameras, strict=True):
        assert np.abs(found.c2w - expected.c2w).max() < 1e-15
        assert found.fx == pytest.approx(50, abs=1e-12)


def test_a_path_from_a_file_is_in_the_coordinates_of_the_exports(tmp_path: Path):
    offset = np.array([448262.0, 120.0, 4512345.0])
    outside = [Camera(64, 48, 50, 50, 32, 24, moved(camera.c2w, offset)) for camera in FORWARD]
    write_camera_path(tmp_path / "p.json", outside, 30.0, np.array([0, 0.25, 0.5, 1]))
    far = replace(rig(FORWARD), origin=offset.tolist())
    path = make_path(settings(kind="file", file="p.json"), far, CLOCK, tmp_path / "p.json")
    for found, expected in zip(path.cameras, FORWARD, strict=True):
        assert np.abs(found.c2w - expected.c2w).max() < 1e-8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera_type": "equirectangular"}, 'camera_type is "equirectangular"'),
        ({"camera_path": []}, "has no camera_path"),
        ({"render_width": None}, "render_width"),
        ({"camera_path": [{"fov": 50}]}, r"camera_path\[0\]: camera_to_world"),
        ({"camera_path": [{"camera_to_world": [2.0] * 16, "fov": 50}]}, "expected 0, 0, 0, 1"),
        ({"camera_path": [{"camera_to_world": np.eye(4).tolist(), "fov": 200}]}, "below 180 degrees"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_damaged_path_is_told_in_one_line(tmp_path: Path, change: dict, message: str):
    write_camera_path(tmp_path / "p.json", FORWARD[:1], 30.0, np.zeros(1))
    meta = json.loads((tmp_path / "p.json").read_text())
    write_json(tmp_path / "p.json", {**meta, **change})
    with pytest.raises(UserError, match=message):
        read_camera_path(tmp_path / "p.json")


# Configuration


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"a": {"kind": "spyral"}}, 'did you mean "spiral"'),
        ({"a": {"kind": "move", "cameras": ["cam00", "cam1"]}}, 'paths.a.cameras: "cam1".*did you mean'),
        ({"a": {"kind": "move", "cameras": ["cam00"]}}, "takes two or more"),
        ({"a": {"kind": "file"}}, "has no file"),
        ({"a": {"file": "x.json"}}, "kind: spiral"),
        ({"a.b": {}}, "not a name"),
        ({"spiral": {"spead": 2}}, 'did you mean "speed"'),
    ],
    ids=lambda v: str(v)[:40],
)
def test_mistakes_in_paths_are_told_with_their_key(tmp_path: Path, paths: dict, message: str):
    with pytest.raises(UserError, match=message):
        load_config({"scenes": {"x": {"data": str(capture(tmp_path)), "paths": paths}}})["x"]


def test_some_paths_are_there_without_being_configured(tmp_path: Path):
    data = str(capture(tmp_path))
    scene = load_config({"scenes": {"x": {"data": data, "paths": {"mine": {"kind": "camera"}}}}})["x"]
    assert set(scene.options["paths"]) == {"spiral", "frozen", "slow", "tour", "mine"}
    assert scene.path("frozen")["time"] == "freeze"
    with pytest.raises(UserError, match='no camera path "spirl"; did you mean "spiral"'):
        scene.path("spirl")


# What is shown


def rendered(scene: Scene, results: Path, path: str) -> tuple[np.ndarray, np.ndarray, dict]:
    """Colours, depths and cameras along a camera path."""
    work(render_path, "render_path", scene, results, "none", path, variant="none", path=path)
    folder = results / "none/paths" / path
    rgb, depth = (np.load(folder / f"{name}.npy") for name in ("rgb", "depth"))
    return rgb, depth, json.loads((folder / "cameras.json").read_text())


SEGMENTS = {"one segment": [[0, FRAMES]], "three segments": [[0, 3], [1, 5], [3, 6]]}


@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
def test_a_camera_that_stands_still_shows_its_renders_at_whole_times(tmp_path: Path, segments: list):
    """The colours, to the byte; in slow motion, whose whole times lie among others, and backwards to the rounding."""
    path = {"kind": "camera", "time": "play"}
    scene = lay_out(tmp_path, segments, plain=path, slow={**path, "speed": 0.5}, back={**path, "time": "pingpong"})
    work(render_camera, "render", scene, tmp_path, "none", "cam00", variant="none", camera="cam00")
    rgb, depth = (np.load(tmp_path / f"none/renders/cam00/{name}.npy") for name in ("rgb", "depth"))
    assert len({frame.tobytes() for frame in rgb}) == FRAMES, "frames differ"
    for name, frames in (("plain", slice(None)), ("slow", slice(None, None, 2)), ("back", slice(0, FRAMES))):
        pictures, surfaces, _ = rendered(scene, tmp_path, name)
        # Products of matrices of another width may differ in the last bits, and a colour then by its rounding.
        apart = np.abs(pictures[frames].astype(int) - rgb)
        assert apart.max() <= (name != "plain"), name
        assert (apart > 0).mean() < 1e-3, name
        assert np.abs(surfaces[frames] / depth - 1).max() < 1e-5, name
    slow, _, cameras = rendered(scene, tmp_path, "slow")
    assert [cameras[f"{k:05d}"]["time"] for k in range(len(slow))] == (np.arange(11) / 2).tolist()
    between_them = slow[1::2].astype(int)
    apart = np.abs(np.diff(rgb.astype(int), axis=0)).max()
    assert (np.abs(between_them - rgb[:-1]).max(axis=(1, 2, 3)) > 0).all()
    assert np.abs(between_them - rgb[:-1]).max() < apart, "nearer to a frame than its neighbour is"


def test_frozen_time_keeps_its_time_while_the_camera_moves(tmp_path: Path):
    scene = lay_out(tmp_path, [[0, FRAMES]], frozen={"kind": "move", "time": "freeze", "frames": 4})
    rgb, depth, cameras = rendered(scene, tmp_path, "frozen")
    assert {camera["time"] for camera in cameras.values()} == {3.0}
    assert len({str(camera["c2w"]) for camera in cameras.values()}) == 4
    assert np.isfinite(depth).all()
    assert len({frame.tobytes() for frame in rgb}) == 4
    assert json.loads((tmp_path / "none/paths/frozen/path.json").read_text())["fps"] == 12


def test_every_frame_of_a_moving_camera_is_what_its_camera_sees_at_its_time(tmp_path: Path):
    scene = lay_out(tmp_path, [[0, FRAMES]], tour={"kind": "move", "frames": FRAMES, "time": "play"})
    rgb, depth, _ = rendered(scene, tmp_path, "tour")
    views = list(load_cameras(tmp_path / "none/paths/tour/cameras.json").values())
    _, static, dynamic = load_model(tmp_path / "none/model.safetensors")
    space = SpaceMap(Space.load(tmp_path / "space.json"))
    for frame, view in enumerate(views):
        picture, surface = render_video(static, dynamic, space, view, 20, torch.tensor([frame]))
        assert (rgb[frame] == picture[0]).all()
        assert (depth[frame] == surface[0]).all()


@pytest.mark.parametrize(("share", "samples", "line"), [(0.03, 200, -0.35), (1.0, 20, 0.0)])
def test_a_frame_shows_the_same_whatever_frames_are_rendered_with_it(
    tmp_path: Path, share: float, samples: int, line: float
):
    """Where cells belong to some frames only, and the static branch is so faint that most of it is left out."""
    lay_out(tmp_path, [[0, FRAMES]])
    _, static, dynamic = load_model(tmp_path / "none/model.safetensors")
    generator = torch.Generator().manual_seed(0)
    used = torch.rand(8**3, generator=generator) < share
    dynamic.region.sets[:] = used * torch.randint(2**FRAMES, (8**3,), generator=generator).int()
    with torch.no_grad():
        static.background += torch.tensor([3.0, 0, -3])
        static.density_grid.planes.fill_(0.35)
        static.density_grid.lines.fill_(line)
    space, camera = SpaceMap(Space.load(tmp_path / "space.json")), load_cameras(tmp_path / "cameras.json")["cam01"]
    together, depths = render_video(static, dynamic, space, camera, samples)
    for frame in range(FRAMES):
        alone, depth = render_video(static, dynamic, space, camera, samples, torch.tensor([frame]))
        apart = np.abs(alone[0].astype(int) - together[frame])
        assert apart.max() <= 1, "rounding"
        assert (apart > 0).mean() < 2e-3
        assert np.abs(depth[0] / depths[frame] - 1).max() < 1e-4


def test_segments_fade_over_continuous_time():
    """Shares rise evenly over the frames that two segments have in common, and those of whole times stay the same."""
    (before, _, all_of_it), (after, local, share) = shares([(0, 6), (3, 9)], np.array([2.0, 2.5, 3, 3.5, 5, 5.5, 6]))
    assert before.tolist() == [0, 1, 2, 3, 4, 5]
    assert (all_of_it == 1).all()
    assert after.tolist() == [1, 2, 3, 4, 5, 6]
    assert local.tolist() == [0, 0, 0.5, 2, 2.5, 3]
    assert share.tolist() == pytest.approx([0.125, 0.25, 0.375, 0.75, 0.875, 1])
