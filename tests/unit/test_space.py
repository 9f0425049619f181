"""The space is chosen from the cameras and what they see, and says why."""

import json
from dataclasses import replace

from mixdepth.cameras.tasks import write_space  # isort: skip  (imports Pillow first)
import numpy as np
import pytest

from helpers.looking import look, ring
from helpers.stages import work
from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.space import Space, choose_space, shared_bounds
from mixdepth.demo.rig import PHOTO_CAMERAS, VIDEO_CAMERAS
from mixdepth.errors import UserError
from mixdepth.files.io import write_json, write_npz
from mixdepth.results import Results, depth_file, photo_depth_file
from mixdepth.scene.scene import Scene


def cameras(poses: list[np.ndarray]) -> list[Camera]:
    return [Camera(64, 48, 60.0, 60.0, 32.0, 24.0, pose) for pose in poses]


def chosen(rig: list[Camera], near: float = 1.0, far: float = 8.0) -> Space:
    return choose_space(rig, [(near, far)] * len(rig))


FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # from OpenGL's axes to OpenCV's
PAN = [look([0, 0, 1], [np.cos(a), np.sin(a), 1]) for a in np.linspace(0, 2 * np.pi, 7)]
DOME = [
    look([3 * np.cos(a) * np.cos(e), 3 * np.sin(a) * np.cos(e), 3 * np.sin(e)], [0, 0, 0.3])
    for a in np.linspace(0, 2 * np.pi, 8, endpoint=False)
    for e in (0.1, 0.7)
]
BACK_TO_BACK = [look([x, s * 0.1, 0], [x, s * 5, 0]) for x in range(3) for s in (-1, 1)]


@pytest.mark.parametrize(
    ("poses", "kind"),
    [
        (ring(arc=360), "bounded"),
        (ring(arc=120), "bounded"),
        (ring(arc=40), "forward"),
        (DOME, "bounded"),
        ([*DOME, look([3, 0, 0.3], [9, 0, 0.3])], "bounded"),  # one camera looks elsewhere
        (PAN, "unbounded"),
        ([look([0.2 * np.cos(a), 0.2 * np.sin(a), 0], [np.cos(a), np.sin(a), 0]) for a in range(6)], "unbounded"),
        (BACK_TO_BACK, "unbounded"),
        ([look([x, 0, 0], [x, 5, 0]) for x in range(4)], "forward"),
        (ring(count=2, arc=180), "bounded"),
        ([look([0, 0, 0], [0, 5, 0]), look([1, 0, 0], [6, 0, 0])], "unbounded"),
        (ring(count=1), "forward"),
    ],
    ids=["ring", "arc", "narrow", "dome", "stray", "pan", "outward", "back", "parallel", "two", "apart", "one"],
)
def test_the_kind_follows_from_the_rig(poses, kind):
    space = chosen(cameras(poses))
    assert space.kind == kind
    assert space.reason.startswith(f"{kind}: ")
    size = np.subtract(space.high, space.low)
    assert (size > 0).all()
    assert np.isfinite(size).all()


def test_the_kind_does_not_depend_on_the_world(shared_data):
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    for poses in (PAN, DOME, BACK_TO_BACK, ring(arc=40)):
        there = [pose.copy() for pose in poses]
        for pose in there:
            pose[:3, :3], pose[:3, 3] = turn @ pose[:3, :3], 0.01 * turn @ pose[:3, 3] + [500, -300, 70]
        assert chosen(cameras(there), 0.01, 0.08).kind == chosen(cameras(poses)).kind


def test_real_rigs_get_the_kind_they_need(shared_data):
    assert chosen([*VIDEO_CAMERAS.values(), *PHOTO_CAMERAS.values()]).kind == "forward"
    arc8 = np.load(shared_data / "arc8" / "truth.npz")["c2w_opencv"]
    assert chosen(cameras(list(arc8))).kind == "forward"
    for case in ("fern", "flame_steak5"):
        rows = np.load(shared_data / case / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)
        poses = [np.eye(4) for _ in rows]
        for pose, row in zip(poses, rows, strict=True):
            pose[:3] = np.stack([row[:, 1], row[:, 0], -row[:, 2], row[:, 3]], axis=1)
        assert chosen(cameras(poses)).kind == "forward", case
    dome = []
    for part in ("train", "test"):
        meta = json.loads((shared_data / "panoptic_basketball" / f"{part}_meta.json").read_text())
        for k, w2c in zip(meta["k"][0], meta["w2c"][0], strict=True):
            (fx, _, cx), (_, fy, cy), _ = k
            dome.append(Camera(meta["w"], meta["h"], fx, fy, cx, cy, np.linalg.inv(w2c)))
    assert chosen(dome, 0.2, 6.0).kind == "bounded"


def test_what_lies_around_outward_cameras_is_not_squeezed():
    """A pan has no size of its own: the part of the space that is not contracted follows from what is seen."""
    space = chosen(cameras(PAN), near=1.0, far=16.0)
    half = 0.5 * np.subtract(space.high, space.low)
    assert (half > 0.9 * np.sqrt(0.85 * 16)).all()
    np.testing.assert_allclose(0.5 * np.add(space.high, space.low), [0, 0, 1], atol=1e-6)


def test_the_configuration_overrides_and_the_reason_says_so():
    rig, bounds = cameras(DOME), [(1.0, 8.0)] * len(DOME)
    space = choose_space(rig, bounds, kind="unbounded", near=0.5)
    assert (space.kind, space.near) == ("unbounded", 0.5)
    assert "unbounded: set in the configuration" in space.reason
    assert "near 0.5 as configured" in space.reason
    assert "far 8.8 is 1.1 of the farthest" in space.reason
    with pytest.raises(UserError, match="0 < near < far"):
        choose_space(rig, bounds, near=20.0)


def test_what_cameras_share_is_what_lies_between_them():
    """A ring at 3 from what it looks at: little of what is behind the other cameras, and nothing at the lens."""
    for near, far in shared_bounds(cameras(ring(8))):
        assert 0.2 < near < 1.0
        assert 4.0 < far < 6.0
    far = [ends[1] for ends in shared_bounds(cameras([look([x, 0, 0], [x, 5, 0]) for x in range(4)]))]
    assert min(far) > 20  # parallel: as far as there is any parallax
    assert max(far) < 150


def test_units_do_not_matter_to_what_cameras_share_and_strangers_share_nothing():
    rig = ring(5, arc=120)
    small = [pose.copy() for pose in rig]
    for pose in small:
        pose[:3, 3] *= 0.001
    np.testing.assert_allclose(1000 * np.array(shared_bounds(cameras(small))), shared_bounds(cameras(rig)))
    outward = [look([0.2 * np.cos(a), 0.2 * np.sin(a), 0], [np.cos(a), np.sin(a), 0]) for a in (0, 2, 4)]
    assert shared_bounds(cameras(outward)) == [None] * 3
    assert shared_bounds(cameras([rig[0]] * 2)) == [None] * 2
    *shared, alone = shared_bounds(cameras([*rig, look([9, 0, 0], [20, 0, 0])]))
    assert all(shared)
    assert alone is None


def test_the_published_bounds_of_game_follow_from_its_frusta(shared_data):
    frames = json.loads((shared_data / "game" / "transforms.json").read_text())["frames"]
    rig = [
        Camera(f["w"], f["h"], f["fl_x"], f["fl_y"], f["cx"], f["cy"], np.array(f["transform_matrix"]) @ FLIP)
        for f in frames
        if "cam02" not in f["file_path"]
    ]
    space = choose_space(rig, shared_bounds(rig))
    assert space.near == pytest.approx(0.5, rel=0.2)
    assert space.far == pytest.approx(6.0, rel=0.2)


def test_written_from_the_images_that_have_a_pose(tmp_path):
    rig = dict(zip(("cam00", "cam01", "cam02"), cameras(ring(3, arc=30)), strict=True))
    save_cameras(tmp_path / "cameras.json", rig)
    save_cameras(tmp_path / "photos.json", {"a": rig["cam01"]})
    bounds = {"cameras": {name: [2.0, 5.0] for name in rig}, "photos": {"a": [1.0, 4.0]}}
    write_json(tmp_path / "bounds.json", bounds)
    world = {"reason": "", "scale": 1.0, "rotation": np.eye(3).tolist(), "translation": [0.0] * 3}
    nothing = {"cameras": {}, "photos": {}}
    write_json(tmp_path / "world.json", {**world, "origin": [1.0, 2.0, 3.0], "bounds": nothing})
    depth = Results(tmp_path).colmap_depth
    for path in (*(depth_file(depth, name) for name in ("cam01", "cam02", "cam03")), photo_depth_file(depth)):
        write_npz(path, {"z": np.ones(7)})
    scene = Scene(
        name="tiny", data=tmp_path, cameras=dict.fromkeys(["cam00", "cam01", "cam02", "cam03"], "x"),
        photos={"a": "a", "b": "b"}, train_cameras=["cam01", "cam02", "cam03"], test_cameras=["cam00"],
        train_photos=["a", "b"], test_photos=[], variants=["none"], video_variant="none", video_camera="cam00",
        options={"space": "auto", "near": None, "far": None},
    )  # fmt: skip
    work(write_space, "space", scene, tmp_path)
    space = Space.load(tmp_path / "space.json")
    assert space.near == pytest.approx(0.85)
    assert space.reason == (
        "forward: all 4 cameras look within 9 degrees of their mean direction; near 0.85 is 0.85 of the nearest, "
        "far 5.5 is 1.1 of the farthest that the 3 images which train see (28 sparse depths)"
    )
    assert space.origin == [1, 2, 3]
    # What the file of given cameras has is not told as that of the points.
    write_json(tmp_path / "bounds.json", {**bounds, "source": "given file"})
    work(write_space, "space", scene, tmp_path)
    assert Space.load(tmp_path / "space.json").reason.endswith("(as the file of poses has it)")


def test_a_forward_space_without_a_reference_is_refused(tmp_path):
    space = chosen(cameras(ring(3, arc=30)))
    assert space.kind == "forward"
    replace(space, reference_near=0.0, reference_far=0.0).save(tmp_path / "space.json")
    with pytest.raises(UserError, match=r"reference 0, 0"):
        Space.load(tmp_path / "space.json")
