"""camera_path.json, as nerfstudio's viewer writes it and its `ns-render camera-path` reads it. Its conventions exist
only here.

``camera_to_world`` is camera to world in OpenGL's axes (columns right, up, backwards), 16 numbers row by row; ``fov``
is the vertical field of view in degrees; ``render_width`` and ``render_height`` are pixels. Pixels are square and the
principal point is in the middle; the size counts, not ``aspect``, as in nerfstudio's ``get_path_from_json``.
``render_time``, where every camera has it, runs from 0 to 1 over the capture. Positions are taken as world coordinates
of ours, which are those of our export of transforms.json.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.formats.posed import numbers, pose, read_object, rotation_matrix
from mixdepth.cameras.formats.transforms import OPENGL
from mixdepth.errors import CaptureError
from mixdepth.files.io import write_json

FORMAT = "camera_path.json of nerfstudio"


def read_camera_path(path: Path) -> tuple[list[Camera], np.ndarray | None, float | None]:
    """The cameras of each frame; their times [N] in 0..1 of the capture, where all have one; frames per second, where
    the file says.

    Raises:
        UserError: not JSON, not such a file, another kind of camera, or a matrix that is not finite or no rotation.
    """
    meta = read_object(path, f"a {FORMAT}")
    entries = meta.get("camera_path")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise CaptureError(f"{path}: has no camera_path; expected a {FORMAT} with a list of cameras there.")
    if (kind := meta.get("camera_type", "perspective")) != "perspective":
        raise CaptureError(f'{path}: camera_type is "{kind}"; only "perspective" can be rendered.')
    width, height = (_positive(path, meta, key) for key in ("render_width", "render_height"))
    if width != int(width) or height != int(height):
        raise CaptureError(
            f"{path}: render_width {width:g}, render_height {height:g}; expected whole numbers of pixels."
        )
    cameras = [_camera(f"{path}: camera_path[{k}]", entry, int(width), int(height)) for k, entry in enumerate(entries)]
    times = None
    if all("render_time" in entry for entry in entries):
        times = numbers(f"{path}: render_time", [entry["render_time"] for entry in entries], (len(entries),))
        if times.min() < 0 or times.max() > 1:
            raise CaptureError(f"{path}: render_time from {times.min():g} to {times.max():g}; expected 0 to 1.")
    return cameras, times, _positive(path, meta, "fps") if meta.get("fps") is not None else None


def _positive(where: object, values: dict, key: str) -> float:
    if key not in values:
        raise CaptureError(f"{where}: has no {key}; expected a number above 0 there.")
    value = float(numbers(f"{where}: {key}", values[key], ()))
    if not value > 0:
        raise CaptureError(f"{where}: {key} is {value:g}; expected a number above 0.")
    return value


def _camera(where: str, entry: dict, width: int, height: int) -> Camera:
    matrix = numbers(f"{where}: camera_to_world", entry.get("camera_to_world"), (16,), (4, 4)).reshape(4, 4)
    advice = "Expected the columns right, up, backwards of camera_to_world as unit vectors at right angles, row by row."
    if np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise CaptureError(f"{where}: the last row of camera_to_world is {matrix[3].tolist()}; expected 0, 0, 0, 1.")
    rotation = rotation_matrix(where, matrix[:3, :3], advice)
    fov = _positive(where, entry, "fov")
    if fov >= 180:
        raise CaptureError(
            f"{where}: fov is {fov:g}; expected the vertical field of view, above 0 and below 180 degrees."
        )
    focal = height / 2 / math.tan(math.radians(fov) / 2)
    c2w = pose(rotation * OPENGL, matrix[:3, 3])
    return Camera(width, height, focal, focal, width / 2, height / 2, c2w)


def write_camera_path(path: Path, cameras: Sequence[Camera], fps: float, times: np.ndarray) -> None:
    """Write one camera per frame, at ``times`` [N] in 0..1 of the capture. What the format cannot hold is lost: fx that
    differs from fy, and a principal point away from the middle."""
    frames = []
    for camera, time in zip(cameras, times, strict=True):
        matrix = np.array(camera.c2w, dtype=np.float64)
        matrix[:3, :3] *= OPENGL
        fov = math.degrees(2 * math.atan(camera.height / 2 / camera.fy))
        frame = {"camera_to_world": (matrix + 0.0).ravel().tolist(), "fov": fov, "aspect": camera.width / camera.height}
        frames.append({**frame, "render_time": float(time)})
    write_json(
        path,
        {
            "camera_type": "perspective",
            "render_height": cameras[0].height,
            "render_width": cameras[0].width,
            "fps": fps,
            "seconds": len(cameras) / fps,
            "camera_path": frames,
        },
    )
