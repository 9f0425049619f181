"""Key points of one image without its lens, and how far matches lie from where poses allow them.

Lengths in images are shares of the image diagonal.
"""

from dataclasses import dataclass, replace

import numpy as np

from mixdepth.cameras.lens import Lens


@dataclass(frozen=True)
class View:
    """The key points of one image, without distortion."""

    pose: np.ndarray  # [4, 4] c2w
    xy: np.ndarray  # [N, 2] normalised coordinates (x/z, y/z), NaN where the lens has none
    diagonal: float  # pixels
    focal: float  # pixels

    @classmethod
    def of(cls, lens: Lens, pose: np.ndarray, uv: np.ndarray) -> "View":
        """Key points ``uv`` [N, 2], pixels of the original, of a camera at ``pose`` [4, 4] c2w."""
        diagonal = float(np.hypot(lens.width, lens.height))
        return cls(pose, lens.undistort(uv), diagonal, float(np.mean(lens.focal)))

    @property
    def scale(self) -> float:
        """From normalised coordinates to shares of the diagonal."""
        return self.focal / self.diagonal

    @property
    def rays(self) -> np.ndarray:
        """Directions of the key points in the camera's frame, [N, 3] with z = 1."""
        return np.concatenate([self.xy, np.ones((len(self.xy), 1))], axis=1)

    def shifted(self, by: np.ndarray) -> "View":
        """The view with its key points moved ``by`` [2], shares of the diagonal."""
        return replace(self, xy=self.xy + by / self.scale)


def misses(one: View, two: View, matches: np.ndarray) -> np.ndarray:
    """How far matches [K, 2] lie from where the poses allow them, in the worse of both images: [K], of the diagonal."""
    found = []
    for this, other, own, theirs in ((one, two, *matches.T), (two, one, *matches.T[::-1])):
        relative = np.linalg.inv(other.pose) @ this.pose
        directions = this.rays[own] @ relative[:3, :3].T
        found.append(ray_distance(directions, relative[:3, 3], other.xy[theirs]) * other.scale)
    return np.maximum(*found)


def ray_distance(direction: np.ndarray, start: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Distance [K] of ``xy`` [K, 2] from the images of the rays start + s direction, 0 < s <= infinity.

    ``direction`` [K, 3] and ``start`` [3] are in the frame of the camera that looks at the rays. The image of a ray is
    the part of the epipolar line between its vanishing point and the epipole. Unlike the whole line it allows no
    negative depth, and where two cameras share their place it is a point. Infinite where the ray is behind the camera.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        vanishing, epipole = direction[:, :2] / direction[:, 2:], start[:2] / start[2]
        ahead, starts_ahead = direction[:, 2] > 0, start[2] > 0
        # From the end that lies before the camera towards the other, which is at infinity where it lies behind.
        origin = np.where(ahead[:, None], vanishing, epipole)
        towards = np.where(
            ahead[:, None], start[:2] - vanishing * start[2], direction[:, :2] - epipole * direction[:, 2:]
        )
        length = np.linalg.norm(towards, axis=1, keepdims=True)
        towards = np.where(length > 0, towards / length, 0.0)
        end = np.where(ahead & starts_ahead, np.linalg.norm(epipole - vanishing, axis=1), np.inf)
        step = np.clip(np.sum((xy - origin) * towards, axis=1), 0, end)
        distance = np.linalg.norm(xy - origin - step[:, None] * towards, axis=1)
    return np.where(ahead | starts_ahead, distance, np.inf)
