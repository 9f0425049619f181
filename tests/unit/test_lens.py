"""Lens models are COLMAP's, their inverse is exact, and it is known where they fold back."""

import math

import numpy as np
import pytest

from mixdepth.cameras.colmap import mapping as colmap
from mixdepth.cameras.lens import MODELS, Lens, load_lenses, save_lenses
from mixdepth.errors import UserError

LENSES = [
    Lens("SIMPLE_PINHOLE", 640, 480, (500.0, 320.0, 240.0)),
    Lens("PINHOLE", 640, 480, (500.0, 510.0, 322.0, 239.0)),
    Lens("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.12)),
    Lens("RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.12, 0.03)),
    Lens("OPENCV", 640, 480, (500.0, 505.0, 322.0, 239.0, -0.1, 0.02, 0.003, -0.002)),
    Lens("FULL_OPENCV", 640, 480, (500.0, 505.0, 322.0, 239.0, -0.1, 0.02, 0.003, -0.002, 0.01, 0.02, -0.01, 0.001)),
    Lens("BROWN4", 640, 480, (500.0, 505.0, 322.0, 239.0, -0.22, 0.14, 0.003, -0.002, -0.06, 0.012)),
    Lens("SIMPLE_RADIAL_FISHEYE", 640, 480, (300.0, 322.0, 239.0, -0.03)),
    Lens("RADIAL_FISHEYE", 640, 480, (300.0, 322.0, 239.0, -0.03, 0.004)),
    Lens("OPENCV_FISHEYE", 640, 480, (300.0, 305.0, 322.0, 239.0, -0.03, 0.004, 0.003, -0.002)),
]
by_model = pytest.mark.parametrize("lens", LENSES, ids=lambda lens: lens.model)


def disc(lens: Lens, count: int = 2000) -> np.ndarray:
    """Normalised coordinates [count, 2] all over the valid range, but for its last 3 %, with the centre."""
    rng = np.random.default_rng(0)
    radius = 0.97 * min(lens.largest_radius, 3.0) * np.sqrt(rng.uniform(size=count))
    angle = rng.uniform(0, 2 * np.pi, count)
    xy = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    xy[0] = 0
    return xy


def test_every_model_is_tried():
    assert {lens.model for lens in LENSES} == set(MODELS)


@pytest.mark.parametrize("lens", [lens for lens in LENSES if lens.model != "BROWN4"], ids=lambda lens: lens.model)
def test_distortion_and_its_inverse_are_colmaps(lens):
    camera, xy = colmap.colmap_camera(lens), disc(lens)
    uv = lens.distort(xy)
    np.testing.assert_allclose(uv, camera.img_from_cam(np.column_stack([xy, np.ones(len(xy))])), rtol=0, atol=1e-9)
    # COLMAP's own inverse stops at about 1e-9 and misses a few points at the rim, where it is NaN.
    theirs = camera.cam_from_img(uv).reshape(-1, 2)
    known = np.isfinite(theirs).all(axis=1)
    assert known.mean() > 0.9
    np.testing.assert_allclose(lens.undistort(uv)[known], theirs[known], rtol=0, atol=1e-7)


@by_model
def test_undistortion_is_exact(lens):
    xy = disc(lens)
    back = lens.undistort(lens.distort(xy))
    np.testing.assert_allclose(back, xy, rtol=0, atol=1e-11)
    np.testing.assert_allclose(lens.distort(back), lens.distort(xy), rtol=0, atol=1e-9)


def test_a_term_of_r8_is_brown_s_and_colmap_gets_the_nearest_lens():
    lens = LENSES[[lens.model for lens in LENSES].index("BROWN4")]
    x, y = 0.5, -0.4
    r2 = x * x + y * y
    radial = 1 - 0.22 * r2 + 0.14 * r2**2 - 0.06 * r2**3 + 0.012 * r2**4
    u = x * radial + 2 * 0.003 * x * y - 0.002 * (r2 + 2 * x * x)
    v = y * radial - 2 * 0.002 * x * y + 0.003 * (r2 + 2 * y * y)
    np.testing.assert_allclose(lens.distort(np.array([[x, y]])), [[500 * u + 322, 505 * v + 239]], rtol=0, atol=1e-9)
    near, off = lens.colmaps
    corners = lens.undistort(np.array([[0.0, 0], [640, 480], [640, 0], [320, 240]]))
    assert near.model == "FULL_OPENCV"
    assert off < 0.01
    np.testing.assert_allclose(near.distort(corners), lens.distort(corners), rtol=0, atol=off + 1e-9)
    # One that no quotient of cubics comes near: it says so.
    assert Lens("BROWN4", 640, 480, (300.0, 300.0, 320.0, 240.0, 0.1, -0.5, 0, 0, 0.9, -0.6)).colmaps[1] > 0.5


@by_model
@pytest.mark.parametrize("quarters", [1, 2, 3, 4, -1])
def test_a_turned_lens_sees_the_turned_picture(lens, quarters):
    """A quarter turn clockwise takes pixel (x, y) to (height - y, x) and the direction (x, y) to (-y, x)."""
    xy, size = disc(lens, 50), (lens.width, lens.height)
    uv, directions = lens.distort(xy), xy
    for _ in range(quarters % 4):
        uv, directions = (
            np.stack([size[1] - uv[:, 1], uv[:, 0]], axis=1),
            np.stack([-directions[:, 1], directions[:, 0]], axis=1),
        )
        size = size[::-1]
    turned = lens.turned(quarters)
    assert (turned.width, turned.height, turned.model) == (*size, lens.model)
    np.testing.assert_allclose(turned.distort(directions), uv, rtol=0, atol=1e-9)


@by_model
def test_jacobian_is_the_slope(lens):
    xy, h = disc(lens), 1e-6
    columns = [(lens.distort(xy + step) - lens.distort(xy - step)) / (2 * h) for step in h * np.eye(2)]
    np.testing.assert_allclose(lens.jacobian(xy), np.stack(columns, axis=-1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("lens", "radius"),
    [
        (Lens("SIMPLE_RADIAL", 64, 48, (50.0, 32.0, 24.0, -0.3)), math.sqrt(1 / 0.9)),
        (Lens("SIMPLE_RADIAL", 64, 48, (50.0, 32.0, 24.0, 0.3)), math.inf),
        (Lens("PINHOLE", 64, 48, (50.0, 50.0, 32.0, 24.0)), math.inf),
        (Lens("SIMPLE_RADIAL_FISHEYE", 64, 48, (50.0, 32.0, 24.0, -0.3)), math.tan(math.sqrt(1 / 0.9))),
        (Lens("SIMPLE_RADIAL_FISHEYE", 64, 48, (50.0, 32.0, 24.0, -0.01)), math.inf),  # at 331 degrees
    ],
)
def test_where_the_polynomial_folds_back(lens, radius):
    """1 + 3 k1 r^2 = 0, in the radius or (fisheye) in the angle."""
    assert lens.largest_radius == pytest.approx(radius)
    if radius < math.inf:
        grown = lens.distort(np.stack([np.linspace(0, 0.999, 50) * radius, np.zeros(50)], axis=1))[:, 0]
        assert (np.diff(grown) > 0).all()
        assert lens.distort(np.array([[1.2 * radius, 0]]))[0, 0] < grown[-1]
        beyond = np.array([[lens.focal[0] * 2 * radius + 32, 24.0], [32, 24]])
        assert np.isnan(lens.undistort(beyond)).all(axis=1).tolist() == [True, False]


def test_a_pole_ends_the_range():
    lens = Lens("FULL_OPENCV", 64, 48, (50.0, 50.0, 32.0, 24.0, 0, 0, 0, 0, 0, -0.25, 0, 0))  # r / (1 - r^2 / 4)
    assert lens.largest_radius == pytest.approx(2.0)


def test_only_a_lens_without_distortion_is_a_pinhole():
    assert [lens.model for lens in LENSES if lens.is_pinhole] == ["SIMPLE_PINHOLE", "PINHOLE"]
    assert not Lens("OPENCV_FISHEYE", 64, 48, (50.0, 50.0, 32.0, 24.0, 0, 0, 0, 0)).is_pinhole
    assert Lens("OPENCV", 64, 48, (50.0, 50.0, 32.0, 24.0, 0, 0, 0, 0)).is_pinhole


def test_files_are_exact(tmp_path):
    groups = {"cameras": {lens.model: lens for lens in LENSES}, "photos": {}}
    save_lenses(tmp_path / "lenses.json", groups)
    assert load_lenses(tmp_path / "lenses.json") == groups


@pytest.mark.parametrize(
    "fault",
    [
        '"model": "SIMPLE_PINHOLE", "params": [1, 2]',
        '"params": [1, 2, 3], "model": "FISHEYE"',
        '"model": "F", "params": null',
    ],
)
def test_a_broken_lens_is_named(tmp_path, fault):
    path = tmp_path / "lenses.json"
    path.write_text('{"cameras": {"cam00": {"width": 4, "height": 3, ' + fault + '}}, "photos": {}}')
    with pytest.raises(UserError, match=r"lenses\.json: .*cameras.cam00"):
        load_lenses(path)
