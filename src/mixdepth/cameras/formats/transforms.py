"""transforms.json of nerfstudio and instant-ngp. Its conventions exist only here.

``transform_matrix`` is camera to world in OpenGL's axes (columns right, up, backwards). fl_x, fl_y, cx, cy, w, h are in
pixels of the images, the centre of the top left one at 0.5; distortion is OpenCV's, and so are the fisheye's k1 to k4;
but k4 of a perspective lens is that of r^8 (nerfstudio's camera_utils.py, `_compute_residual_and_jacobian`; Metashape
and RealityCapture mean the same), unless the frame has k5 or k6 or names FULL_OPENCV, whose rational k4 it then is.
Each key may stand in the frame or for all frames at the top; the frame's own counts. The poses are used as they are:
nerfstudio's ``applied_transform`` says how they came from COLMAP's and needs nothing done
(https://docs.nerf.studio/quickstart/data_conventions.html).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.formats.posed import (
    FISHEYE,
    PERSPECTIVE,
    Posed,
    make_lens,
    numbers,
    pose,
    read_object,
    rotation_matrix,
)
from mixdepth.cameras.lens import MODELS, Lens
from mixdepth.errors import CaptureError
from mixdepth.files.io import write_json

OPENGL = np.array([1.0, -1.0, -1.0])  # OpenGL's camera axes along OpenCV's, and back
FORMAT = "transforms.json of nerfstudio or instant-ngp"
DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
OTHER_LENSES = ("ftheta_p0", "latlong", "equirectangular")  # instant-ngp's
# Names that nerfstudio knows (CAMERA_MODEL_TO_TYPE in its cameras.py). It reads them at the top of the file only.
NERFSTUDIO = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE")


def read_transforms(path: Path) -> list[tuple[str, Posed]]:
    """Read every frame: its file_path and its camera, at the file's size.

    Raises:
        UserError: not JSON, a missing key, a lens that cannot be held, or a matrix that is not finite or no rotation.
    """
    meta = read_object(path, f"a {FORMAT}")
    frames = meta.get("frames")
    if not isinstance(frames, list) or not frames:
        raise CaptureError(f"{path}: has no frames; expected a {FORMAT} with a list of frames.")
    found = []
    for number, frame in enumerate(frames):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise CaptureError(f"{path}: frame {number} has no file_path; expected the name of its image there.")
        where = f"{path}: frame {number} ({frame['file_path']})"
        if "transform_matrix" not in frame:
            raise CaptureError(f"{where}: has no transform_matrix; expected camera to world, 4 x 4 numbers.")
        matrix = numbers(f"{where}: transform_matrix", frame["transform_matrix"], (4, 4), (3, 4))
        if len(matrix) == 4 and np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-9:
            raise CaptureError(
                f"{where}: the last row of transform_matrix is {matrix[3].tolist()}; expected 0, 0, 0, 1."
            )
        advice = "Expected the columns right, up, backwards of transform_matrix as unit vectors at right angles."
        rotation = rotation_matrix(where, matrix[:3, :3], advice)
        found.append(
            (frame["file_path"], Posed(_lens(where, {**meta, **frame}), pose(rotation * OPENGL, matrix[:3, 3])))
        )
    return found


def _lens(where: str, values: Mapping) -> Lens:
    """The lens that the keys ``values`` describe."""
    if other := [key for key in OTHER_LENSES if values.get(key)]:
        raise CaptureError(
            f"{where}: has {other[0]}, a lens that is not supported. Expected a perspective or OpenCV fisheye camera; "
            "undistort the images, or use COLMAP (`poses.source: colmap`)."
        )
    keys = ("w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "camera_angle_y", *DISTORTION)
    read = {key: float(numbers(f"{where}: {key}", values[key], ())) for key in keys if values.get(key) is not None}
    if absent := [key for key in ("w", "h") if key not in read]:
        raise CaptureError(
            f"{where}: has no {', '.join(absent)}; add the size in pixels of the images it was made for."
        )
    fx, fy = _focal_lengths(where, read)
    named = {"fx": fx, "fy": fy, "cx": read.get("cx", read["w"] / 2), "cy": read.get("cy", read["h"] / 2)}
    models = _models(where, values)
    if models[0] != "FULL_OPENCV" and models[-1] not in FISHEYE and not (read.get("k5") or read.get("k6")):
        read["r8"] = read.pop("k4", 0.0)
    # nerfstudio's examples have p1 and p2 too, which its fisheye does not use
    unused = ("p1", "p2") if models[-1] in FISHEYE else ()
    distortion = {key: read[key] for key in (*DISTORTION, "r8") if key in read and key not in unused}
    return make_lens(where, (read["w"], read["h"]), named | distortion, models)


def _focal_lengths(where: str, read: Mapping[str, float]) -> tuple[float, float]:
    """fx and fy in pixels, from focal lengths or angles of view."""
    if "fl_x" not in read and "camera_angle_x" not in read:
        raise CaptureError(f"{where}: has no fl_x; expected the focal length in pixels there, or camera_angle_x.")
    fx = read["fl_x"] if "fl_x" in read else _focal(where, read["w"], read["camera_angle_x"])
    fy = read.get("fl_y", fx)
    if "fl_x" not in read and "fl_y" not in read and "camera_angle_y" in read:
        fy = _focal(where, read["h"], read["camera_angle_y"])
    return fx, fy


def _focal(where: str, side: float, angle: float) -> float:
    """Focal length in pixels of an image ``side`` pixels wide that spans ``angle`` radians."""
    if not 0 < angle < math.pi:
        raise CaptureError(f"{where}: a camera angle of {angle:g}; expected radians between 0 and pi.")
    return side / 2 / math.tan(angle / 2)


def _models(where: str, values: Mapping) -> Sequence[str]:
    """The lens models to try, the one that the file names first."""
    model = values.get("camera_model")
    if model is None:
        return FISHEYE if values.get("is_fisheye") else PERSPECTIVE
    if not isinstance(model, str) or model not in MODELS:
        raise CaptureError(
            f"{where}: camera_model is {model!r}; expected one of {', '.join(MODELS)}. Undistort the images and give "
            "pinhole cameras."
        )
    return (model, *(FISHEYE if model.endswith("FISHEYE") else PERSPECTIVE))


def write_transforms(path: Path, images: Mapping[str, tuple[Lens, np.ndarray]]) -> None:
    """Write cameras by file_path: (lens, c2w [4, 4] OpenCV). Exact for this reader.

    nerfstudio takes the camera model from the top of the file, where there is one for all: a perspective or a fisheye
    one. Each frame has its own beside it.
    """
    models = {lens.model for lens, _ in images.values()}
    only = next(iter(models)) if len(models) == 1 else ""
    general = "OPENCV_FISHEYE" if all(lens.is_fisheye for lens, _ in images.values()) else "OPENCV"
    frames = []
    for name, (lens, c2w) in sorted(images.items()):
        (fx, fy), (cx, cy) = lens.focal, lens.principal_point
        named = dict(zip(MODELS[lens.model], lens.params, strict=True))
        model = "OPENCV" if "r8" in named else lens.model  # as nerfstudio names the lens with that k4
        frame = {"file_path": name, "camera_model": model, "w": lens.width, "h": lens.height}
        frame |= {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
        frame |= {key: named[key] for key in DISTORTION if key in named}
        frame |= {"k4": named["r8"]} if "r8" in named else {}
        matrix = np.array(c2w, dtype=np.float64)
        matrix[:3, :3] *= OPENGL
        frames.append({**frame, "transform_matrix": (matrix + 0.0).tolist()})
    write_json(path, {"camera_model": only if only in NERFSTUDIO else general, "frames": frames})
