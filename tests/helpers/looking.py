"""Cameras that look at something."""

import math

import numpy as np

from mixdepth.cameras.camera import Camera


def look_at(eye: list[float], target: list[float], width: int = 64, height: int = 48, focal: float = 60.0) -> Camera:
    """A camera at ``eye`` that looks at ``target``, the world's y down."""
    z = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    c2w[:3, 3] = eye
    return Camera(width, height, focal, 1.1 * focal, width / 2 + 1.5, height / 2 - 2.0, c2w)


FORWARD = [look_at([x, 0.2 * x, -0.1 * x * x], [0.1 * x, 0, 6]) for x in (-1.0, -0.3, 0.5, 1.2)]
INWARD = [look_at([4 * math.cos(a), -1.0, 4 * math.sin(a)], [0, 0, 0]) for a in np.linspace(0, 5.5, 8)]
OUTWARD = [look_at([0.5 * math.cos(a), 0, 0.5 * math.sin(a)], [4 * math.cos(a), 0, 4 * math.sin(a)]) for a in range(6)]


def look(centre, target, roll: float = 0.0) -> np.ndarray:
    """c2w of a camera at ``centre`` that looks at ``target``, held level (z is up) but for ``roll`` degrees."""
    forward = np.subtract(target, centre) / np.linalg.norm(np.subtract(target, centre))
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([cosine * right + sine * down, cosine * down - sine * right, forward], axis=1)
    c2w[:3, 3] = centre
    return c2w


def ring(count: int = 12, height: float = 1.0, rolls=None, arc: float = 360.0) -> list[np.ndarray]:
    angles = np.radians(np.linspace(0, arc, count, endpoint=False))
    rolls = np.zeros(count) if rolls is None else rolls
    return [look([3 * np.cos(a), 3 * np.sin(a), height], [0, 0, 0], r) for a, r in zip(angles, rolls, strict=True)]
