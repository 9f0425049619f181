"""The camera that everything uses, and the conventions, which are decided here and nowhere else.

Camera frame: OpenCV (x right, y down, z forward). ``c2w`` is a 4x4 float64 camera-to-world matrix. The centre of the
top left pixel is at (0.5, 0.5). Depth is z-depth in world units.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.files.io import read_json, write_json
from mixdepth.files.shapes import CAMERAS

LARGEST_SIDE = 1_000_000  # pixels; more is a damaged file


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion. Sizes and intrinsics in pixels, pose in world units."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    c2w: np.ndarray = field(repr=False)  # [4, 4] float64

    @property
    def centre(self) -> np.ndarray:
        """Camera centre, [3], world units."""
        return self.c2w[:3, 3]

    @property
    def k(self) -> np.ndarray:
        """Intrinsic matrix, [3, 3]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def w2c(self) -> np.ndarray:
        """World-to-camera matrix, [4, 4]."""
        return np.linalg.inv(self.c2w)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project world points.

        Args:
            points: [N, 3] world units.

        Returns:
            pixels [N, 2] (x, y; centre of the top left pixel at 0.5) and z-depth [N], world units (negative behind).

        >>> camera = Camera(width=640, height=480, fx=500, fy=500, cx=320, cy=240, c2w=np.eye(4))
        >>> uv, z = camera.project(np.array([[0.0, 0, 2], [1, 0, 2], [9, 0, 2]]))
        >>> uv.tolist(), z.tolist()
        ([[320.0, 240.0], [570.0, 240.0], [2570.0, 240.0]], [2.0, 2.0, 2.0])
        >>> camera.shows(uv, z).tolist()
        [True, True, False]
        """
        local = (points - self.centre) @ self.c2w[:3, :3]
        z = local[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            uv = local[:, :2] / z[:, None] * [self.fx, self.fy] + [self.cx, self.cy]
        return uv, z

    def shows(self, uv: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Whether projected points are in the picture, [N] bool: in front of the camera and within its borders.

        Args:
            uv, z: pixels [N, 2] and z-depths [N], as :meth:`project` returns them; where either is NaN it is not.
        """
        with np.errstate(invalid="ignore"):
            return (z > 0) & np.all((uv >= 0) & (uv < [self.width, self.height]), axis=1)

    def unproject(self, uv: np.ndarray, z: np.ndarray) -> np.ndarray:
        """World points [N, 3] of pixels ``uv`` [N, 2] at z-depth ``z`` [N]."""
        local = np.concatenate([(uv - [self.cx, self.cy]) / [self.fx, self.fy], np.ones((len(uv), 1))], axis=1)
        return (local * np.asarray(z)[:, None]) @ self.c2w[:3, :3].T + self.centre

    def resized(self, width: int, height: int) -> "Camera":
        """The same camera with its image scaled to ``width`` x ``height`` pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )


def rotation_of(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix [3, 3] of a unit quaternion (w, x, y, z)."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def moved(c2w: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """``c2w`` [4, 4] with its centre moved by ``offset`` [3]."""
    result = np.array(c2w, dtype=np.float64)
    result[:3, 3] += offset
    return result


def save_cameras(path: Path, cameras: dict[str, Camera], more: dict[str, Sequence] | None = None) -> None:
    """Write ``{name: {width, height, fx, fy, cx, cy, c2w}}``, sorted by name; exact for float64. ``more`` are further
    keys with one value per camera, in the order of the names."""
    write_json(
        path,
        {
            name: {
                **{key: getattr(camera, key) for key in ("width", "height")},
                **{key: float(getattr(camera, key)) for key in ("fx", "fy", "cx", "cy")},
                "c2w": camera.c2w.tolist(),
                **{key: values[index] for key, values in (more or {}).items()},
            }
            for index, (name, camera) in enumerate(sorted(cameras.items()))
        },
    )


def load_cameras(path: Path) -> dict[str, Camera]:
    """Read a cameras.json or photos.json.

    Raises:
        UserError: missing or damaged, a missing key, a number that is not finite, or a size or focal length that no
            camera has.
    """
    cameras = {}
    for name, value in read_json(path, CAMERAS).items():
        fx, fy, cx, cy = (float(value[key]) for key in ("fx", "fy", "cx", "cy"))
        camera = Camera(value["width"], value["height"], fx, fy, cx, cy, np.array(value["c2w"], dtype=np.float64))
        if not (0 < camera.width <= LARGEST_SIDE and 0 < camera.height <= LARGEST_SIDE and min(fx, fy) > 0):
            raise DamagedFile(
                f"{path}: camera {name}: {camera.width}x{camera.height} pixels, focal lengths {[fx, fy]}; expected"
                " numbers above 0. Delete it and run the same command again."
            )
        cameras[name] = camera
    return cameras


def with_pose(names: Sequence[str], cameras: Mapping[str, Camera], group: str) -> list[str]:
    """Those of ``names`` that have a camera; the others are named in the log.

    Raises:
        UserError: none has.
    """
    if missing := [name for name in names if name not in cameras]:
        print(f"{group} without a pose, left out: {', '.join(missing)}", file=sys.stderr)
    if len(missing) == len(names):
        raise CaptureError(f"{group}.json: none of {', '.join(names)} has a pose, so there is nothing to train on")
    return [name for name in names if name in cameras]
