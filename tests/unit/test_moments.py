"""Key points of several moments as of one image, and what they say of given poses and of cameras that move."""

from mixdepth.cameras.colmap import moments as m  # isort: skip  (imports Pillow first)
from mixdepth.cameras.colmap.features import Features  # isort: skip  (imports Pillow first)
from mixdepth.cameras.colmap.steady import find_moves  # isort: skip  (imports Pillow first)
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.place import FOCAL, HEIGHT, OPTIONS, WIDTH, place_camera, place_lens, place_view
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.colmap.matching import has_twin, match_groups
from mixdepth.cameras.verification.borne_out import around_lines, borne_out
from mixdepth.cameras.verification.view import View

SIZE = (100, 80)


def features(xy: list[tuple[float, float]], seed: int = 0, turn: float = 0.0) -> Features:
    keypoints = np.array([(x, y, 2.0, turn) for x, y in xy], np.float32).reshape(-1, 4)
    descriptors = np.random.default_rng(seed).integers(0, 255, (len(xy), 128), dtype=np.uint8)
    return Features(SIZE, SIZE, keypoints, descriptors)


def mask(path: Path, box: tuple[int, int, int, int]) -> Path:
    image = Image.new("L", SIZE)
    image.paste(255, box)
    image.save(path)
    return path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch):
    """What SIFT would find, by file name; and the rounds in which it was asked."""
    known: dict[str, Features] = {}
    asked: list[list[str]] = []

    def detect(images, options):
        asked.append(sorted(path.name for path in images.values()))
        return {name: known[path.name] for name, path in images.items()}

    monkeypatch.setattr(m, "detect", detect)
    return known, asked


def test_what_stands_still_counts_once_and_what_moves_keeps_its_moment(seen, tmp_path):
    known, _ = seen
    known["plate"] = features([(10, 10), (50, 50), (80, 20)])
    known["early"] = features([(10.5, 10), (30, 60), (52, 52)])
    known["late"] = features([(30.4, 60.3), (51, 49), (80, 20)], seed=2)
    middle = (45, 45, 60, 60)
    unsure = mask(tmp_path / "unsure.png", (70, 10, 90, 30))
    now, then = mask(tmp_path / "now.png", middle), mask(tmp_path / "then.png", middle)
    pictures = [m.Picture(Path("plate"), unsure), m.Picture(Path("early"), now, 3), m.Picture(Path("late"), then, 9)]
    found = m.gather({"a": pictures}, {"max_features": 100})["a"]
    placed = [(*xy.tolist(), moment) for xy, moment in zip(found.features.xy.round(), found.moment, strict=True)]
    # The plate is unsure of (80, 20), which stands still later on; (10, 10) and (30, 60) are seen twice.
    assert placed == [
        (10, 10, m.STILL), (50, 50, m.STILL), (30, 60, m.STILL), (52, 52, 3), (51, 49, 9), (80, 20, m.STILL),
    ]  # fmt: skip


def test_a_picture_full_of_key_points_needs_no_more_moments(seen):
    known, asked = seen
    rich = [(2.0 * x, 10.0 * y) for x in range(40) for y in range(5)]
    known |= {"plate": features(rich), "early": features(rich, 1, turn=2.0), "poor": features([(5, 5)])}
    known["late"] = features([(60, 70)])
    pictures = {
        "rich": [m.Picture(Path("plate")), m.Picture(Path("early")), m.Picture(Path("late"))],
        "poor": [m.Picture(Path("poor")), m.Picture(Path("poor")), m.Picture(Path("late"))],
    }
    found = m.gather(pictures, {"max_features": 200})
    assert asked == [["plate", "poor"], ["early", "poor"], ["late"]]
    np.testing.assert_array_equal(found["rich"].features.descriptors, known["plate"].descriptors)
    assert len(found["poor"].moment) == 2


def sift(count: int) -> np.ndarray:
    """Descriptors of corners that do not look alike."""
    descriptors = np.random.default_rng(0).uniform(0, 1, (count, 128)) ** 4
    return (512 * descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.uint8)


def test_key_points_of_a_pattern_that_repeats_have_twins():
    descriptors = sift(5)
    descriptors[3], descriptors[4] = descriptors[0], descriptors[1]
    xy = np.array([[10, 10], [50, 50], [80, 10], [10, 70], [52, 52]], float)  # 4 is 1 again, at its place
    assert has_twin(descriptors, xy).tolist() == [True, False, False, True, False]


def test_matches_stay_within_their_moment():
    descriptors = sift(6)
    both = descriptors.copy(), descriptors[[1, 0, 2, 3, 4, 5]].copy()
    indices, ratio = match_groups(both, (np.array([-1, -1, 4, 4, 7, 7]), np.array([-1, -1, 4, 9, 7, 7])), 0.8)
    assert indices.tolist() == [[0, 1], [1, 0], [2, 2], [4, 4], [5, 5]]  # 3 was seen at two different moments
    assert (ratio < 0.8).all()


# Given poses


def rig(count: int = 5) -> dict[str, Camera]:
    return {f"cam{number:02d}": place_camera(number) for number in range(count)}


def views_and_matches(poses: dict[str, np.ndarray], chance: int = 0) -> tuple[dict[str, View], dict]:
    """Key points of 150 points as the cameras of ``rig`` see them, from ``poses``; and ``chance`` false matches."""
    rng = np.random.default_rng(3)
    points, extra = rng.uniform([-1.5, -1, 4], [1.5, 1, 6], (150, 3)), rng.uniform([0, 0], [WIDTH, HEIGHT], (chance, 2))
    views = {}
    for name, camera in rig().items():
        uv = camera.project(points)[0] + rng.normal(0, 0.3, (150, 2))
        views[name] = View.of(place_lens(), poses[name], np.concatenate([uv, rng.permutation(extra)]))
    every = np.arange(150 + chance)
    names = sorted(views)
    pairs = {(a, b): np.c_[every, every] for i, a in enumerate(names) for b in names[i + 1 :]}
    return views, pairs


def test_right_poses_are_borne_out_whatever_else_matches():
    poses = {name: camera.c2w for name, camera in rig().items()}
    assert borne_out(*views_and_matches(poses)) == set(poses)
    views, pairs = views_and_matches(poses, chance=150)
    assert borne_out(views, pairs) == set(poses)
    kept = around_lines(views["cam00"], views["cam03"], pairs["cam00", "cam03"])
    assert set(range(150)) <= set(kept[:, 0].tolist())
    assert len(kept) < 190  # few false ones are by chance near the lines


@pytest.mark.parametrize("mistake", ["turned", "moved", "swapped"])
def test_a_wrong_pose_is_not_borne_out_and_the_others_are(mistake):
    poses = {name: camera.c2w.copy() for name, camera in rig().items()}
    if mistake == "turned":
        angle = np.radians(3)
        poses["cam02"][:3, :3] @= [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    elif mistake == "moved":
        poses["cam02"][:3, 3] += [0, 0.3, 0]
    else:
        poses["cam02"], poses["cam03"] = poses["cam03"], poses["cam02"]
    wrong = {"cam02", "cam03"} if mistake == "swapped" else {"cam02"}
    assert borne_out(*views_and_matches(poses)) == set(poses) - wrong


# Cameras that move


def filmed(folder: Path, name: str, cameras: list[Camera], mover: int = 0) -> dict[int, Path]:
    """A frame per camera; a square of ``mover`` pixels with a texture of its own walks through."""
    frames = {}
    texture = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
    for number, camera in enumerate(cameras):
        image = place_view(camera)[0]
        if mover:
            left = number * (WIDTH - mover) // len(cameras)
            image[:mover, left : left + mover] = texture[:mover, :mover]
        frames[10 * number] = folder / f"{name}{number}.png"
        Image.fromarray(image).save(frames[10 * number])
    return frames


def test_a_camera_that_is_bumped_zoomed_or_held_in_the_hand_is_named_with_the_frame(tmp_path):
    still, bumped, zoomed = place_camera(1), place_camera(1), place_camera(1)
    angle = np.radians(1)
    bumped.c2w[:3, :3] @= [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    zoomed = Camera(WIDTH, HEIGHT, 1.03 * FOCAL, 1.03 * FOCAL, WIDTH / 2, HEIGHT / 2, still.c2w)
    hand = [place_camera(1) for _ in range(5)]
    for number, camera in enumerate(hand):
        camera.c2w[:3, 3] += [0.02 * number, 0.01 * number**2, 0]
    cameras = {
        "still": filmed(tmp_path, "still", [still] * 5),
        "busy": filmed(tmp_path, "busy", [still] * 5, mover=110),
        "bumped": filmed(tmp_path, "bumped", [still] * 3 + [bumped] * 2, mover=60),
        "zoomed": filmed(tmp_path, "zoomed", [still] * 2 + [zoomed] * 3),
        "hand": filmed(tmp_path, "hand", hand),
        "short": {0: tmp_path / "still0.png"},
    }
    found = find_moves(cameras, OPTIONS)
    assert sorted(found) == ["bumped", "hand", "zoomed"]
    assert (found["bumped"].last, found["bumped"].frame) == (20, 30)
    assert found["bumped"].pixels == pytest.approx(FOCAL * angle, rel=0.3)
    assert (found["zoomed"].last, found["zoomed"].frame) == (10, 20)
    assert "from frame 30 on (frame 20 not yet)" in str(found["bumped"])


def test_a_picture_without_texture_says_nothing(tmp_path):
    frames = {number: tmp_path / f"{number}.png" for number in range(3)}
    for path in frames.values():
        Image.new("L", (WIDTH, HEIGHT), 90).save(path)
    assert find_moves({"cam00": frames}, OPTIONS) == {}
