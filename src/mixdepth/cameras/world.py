"""The world's axes and unit: COLMAP's are arbitrary, those of given cameras may be wanted otherwise.

Only poses are transformed; points are triangulated afterwards, with the new poses.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mixdepth.errors import ConfigurationError

TILT = np.sin(np.radians(2))  # how far from level a camera is held, about
PITCH = np.sin(np.radians(30))  # how far up or down a camera looks, about
ROUNDS = 30  # of reweighting; it converges in about ten
# Mean distances of the cameras from their middle that it may be away from the origin. Single precision, in which rays
# are, holds seven digits: a thousandth of them is lost there, a tenth of a pixel at most.
FAR = 1000.0


@dataclass(frozen=True)
class Similarity:
    """``target = scale * rotation @ source + translation``."""

    scale: float
    rotation: np.ndarray  # [3, 3]
    translation: np.ndarray  # [3]

    def apply(self, points: np.ndarray) -> np.ndarray:
        """``points`` [N, 3] of the source world in the target world, [N, 3]."""
        return self.scale * points @ self.rotation.T + self.translation

    def apply_pose(self, c2w: np.ndarray) -> np.ndarray:
        """A camera-to-world matrix [4, 4] of the source world in the target world, [4, 4]; its rotation stays one."""
        moved = c2w.copy()
        moved[:3, :3] = self.rotation @ c2w[:3, :3]
        moved[:3, 3] = self.apply(c2w[None, :3, 3])[0]
        return moved


def world_transform(
    poses: Mapping[str, Mapping[str, np.ndarray]], options: Mapping, source: str
) -> tuple[Similarity, np.ndarray, str]:
    """The similarity from the world of ``poses`` to the one that everything after uses; what is to be added to the
    latter's coordinates for those outside, [3]; and its reason in words.

    What is added is not 0 only where poses keep their world and lie far from its origin, as in UTM or geocentric
    coordinates (ECEF): inside, their middle is the origin.

    With an up direction (from the cameras, or given) z of the new world points up, +y is the mean viewing direction on
    the ground, and the origin is the middle of the cameras: unlike the point that they look at, it always exists.

    Args:
        poses: group ("cameras", "photos") to name to c2w [4, 4], OpenCV.
        options: the scene's ``world`` section: ``up``, ``baseline``.
        source: ``poses.source``; only "colmap" has an arbitrary unit and arbitrary axes.

    Raises:
        UserError: the baseline names an unknown camera or two in one place, or ``up`` has no length.
    """
    c2w = np.array([pose for group in sorted(poses) for _, pose in sorted(poses[group].items())])
    centres = c2w[:, :3, 3]
    middle = centres.mean(axis=0)
    extent = float(np.linalg.norm(centres - middle, axis=1).mean())
    up = options["up"] or ("cameras" if source == "colmap" else "keep")
    if options["baseline"]:
        scale, unit = _baseline(poses, options["baseline"], extent)
    elif source == "colmap" and extent > 0:
        scale, unit = 1 / extent, "the unit is the mean distance of the cameras from their middle"
    else:
        scale, unit = 1.0, "the unit is that of the given poses"
    if up == "keep" and np.linalg.norm(middle) > FAR * extent > 0:
        told = f"axes as the poses came; inside, ({', '.join(f'{x:.1f}' for x in middle)}) is the origin; {unit}"
        return Similarity(scale, np.eye(3), -scale * middle), scale * middle, told
    nothing = np.zeros(3)
    if up == "keep":
        return Similarity(scale, np.eye(3), nothing), nothing, f"axes and origin as the poses came; {unit}"
    if up == "cameras":
        direction, reason = gravity(c2w)
    else:
        direction, reason = np.array(up, dtype=np.float64), "up as configured"
        if not np.linalg.norm(direction) > 0:
            raise ConfigurationError(f"world.up: {list(up)} has no length; expected a direction, such as [0, -1, 0]")
    rotation = _axes(direction / np.linalg.norm(direction), c2w)
    return Similarity(scale, rotation, -scale * rotation @ middle), nothing, f"{reason}; {unit}"


def gravity(c2w: np.ndarray) -> tuple[np.ndarray, str]:
    """The direction [3] that is up for cameras ``c2w`` [N, 4, 4], and how it was found.

    Cameras are mostly held level: their right axes lie in the horizontal plane, wherever they look and however far up
    or down. So up is the direction nearest to perpendicular to all right axes; a Cauchy distribution of the tilts
    (reweighted least squares) keeps tilted photos from bending it. Cameras that look about the same way share one right
    axis, to which their viewing direction is perpendicular too: there a wide normal distribution of how far cameras
    look up or down decides, which weighs next to nothing where the right axes do tell.

    Images are upright where they come from (rotation tags and EXIF orientation are honoured), so that portrait cameras
    have level right axes as well. The median of the images' own up directions says which end is up and where to start:
    a few that lie on their sides all the same are outvoted.
    """
    right, ahead, own = c2w[:, :3, 0], c2w[:, :3, 2], -c2w[:, :3, 1]
    median = up = _median_direction(own)
    for _ in range(ROUNDS):
        weight = 1 / ((right @ up) ** 2 + TILT**2)
        up = np.linalg.eigh((right.T * weight) @ right + ahead.T @ ahead / PITCH**2)[1][:, 0]
        up = up if up @ median >= 0 else -up
    tilts = np.degrees(np.arcsin(np.clip(np.abs(right @ up), 0, 1)))
    aside = int((tilts > 45).sum())
    how = f"median tilt {np.median(tilts):.1f} degrees" + (f", {aside} on their sides" if aside else "")
    return up, f"up is perpendicular to the right axes of the {len(c2w)} images ({how})"


def _median_direction(directions: np.ndarray) -> np.ndarray:
    """Unit vector [3] nearest to unit ``directions`` [N, 3] by the sum of distances (Weiszfeld's iteration)."""
    median = directions.mean(axis=0)
    for _ in range(ROUNDS):
        weight = 1 / np.maximum(np.linalg.norm(directions - median, axis=1), TILT)
        median = weight @ directions / weight.sum()
    length = np.linalg.norm(median)
    return median / length if length > 1e-6 else directions[0]


def _axes(up: np.ndarray, c2w: np.ndarray) -> np.ndarray:
    """Rotation [3, 3] whose rows are the new world's axes: z is ``up``, y the way that the cameras look."""
    views = c2w[:, :3, 2] - (c2w[:, :3, 2] @ up)[:, None] * up
    ahead = views.mean(axis=0)
    if np.linalg.norm(ahead) < 0.1:  # a ring of cameras, or cameras that look down: the first image decides
        ahead = views[0] if np.linalg.norm(views[0]) >= 0.1 else np.cross(up, c2w[0, :3, 0])
    right = np.cross(ahead, up)
    if np.linalg.norm(right) < 1e-9:
        right = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])


def _baseline(poses: Mapping[str, Mapping[str, np.ndarray]], baseline: Mapping, extent: float) -> tuple[float, str]:
    """Scale, and what the unit is, of {cameras: [a, b], distance}."""
    known = {**poses.get("photos", {}), **poses.get("cameras", {})}
    if unknown := [name for name in baseline["cameras"] if name not in known]:
        raise ConfigurationError(
            f"world.baseline: {', '.join(unknown)} is no camera with a pose; there are {', '.join(sorted(known))}"
        )
    one, two = baseline["cameras"]
    distance = float(np.linalg.norm(known[one][:3, 3] - known[two][:3, 3]))
    if distance <= 1e-6 * extent or distance == 0:
        raise ConfigurationError(
            f"world.baseline: {one} and {two} are in one place, so their distance says nothing about the unit; name "
            "two cameras that stand apart"
        )
    return baseline["distance"] / distance, f"{one} and {two} are {baseline['distance']:g} apart"
