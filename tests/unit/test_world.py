"""The world's axes and unit: a level rig comes back level, whatever world it was given in."""

import numpy as np
import pytest

from helpers.looking import look, ring
from mixdepth.cameras.world import Similarity, world_transform
from mixdepth.demo.rig import PHOTO_CAMERAS, VIDEO_CAMERAS
from mixdepth.errors import UserError

AUTO = {"up": None, "baseline": None}


def moved(poses: list[np.ndarray], seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """The rig in another world: turned, shifted and scaled at random."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    other = Similarity(rng.uniform(0.1, 9), turn * np.linalg.det(turn), rng.normal(size=3) * 5)
    return {"cameras": {f"cam{i:02d}": other.apply_pose(pose) for i, pose in enumerate(poses)}, "photos": {}}


def up_error(poses: list[np.ndarray], truth=(0, 0, 1), seed: int = 0) -> float:
    """Degrees between true up and the new world's z."""
    given = moved(poses, seed)
    transform, _, _ = world_transform(given, AUTO, "colmap")
    found = [transform.rotation @ pose[:3, :3] for pose in given["cameras"].values()]
    ups = [f @ p[:3, :3].T @ np.array(truth, dtype=float) for f, p in zip(found, poses, strict=True)]
    np.testing.assert_allclose(ups, ups[:1] * len(ups), atol=1e-9)
    return float(np.degrees(np.arccos(np.clip(ups[0][2], -1, 1))))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("height", [0.0, 1.0, 4.0, -1.0])
def test_a_level_ring_comes_back_level_wherever_it_looks_from(seed, height):
    assert up_error(ring(height=height), seed=seed) < 1e-3


def test_cameras_are_level_within_two_degrees_on_known_rigs(shared_data):
    demo = [camera.c2w for camera in (*VIDEO_CAMERAS.values(), *PHOTO_CAMERAS.values())]
    assert up_error(demo, truth=(0, 1, 0)) < 2
    assert up_error(demo[:5], truth=(0, 1, 0)) < 2, "the videos alone, which look about the same way"
    arc8 = np.load(shared_data / "arc8" / "truth.npz")["c2w_opencv"]
    assert up_error(list(arc8), truth=(0, 1, 0)) < 2


@pytest.mark.parametrize("case", ["fern", "flame_steak5"])
def test_a_forward_rig_stands_about_as_its_images_do(shared_data, case):
    rows = np.load(shared_data / case / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)
    poses = [np.eye(4) for _ in rows]
    for pose, row in zip(poses, rows, strict=True):
        pose[:3] = np.stack([row[:, 1], row[:, 0], -row[:, 2], row[:, 3]], axis=1)
    transform, _, _ = world_transform(moved(poses), AUTO, "colmap")
    for pose in moved(poses)["cameras"].values():
        new = transform.apply_pose(pose)
        assert -new[2, 1] > np.cos(np.radians(25)), "the image's up is about the world's"
        assert new[1, 2] > np.cos(np.radians(40)), "it looks about along +y"


def test_tilted_and_lying_images_do_not_bend_the_world():
    rolls = np.random.default_rng(0).normal(0, 1, 12)
    assert up_error(ring(rolls=rolls)) < 1
    rolls[[2, 7]] = 90, -90
    rolls[4] = 35
    assert up_error(ring(rolls=rolls)) < 1
    _, _, reason = world_transform(moved(ring(rolls=rolls)), AUTO, "colmap")
    assert "2 on their sides" in reason


def test_parallel_cameras_take_the_images_up():
    poses = [look([x, 0, 0], [x, 5, 0]) for x in range(4)]
    assert up_error(poses) < 1e-3
    poses[1] = look([1, 0, 0], [1, 5, 0], 90)
    assert up_error(poses) < 1


def test_unit_origin_and_heading_are_determined():
    given = moved(ring(arc=120))
    transform, _, reason = world_transform(given, AUTO, "colmap")
    new = np.array([transform.apply_pose(pose) for pose in given["cameras"].values()])
    np.testing.assert_allclose(
        new[:, :3, :3] @ new[:, :3, :3].transpose(0, 2, 1), np.eye(3)[None].repeat(12, 0), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(new[:, :3, :3]), 1, atol=1e-9)
    np.testing.assert_allclose(new[:, :3, 3].mean(axis=0), 0, atol=1e-9)
    assert np.linalg.norm(new[:, :3, 3], axis=1).mean() == pytest.approx(1)
    ahead = new[:, :3, 2].mean(axis=0)
    assert ahead[1] > 0
    assert ahead[0] == pytest.approx(0, abs=1e-9)
    assert "mean distance" in reason
    # The same world from whatever world the poses came in.
    other = moved(ring(arc=120), seed=5)
    again, _, _ = world_transform(other, AUTO, "colmap")
    np.testing.assert_allclose([again.apply_pose(p) for p in other["cameras"].values()], new, atol=1e-6)


def test_given_poses_stay_unless_asked():
    given = moved(ring())
    transform, _, _ = world_transform(given, AUTO, "llff")
    np.testing.assert_array_equal(transform.apply_pose(given["cameras"]["cam00"]), given["cameras"]["cam00"])
    transform, _, _ = world_transform(given, {"up": "cameras", "baseline": None}, "llff")
    assert transform.scale == 1.0
    assert not np.allclose(transform.rotation, np.eye(3))
    transform, _, _ = world_transform(given, {"up": "keep", "baseline": None}, "colmap")
    np.testing.assert_array_equal(transform.rotation, np.eye(3))
    assert transform.scale != 1.0


def test_poses_far_from_their_origin_are_near_it_inside_and_come_back_exactly():
    """UTM coordinates of a rig of some metres; single precision holds them to half a metre."""
    offset = np.array([448262.0, 120.0, 4512345.0])
    near = moved(ring())
    far = {group: {name: pose.copy() for name, pose in own.items()} for group, own in near.items()}
    for pose in far["cameras"].values():
        pose[:3, 3] += offset
    assert not world_transform(near, AUTO, "model")[1].any()
    transform, origin, reason = world_transform(far, AUTO, "model")
    assert "inside" in reason
    inside = [transform.apply_pose(pose) for pose in far["cameras"].values()]
    assert np.abs([pose[:3, 3] for pose in inside]).max() < 100
    for pose, given in zip(inside, far["cameras"].values(), strict=True):
        np.testing.assert_array_equal(pose[:3, :3], given[:3, :3])
        np.testing.assert_allclose(pose[:3, 3] + origin, given[:3, 3], rtol=0, atol=1e-8)
    # A unit that is set counts outside too, and an up that is set has an origin of its own.
    options = {"up": None, "baseline": {"cameras": ["cam01", "cam04"], "distance": 2.5}}
    transform, origin, _ = world_transform(far, options, "model")
    expected = transform.scale * far["cameras"]["cam02"][:3, 3]
    np.testing.assert_allclose(transform.apply_pose(far["cameras"]["cam02"])[:3, 3] + origin, expected, rtol=1e-12)
    assert not world_transform(far, {"up": "cameras", "baseline": None}, "model")[1].any()


@pytest.mark.parametrize("up", [[0, 0, 2.0], [0.3, -0.5, 0.1], [-1, 0, 0]])
def test_a_given_up_becomes_z(up):
    transform, _, _ = world_transform(moved(ring()), {"up": up, "baseline": None}, "toml")
    np.testing.assert_allclose(transform.rotation @ up, [0, 0, np.linalg.norm(up)], atol=1e-9)
    assert np.linalg.det(transform.rotation) == pytest.approx(1)


def test_a_measured_baseline_sets_the_unit():
    given = moved(ring())
    options = {"up": None, "baseline": {"cameras": ["cam01", "cam04"], "distance": 2.5}}
    for source in ("colmap", "llff"):
        transform, _, reason = world_transform(given, options, source)
        ends = [transform.apply_pose(given["cameras"][name])[:3, 3] for name in ("cam01", "cam04")]
        assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(2.5)
        assert "cam01 and cam04 are 2.5 apart" in reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"up": None, "baseline": {"cameras": ["cam01", "cam99"], "distance": 1.0}}, "cam99 is no camera with a pose"),
        ({"up": None, "baseline": {"cameras": ["cam01", "cam01"], "distance": 1.0}}, "in one place"),
        ({"up": None, "baseline": {"cameras": ["cam00", "twin"], "distance": 1.0}}, "in one place"),
        ({"up": [0, 0, 0], "baseline": None}, "has no length"),
    ],
)
def test_mistakes_are_named(options, message):
    given = moved(ring())
    given["photos"]["twin"] = given["cameras"]["cam00"]
    with pytest.raises(UserError, match=message):
        world_transform(given, options, "colmap")


def test_a_camera_alone_and_cameras_in_one_place_are_no_error():
    for poses in ([look([1, 1, 1], [0, 0, 0])], [look([1, 1, 1], [0, y, 0]) for y in range(3)]):
        transform, _, _ = world_transform(moved(poses), AUTO, "colmap")
        assert np.isfinite(transform.rotation).all()
        assert transform.scale > 0
    assert np.linalg.det(world_transform(moved([look([0, 0.1, 5], [0, 0, 0])]), AUTO, "colmap")[0].rotation) > 0.9
