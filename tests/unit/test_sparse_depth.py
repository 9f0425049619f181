"""The standard deviation of a sparse depth is what the depth is really off by, whatever the noise of the capture."""

import numpy as np
import pytest

from helpers.looking import look
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.cameras.sparse_depth import PIXEL_NOISE, point_covariances, sparse_depth

PINHOLE = Lens("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0))
RADIAL = Lens("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.15))
FISHEYE = Lens("OPENCV_FISHEYE", 640, 480, (250.0, 250.0, 320.0, 240.0, -0.05, 0.01, 0.0, 0.0))
POSES = {f"cam{i}": look([x, -4.0, 0.3 * (i % 3)], [0, 0, 0]) for i, x in enumerate(np.linspace(-1.5, 1.5, 8))}


def measured(lens: Lens, noise: float, count: int = 1500, views: int | None = None, seed: int = 0):
    """Points with ``noise`` pixels on every coordinate, triangulated by least squares: the model, and the true points.

    Args:
        views: images that see each point; 2 to 8 where it is None.
    """
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (count, 3))
    number = np.full(count, views) if views else rng.integers(2, 9, count)
    point = np.repeat(np.arange(count), number)
    image = np.concatenate([rng.choice(8, n, replace=False) for n in number])
    w2c = np.linalg.inv(list(POSES.values()))[image]

    def projected(points: np.ndarray) -> np.ndarray:
        local = np.einsum("kij,kj->ki", w2c[:, :3, :3], points[point]) + w2c[:, :3, 3]
        return lens.distort(local[:, :2] / local[:, 2:])

    uv = projected(truth) + rng.normal(0, noise, (len(point), 2))
    found = truth + rng.normal(0, 0.01, truth.shape)
    for _ in range(6):  # Gauss-Newton, with slopes by differences: none of the code under test
        base = projected(found)
        slope = np.stack([(projected(found + step) - base) / 1e-6 for step in 1e-6 * np.eye(3)], axis=-1)
        a, b = np.zeros((count, 3, 3)), np.zeros((count, 3))
        np.add.at(a, point, slope.transpose(0, 2, 1) @ slope)
        np.add.at(b, point, np.einsum("kij,ki->kj", slope, uv - base))
        found = found + np.linalg.solve(a, b[..., None])[..., 0]
    return Model(dict.fromkeys(POSES, lens), dict(POSES), found, np.zeros(count), point, image, uv), truth


def coverage(model: Model, truth: np.ndarray) -> list[float]:
    """Shares of the depths, over all images, within one and two of their standard deviations."""
    off = []
    covariances = point_covariances(model)
    for index, name in enumerate(sorted(model.lenses)):
        seen = model.track_point[model.track_image == index]
        axis = model.c2w[name][:3, 2]
        error = (model.points[seen] - truth[seen]) @ axis
        off.append(np.abs(error) / np.sqrt(axis @ covariances[seen] @ axis))
    return [float(np.mean(np.concatenate(off) < k)) for k in (1, 2)]


@pytest.mark.parametrize("noise", [0.1, 0.4, 1.5])
@pytest.mark.parametrize("lens", [PINHOLE, RADIAL, FISHEYE], ids=lambda lens: lens.model)
def test_two_thirds_lie_within_one_standard_deviation_whatever_the_noise(lens, noise):
    """1500 points: a share of 0.683 is known to 0.012. Where a point's own residuals exceed the noise of all they only
    widen it, so that normal noise may lie a little more often inside."""
    one, two = coverage(*measured(lens, noise))
    assert 0.683 - 3 * 0.012 < one < 0.80, one
    assert 0.93 < two < 0.99, two


@pytest.mark.parametrize("views", [3, 5, 8])
def test_it_holds_for_every_number_of_views(views):
    one, two = coverage(*measured(PINHOLE, 0.5, views=views))
    assert 0.683 - 3 * 0.012 < one < 0.80, one
    assert 0.93 < two < 0.99, two


def test_noise_is_guessed_where_no_point_is_seen_well_enough():
    model, truth = measured(PINHOLE, PIXEL_NOISE, views=2)
    one, two = coverage(model, truth)
    assert 0.683 - 3 * 0.012 < one < 0.82, one
    assert two > 0.93, two


def test_the_same_pixels_off_mean_less_depth_where_the_rays_meet_at_a_wider_angle():
    model, _ = measured(PINHOLE, 0.5)
    depths = sparse_depth(model, {"cam0": Camera(640, 480, 500, 500, 320, 240, POSES["cam0"])})["cam0"]
    assert np.median(depths.sigma[depths.views >= 6]) < 0.7 * np.median(depths.sigma[depths.views == 2])


def test_a_point_that_does_not_fit_is_less_sure():
    model, _ = measured(PINHOLE, 0.3)
    before = point_covariances(model)[0][2, 2]
    model.track_uv[np.flatnonzero(model.track_point == 0)[0]] += [30, -30]
    assert point_covariances(model)[0][2, 2] > 10 * before


def test_depths_on_pixels_without_a_source_are_dropped():
    lens = Lens("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, 0.3))  # pincushion: the corners show nothing
    camera = Camera(640, 480, 500.0, 500.0, 320.0, 240.0, np.eye(4))
    uv = np.array([[5.0, 5.0], [320.0, 240.0], [635.0, 470.0], [400.0, 300.0]])
    points = camera.unproject(uv, np.full(4, 3.0))
    c2w = {"a": np.eye(4), "b": np.eye(4)}
    c2w["b"][0, 3] = 0.5
    track = np.tile(np.arange(4), 2), np.repeat([0, 1], 4)
    model = Model({"a": lens, "b": lens}, c2w, points, np.zeros(4), *track, np.zeros((8, 2)))
    np.testing.assert_allclose(sparse_depth(model, {"a": camera})["a"].uv, uv[[1, 3]])
    pinhole = Model({"a": PINHOLE, "b": PINHOLE}, c2w, points, np.zeros(4), *track, np.zeros((8, 2)))
    np.testing.assert_allclose(sparse_depth(pinhole, {"a": camera})["a"].uv, uv)


def test_an_image_that_was_left_out_sees_nothing():
    model, _ = measured(PINHOLE, 0.3, count=50)
    depth = sparse_depth(model, {"cam99": Camera(640, 480, 500, 500, 320, 240, np.eye(4))})["cam99"]
    assert depth.uv.shape == (0, 2)
    assert len(depth.z) == len(depth.sigma) == len(depth.views) == 0
