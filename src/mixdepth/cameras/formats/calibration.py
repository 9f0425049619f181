"""TOML calibrations of Caliscope, Pose2Sim and aniposelib. Their conventions exist only here.

A camera is a table with ``size`` (width, height), ``matrix`` (3x3), ``distortions`` (OpenCV's order: k1, k2, p1, p2,
k3, k4, k5, k6; with ``fisheye = true`` k1 to k4), and world to camera ``rotation`` (Rodrigues' vector, or 3x3) and
``translation``. Pose2Sim and aniposelib have one table per camera with its ``name`` inside, Caliscope's own file has
[cameras.<number>]. The centre of the top left pixel is at (0, 0), as everywhere in OpenCV.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.formats.posed import (
    FISHEYE,
    PERSPECTIVE,
    Posed,
    Unsized,
    inverse_pose,
    make_lens,
    numbers,
    rotation_matrix,
)
from mixdepth.cameras.lens import Lens
from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.files.kinds import refuse_irregular

# Of OpenCV's distortion coefficients; the thin prism's and the tilt's are held by no lens here.
ORDER = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", "s1", "s2", "s3", "s4", "tau_x", "tau_y")
FISHEYE_ORDER = ("k1", "k2", "k3", "k4")
LONGEST_LINE = 10_000  # characters
KEYS = ("size", "matrix", "distortions")
EXPECTED = "a calibration of Caliscope or Pose2Sim: tables with size, matrix, distortions, rotation, translation"


def read_calibration(path: Path) -> list[tuple[str, Posed]]:
    """Read the name and the camera of every table that has a lens; ``c2w`` is None where it has no pose.

    Raises:
        UserError: not TOML, no camera, a missing key, or numbers that are not finite, of the wrong shape or no
            rotation.
    """
    found = []
    for section, table in _tables(path):
        name = str(table.get("name", section.removeprefix("cameras.")))
        where = f"{path}: [{section}]"
        if absent := [key for key in KEYS if key not in table]:
            raise CaptureError(
                f"{where}: has no {', '.join(absent)}; expected {', '.join(KEYS)}, rotation, translation."
            )
        if ("rotation" in table) != ("translation" in table):
            raise CaptureError(f"{where}: expected both rotation and translation, or neither.")
        c2w = None
        if "rotation" in table:
            vector = numbers(f"{where}: rotation", table["rotation"], (3,), (3, 3))
            advice = "Expected Rodrigues' vector or a 3x3 rotation matrix, world to camera."
            rotation = rodrigues(vector) if vector.ndim == 1 else rotation_matrix(where, vector, advice)
            c2w = inverse_pose(rotation, numbers(f"{where}: translation", table["translation"], (3,)))
        found.append((name, Posed(_lens(where, table), c2w)))
    if not found:
        raise CaptureError(f"{path}: has no camera; expected {EXPECTED}.")
    return found


def _tables(path: Path) -> list[tuple[str, dict]]:
    """Section and content of every table that describes a camera; Caliscope's "null" is no value."""
    refuse_irregular(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        # The time that tomllib takes for a key of many parts grows with the square of their number.
        if (longest := max(map(len, text.split("\n")))) > LONGEST_LINE:
            raise ValueError(f"a line of {longest} characters")
        document = tomllib.loads(text)
    except FileNotFoundError:
        raise CaptureError(f"{path}: file not found; expected {EXPECTED}. Correct `poses.path`.") from None
    except (OSError, ValueError, RecursionError) as error:  # a syntax error is a ValueError
        raise DamagedFile(f"{path}: not a TOML file ({error}); expected {EXPECTED}.") from None
    nested = document.get("cameras")
    if isinstance(nested, dict):
        document |= {f"cameras.{key}": value for key, value in nested.items()}
    result = []
    for section, table in document.items():
        if isinstance(table, dict):
            known = {key: value for key, value in table.items() if value != "null"}
            if {"matrix", "distortions", "rotation", "translation"} & set(known):
                result.append((section, known))
    return result


def _lens(where: str, table: Mapping) -> Lens:
    """The lens of a camera's table."""
    size = numbers(f"{where}: size", table["size"], (2,))
    given, fisheye = table["distortions"], table.get("fisheye") in (True, 1, "true", "True")
    lens = opencv_lens(where, size, table["matrix"], given, fisheye)
    assert isinstance(lens, Lens)  # its size is known
    return lens


def opencv_lens(
    where: str, size: Sequence[float] | np.ndarray | None, matrix: object, distortion: object, fisheye: bool
) -> Lens | Unsized:
    """The lens of OpenCV's camera ``matrix`` (3x3) and ``distortion``, for images of ``size`` (width, height) pixels;
    without a size, that of the images it is for.

    Raises:
        UserError: numbers of the wrong shape, a skew, or a distortion that no lens holds (it is named).
    """
    matrix = numbers(f"{where}: matrix", matrix, (3, 3))
    if matrix[0, 1] or matrix[1, 0] or matrix[2].tolist() != [0, 0, 1]:
        raise CaptureError(f"{where}: matrix is {matrix.tolist()}; expected fx, 0, cx; 0, fy, cy; 0, 0, 1.")
    # Half a pixel: from centres at whole numbers to centres at halves.
    values = {"fx": matrix[0, 0], "fy": matrix[1, 1], "cx": matrix[0, 2] + 0.5, "cy": matrix[1, 2] + 0.5}
    order, models = (FISHEYE_ORDER, FISHEYE) if fisheye else (ORDER, PERSPECTIVE)
    given = distortion.ravel() if isinstance(distortion, np.ndarray) else distortion
    count = len(given) if isinstance(given, (list, np.ndarray)) else 0
    terms = numbers(f"{where}: distortions", given, (count,)).tolist()
    if any(terms[len(order) :]):
        raise CaptureError(
            f"{where}: has {count} distortions; expected at most {len(order)} ({', '.join(order)}). Calibrate "
            "with fewer parameters, or undistort the videos."
        )
    values |= dict(zip(order, terms, strict=False))
    if size is None:
        return Unsized(where, tuple(values.items()), models)
    return make_lens(where, size, values, models)


def rodrigues(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix [3, 3] of a rotation vector [3]: axis times angle in radians (Rodrigues' formula)."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle if angle else vector
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
