"""LLFF's poses_bounds.npy. Its conventions exist only here.

A row holds 17 float64: a row-major 3x5 matrix [R | t | h, w, f] and near, far (Mildenhall et al. 2019, LLFF's README).
R's columns are the camera's down, right and backwards axes in the world, t its centre; h, w, f are in pixels. The
principal point is in the middle.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.formats.posed import Posed, make_lens, pose, rotation_matrix
from mixdepth.errors import CaptureError
from mixdepth.files.io import read_npy, write_npy


def read_poses_bounds(path: Path, names: Iterable[str], files: Mapping[str, str] | None = None) -> dict[str, Posed]:
    """Read the cameras of ``names``, whose sorted order is the order of the rows.

    Args:
        path: the file.
        names: of the cameras.
        files: name to the file's name to sort by instead, as text: LLFF's imgs2poses.py does (``np.argsort(names)`` in
            llff/poses/pose_utils.py), so that 10.jpg comes before 2.jpg.

    Returns:
        by name: lens (at the file's size), pose, and (near, far) in world units.

    Raises:
        UserError: a file that is missing, of the wrong shape or type, with the wrong number of rows, or a row that is
            not finite, not a rotation, or whose bounds are not 0 < near < far.
    """
    names = sorted(names, key=lambda name: files[name] if files else name)
    found = {}
    for number, (name, row) in enumerate(zip(names, _load(path, names), strict=True)):
        where = f"{path}: row {number} (camera {name})"
        if not np.isfinite(row).all():
            raise CaptureError(f"{where}: not finite: {row.tolist()}. Expected 17 finite numbers; make the file again.")
        near, far = map(float, row[15:])
        if not 0 < near < far:
            raise CaptureError(
                f"{where}: near {near:g}, far {far:g}; expected 0 < near < far. Correct the last two columns."
            )
        found[name] = _camera(where, row[:15].reshape(3, 5), (near, far))
    return found


def _load(path: Path, names: Sequence[str]) -> np.ndarray:
    """The rows, [N, 17] float64, checked for type, shape and number."""
    advice = "expected a NumPy array [cameras, 17] of float64 as LLFF's imgs2poses.py writes it"
    if not Path(path).exists():
        raise CaptureError(f"{path}: file not found; {advice}. Correct `poses.path`, or set `poses.source: colmap`.")
    rows = read_npy(path, f"{advice[0].upper()}{advice[1:]}, without pickled objects.")
    if rows.dtype.kind not in "fiu":
        raise CaptureError(f"{path}: holds {rows.dtype}; {advice}.")
    if rows.ndim != 2 or rows.shape[1] != 17:
        raise CaptureError(f"{path}: has the shape {list(rows.shape)}; {advice}.")
    if len(rows) != len(names):
        raise CaptureError(
            f"{path}: has {len(rows)} rows, but there are {len(names)} cameras: {', '.join(names)}. Expected one row "
            "per camera in this order: use the file that belongs to these images, or name all cameras that it "
            "describes (`cameras`, `photo_files`), also one whose video is gone, and those to use in `train_cameras` "
            "and `test_cameras`."
        )
    return rows.astype(np.float64)


def _camera(where: str, matrix: np.ndarray, bounds: tuple[float, float]) -> Posed:
    """A row's [3, 5] matrix as a camera."""
    height, width, focal = matrix[:, 4]
    if min(height, width, focal) <= 0:
        raise CaptureError(
            f"{where}: h {height:g}, w {width:g}, f {focal:g}; expected positive pixels. Make the file again."
        )
    advice = (
        "Expected the columns down, right, backwards as unit vectors at right angles; was the file made in another "
        "convention?"
    )
    down, right, backwards = rotation_matrix(where, matrix[:, :3], advice).T
    values = {"fx": focal, "fy": focal, "cx": width / 2, "cy": height / 2}
    lens = make_lens(where, (round(width), round(height)), values, ("PINHOLE",))
    return Posed(lens, pose(np.stack([right, down, -backwards], axis=1), matrix[:, 3]), bounds)


def write_poses_bounds(path: Path, cameras: Mapping[str, Camera], bounds: Mapping[str, tuple[float, float]]) -> None:
    """Write ``cameras`` as rows sorted by name. LLFF has one focal length: the mean of fx and fy."""
    rows = []
    for name, camera in sorted(cameras.items()):
        right, down, forward, centre = camera.c2w[:3].T
        intrinsics = [camera.height, camera.width, (camera.fx + camera.fy) / 2]
        rows.append([*np.stack([down, right, -forward, centre, intrinsics], axis=1).ravel(), *bounds[name]])
    write_npy(path, np.array(rows, dtype=np.float64).reshape(-1, 17))
