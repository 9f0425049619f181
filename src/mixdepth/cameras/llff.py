"""LLFF's poses_bounds.npy. Its conventions exist only here.

A row holds 17 float64: a row-major 3x5 matrix [R | t | h, w, f] and near, far (Mildenhall et al. 2019, LLFF's README).
R's columns are the camera's down, right and backwards axes in the world, t its centre; h, w, f are in pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.errors import UserError
from mixdepth.io import write_npy

ASPECT_TOLERANCE = 0.01  # relative difference of the file's and the images' aspect
ROTATION_TOLERANCE = 1e-3  # largest entry of R^T R - I (published files are rounded to float32 or worse)


def read_poses_bounds(
    path: Path, sizes: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Camera], dict[str, tuple[float, float]]]:
    """Read the cameras and depth bounds of ``sizes``' names, whose sorted order is the order of the rows.

    Args:
        path: the poses_bounds.npy.
        sizes: camera name to (width, height) of its original image, pixels. Where the file was made at another size
            of the same aspect the focal length is scaled, per axis.

    Returns:
        cameras (at the original size, principal point in the middle) and (near, far) in world units, by name.

    Raises:
        UserError: a file that is missing, of the wrong shape or type, with the wrong number of rows, or a row that is
            not finite, not a rotation, of another aspect than the image, or whose bounds are not 0 < near < far.
    """
    names = sorted(sizes)
    rows = _load(path, names)
    cameras, bounds = {}, {}
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        where = f"{path}: row {number} (camera {name})"
        if not np.isfinite(row).all():
            raise UserError(f"{where}: not finite: {row.tolist()}. Expected 17 finite numbers; make the file again.")
        cameras[name] = _camera(where, row[:15].reshape(3, 5), sizes[name])
        near, far = map(float, row[15:])
        if not 0 < near < far:
            raise UserError(
                f"{where}: near {near:g}, far {far:g}; expected 0 < near < far. Correct the last two columns."
            )
        bounds[name] = (near, far)
    return cameras, bounds


def _load(path: Path, names: Sequence[str]) -> np.ndarray:
    """The rows, [N, 17] float64, checked for type, shape and number."""
    advice = "expected a NumPy array [cameras, 17] of float64 as LLFF's imgs2poses.py writes it"
    try:
        rows = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(
            f"{path}: file not found; {advice}. Correct `poses.path`, or set `poses.source: colmap`."
        ) from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {advice}, without pickled objects.") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu":
        raise UserError(f"{path}: holds {getattr(rows, 'dtype', type(rows).__name__)}; {advice}.")
    if rows.ndim != 2 or rows.shape[1] != 17:
        raise UserError(f"{path}: has the shape {list(rows.shape)}; {advice}.")
    if len(rows) != len(names):
        raise UserError(
            f"{path}: has {len(rows)} rows, but there are {len(names)} cameras: {', '.join(names)}. Expected one row "
            "per camera in this order: use the file that belongs to these images, or name the cameras (`cameras`, "
            "`photo_files`) that it describes."
        )
    return rows.astype(np.float64)


def _camera(where: str, matrix: np.ndarray, size: tuple[int, int]) -> Camera:
    """A row's [3, 5] matrix as a camera of an image of ``size`` = (width, height)."""
    rotation, centre, (height, width, focal) = matrix[:, :3], matrix[:, 3], matrix[:, 4]
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > ROTATION_TOLERANCE or np.linalg.det(rotation) < 0:
        fault = "mirrored" if np.linalg.det(rotation) < 0 else "not orthonormal"
        raise UserError(
            f"{where}: its rotation is {fault}. Expected the columns down, right, backwards as unit vectors at right "
            "angles; was the file made in another convention?"
        )
    if min(height, width, focal) <= 0:
        raise UserError(
            f"{where}: h {height:g}, w {width:g}, f {focal:g}; expected positive pixels. Make the file again."
        )
    sx, sy = size[0] / width, size[1] / height
    if abs(sx / sy - 1) > ASPECT_TOLERANCE:
        raise UserError(
            f"{where}: made for images of {width:g}x{height:g} pixels, but the image is {size[0]}x{size[1]}, which is "
            "another aspect. Expected the same picture at any size; use uncropped images, or the file made from these."
        )
    c2w = np.eye(4)
    c2w[:3] = np.stack([rotation[:, 1], rotation[:, 0], -rotation[:, 2], centre], axis=1)
    return Camera(size[0], size[1], focal * sx, focal * sy, size[0] / 2, size[1] / 2, c2w)


def write_poses_bounds(path: Path, cameras: Mapping[str, Camera], bounds: Mapping[str, tuple[float, float]]) -> None:
    """Write ``cameras`` as rows sorted by name. LLFF has one focal length: the mean of fx and fy."""
    rows = []
    for name, camera in sorted(cameras.items()):
        right, down, forward, centre = camera.c2w[:3].T
        intrinsics = [camera.height, camera.width, (camera.fx + camera.fy) / 2]
        rows.append([*np.stack([down, right, -forward, centre, intrinsics], axis=1).ravel(), *bounds[name]])
    write_npy(path, np.array(rows, dtype=np.float64).reshape(-1, 17))
