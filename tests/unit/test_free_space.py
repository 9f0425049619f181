"""What movers prove to be empty, and that the static branch learns it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.looking import INWARD
from helpers.training import CAMERAS, QUIET, SPACE, STATIC
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space, choose_space
from mixdepth.fields.occupancy import Occupancy
from mixdepth.frames.motion import Motion
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid, render_static
from mixdepth.train.data import ImageSet
from mixdepth.train.free_space import SharedView, count_looks, free_depths
from mixdepth.train.static import train_static_field
from mixdepth.train.video import Video

SPACE_INSIDE = SpaceMap(choose_space(INWARD, [(1.0, 7.0)] * len(INWARD)))


def ball(hidden: int | None = None, valid: np.ndarray | None = None) -> list[Video]:
    """A ball of radius 0.5 in the middle of a ring of cameras, there in one of four frames; one does not see it."""
    videos = []
    for index, camera in enumerate(INWARD):
        parts = np.isfinite(surface(camera)) * np.uint32(0b0010 if index != hidden else 0)
        still = np.zeros((48, 64, 3), np.uint8), np.ones((48, 64), np.float32)
        light = np.ones((4, 3), np.float32), np.ones(4, bool)
        motion = Motion(*still, parts, *light, noise=0.0)
        videos.append(Video.of(camera, np.zeros((4, 48, 64, 3), np.uint8), motion, valid))
    return videos


def surface(camera: Camera) -> np.ndarray:
    """z-depth [H, W] of the ball's near side, infinite beside it."""
    direction = camera.unproject(pixel_grid(camera).numpy(), np.ones(64 * 48)) - camera.centre
    square, middle = (direction**2).sum(1), -direction @ camera.centre
    inside = middle**2 - square * (camera.centre @ camera.centre - 0.5**2)
    return np.where(inside > 0, (middle - np.sqrt(abs(inside))) / square, np.inf).reshape(48, 64)


def test_it_is_free_up_to_what_moves():
    for video, free in zip(ball(), free_depths(ball(), SPACE_INSIDE, 128), strict=True):
        assert not free[~video.moving].any()
        short = (surface(video.camera) - free)[video.moving]
        assert short.min() > -0.05, "a cell of the hull is as large"
        assert np.median(short) < 0.4


def test_what_one_camera_alone_sees_move_proves_nothing():
    alone = [replace(v, parts=v.parts * (index == 3)) for index, v in enumerate(ball())]
    assert not any(free.any() for free in free_depths(alone, SPACE_INSIDE, 64))


def test_a_mover_that_is_hidden_from_one_camera_still_ends_what_is_free():
    free = free_depths(ball(hidden=5), SPACE_INSIDE, 128)
    assert not free[5].any()
    for camera, one in zip(INWARD[:5], free, strict=False):
        assert one.any()
        assert (one <= surface(camera) + 0.05).all()


def test_pixels_that_show_nothing_prove_nothing():
    assert not any(free.any() for free in free_depths(ball(valid=np.zeros((48, 64), bool)), SPACE_INSIDE, 64))


def test_no_wall_is_learnt_before_what_is_free():
    """Images that have nothing to do with each other are explained by something just before each camera."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (2, 3, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in CAMERAS]
    options = replace(STATIC, steps=300, tone=False)

    def before(free: float) -> float:
        depths = [np.full((16, 24), free, np.float32) for _ in CAMERAS]
        data = ImageSet(images, CAMERAS, free=depths)
        field = train_static_field(data, None, SPACE, options, QUIET)
        return float(np.mean([(render_static(field, SPACE, camera, 48).depth < 2.9).mean() for camera in CAMERAS]))

    assert before(3.0) < 0.05 < 0.15 < before(0.0)


def side_by_side() -> tuple[list[Camera], SpaceMap]:
    """Two cameras that look along z, a unit apart along x, with 90 degrees across: the second sees x - 1 in -z..z."""
    cameras = []
    for x in (0.0, 1.0):
        c2w = np.eye(4)
        c2w[0, 3] = x
        cameras.append(Camera(640, 360, 320.0, 320.0, 320.0, 180.0, c2w))
    return cameras, SpaceMap(Space("bounded", "test", 0.1, 10.0, np.eye(4).tolist(), [-12.0] * 3, [12.0] * 3))


def test_a_ray_is_shared_from_where_another_camera_sees_it() -> None:
    cameras, space = side_by_side()
    shared = SharedView(CameraBatch(cameras), space)
    camera = torch.zeros(3, dtype=torch.long)
    uv = torch.tensor([[5.0, 180.0], [325.0, 180.0], [635.0, 180.0]], dtype=torch.float64)
    left, middle, right = shared.from_depth(camera, uv).tolist()
    assert left == 0, "the second camera never sees it"
    assert middle == pytest.approx(1.0, abs=0.12)
    assert right == pytest.approx(0.5, abs=0.12)
    assert max(middle - 1.02, right - 0.51) < 0, "a sample short"
    alone = SharedView(CameraBatch(cameras[:1]), space)
    assert alone.from_depth(camera, uv).tolist() == [0, 0, 0]


def test_how_many_images_look_at_a_cell_is_counted_up_to_two() -> None:
    cameras, space = side_by_side()
    occupancy = Occupancy(96)
    occupancy.looks.zero_()
    cells = occupancy.cells(space.normalise(torch.tensor([[0.1, 0.1, 5.1], [-4.6, 0.1, 5.1], [0.1, 0.1, -5.0]])))
    counted = []
    for camera in [*cameras, *cameras]:
        count_looks(occupancy, [camera], space)
        counted.append(occupancy.looks[cells].tolist())
    assert counted == [[1, 1, 0], [2, 1, 0], [2, 2, 0], [2, 2, 0]]
