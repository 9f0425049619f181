"""Sparse depth from a COLMAP model: where a camera sees its points, how deep they are and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.model import Model
from mixdepth.cameras.undistort import valid_pixels

PIXEL_NOISE = 0.3  # pixels of the original: what SIFT's noise is taken for where too few points tell it
LEAST_NOISE = 0.05  # pixels of the original: no key point is placed better, whatever its residuals say
PERCENTILES = (0.1, 99.9)  # of z-depth: near and far, as LLFF takes them
FEWEST = 10  # points a camera must see for bounds of its own
MANY_VIEWS = 3  # points with fewer can be chance matches; bounds, which one point can spoil, do without them


@dataclass(frozen=True)
class SparseDepth:
    """The points that one camera sees."""

    uv: np.ndarray  # [N, 2] float64 pixels of the (undistorted, scaled) camera, centre of the top left pixel at 0.5
    z: np.ndarray  # [N] float64 z-depth, world units
    sigma: np.ndarray  # [N] float64 standard deviation of z, world units
    views: np.ndarray  # [N] int number of images that observe the point


def point_covariances(model: Model) -> np.ndarray:
    """Covariance of every point of ``model`` given its cameras, [P, 3, 3], square world units.

    First-order propagation (Hartley & Zisserman 2004, section 5.2.3): with J the stacked Jacobians of the point's
    projections, in pixels per world unit, cov = s^2 (J^T J)^-1. Small triangulation angles make J^T J nearly singular
    along the ray, which is how they come to mean a large depth error. The measurement error s of one coordinate is the
    point's root mean square residual, with 2n - 3 degrees of freedom for n views, but no less than that of all points
    seen from three and more images: with few views a point's own residuals are small by chance. That noise is measured
    because it differs between captures (0.1 pixels in rendered images without noise, 0.8 in real ones).

    The poses' own errors are left out: on the demo, COLMAP's poses and the true ones give the same errors of depth.
    """
    names = sorted(model.lenses)
    information = np.zeros((len(model.points), 3, 3))
    squares = np.zeros(len(model.points))
    for index, name in enumerate(names):
        seen = model.track_image == index
        point, lens = model.track_point[seen], model.lenses[name]
        w2c = np.linalg.inv(model.c2w[name])
        local = model.points[point] @ w2c[:3, :3].T + w2c[:3, 3]
        xy = local[:, :2] / local[:, 2:]
        jacobian = lens.jacobian(xy) @ _normalising_jacobian(local) @ w2c[:3, :3]
        np.add.at(information, point, jacobian.transpose(0, 2, 1) @ jacobian)
        np.add.at(squares, point, np.sum((lens.distort(xy) - model.track_uv[seen]) ** 2, axis=1))
    observations = np.bincount(model.track_point, minlength=len(model.points))
    freedom = np.maximum(2 * observations - 3, 1)
    well_seen = model.views >= MANY_VIEWS
    noise = PIXEL_NOISE**2
    if well_seen.sum() >= FEWEST:
        noise = max(squares[well_seen].sum() / freedom[well_seen].sum(), LEAST_NOISE**2)
    variance = np.maximum(squares / freedom, noise)
    return variance[:, None, None] * np.linalg.pinv(information, hermitian=True)


def _normalising_jacobian(local: np.ndarray) -> np.ndarray:
    """d(x/z, y/z) / d(x, y, z) at points ``local`` [N, 3] in the camera's frame, [N, 2, 3]."""
    x, y, z = local.T
    zero = np.zeros_like(z)
    return np.moveaxis(np.array([[1 / z, zero, -x / z**2], [zero, 1 / z, -y / z**2]]), -1, 0)


def sparse_depth(model: Model, cameras: Mapping[str, Camera]) -> dict[str, SparseDepth]:
    """The points that each camera observed, where the camera projects them.

    Args:
        model: points and tracks, in pixels of the original images (best ``without_strays``).
        cameras: COLMAP image name to the camera after undistortion and scaling. Images that are not in ``model`` give
            an empty result.

    Returns:
        image name to its depth; points that fall outside the camera's image, or on pixels without a source in the
        original, are dropped. sigma is the point's standard deviation along the camera's z axis n: sqrt(n^T cov n).
    """
    covariances, views = point_covariances(model), model.views
    names = sorted(model.lenses)
    result = {}
    for name, camera in cameras.items():
        seen = model.track_image == names.index(name) if name in model.lenses else np.zeros(0, bool)
        point = np.unique(model.track_point[seen]) if seen.any() else np.zeros(0, int)
        uv, z = camera.project(model.points[point])
        axis = camera.c2w[:3, 2]
        sigma = np.sqrt(axis @ covariances[point] @ axis)
        inside = camera.shows(uv, z)
        if name in model.lenses:
            column, row = uv[inside].astype(int).T
            inside[inside] = valid_pixels(camera, model.lenses[name])[row, column]
        result[name] = SparseDepth(uv[inside], z[inside], sigma[inside], views[point[inside]])
    return result


def depth_bounds(
    cameras: Mapping[str, Camera], depths: Mapping[str, SparseDepth], model: Model
) -> dict[str, tuple[float, float] | None]:
    """(near, far) of each camera as percentiles of the z-depths of the points it sees, world units.

    Args:
        cameras: name to camera.
        depths: what each camera sees, under the same names; may lack cameras that nothing was triangulated from.
        model: all points. A camera that sees too few takes those that project into its image instead.

    Returns:
        None for a camera in whose image there is no point at all.
    """
    bounds: dict[str, tuple[float, float] | None] = {}
    all_views = model.views
    for name, camera in cameras.items():
        z = _well_seen(depths[name].z, depths[name].views) if name in depths else np.zeros(0)
        if len(z) < FEWEST:
            uv, all_z = camera.project(model.points)
            inside = camera.shows(uv, all_z)
            z = _well_seen(all_z[inside], all_views[inside])
        bounds[name] = tuple(np.percentile(z, PERCENTILES).tolist()) if len(z) else None
    return bounds


def _well_seen(z: np.ndarray, views: np.ndarray) -> np.ndarray:
    """The depths of points with many views, or all where there are too few of them."""
    many = z[views >= MANY_VIEWS]
    return many if len(many) >= FEWEST else z
