"""The way of a spiral: around the place that a rig looks at, where the rig supports it. Needs NumPy alone.

Cameras are seen from that place (the focus), as directions and distances. Where they stand on one side of it, as in
rigs that look forward, the way is the largest ellipse of the directions' own proportions that lies within their convex
hull; where they stand all around it, so does the way. Distance and, all around, height follow the cameras nearby.
(LLFF's spiral, Mildenhall et al. 2019, takes percentiles of the positions, which leave the hull at its corners.)
"""

import math
from collections.abc import Sequence

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import FORWARD_SPREAD, MEET, common_focus
from mixdepth.cameras.world import gravity
from mixdepth.errors import ConfigurationError

AROUND = math.radians(120)  # a rig without a larger gap stands all around its focus
DIRECTIONS = 720  # directions in which the hull is measured
INSIDE = 0.95  # of the largest ellipse
NEAR_WEIGHT = 0.25  # the disparity that a rig without a focus looks at: so much of near's, the rest of far's (LLFF)


def orbit(cameras: Sequence[Camera], near: float, far: float, turns: np.ndarray) -> list[np.ndarray]:
    """Poses along the way: c2w [4, 4] for each of ``turns`` [N] (1 is once around), looking at the focus, upright.

    Args:
        near, far: range of z-depth, world units.

    Raises:
        UserError: the cameras look at no place in common.
    """
    focus, (up, _) = _focus(cameras, near, far), gravity(np.array([c.c2w for c in cameras]))
    offsets = np.array([c.centre for c in cameras]) - focus
    distance = np.linalg.norm(offsets, axis=1)
    # Azimuth 0 is where the cameras are on average.
    ahead = _unit(_across(offsets.mean(axis=0), up, offsets[0]))
    side = np.cross(up, ahead)
    height = np.arcsin(np.clip(offsets @ up / distance, -1, 1))
    azimuth = np.arctan2(offsets @ side, offsets @ ahead)
    ordered = np.sort(azimuth)
    gaps = np.diff(ordered, append=ordered[0] + 2 * math.pi)
    angle = 2 * math.pi * turns
    if gaps.max() < AROUND:
        weights = np.exp((len(cameras) / (2 * math.pi)) ** 2 * (np.cos(angle[:, None] - azimuth) - 1))
        at = np.stack([angle, weights @ height / weights.sum(axis=1)], axis=1)
    else:
        # Counted from the middle of the arc, opposite the largest gap, so that none lies behind the seam.
        middle = ordered[np.argmax(gaps)] + gaps.max() / 2 + math.pi
        shrink = math.cos(height.mean())
        around = (azimuth - middle + math.pi) % (2 * math.pi) - math.pi
        at = _ellipse(np.stack([shrink * around, height], axis=1), angle) / [shrink, 1] + [middle, 0]
    directions = np.cos(at[:, :1]) * ahead + np.sin(at[:, :1]) * side
    directions = np.cos(at[:, 1:]) * directions + np.sin(at[:, 1:]) * up
    eyes = focus + _nearby(offsets, distance, directions)[:, None] * directions
    return [_looking(eye, focus, up) for eye in eyes]


def _focus(cameras: Sequence[Camera], near: float, far: float) -> np.ndarray:
    """The place [3] that the cameras look at: what is nearest to all their axes, if they see it; else, where they look
    one way, a place in front of their middle."""
    focus, seeing = common_focus(cameras, near)
    depth = [float((focus - c.centre) @ c.c2w[:3, 2]) for c in cameras]
    if seeing >= MEET * len(cameras) and max(depth) <= far:
        return focus
    forward = np.array([c.c2w[:3, 2] for c in cameras])
    mean = _unit(forward.mean(axis=0))
    if math.degrees(math.acos(np.clip((forward @ mean).min(), -1, 1))) > FORWARD_SPREAD:
        raise ConfigurationError(
            "the cameras look at no place in common, which a spiral needs; lay the path out with `kind: move` from"
            " camera to camera, or with `kind: file`"
        )
    return np.mean([c.centre for c in cameras], axis=0) + mean / (NEAR_WEIGHT / near + (1 - NEAR_WEIGHT) / far)


def _ellipse(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Places [N, 2] at ``angle`` [N] on the largest ellipse around the mean of ``points`` [K, 2], of their covariance's
    proportions, that lies within their convex hull; INSIDE of it."""
    middle = points.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(points.T, bias=True).reshape(2, 2))
    vectors = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))  # the longer half-axis first
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(axis=0), [0, 1]] < 0, -1, 1)
    # In each direction the hull reaches as far as its farthest point, the ellipse as far as its half-axes say.
    turn = np.arange(DIRECTIONS) / DIRECTIONS * 2 * math.pi
    normals = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    hull, reach = (normals @ (points - middle).T).max(axis=1), np.linalg.norm(normals @ vectors, axis=1)
    measured = reach > 1e-9
    size = (hull[measured] / reach[measured]).min() if measured.any() else 0.0
    return middle + INSIDE * size * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ vectors.T


def _nearby(offsets: np.ndarray, distance: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The cameras' ``distance`` [K] from the focus, smoothly between them, in ``directions`` [N, 3]: a mean weighted by
    nearness (von Mises-Fisher kernel, as wide as the way from one camera to the next)."""
    known = offsets / distance[:, None]
    apart = np.arccos(np.clip(known @ known.T, -1, 1)) + np.where(np.eye(len(known)), np.inf, 0)
    width = np.median(apart.min(axis=1)) if len(known) > 1 else 1.0
    weights = np.exp((directions @ known.T - 1) / max(width, 1e-3) ** 2)
    return weights @ distance / weights.sum(axis=1)


def _looking(eye: np.ndarray, at: np.ndarray, up: np.ndarray) -> np.ndarray:
    """c2w [4, 4] of a camera at ``eye`` that looks ``at`` a place, upright."""
    z = _unit(at - eye)
    x = _unit(np.cross(z, up))
    c2w = np.eye(4)
    c2w[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    c2w[:3, 3] = eye
    return c2w


def _across(vector: np.ndarray, up: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """The part of ``vector`` at right angles to ``up``; of ``otherwise`` where there is none (cameras all around)."""
    level = vector - vector @ up * up
    return level if np.linalg.norm(level) > 1e-6 * np.linalg.norm(otherwise) else otherwise - otherwise @ up * up


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
