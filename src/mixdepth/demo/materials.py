"""What the things in the demo's room are made of: functions from local points [3, N] to colours [3, N] in 0..1."""

from collections.abc import Sequence

import numpy as np

from mixdepth.demo.texture import Material, between, blobs, cells, fractal, grained, mix, noise, pick, rgb, scramble


def speckled(base: str, spots: Sequence[str], frequency: float, seed: int, fill: float = 0.6) -> Material:
    """Grained stuff with two sizes of coloured spots: glaze, fabric, paper."""

    def material(points: np.ndarray) -> np.ndarray:
        colour = grained(points, rgb(base), 0.22, frequency * 0.6, seed)
        for scale, offset in ((1.0, 10), (2.1, 20)):
            share, identity = blobs(points, frequency * scale, seed + offset, fill)
            colour = mix(colour, pick(spots, identity), share * np.float32(0.85))
        return colour

    return material


def marble(base: str, vein: str, seed: int) -> Material:
    """Cloudy stone with bent veins and a few inclusions."""

    def material(points: np.ndarray) -> np.ndarray:
        cloud = fractal(points, 1.6, 4, seed)
        veins = np.clip(1 - np.abs(cloud + 0.4 * noise(points, 3.1, seed + 9)) * 7, 0, 1)
        colour = mix(grained(points, rgb(base), 0.16, 4.0, seed + 20), rgb(vein), veins * np.float32(0.7))
        share, _ = blobs(points, 4.5, seed + 30, 0.45)
        return mix(colour, rgb(vein), share * np.float32(0.55))

    return material


def planks(tones: Sequence[str], width: float, across: int, along: int, seed: int) -> Material:
    """Boards ``width`` wide along the axis ``along``, laid side by side on the axis ``across``."""

    def material(points: np.ndarray) -> np.ndarray:
        row, place = cells(points[across] * np.float32(1 / width))
        shifted = points[along] * np.float32(0.55) + 7 * scramble([row], seed)
        board, end = cells(shifted)
        colour = pick(tones, scramble([row, board], seed + 1))
        stretch = np.full(3, 9.0)
        stretch[along] = 1.3
        grain = noise(points, stretch, seed + 2) + 0.6 * noise(points, stretch * 1.9, seed + 3)
        colour = colour * (1 + 0.13 * grain + 0.10 * fractal(points, 2.5, 3, seed + 4))
        knot, _ = blobs(points, 2.6, seed + 5, 0.5)
        seam = np.maximum(between(place, 0, 0.06), between(end, 0, 0.012))
        return mix(colour, rgb("3a2416"), np.maximum(0.55 * knot, 0.6 * seam).astype(np.float32))

    return material


def wallpaper(base: str, motifs: Sequence[str], seed: int) -> Material:
    """Painted plaster with strewn motifs of several sizes."""

    def material(points: np.ndarray) -> np.ndarray:
        colour = grained(points, rgb(base), 0.14, 1.1, seed)
        for frequency, strength, offset in ((1.7, 0.55, 10), (3.2, 0.6, 20), (5.5, 0.5, 30)):
            share, identity = blobs(points, frequency, seed + offset, 0.6)
            colour = mix(colour, pick(motifs, identity), share * np.float32(strength))
        return colour

    return material


def books(seed: int) -> Material:
    """The front of a bookcase: rows of spines with title bands, parted by boards. Rows along y, books along x."""
    spines = ("8c3b2e", "2f4858", "c98b3a", "55704b", "d9c7a0", "6b4a6e", "3c6e71", "b5563c", "e0d2b4", "454b66")

    def material(points: np.ndarray) -> np.ndarray:
        shelf, height = cells(points[1] * np.float32(1.7))
        place = points[0] * np.float32(6.5) + 0.35 * noise(points[[0, 0, 1]] * 0 + points, (2.0, 0, 0), seed)
        book, across = cells(place + scramble([shelf], seed + 1))
        identity = scramble([book, shelf], seed + 2)
        top = 0.62 + 0.28 * scramble([book, shelf], seed + 3)
        colour = pick(spines, identity) * (1 + 0.18 * noise(points, 7.0, seed + 4))
        band = scramble([book, shelf], seed + 5) * np.float32(0.4) + 0.15
        banded = ((height > band) & (height < band + 0.12)).astype(np.float32)
        colour = mix(colour, pick(("e8d9a8", "2b2b2b", "d6b25e"), scramble([book, shelf], seed + 6)), 0.75 * banded)
        gap = np.maximum(between(across, 0, 0.1), (height > top).astype(np.float32))
        colour = mix(colour, rgb("2a1d15"), 0.85 * gap)
        board = between(height, 0.93, 1.0) + between(height, 0, 0.05)
        return mix(colour, rgb("9a6b42") * (1 + 0.2 * noise(points, 6.0, seed + 7)), board)

    return material


def painting(half: tuple[float, float], seed: int) -> Material:
    """A landscape in flat patches inside a gilt frame; ``half`` is its half width and height, units."""
    bands = ("f2d8a0", "e9b872", "d98555", "8f9f6b", "5b7f6a", "31596b", "203f57")

    def material(points: np.ndarray) -> np.ndarray:
        hill = points[1] / np.float32(half[1]) + 0.7 * fractal(points, 1.5, 4, seed)
        colour = pick(bands, np.clip(0.5 - 0.42 * hill, 0, np.float32(0.999)))
        colour = colour * (1 + 0.15 * noise(points, 8.0, seed + 6))
        share, identity = blobs(points, 3.6, seed + 10, 0.5)
        colour = mix(colour, pick(("f6efdc", "c8553d", "f0b541", "2d4654"), identity), 0.8 * share)
        inside = (np.abs(points[0]) < half[0] - 0.09) & (np.abs(points[1]) < half[1] - 0.09)
        frame = rgb("a57c3c") * (1 + 0.35 * noise(points, 9.0, seed + 20))
        return np.where(inside, colour, frame)

    return material


def rug_on(floor: Material, centre: tuple[float, float], half: tuple[float, float], seed: int) -> Material:
    """``floor`` with a woven rug; ``centre`` and ``half`` size along x and z, units."""

    def material(points: np.ndarray) -> np.ndarray:
        x = np.abs(points[0] - np.float32(centre[0])) - np.float32(half[0])
        z = np.abs(points[2] - np.float32(centre[1])) - np.float32(half[1])
        edge = np.maximum(x, z)
        weave = grained(points, rgb("a63f36"), 0.25, 2.5, seed)
        for frequency, offset in ((2.2, 10), (4.0, 20)):
            share, identity = blobs(points, frequency, seed + offset, 0.75)
            weave = mix(weave, pick(("e6cfa2", "27445a", "d08a3e", "f0e3c8", "6d2430"), identity), 0.85 * share)
        weave = mix(weave, rgb("ead9b4") * (1 + 0.2 * noise(points, 6.0, seed + 30)), between(edge, -0.2, -0.1))
        return np.where(edge < 0, weave, floor(points))

    return material


def beach_ball(points: np.ndarray) -> np.ndarray:
    """Eight coloured segments with spots, so that one sees the ball roll."""
    signs = [points[axis] > 0 for axis in range(3)]
    segment = (signs[0] ^ signs[1]) * 2 + (signs[2] ^ signs[0]) * 1
    colour = pick(("e2583e", "f4ead2", "2b7a9b", "f2b63c"), (segment / np.float32(4)).astype(np.float32))
    share, identity = blobs(points + np.float32(5), 3.4, 900, 0.8)
    colour = mix(colour, pick(("1f4e66", "f7f1e0", "c43d2f"), identity), 0.8 * share)
    return colour * (1 + 0.12 * fractal(points, 4.0, 2, 950))


def balloon(points: np.ndarray) -> np.ndarray:
    """Broad bands with spots of two sizes."""
    band, _ = cells(points[1] * np.float32(7) + 0.5 * noise(points, 5.0, 960))
    colour = pick(("f3c14b", "3e8e7e", "f6ecd4", "d1495b"), scramble([band], 961))
    for frequency, seed in ((4.2, 970), (7.0, 980)):
        share, identity = blobs(points + np.float32(3), frequency, seed, 0.8)
        colour = mix(colour, pick(("c43d2f", "2e4057", "f6ecd4", "f3c14b"), identity), 0.85 * share)
    return colour
