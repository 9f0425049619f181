"""Shapes that a ray can hit: the room, boxes, balls and upright cylinders. World: x right, y up, z towards the viewer.

Rays are ``origin`` [3] or [3, N] and ``direction`` [3, N], not normalised: with the directions of
:func:`mixdepth.demo.rig.pixel_rays` the parameter ``t`` of a hit is its z-depth.
"""

from dataclasses import dataclass

import numpy as np

from mixdepth.demo.texture import Material

FAR = np.float32(1e9)  # the t of a miss
Vector = tuple[float, float, float]


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product along the first axis of 3, summed in a fixed order, [N]."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def unit(vectors: np.ndarray) -> np.ndarray:
    """``vectors`` [3, ...] with length 1."""
    return vectors / np.sqrt(dot(vectors, vectors))


@dataclass(frozen=True)
class Shape:
    """Something at ``centre``, turned about the upright axis by the angle whose tangent is ``turn``."""

    centre: Vector
    material: Material
    turn: float = 0.0

    def local(self, vectors: np.ndarray, shift: bool) -> np.ndarray:
        """World vectors [3, N] (points where ``shift``) in the shape's own frame."""
        if shift:
            vectors = vectors - np.array(self.centre, np.float32).reshape(3, *[1] * (vectors.ndim - 1))
        return turned(vectors, self.turn)

    @property
    def extent(self) -> Vector:
        """Half sizes of an upright box around the shape, whichever way it is turned."""
        raise NotImplementedError

    def hit(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Parameter t [N] of the first hit in front of the origin, ``FAR`` where there is none."""
        raise NotImplementedError

    def normal(self, points: np.ndarray) -> np.ndarray:
        """Outward unit normal [3, N], world, at local surface points [3, N]."""
        raise NotImplementedError


def turned(vectors: np.ndarray, turn: float) -> np.ndarray:
    """``vectors`` [3, ...] rotated about y by the angle whose tangent is ``turn``."""
    if not turn:
        return vectors
    cosine = np.float32(1 / np.sqrt(1 + turn * turn))
    sine = np.float32(turn) * cosine
    x, y, z = np.broadcast_arrays(*vectors)
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x])


def _nonzero(direction: np.ndarray) -> np.ndarray:
    """``direction`` without zeros, so that it can divide."""
    return np.where(np.abs(direction) < 1e-8, np.float32(1e-8), direction)


def _first(near: np.ndarray | np.float32, far: np.ndarray | np.float32, hits: np.ndarray | np.bool) -> np.ndarray:
    """t of the entry where it lies ahead, ``FAR`` elsewhere (rays never start inside a shape)."""
    return np.where(hits & (near > 1e-4) & (near <= far), near, FAR)


@dataclass(frozen=True)
class Box(Shape):
    """A box of half sizes ``half``."""

    half: Vector = (1.0, 1.0, 1.0)

    @property
    def extent(self) -> Vector:
        across = float(np.sqrt(self.half[0] ** 2 + self.half[2] ** 2))
        return (across, self.half[1], across)

    def hit(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        start, step = self.local(origin, True), _nonzero(self.local(direction, False))
        near, far = np.float32(-1e9), FAR
        for axis in range(3):
            inverse = 1 / step[axis]
            middle, reach = -start[axis] * inverse, np.abs(inverse) * np.float32(self.half[axis])
            near, far = np.maximum(near, middle - reach), np.minimum(far, middle + reach)
        return _first(near, far, np.True_)

    def normal(self, points: np.ndarray) -> np.ndarray:
        # The face that a surface point lies on is the one that it is nearest to in units of the half size.
        reach = np.abs(points) - np.array(self.half, np.float32)[:, None]
        face = np.argmax(reach, axis=0)
        normals = np.zeros_like(points)
        columns = np.arange(points.shape[1])
        normals[face, columns] = np.where(points[face, columns] > 0, np.float32(1), np.float32(-1))
        return turned(normals, -self.turn)


@dataclass(frozen=True)
class Ball(Shape):
    """A sphere."""

    radius: float = 1.0

    @property
    def extent(self) -> Vector:
        return (self.radius, self.radius, self.radius)

    def hit(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        start = self.local(origin, True)
        a, b = dot(direction, direction), dot(start, direction)
        c = dot(start, start) - np.float32(self.radius * self.radius)
        square = b * b - a * c
        near = (-b - np.sqrt(np.maximum(square, 0))) / a
        return _first(near, FAR, square > 0)

    def normal(self, points: np.ndarray) -> np.ndarray:
        return turned(unit(points), -self.turn)


@dataclass(frozen=True)
class Cylinder(Shape):
    """An upright cylinder with a lid; seen from above or the side only."""

    radius: float = 1.0
    half_height: float = 1.0

    @property
    def extent(self) -> Vector:
        return (self.radius, self.half_height, self.radius)

    def hit(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        start, step = self.local(origin, True), self.local(direction, False)
        a = np.maximum(step[0] * step[0] + step[2] * step[2], np.float32(1e-8))
        b = start[0] * step[0] + start[2] * step[2]
        c = start[0] * start[0] + start[2] * start[2] - np.float32(self.radius * self.radius)
        square = b * b - a * c
        root = np.sqrt(np.maximum(square, 0))
        inverse = 1 / _nonzero(step[1])
        middle, reach = -start[1] * inverse, np.abs(inverse) * np.float32(self.half_height)
        near, far = np.maximum((-b - root) / a, middle - reach), np.minimum((root - b) / a, middle + reach)
        return _first(near, far, square > 0)

    def normal(self, points: np.ndarray) -> np.ndarray:
        side = points * np.array([[1], [0], [1]], np.float32)
        across = np.sqrt(np.maximum(dot(side, side), np.float32(1e-12)))
        lid = np.abs(points[1]) - self.half_height > across - self.radius
        cap = np.zeros_like(points)
        cap[1] = np.where(points[1] > 0, np.float32(1), np.float32(-1))
        return turned(np.where(lid, cap, side / across), -self.turn)


@dataclass(frozen=True)
class Wall(Shape):
    """The plane through ``centre`` with the unit normal ``facing`` (one of the axes), seen from its front."""

    facing: Vector = (0.0, 1.0, 0.0)

    def hit(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        facing = np.array(self.facing, np.float32)
        speed = dot(facing, direction)
        t = -dot(facing, self.local(origin, True)) / _nonzero(speed)
        return _first(t, FAR, speed < 0)

    def normal(self, points: np.ndarray) -> np.ndarray:
        return np.repeat(np.array(self.facing, np.float32)[:, None], points.shape[1], axis=1)
