"""Camera files of smoke captures for PINF and its followers: an npz per camera. Its conventions exist only here.

``cam_transform`` [4, 4] is camera to world in OpenGL's axes; ``focal`` and ``aperture`` (the width of the film) are in
one unit, so that the focal length in pixels is focal * width / aperture; ``width``, ``height``, ``near``, ``far``; the
principal point is in the middle (github.com/Xayah-Hina/PI-NeuFlow, src/dataset.py). cam_train00.npz is the camera of
train00.mp4.
"""

from pathlib import Path

import numpy as np

from mixdepth.cameras.formats.posed import Posed, make_lens, numbers, pose, rotation_matrix
from mixdepth.cameras.formats.transforms import OPENGL
from mixdepth.errors import CaptureError
from mixdepth.files.io import read_npz

KEYS = ("cam_transform", "focal", "aperture", "width", "height")
EXPECTED = f"an npz file per camera with {', '.join(KEYS)}, near, far"


def read_pinf(folder: Path) -> list[tuple[str, Posed]]:
    """Read every camera file of a folder, by its name; npz files of something else are passed over.

    Raises:
        UserError: no camera file, one that is damaged or holds pickled objects, or what is no rotation or no number.
    """
    found = []
    for path in sorted(Path(folder).glob("*.npz")):
        arrays = read_npz(path)
        if "cam_transform" in arrays:
            found.append((path.stem, _camera(path, arrays)))
    if not found:
        raise CaptureError(f"{folder}: no camera; expected {EXPECTED}. Correct `poses.path`.")
    return found


def _camera(path: Path, arrays: dict[str, np.ndarray]) -> Posed:
    if absent := [key for key in KEYS if key not in arrays]:
        raise CaptureError(f"{path}: has no {', '.join(absent)}; expected {EXPECTED}.")
    matrix = numbers(f"{path}: cam_transform", arrays["cam_transform"], (4, 4), (3, 4))
    advice = "Expected the columns right, up, backwards of cam_transform as unit vectors at right angles."
    rotation = rotation_matrix(str(path), matrix[:3, :3], advice)
    read = {
        key: float(numbers(f"{path}: {key}", arrays[key], (), (1,), (1, 1)).ravel()[0])
        for key in (*KEYS[1:], "near", "far")
        if key in arrays
    }
    if not read["aperture"] > 0:
        raise CaptureError(f"{path}: aperture is {read['aperture']:g}; expected the width of the film, above 0.")
    focal, width, height = read["focal"] * read["width"] / read["aperture"], read["width"], read["height"]
    values = {"fx": focal, "fy": focal, "cx": width / 2, "cy": height / 2}
    near, far = read.get("near", 0.0), read.get("far", 0.0)
    bounds = (near, far) if 0 < near < far else None
    return Posed(
        make_lens(str(path), (width, height), values, ("PINHOLE",)), pose(rotation * OPENGL, matrix[:3, 3]), bounds
    )
