"""Rendering of the demo's place: one ray per sub-pixel, soft light from a window and from all around.

A pixel is the mean of 3 x 3 rays; depth and the masks belong to the middle one. Each of the nine asks one point of the
window and one direction of the sky whether something is in the way, so a pixel knows nine of each.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.demo.rig import HEIGHT, WIDTH, pixel_rays
from mixdepth.demo.scene import FURNITURE, ROOM
from mixdepth.demo.solids import FAR, Ball, dot, unit

SUBPIXELS = tuple(((i % 3 + 0.5) / 3, (i // 3 + 0.5) / 3) for i in range(9))
MIDDLE = 4  # the sub-pixel at the pixel's centre

_WINDOW_CENTRE = np.array([[-2.2], [3.0], [-0.6]], np.float32)
_WINDOW = tuple(
    _WINDOW_CENTRE + np.array([[0.2 * (i * 4 % 9 - 4)], [0.0], [0.2 * (i - 4)]], np.float32) for i in range(9)
)
_SKY = tuple(
    unit(np.array(direction, np.float32)[:, None])
    for direction in (
        (2, 2, 1),
        (-1, 2, 2),
        (1, 1, -2),
        (-2, 2, -1),
        (3, 1, 0),
        (-3, 1, 1),
        (1, 1, 3),
        (-1, 1, -3),
        (0, 3, 1),
    )
)
_TILES = tuple(  # pixel numbers of tiles of 160 x 120 pixels
    np.arange(WIDTH * HEIGHT).reshape(HEIGHT // 120, 120, WIDTH // 160, 160).swapaxes(1, 2).reshape(-1, 120 * 160)
)
_SKY_REACH = 1.2  # units within which something shades the sky's light


@dataclass(frozen=True)
class Samples:
    """What the rays through one sub-pixel of every pixel see."""

    depth: np.ndarray  # [H * W] z-depth, units
    points: np.ndarray  # [3, H * W] world
    normals: np.ndarray  # [3, H * W] world
    light: np.ndarray  # [3, H * W] linear colour

    def at(self, pixels: np.ndarray) -> "Samples":
        """The samples of some pixels, by number [N]."""
        return Samples(*(getattr(self, field.name)[..., pixels] for field in fields(self)))


def occluded(points: np.ndarray, direction: np.ndarray, reach: float) -> np.ndarray:
    """Whether some furniture lies within ``reach`` of the points [3, N] along ``direction``, [N] bool."""
    ends = points + direction * np.float32(reach)
    low, high = np.minimum(points, ends).min(axis=1), np.maximum(points, ends).max(axis=1)
    blocked = np.zeros(points.shape[1], bool)
    for shape in FURNITURE:
        if np.all(np.abs(np.add(low, high) / 2 - shape.centre) < (high - low) / 2 + shape.extent):
            blocked |= shape.hit(points, direction) < reach
    return blocked


def shade(albedo: np.ndarray, points: np.ndarray, normals: np.ndarray, subpixel: int) -> np.ndarray:
    """Linear colours [3, N] of surfaces with display colour ``albedo``, lit by window and sky."""
    off = points + normals * np.float32(0.004)
    towards = _WINDOW_CENTRE - off
    facing = np.maximum(dot(unit(towards), normals), 0)
    key = ~occluded(off, _WINDOW[subpixel] - off, 1.0)
    side = np.where(dot(_SKY[subpixel], normals) < 0, np.float32(-1), np.float32(1))
    sky = ~occluded(off, _SKY[subpixel] * side, _SKY_REACH)
    warm = np.array([[1.0], [0.93], [0.82]], np.float32) * np.float32(0.84)
    cool = np.array([[0.94], [0.98], [1.06]], np.float32) * np.float32(0.42)
    light = warm * (facing * key) + cool * (sky * (0.8 + 0.2 * normals[1]))
    return np.clip(albedo, 0, 1) ** 2 * light


def see(rays: tuple[np.ndarray, np.ndarray], subpixel: int) -> Samples:
    """The still scene through one sub-pixel of every pixel."""
    origin, direction = rays
    # A tile at a time: its arrays stay in the processor's cache, and few things can shade it.
    parts = [_see(origin, direction[:, tile], subpixel) for tile in _TILES]
    order = np.argsort(np.concatenate(_TILES))
    return Samples(*(np.concatenate(arrays, axis=-1)[..., order] for arrays in zip(*parts, strict=True)))


def _see(origin: np.ndarray, direction: np.ndarray, subpixel: int) -> tuple[np.ndarray, ...]:
    """The fields of :class:`Samples` for rays [3, N]."""
    shapes = ROOM + FURNITURE
    depth = np.full(direction.shape[1], FAR)
    nearest = np.zeros(direction.shape[1], np.int32)
    for index, shape in enumerate(shapes):
        t = shape.hit(origin, direction)
        nearest[t < depth] = index
        depth = np.minimum(t, depth)
    points = origin + direction * depth
    albedo, normals = np.empty_like(points), np.empty_like(points)
    for index in np.unique(nearest):
        shape, (chosen,) = shapes[index], np.nonzero(nearest == index)
        local = shape.local(points[:, chosen], True)
        albedo[:, chosen], normals[:, chosen] = shape.material(local), shape.normal(local)
    return depth, points, normals, shade(albedo, points, normals, subpixel)


def contact(samples: Samples, ball: Ball) -> np.ndarray:
    """Share of the light [N] that a ball leaves to the surfaces near it: 1 from about three radii on."""
    away = np.array(ball.centre, np.float32)[:, None] - samples.points
    square = dot(away, away)
    distance = np.sqrt(square)
    cosine = np.maximum(dot(away, samples.normals) / distance, 0)
    shade_of_ball = cosine * np.float32(ball.radius**2) / square
    return 1 - np.clip(1.15 * shade_of_ball - 0.12, 0, np.float32(0.85))


def add_movers(
    samples: Samples, rays: tuple[np.ndarray, np.ndarray], subpixel: int, balls: tuple[Ball, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Depth [N] and linear colour [3, N] of the rays with what moves."""
    origin, direction = rays
    depth, light = samples.depth, samples.light
    for ball in balls:
        light = light * contact(samples, ball)
    for ball in balls:
        t = ball.hit(origin, direction)
        (hit,) = np.nonzero(t < depth)
        if not len(hit):
            continue
        points = origin + direction[:, hit] * t[hit]
        local = ball.local(points, True)
        depth = np.minimum(depth, t)
        light[:, hit] = shade(ball.material(local), points, ball.normal(local), subpixel)
    return depth, light


def developed(light: list[np.ndarray]) -> np.ndarray:
    """Display colours [N, 3] uint8 of the nine sub-pixels' linear colours [3, N]."""
    mean = light[0]
    for subpixel in light[1:]:
        mean = mean + subpixel
    display = np.sqrt(np.clip(mean / np.float32(9), 0, 1))  # a gamma of 2, because roots are exact and powers are not
    return np.floor(display * 255 + np.float32(0.5)).astype(np.uint8).T


class Shot:
    """One camera's view: the still scene is seen once, each frame adds what moves."""

    def __init__(self, camera: Camera):
        self.camera = camera
        self.rays = [pixel_rays(camera, place) for place in SUBPIXELS]
        self.samples = [see(rays, subpixel) for subpixel, rays in enumerate(self.rays)]
        self._still = developed([samples.light for samples in self.samples])

    def still(self) -> np.ndarray:
        """The picture without what moves, [H, W, 3] uint8."""
        return self._still.reshape(self.camera.height, self.camera.width, 3)

    def still_depth(self) -> np.ndarray:
        """Depth without what moves, [H, W] float32 z-depth, units."""
        return self.samples[MIDDLE].depth.reshape(self.camera.height, self.camera.width)

    def frame(self, balls: tuple[Ball, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture [H, W, 3] uint8 with ``balls``, its depth [H, W] float32 and where they are [H, W] bool."""
        near = self._near(balls)
        picture, depth = self._still.copy(), self.samples[MIDDLE].depth.copy()
        seen = []
        for subpixel, (samples, (origin, direction)) in enumerate(zip(self.samples, self.rays, strict=True)):
            seen.append(add_movers(samples.at(near), (origin, direction[:, near]), subpixel, balls))
        picture[near] = developed([light for _, light in seen])
        depth[near] = seen[MIDDLE][0]
        shape = (self.camera.height, self.camera.width)
        return picture.reshape(*shape, 3), depth.reshape(shape), (depth < self.samples[MIDDLE].depth).reshape(shape)

    def _near(self, balls: tuple[Ball, ...]) -> np.ndarray:
        """Numbers of the pixels that the balls can cover or shade, and their neighbours, [N]."""
        origin, direction = self.rays[MIDDLE]
        touched = np.zeros(direction.shape[1], bool)
        for ball in balls:
            touched |= replace(ball, radius=1.1 * ball.radius).hit(origin, direction) < FAR
            touched |= contact(self.samples[MIDDLE], ball) < 1
        grid = np.pad(touched.reshape(self.camera.height, self.camera.width), 1)
        grown = grid.copy()
        for axis in (0, 1):
            grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
        return np.flatnonzero(grown[1:-1, 1:-1])
