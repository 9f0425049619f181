"""The demo's place: a living room with a column, and two things that move through it."""

import math

import numpy as np

from mixdepth.demo import materials
from mixdepth.demo.solids import Ball, Box, Cylinder, Shape, Wall
from mixdepth.demo.texture import Material

FRAMES, FPS = 24, 12

_FLOOR = materials.planks(("b98655", "a87448", "c2915f", "9b6a40", "b07d4e"), 0.34, 0, 2, 100)
_OAK = materials.planks(("c79a63", "b98a55", "cfa66f"), 0.24, 1, 0, 140)
_PINE = materials.planks(("d9b27c", "cda26a", "e0bd8a"), 0.2, 1, 0, 170)
_PAPER = materials.wallpaper("e3d8c1", ("b9776a", "7c9a8e", "c9a25f", "8797a5", "a9b284"), 200)
_FABRIC = materials.speckled("4f7f86", ("d9c9a3", "2f5560", "86a9a6"), 3.4, 300)
_LEAVES = materials.speckled("5d8a4a", ("3d6a37", "8fb25f", "c9d08a"), 4.2, 330, 0.8)
_CLAY = materials.speckled("bd6b45", ("8d4a30", "d99a6c", "e6c7a0"), 4.0, 360)
_CHINA = materials.speckled("e6e4da", ("355c8a", "5d86b0", "274468"), 4.6, 390, 0.75)
_GLAZE = materials.speckled("d3a63f", ("8f5f24", "f0d58a", "a8442f"), 4.4, 420)
_CLOTH = materials.speckled("efe4cf", ("b24a3c", "4d7a8c", "d6a24a"), 3.6, 450)
_GIFT = materials.speckled("8d6f9c", ("e7d9ec", "5b4569", "d8a24a"), 3.2, 680)

ROOM: tuple[Shape, ...] = (
    Wall((0.0, -1.5, 0.0), materials.rug_on(_FLOOR, (0.1, -3.7), (2.0, 1.25), 500), facing=(0.0, 1.0, 0.0)),
    Wall((0.0, 3.4, 0.0), materials.speckled("e9e4d8", ("d3c9b4", "f6f2e8"), 1.6, 520), facing=(0.0, -1.0, 0.0)),
    Wall((0.0, 0.0, -8.0), _PAPER, facing=(0.0, 0.0, 1.0)),
    Wall((-4.2, 0.0, 0.0), _PAPER, facing=(1.0, 0.0, 0.0)),
    Wall((4.2, 0.0, 0.0), _PAPER, facing=(-1.0, 0.0, 0.0)),
)

FURNITURE: tuple[Shape, ...] = (
    Box((-2.45, -0.05, -7.62), materials.books(600), half=(1.05, 1.45, 0.36)),
    Box((1.55, 0.98, -7.93), materials.painting((1.05, 0.72), 640), half=(1.05, 0.72, 0.06)),
    Box((1.95, -1.0, -7.35), _OAK, half=(1.35, 0.5, 0.42)),
    Ball((1.25, -0.2, -7.25), _CHINA, radius=0.3),
    Cylinder((2.2, -0.17, -7.3), _CLAY, radius=0.17, half_height=0.33),
    Ball((2.75, -0.28, -7.2), _GLAZE, radius=0.22),
    Box((1.15, -1.05, -5.9), _PINE, turn=0.42, half=(0.45, 0.45, 0.45)),
    Box((1.2, -0.32, -5.95), _GIFT, turn=-0.3, half=(0.3, 0.28, 0.3)),
    Box((-2.5, -1.14, -5.95), _FABRIC, turn=-0.45, half=(0.6, 0.36, 0.5)),
    Box((-2.78, -0.62, -6.43), _FABRIC, turn=-0.45, half=(0.6, 0.62, 0.16)),
    Cylinder((-0.72, 0.95, -3.95), materials.marble("d8cdbd", "6d5a4f", 700), radius=0.21, half_height=2.45),
    Cylinder((-0.72, -1.41, -3.95), materials.marble("b9ab98", "5b4a40", 740), radius=0.32, half_height=0.1),
    Cylinder((1.6, -0.98, -3.55), _CLOTH, radius=0.52, half_height=0.05),
    Cylinder((1.6, -1.27, -3.55), _OAK, radius=0.09, half_height=0.24),
    Ball((1.42, -0.7, -3.5), _CHINA, radius=0.23),
    Box((1.86, -0.87, -3.6), _CLAY, turn=0.5, half=(0.2, 0.06, 0.15)),
    Ball((1.78, -0.72, -3.62), _GLAZE, radius=0.1),
    Cylinder((-1.7, -1.27, -3.6), _CLAY, radius=0.24, half_height=0.23),
    Ball((-1.7, -0.78, -3.6), _LEAVES, radius=0.36),
    Ball((-1.62, -0.32, -3.62), _LEAVES, radius=0.24),
)


def rolled(material: Material, angle: float) -> Material:
    """``material`` turned about the z axis by ``angle``, radians, clockwise as seen by the cameras."""
    # Rounding to float32 hides the last bit, in which the sines of two machines may differ.
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))

    def turned_material(points: np.ndarray) -> np.ndarray:
        return material(
            np.stack([cosine * points[0] - sine * points[1], sine * points[0] + cosine * points[1], points[2]])
        )

    return turned_material


def movers(frame: int) -> tuple[Ball, Ball]:
    """What moves, at ``frame`` (0..FRAMES - 1): a ball that rolls from left to right, a balloon that drifts back.

    Both pass behind the column and in front of furniture. Their speed is even, so that no place is covered for long.
    """
    share = frame / (FRAMES - 1)
    x, radius = -1.85 + 3.75 * share, 0.56
    ball = Ball((x, -1.5 + radius, -4.8 + 0.12 * share), rolled(materials.beach_ball, x / radius), radius=radius)
    height = 0.85 + 0.3 * round(math.sin(5.5 * share), 6)
    drifting = Ball((2.0 - 3.6 * share, height, -5.2), rolled(materials.balloon, 0.3 * share), radius=0.38)
    return ball, drifting
