"""Clocks, logos and watermarks over the pictures of several cameras have no voice; what truly stays in place has."""

from pathlib import Path

from mixdepth.cameras.colmap import mapping as colmap  # isort: skip  (imports Pillow before pycolmap)
from mixdepth.cameras.colmap import ladder, triangulation  # isort: skip
import numpy as np
import pytest
from PIL import Image

from helpers.place import (
    FOCAL,
    HEIGHT,
    NAMES,
    OPTIONS,
    WIDTH,
    place_camera,
    place_images,
    place_lens,
    true_cameras,
    write_place,
)
from mixdepth.cameras.colmap.features import Features
from mixdepth.cameras.colmap.overlay import laid_over
from mixdepth.evaluation.align import align

CLOCK, BORDER, CORNER = np.s_[4:22, 4:150], np.s_[118:150, :], np.s_[6:40, 140:194]
KINDS = {
    "clock": (CLOCK, NAMES),
    "watermark over the lower border": (BORDER, NAMES),
    "logo in some cameras": (CORNER, NAMES[1:3]),
}


def graphics(shape: tuple[int, ...]) -> np.ndarray:
    """Something with many corners, as letters have, that a compression has blurred."""
    coarse = np.random.default_rng(9).integers(0, 255, (HEIGHT // 3, WIDTH // 3), np.uint8)
    image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.array(image)[: shape[0], : shape[1]]


@pytest.fixture(params=KINDS)
def place(request, tmp_path: Path) -> Path:
    where, names = KINDS[request.param]
    write_place(tmp_path)
    for name in names:
        image = np.array(Image.open(tmp_path / f"{name}.png"))
        image[where] = graphics(image[where].shape)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    return tmp_path


def test_cameras_are_found_and_given_ones_believed_whatever_is_laid_over_their_pictures(place: Path, capsys) -> None:
    images = {name: path for name, path in place_images(place).items() if name.startswith("cameras/")}
    found = ladder.run_sfm({name: [path] for name, path in images.items()}, place / "sfm", OPTIONS)
    assert found["verification"]["verdict"] == "trusted", found["verification"]["reason"]
    assert "laid over the pictures" in capsys.readouterr().err
    model, true = colmap.read_model(place / "sfm"), np.stack([place_camera(number).c2w for number in range(4)])
    ours = np.stack([model.c2w[name] for name in sorted(images)])
    np.testing.assert_allclose(align(ours, true).apply(ours[:, :3, 3]), true[:, :3, 3], atol=0.02)

    given = triangulation.check_poses(images, true_cameras(), OPTIONS)
    assert given.verdict == "trusted", given.reason


# ------------------------------------------------------------------------------------- what stays in place itself

COUNT = 200


def seen(c2w: np.ndarray, near: np.ndarray, over: np.ndarray) -> Features:
    """What a camera sees of points ``near`` [N, 3], and at ``over`` [M, 2]."""
    local = (near - c2w[:3, 3]) @ c2w[:3, :3]
    uv = np.concatenate([FOCAL * local[:, :2] / local[:, 2:] + (WIDTH / 2, HEIGHT / 2), over])
    keypoints = np.c_[uv, np.ones(len(uv)), np.zeros(len(uv))].astype(np.float32)
    return Features((WIDTH, HEIGHT), (WIDTH, HEIGHT), keypoints, np.zeros((len(uv), 128), np.uint8))


def found_over(poses: list[np.ndarray], near: int, over: np.ndarray) -> dict[str, np.ndarray]:
    """What is taken for laid over in pictures of so many near points, and of others at ``over`` in all of them."""
    points = np.random.default_rng(0).uniform((-1.2, -0.9, 3), (1.2, 0.9, 6), (near, 3))
    features = {f"{i}": seen(pose, points, over) for i, pose in enumerate(poses)}
    every = np.repeat(np.arange(near + len(over), dtype=np.uint32)[:, None], 2, axis=1)
    pairs = {(one, two): every for one in features for two in features if one < two}
    cameras = colmap.known_cameras(dict.fromkeys(features, Path("x")), features, dict.fromkeys(features, place_lens()))
    return laid_over(pairs, features, cameras, 0)


def places(count: int, high: float) -> np.ndarray:
    """Places [count, 2] in the upper part of the picture, up to ``high`` of it."""
    return np.random.default_rng(1).uniform((5, 5), (WIDTH - 5, high * HEIGHT), (count, 2))


def beside(number: int, angle: float = 0.0) -> np.ndarray:
    c2w = np.eye(4)
    c2w[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    c2w[0, 3] = 0.4 * number
    return c2w


def test_key_points_that_stay_in_place_while_cameras_are_turned_are_laid_over() -> None:
    found = found_over([place_camera(number).c2w for number in range(3)], COUNT, places(60, 0.15))
    assert sorted(found) == ["0", "1", "2"]
    for over in found.values():
        assert over[COUNT:].all()
        assert over[:COUNT].sum() <= 3  # near the point at which all of them look


@pytest.mark.parametrize("near", [COUNT, 40])
def test_mountains_far_behind_what_parallel_cameras_see_are_not(near: int) -> None:
    assert found_over([beside(number) for number in range(3)], near, places(100, 0.3)) == {}


def test_pictures_from_one_place_have_nothing_laid_over() -> None:
    assert found_over([beside(0), beside(0)], COUNT, places(60, 0.3)) == {}


def test_where_nothing_else_matches_what_stays_in_a_part_of_the_picture_is_laid_over() -> None:
    across = beside(0)
    across[:3, :3] = np.diag([-1.0, 1, -1])  # the other way
    points = np.random.default_rng(0).uniform((-1.2, -0.9, 3), (1.2, 0.9, 6), (COUNT, 3))
    over = places(40, 0.1)
    features = {"0": seen(beside(0), points, over), "1": seen(across, points * (1, 1, -1), over)}
    matches = np.repeat(np.arange(COUNT, COUNT + 40, dtype=np.uint32)[:, None], 2, axis=1)
    cameras = colmap.known_cameras(dict.fromkeys(features, Path("x")), features, dict.fromkeys(features, place_lens()))
    found = laid_over({("0", "1"): matches}, features, cameras, 0)
    assert all(over[COUNT:].all() and not over[:COUNT].any() for over in found.values())
    assert len(found) == 2
