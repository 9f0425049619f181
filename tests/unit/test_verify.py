"""Verification of cameras without the truth, on rigs of random points whose truth is known."""

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.checkout import REPOSITORY
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.cameras.verification.cuts import smallest_cut, weakest_cut
from mixdepth.cameras.verification.verify import LEAST_MATCHES, PRIOR, Verification, verify
from mixdepth.cameras.verification.view import ray_distance

WIDTH, HEIGHT, FOCAL = 640, 480, 600.0
NOISE = 0.3  # pixels
Pairs = dict[tuple[str, str], np.ndarray]


def turn(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """A rotation, [3, 3] (Rodrigues)."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def pose(rotation: np.ndarray, centre: np.ndarray) -> np.ndarray:
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = rotation, centre
    return c2w


def bare(lens: Lens, c2w: dict[str, np.ndarray]) -> Model:
    none = np.zeros(0, int)
    return Model(dict.fromkeys(c2w, lens), c2w, np.zeros((0, 3)), np.zeros(0), none, none, np.zeros((0, 2)))


def project(model: Model, name: str, points: np.ndarray) -> np.ndarray:
    local = (points - model.c2w[name][:3, 3]) @ model.c2w[name][:3, :3]
    return model.lenses[name].distort(local[:, :2] / local[:, 2:])


def seen(model: Model, points: np.ndarray, seed: int = 0) -> tuple[dict[str, np.ndarray], Pairs]:
    """Key points (key point i of every image shows point i) and the matches of every pair, all of them true."""
    rng = np.random.default_rng(seed)
    keypoints = {name: project(model, name, points) + rng.normal(0, NOISE, (len(points), 2)) for name in model.c2w}
    inside = {name: ((uv >= 0) & (uv <= [WIDTH, HEIGHT])).all(axis=1) for name, uv in keypoints.items()}
    pairs = {
        (one, two): np.repeat(np.flatnonzero(inside[one] & inside[two])[:, None], 2, axis=1)
        for one, two in itertools.combinations(sorted(model.c2w), 2)
    }
    return keypoints, pairs


def rig(count: int = 8, points: int = 250) -> tuple[Model, dict[str, np.ndarray], Pairs]:
    """Cameras on an arc of 70 degrees around (0, 0, 6), their key points and matches."""
    c2w = {}
    for number, angle in enumerate(np.linspace(-35, 35, count)):
        rotation = turn((0, 1, 0), -angle)
        c2w[f"cam{number:02d}"] = pose(rotation, np.array([0, 0.2 * (number % 2), 6]) - 6 * rotation[:, 2])
    model = bare(Lens("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)), c2w)
    cloud = np.random.default_rng(0).uniform([-1.5, -1.2, 4.5], [1.5, 1.2, 7.5], (points, 3))
    return model, *seen(model, cloud)


def with_pose(model: Model, name: str, c2w: np.ndarray) -> Model:
    return replace(model, c2w=model.c2w | {name: c2w})


def extent(model: Model) -> float:
    centres = np.array([c2w[:3, 3] for c2w in model.c2w.values()])
    return np.linalg.norm(centres[:, None] - centres, axis=-1).max()


def values(found: Verification) -> dict[str, float]:
    return {check["name"]: check["value"] for check in found.checks}


def worst(found: Verification) -> str:
    return min(found.images, key=lambda name: found.images[name]["score"])


# What passes


def test_right_cameras_are_trusted_and_every_figure_is_ready_for_json():
    model, keypoints, pairs = rig()
    found = verify(model, keypoints, pairs, sorted(model.c2w))
    assert found.verdict == "trusted"
    assert found.trusted
    assert found.score > 0.6  # what made points cannot do, SIFT cannot either: match over all of 70 degrees
    assert "All 8 images hang together" in found.reason
    assert values(found)["joint"] == 1
    assert values(found)["prediction"] < 0.0015
    assert all(check["passed"] for check in found.checks)
    assert sorted(found.images) == sorted(model.c2w)
    assert json.loads(json.dumps([found.images, found.checks])) == [found.images, found.checks]


def test_figures_do_not_depend_on_the_resolution_or_on_the_unit_of_the_world():
    model, keypoints, pairs = rig(4)
    large = Lens("PINHOLE", 4 * WIDTH, 4 * HEIGHT, (4 * FOCAL, 4 * FOCAL, 2 * WIDTH, 2 * HEIGHT))
    far = {name: pose(c2w[:3, :3], 1000 * c2w[:3, 3]) for name, c2w in model.c2w.items()}
    found = verify(model, keypoints, pairs, sorted(model.c2w))
    other = verify(bare(large, far), {name: 4 * uv for name, uv in keypoints.items()}, pairs, sorted(model.c2w))
    assert values(other) == pytest.approx(values(found))


def test_distortion_is_taken_out():
    model, _, _ = rig(5)
    lens = Lens("OPENCV", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, -0.4, 0.1, 0, 0))
    model = bare(lens, model.c2w)
    cloud = np.random.default_rng(0).uniform([-3, -2.5, 4.5], [3, 2.5, 7.5], (600, 3))
    keypoints, pairs = seen(model, cloud)
    straight = bare(Lens("PINHOLE", WIDTH, HEIGHT, lens.params[:4]), model.c2w)
    found, ignored = (verify(m, keypoints, pairs, sorted(model.c2w)) for m in (model, straight))
    assert found.trusted
    assert ignored.verdict == "contradicted"


def test_false_matches_of_look_alike_parts_do_not_condemn_right_cameras():
    model, keypoints, pairs = rig(8, 60)
    rng = np.random.default_rng(1)
    for one, two in (("cam00", "cam07"), ("cam00", "cam05"), ("cam01", "cam06"), ("cam02", "cam07")):
        pairs[one, two] = np.stack([rng.permutation(60)[:40], rng.permutation(60)[:40]], axis=1)
    found = verify(model, keypoints, pairs, sorted(model.c2w))
    assert found.trusted
    assert values(found)["joint"] < 1
    assert found.images["cam00"]["pairs_contradict"] == 2


def test_a_photo_from_a_cameras_place_agrees_unless_it_looks_elsewhere():
    model, _, _ = rig(5)
    photo = with_pose(model, "photo", model.c2w["cam02"].copy())
    photo = replace(photo, lenses=dict.fromkeys(photo.c2w, model.lenses["cam00"]))
    cloud = np.random.default_rng(0).uniform([-1.5, -1.2, 4.5], [1.5, 1.2, 7.5], (250, 3))
    keypoints, pairs = seen(photo, cloud)
    found = verify(photo, keypoints, pairs, sorted(photo.c2w))
    assert found.trusted
    assert found.images["photo"]["pairs_contradict"] == 0
    # What these two alone see says nothing of angles: the other cameras place both.
    few = {pair: rows if {*pair} == {"cam02", "photo"} else rows[::6] for pair, rows in pairs.items()}
    assert verify(photo, keypoints, few, sorted(photo.c2w)).trusted
    # Turned along the row, where other cameras' epipolar lines run: the camera of the same place alone can tell.
    only = {pair: matches for pair, matches in pairs.items() if "photo" not in pair or pair == ("cam02", "photo")}
    turned = with_pose(photo, "photo", pose(photo.c2w["photo"][:3, :3] @ turn((0, 1, 0), 3), photo.c2w["photo"][:3, 3]))
    assert verify(turned, keypoints, only, sorted(photo.c2w)).images["photo"]["pairs_contradict"] == 1


def test_two_images_are_judged_by_their_one_pair():
    model, keypoints, pairs = rig(2)
    found = verify(model, keypoints, pairs, sorted(model.c2w))
    assert found.trusted
    assert values(found)["prediction"] is None
    assert "not checked" in found.reason
    turned = with_pose(model, "cam01", pose(model.c2w["cam01"][:3, :3] @ turn((1, 0, 0), 3), model.c2w["cam01"][:3, 3]))
    assert verify(turned, keypoints, pairs, sorted(model.c2w)).verdict == "contradicted"


# What is flagged


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("name", ["cam00", "cam03"])
def test_a_camera_turned_by_two_degrees_is_named(name, axis):
    model, keypoints, pairs = rig()
    c2w = model.c2w[name]
    wrong = with_pose(model, name, pose(c2w[:3, :3] @ turn(axis, 2), c2w[:3, 3]))
    found = verify(wrong, keypoints, pairs, sorted(model.c2w))
    assert found.verdict == "contradicted"
    assert found.score < 0.5
    assert name in found.reason
    assert worst(found) == name


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
@pytest.mark.parametrize("name", ["cam00", "cam03"])
def test_a_camera_moved_by_a_twentieth_of_the_extent_is_named(name, direction):
    # Along the row the matches stay on their epipolar lines: only a third view finds it.
    model, keypoints, pairs = rig()
    c2w = model.c2w[name]
    step = 0.05 * extent(model) * c2w[:3, :3] @ np.array(direction)
    found = verify(with_pose(model, name, pose(c2w[:3, :3], c2w[:3, 3] + step)), keypoints, pairs, sorted(model.c2w))
    assert found.verdict == "contradicted"
    assert name in found.reason


def test_a_camera_on_a_straight_row_that_moved_along_it_is_found_by_the_third_view():
    c2w = {f"cam{number}": pose(np.eye(3), np.array([0.5 * number, 0, 0])) for number in range(5)}
    model = bare(Lens("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)), c2w)
    keypoints, pairs = seen(model, np.random.default_rng(0).uniform([0, -1.2, 4], [2, 1.2, 7], (300, 3)))
    assert verify(model, keypoints, pairs, sorted(c2w)).trusted
    found = verify(with_pose(model, "cam2", pose(np.eye(3), np.array([1.1, 0, 0]))), keypoints, pairs, sorted(c2w))
    assert values(found)["joint"] == 1
    assert found.verdict == "contradicted"
    assert found.reason.startswith("cam2 sees points")
    assert "of the diagonal) from where the other images place them" in found.reason


def test_a_focal_length_that_is_a_tenth_off_is_named():
    model, keypoints, pairs = rig()
    long = replace(model.lenses["cam03"], params=(1.1 * FOCAL, 1.1 * FOCAL, WIDTH / 2, HEIGHT / 2))
    found = verify(replace(model, lenses=model.lenses | {"cam03": long}), keypoints, pairs, sorted(model.c2w))
    assert found.verdict == "contradicted"
    assert "cam03" in found.reason


def test_exchanged_and_shifted_poses_are_flagged():
    model, keypoints, pairs = rig()
    names = sorted(model.c2w)
    exchanged = replace(model, c2w=model.c2w | {"cam01": model.c2w["cam02"], "cam02": model.c2w["cam01"]})
    found = verify(exchanged, keypoints, pairs, names)
    assert found.verdict == "contradicted"
    assert "cam01" in found.reason
    assert "cam02" in found.reason
    shifted = replace(model, c2w={name: model.c2w[names[i - 1]] for i, name in enumerate(names)})
    assert verify(shifted, keypoints, pairs, names).verdict == "contradicted"


def test_a_mirrored_image_is_named():
    model, keypoints, pairs = rig()
    keypoints["cam05"] = [WIDTH, 0] + keypoints["cam05"] * [-1, 1]
    found = verify(model, keypoints, {pair: matches[:40] for pair, matches in pairs.items()}, sorted(model.c2w))
    assert found.verdict == "contradicted"
    assert (
        found.reason == "cam05 contradicts the others: 7 of its 7 image pairs (280 of 280 matches) do not fit its pose."
    )
    assert found.images["cam05"]["score"] < 0.1
    assert found.images["cam04"]["score"] == 1


def test_two_right_halves_glued_wrongly_are_parted_at_the_glue():
    model, keypoints, pairs = rig(10)
    swing = pose(turn((0, 1, 0), 25), np.zeros(3))
    glued = replace(model, c2w={name: swing @ c2w if name < "cam04" else c2w for name, c2w in model.c2w.items()})
    # The glue: look-alike parts that agree with the wrong transformation, as in a mapping that followed them.
    for one, two in (("cam03", "cam04"), ("cam02", "cam05")):
        local = np.random.default_rng(2).uniform([-1, -1, 5], [1, 1, 7], (60, 3))
        numbers = len(keypoints[one]) + np.arange(60)
        for name in (one, two):
            keypoints[name] = np.concatenate([keypoints[name], project(glued, name, local)])
        pairs[one, two] = np.stack([numbers, numbers], axis=1)
    found = verify(glued, keypoints, pairs, sorted(model.c2w))
    assert found.verdict == "contradicted"
    assert found.reason.startswith(
        "cam00, cam01, cam02, cam03 do not fit the other 6 images: of the matches between them"
    )
    assert all(row["pairs_agree"] >= 3 for row in found.images.values())


def test_images_without_a_pose_are_named():
    model, keypoints, pairs = rig()
    found = verify(model, keypoints, pairs, [*sorted(model.c2w), "photos/elsewhere.jpg"])
    assert found.verdict == "unproven"
    assert found.score < 0.5
    assert found.reason == "1 of 9 images have no pose: photos/elsewhere.jpg."
    assert found.images["photos/elsewhere.jpg"] == {"score": 0.0, "reason": "has no pose"}


def test_little_evidence_is_neither_trust_nor_contradiction():
    model, keypoints, pairs = rig()
    names = sorted(model.c2w)
    few = {pair: matches[:20] for pair, matches in pairs.items() if "cam02" not in pair or "cam03" in pair}
    found = verify(model, keypoints, few, names)
    assert found.verdict == "unproven"
    assert "Too few matches to trust cam02: 20 tie it to the others" in found.reason
    assert found.images["cam02"]["reason"] == "has only 20 matches that agree with its pose"
    wrong = with_pose(model, "cam02", pose(model.c2w["cam02"][:3, :3] @ turn((1, 0, 0), 20), model.c2w["cam02"][:3, 3]))
    found = verify(wrong, keypoints, few, names)
    assert found.verdict == "unproven"
    assert "Too few matches to trust cam02: 0 tie it" in found.reason
    # Fewer than the mapping itself asks of a pair are no evidence at all.
    fewer = {pair: matches[: LEAST_MATCHES - 1] for pair, matches in pairs.items()}
    assert values(verify(model, keypoints, fewer, names))["support"] == 0
    assert verify(model, keypoints, {}, names).verdict == "unproven"


def test_two_groups_without_common_matches_are_unproven():
    model, keypoints, pairs = rig()
    apart = {pair: matches for pair, matches in pairs.items() if (pair[0] < "cam03") == (pair[1] < "cam03")}
    found = verify(model, keypoints, apart, sorted(model.c2w))
    assert found.verdict == "unproven"
    assert "Too few matches to trust cam00, cam01, cam02: 0" in found.reason


def test_a_camera_that_only_turned_places_nothing():
    model, _, _ = rig(4)
    here = {name: pose(turn((0, 1, 0), 4 * i), np.array([0.01 * i, 0, 0])) for i, name in enumerate(sorted(model.c2w))}
    panorama = replace(model, c2w=here)
    keypoints, pairs = seen(panorama, np.random.default_rng(0).uniform([-2, -1.2, 4.5], [2, 1.2, 7.5], (250, 3)))
    found = verify(panorama, keypoints, pairs, sorted(here))
    assert found.verdict == "unproven"
    assert "too little to place anything" in found.reason


def test_no_model_is_unproven():
    model, keypoints, pairs = rig(3)
    found = verify(replace(model, c2w={}, lenses={}), keypoints, pairs, sorted(keypoints))
    assert found.verdict == "unproven"
    assert found.score == 0
    assert "3 of 3 images have no pose" in found.reason


# The parts


def test_distance_from_a_ray_worked_out_by_hand():
    def distance(direction, start, xy) -> float:
        return float(ray_distance(np.array([direction], float), np.array(start, float), np.array([xy], float))[0])

    # From the right, a ray along z vanishes in the middle and comes in from the right.
    assert distance((0, 0, 1), (1, 0, 0), (0.5, 0.1)) == pytest.approx(0.1)
    assert distance((0, 0, 1), (1, 0, 0), (-0.3, 0.4)) == pytest.approx(0.5)  # beyond infinity: negative depth
    assert distance((0, 0, 1), (0, 0, 0), (0.3, 0.4)) == pytest.approx(0.5)  # the same place: the vanishing point
    # It starts before the camera, at (1, 0, 2): no further right than the epipole (0.5, 0).
    assert distance((0, 0, 1), (1, 0, 2), (0.9, 0.3)) == pytest.approx(0.5)
    # It comes from before the camera and leaves backwards: on the far side of the epipole, without end.
    assert distance((1, 0, -1), (0, 0, 2), (7, 0.2)) == pytest.approx(0.2)
    assert distance((1, 0, -1), (0, 0, 2), (-0.3, 0.4)) == pytest.approx(0.5)
    assert distance((0, 0, -1), (1, 0, -1), (0, 0)) == np.inf


def cuts(count: int) -> list[np.ndarray]:
    rows = np.array(list(itertools.product([False, True], repeat=count - 1)), bool)
    return [np.append(row, False) for row in rows if row.any()]


def across(table: np.ndarray, side: np.ndarray) -> float:
    return table[np.ix_(side, ~side)].sum()


@pytest.mark.parametrize("seed", range(10))
def test_the_weakest_cuts_are_those_of_an_exhaustive_search(seed):
    rng = np.random.default_rng(seed)
    agree, contradict = rng.integers(0, 60, (2, 8, 8)) * (rng.uniform(size=(2, 8, 8)) < 0.5)
    agree, contradict = (np.triu(table, 1) + np.triu(table, 1).T for table in (agree, contradict))
    share, side = weakest_cut(agree, contradict, PRIOR)
    shares = [(across(agree, s) + PRIOR) / (across(agree, s) + across(contradict, s) + PRIOR) for s in cuts(len(agree))]
    assert share == pytest.approx(min(shares))
    assert share == pytest.approx(
        (across(agree, side) + PRIOR) / (across(agree, side) + across(contradict, side) + PRIOR)
    )
    assert 1 <= side.sum() <= 4
    support, side = smallest_cut(agree)
    assert support == min(across(agree, s) for s in cuts(len(agree)))
    assert support == across(agree, side)


# Real pictures

ARC8 = Path(os.environ.get("MIXDEPTH_DATA", REPOSITORY.parent / "shared" / "data")) / "arc8"


@pytest.fixture(scope="module")
def arc8() -> tuple[Model, dict[str, np.ndarray], Pairs]:
    """The true cameras of arc8's eight videos, their first frames' key points, and matches verified without poses."""
    if not ARC8.is_dir():
        pytest.skip(f"{ARC8} is not there")
    from mixdepth.cameras.colmap import mapping as colmap
    from mixdepth.cameras.colmap.features import detect

    truth = np.load(ARC8 / "truth.npz")
    names = [f"cam{number:02d}" for number in range(8)]
    focal = float(truth["focal"])
    model = bare(Lens("PINHOLE", 160, 120, (focal, focal, 80, 60)), dict(zip(names, truth["c2w_opencv"], strict=True)))
    images = {name: ARC8 / "frames" / name / "0001.png" for name in names}
    features = detect(images, {"max_features": 4096, "peak_threshold": 0.0066667, "upscale_to": 640})
    (matches,) = colmap.match_pairs(list(itertools.combinations(names, 2)), features, colmap.RATIO)
    lenses = colmap.known_cameras(images, features, model.lenses)
    pairs = colmap.inliers(colmap.verify_pairs(matches, features, lenses, seed=0))
    return model, {name: features[name].uv for name in names}, pairs


def test_true_cameras_of_a_real_capture_are_trusted(arc8):
    model, keypoints, pairs = arc8
    found = verify(model, keypoints, pairs, sorted(model.c2w))
    assert found.trusted
    assert found.score == 1
    assert values(found)["joint"] > 0.9


def test_two_videos_exchanged_in_a_real_capture_are_named(arc8):
    model, keypoints, pairs = arc8
    exchanged = replace(model, c2w=model.c2w | {"cam02": model.c2w["cam05"], "cam05": model.c2w["cam02"]})
    found = verify(exchanged, keypoints, pairs, sorted(model.c2w))
    assert found.verdict == "contradicted"
    assert "cam02" in found.reason
    assert "cam05" in found.reason


def test_a_mirrored_picture_of_a_wall_is_found_though_a_pose_behind_the_wall_fits_it():
    model, _, _ = rig()
    wall = np.random.default_rng(0).uniform([-1.5, -1.2, 6], [1.5, 1.2, 6], (250, 3))
    keypoints, pairs = seen(model, wall)
    flip, across = np.diag([-1.0, 1, 1]), np.diag([1.0, 1, -1])
    true = model.c2w["cam03"]
    behind = pose(across @ true[:3, :3] @ flip, across @ (true[:3, 3] - [0, 0, 6]) + [0, 0, 6])
    keypoints["cam03"] = [WIDTH, 0] + keypoints["cam03"] * [-1, 1]
    found = verify(with_pose(model, "cam03", behind), keypoints, pairs, sorted(model.c2w))
    assert values(found)["joint"] == 1  # every match agrees
    assert found.verdict == "contradicted"
    assert worst(found) == "cam03"
    assert "from behind" in found.images["cam03"]["reason"]
