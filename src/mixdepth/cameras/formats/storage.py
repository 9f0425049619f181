"""Files of OpenCV's FileStorage, YAML and XML, and what calibrations are written with it: OpenCV's own of stereo
cameras, and EasyMocap's. Their conventions exist only here.

Matrices are written with rows, cols, dt and data. Distortion is in OpenCV's order, the centre of the top left pixel is
at (0, 0). A stereo calibration (samples/cpp/stereo_calib.cpp: intrinsics.yml with M1, D1, M2, D2 and extrinsics.yml
with R, T; others write one file, and cameraMatrix1, distCoeffs1) takes points of the first camera to the second,
x2 = R x1 + T; the first, or left, is the world. EasyMocap (easymocap/mytools/camera_utils.py) has ``names``, K_<name>,
dist_<name>, maybe H_<name> and W_<name> in intri.yml, and world to camera R_<name> (Rodrigues), Rot_<name> (3x3),
T_<name> in extri.yml.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from mixdepth.cameras.formats.calibration import opencv_lens, rodrigues
from mixdepth.cameras.formats.posed import Posed, inverse_pose, numbers, rotation_matrix
from mixdepth.cameras.formats.xml import parse_xml
from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.files.kinds import refuse_irregular

STEREO = "a stereo calibration of OpenCV: M1, D1, M2, D2, R, T (in one file, or intrinsics.yml and extrinsics.yml)"
EASYMOCAP = "EasyMocap's intri.yml (names, K_..., dist_...) and extri.yml (R_..., T_...)"
LONGEST = 1_000_000  # characters
# What the two cameras' matrices are called, before 1 and 2, left and right, ...
MATRIX = ("m", "k", "cameramatrix", "cammatrix", "intrinsic", "intrinsics", "intrinsicmatrix", "mtx")
DISTORTION = ("d", "dist", "distcoeffs", "distortion", "distortioncoefficients", "distcoeff", "distortioncoeffs")
ROTATION, TRANSLATION = ("r", "rotation", "rotationmatrix", "rot"), ("t", "translation", "translationvector", "trans")
SIDES = (("1", "left", "l"), ("2", "right", "r"))
FROM_ZERO = (("0",), ("1",))  # where the first is called so
ADVICE = "Expected a rotation, 3x3 or Rodrigues' vector; calibrate again."


def read_stereo(path: Path) -> list[tuple[str, Posed]]:
    """Read both cameras of a stereo calibration, the first one first.

    Args:
        path: the file, or the folder with intrinsics.* and extrinsics.*.

    Raises:
        UserError: a file or a matrix that is missing, or numbers of the wrong shape or that are no rotation.
    """
    files = stereo_files(path)
    values: dict[str, Any] = {}
    for file in files or [Path(path)]:
        values |= {_key(key): value for key, value in read_storage(file, STEREO).items()}
    sides = FROM_ZERO if _first(values, MATRIX, FROM_ZERO[0]) is not None else SIDES
    size, fisheye = _size(values), any(_truth(values.get(key)) for key in ("fisheye", "fisheyemodel", "isfisheye"))
    lenses = []
    for number, side in enumerate(sides, start=1):
        where, matrix = f"{path}: camera {number}", _first(values, MATRIX, side)
        if matrix is None:
            raise CaptureError(f"{where}: no camera matrix (as M{number}); expected {STEREO}.")
        distortion = _first(values, DISTORTION, side)
        lenses.append(opencv_lens(where, size, matrix, np.zeros(4) if distortion is None else distortion, fisheye))
    turn, move = (_first(values, names, ("",)) for names in (ROTATION, TRANSLATION))
    if turn is None or move is None:
        raise CaptureError(
            f"{path}: no {'R' if turn is None else 'T'}, from the first camera to the second; expected {STEREO}."
        )
    second = inverse_pose(_rotation(f"{path}: R", turn), numbers(f"{path}: T", np.ravel(move), (3,)))
    return [("1", Posed(lenses[0], np.eye(4))), ("2", Posed(lenses[1], second))]


def stereo_files(path: Path) -> list[Path]:
    """The files of a stereo calibration in a folder; none where ``path`` is a file."""
    kinds = (".yml", ".yaml", ".xml")
    names = [f"{stem}{kind}" for stem in ("intrinsics", "extrinsics") for kind in kinds]
    return [Path(path) / name for name in names if (Path(path) / name).is_file()]


def read_easymocap(folder: Path) -> list[tuple[str, Posed]]:
    """Read every camera that both files have.

    Raises:
        UserError: a file or a key that is missing, or numbers of the wrong shape or that are no rotation.
    """
    inside, outside = (Path(folder) / file for file in ("intri.yml", "extri.yml"))
    intri, extri = read_storage(inside, EASYMOCAP), read_storage(outside, EASYMOCAP)
    names = intri.get("names")
    if not isinstance(names, list) or not names:
        raise CaptureError(f"{inside}: has no names; expected {EASYMOCAP}.")
    found = []
    for name in map(str, names):
        where = f"{inside}: camera {name}"
        distortion = intri.get(f"dist_{name}", intri.get(f"D_{name}"))
        if f"K_{name}" not in intri:
            raise CaptureError(f"{where}: has no K_{name}; expected {EASYMOCAP}.")
        size = [intri.get(f"{key}_{name}") for key in "WH"]
        known = None if None in size or -1 in size else numbers(f"{where}: W and H", size, (2,))
        lens = opencv_lens(where, known, intri[f"K_{name}"], np.zeros(5) if distortion is None else distortion, False)
        turn = extri.get(f"Rot_{name}", extri.get(f"R_{name}"))
        if turn is None or f"T_{name}" not in extri:
            raise CaptureError(f"{outside}: has no R_{name} or T_{name}; expected {EASYMOCAP}.")
        move = numbers(f"{outside}: T_{name}", np.ravel(extri[f"T_{name}"]), (3,))
        found.append((name, Posed(lens, inverse_pose(_rotation(f"{outside}: camera {name}", turn), move))))
    return found


def read_storage(path: Path, expected: str) -> dict[str, Any]:
    """The top of a FileStorage: matrices as arrays, numbers, text and lists as they are.

    Raises:
        UserError: missing, not such a file, or a matrix whose data are not rows x cols numbers.
    """
    if path.suffix.lower() == ".xml":
        root = parse_xml(path, expected)
        if root.tag != "opencv_storage":
            raise CaptureError(f"{path}: its root is {root.tag}, not opencv_storage; expected {expected}.")
        return {node.tag: _xml_value(f"{path}: {node.tag}", node) for node in root}
    import yaml  # here alone: training needs none

    refuse_irregular(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if len(text) > LONGEST:
            raise ValueError(f"it has {len(text)} characters")
        if re.search(r"[\s:,\[{-][&*]\w", text):
            raise ValueError("it has aliases, which OpenCV does not write")
        # OpenCV's first line is no directive of YAML, and its tag is not a standard one.
        text = re.sub(r"\A%YAML[^\n]*\n", "", text).replace("!!opencv-matrix", "")
        document = yaml.safe_load(text)
    except FileNotFoundError:
        raise CaptureError(f"{path}: file not found; expected {expected}. Correct `poses.path`.") from None
    except (OSError, ValueError, AttributeError, RecursionError, MemoryError, yaml.YAMLError) as error:
        raise DamagedFile(f"{path}: not a YAML file of OpenCV ({error!s:.300}); expected {expected}.") from None
    if not isinstance(document, dict):
        raise DamagedFile(f"{path}: holds no keys; expected {expected}.")
    return {str(key): _value(f"{path}: {key}", value) for key, value in document.items()}


def _value(where: str, value: Any) -> Any:
    """A value of YAML; matrices as arrays."""
    if isinstance(value, dict) and "data" in value:
        return _matrix(where, value.get("rows"), value.get("cols"), value["data"])
    return value


def _xml_value(where: str, node: Element) -> Any:
    """A value of XML; matrices as arrays, several words as a list."""
    if (data := node.find("data")) is not None:
        return _matrix(where, node.findtext("rows"), node.findtext("cols"), (data.text or "").split())
    words = (node.text or "").split() or [child.text or "" for child in node]
    return words[0] if len(words) == 1 else words


def _matrix(where: str, rows: Any, cols: Any, data: Any) -> np.ndarray:
    height, width = (int(side) for side in numbers(f"{where}: rows, cols", [rows, cols], (2,)))
    return numbers(where, data, (height * width,)).reshape(height, width)


def _key(key: str) -> str:
    return re.sub("[^a-z0-9]", "", key.lower())


def _first(values: Mapping[str, Any], names: Sequence[str], side: Sequence[str]) -> Any:
    """The value called by one of ``names`` with one of ``side``, behind or before it; None where there is none."""
    called = [key for name in names for end in side for key in (name + end, end + name)]
    return next((values[key] for key in called if key in values), None)


def _truth(value: Any) -> bool:
    return str(value).lower() in ("1", "true", "1.0")


def _size(values: Mapping[str, Any]) -> np.ndarray | None:
    """(width, height) of the images, where the file has it."""
    for key in ("imagesize", "size", "resolution", "imgsize"):
        if key in values:
            return numbers(key, np.ravel(values[key]), (2,))
    sides = [
        next((values[key] for key in (f"image{side}", side) if key in values), None) for side in ("width", "height")
    ]
    return None if None in sides else numbers("image width and height", sides, (2,))


def _rotation(where: str, value: Any) -> np.ndarray:
    """A rotation matrix, of itself or of Rodrigues' vector."""
    flat = np.ravel(value)
    if len(flat) == 3:
        return rodrigues(numbers(where, flat, (3,)))
    return rotation_matrix(where, numbers(where, flat, (9,)).reshape(3, 3), ADVICE)
