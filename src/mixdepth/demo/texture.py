"""Solid textures: colours as functions of points, so that no picture has to be stored and none repeats.

Everything that is rendered uses only ``+ - * /``, ``sqrt``, ``floor`` and table look-ups in float32. IEEE 754 defines
their results to the last bit, so the demo capture is the same on every machine; sines, powers and matrix products
are not.

Points and colours are [3, N]; colours are display values in 0..1 until :func:`mixdepth.demo.render.shade` squares
them.
"""

from collections.abc import Callable, Sequence

import numpy as np

Material = Callable[[np.ndarray], np.ndarray]  # local points [3, N] to colours [3, N]

_TABLE_SIZE = 1 << 16
_TABLE = (np.random.default_rng(20240501).integers(0, 1 << 16, _TABLE_SIZE) / np.float32(1 << 16)).astype(np.float32)
_PRIMES = (np.int32(73856093), np.int32(19349663), np.int32(83492791))
# A rotation: lattices lie askew to walls and boxes, or a face could lie between two layers of cells.
_ASKEW = ((2 / 3, -1 / 3, 2 / 3), (2 / 3, 2 / 3, -1 / 3), (-1 / 3, 2 / 3, 2 / 3))


def scramble(cell: Sequence[np.ndarray] | np.ndarray, seed: int) -> np.ndarray:
    """A random number in [0, 1) per lattice cell, [N] float32; ``cell`` holds 1 to 3 integer coordinates [N]."""
    key: np.ndarray | np.int32 = _key(seed)
    for coordinate, prime in zip(cell, _PRIMES, strict=False):
        key = key ^ (coordinate * prime)  # wraps around
    return _look_up(key)


def _key(seed: int) -> np.int32:
    return np.int32(seed * 2654435761 % (1 << 31))


def _look_up(key: np.ndarray | np.int32) -> np.ndarray:
    return _TABLE[(key ^ (key >> 16)) & (_TABLE_SIZE - 1)]


def cells(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integer lattice cell (int32) and place within it (0..1), both like ``points``."""
    lower = np.floor(points)
    return lower.astype(np.int32), points - lower


def noise(points: np.ndarray, frequency: float | Sequence[float] | np.ndarray, seed: int) -> np.ndarray:
    """Smooth value noise in [-1, 1], [N]; ``frequency`` in cells per unit, for all axes or for each."""
    scale = np.full(3, frequency, np.float32)
    cell, place = cells(points * scale[:, None])
    weight = place * place * (3 - 2 * place)
    hashes = [(cell[axis] * _PRIMES[axis], (cell[axis] + 1) * _PRIMES[axis]) for axis in range(3)]
    slabs = []
    for x in hashes[0]:
        rows = []
        for y in hashes[1]:
            base = _key(seed) ^ x ^ y
            near, far = (_look_up(base ^ z) for z in hashes[2])
            rows.append(near + (far - near) * weight[2])
        slabs.append(rows[0] + (rows[1] - rows[0]) * weight[1])
    return 2 * (slabs[0] + (slabs[1] - slabs[0]) * weight[0]) - 1


def askew(points: np.ndarray) -> np.ndarray:
    """``points`` in a frame whose planes are parallel to nothing in the room."""
    return np.stack(
        [sum((np.float32(row[i]) * points[i] for i in (1, 2)), np.float32(row[0]) * points[0]) for row in _ASKEW]
    )


def fractal(points: np.ndarray, frequency: float, octaves: int, seed: int) -> np.ndarray:
    """Noise summed over octaves with amplitudes 1, 0.6, 0.36, ..., [N], about in [-1, 1]."""
    total, amplitude = np.zeros(points.shape[1], np.float32), np.float32(0.6)
    for octave in range(octaves):
        total += amplitude * noise(points, frequency * 2**octave, seed + octave)
        amplitude *= np.float32(0.6)
    return total


def blobs(points: np.ndarray, frequency: float, seed: int, fill: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Balls of random size and place, one per cell in a share ``fill`` of the cells.

    Returns:
        coverage [N] in 0..1 with a soft edge, and the ball's own random number [N] in [0, 1).
    """
    cell, place = cells(askew(points) * np.float32(frequency) + np.float32(seed % 7 * 0.37))
    radius = 0.22 + 0.26 * scramble(cell, seed)
    distance = np.zeros(points.shape[1], np.float32)
    for axis in range(3):
        centre = radius + (1 - 2 * radius) * scramble(cell, seed + 1 + axis)
        distance += (place[axis] - centre) ** 2
    identity = scramble(cell, seed + 4)
    coverage = np.clip((radius - np.sqrt(distance)) * np.float32(8), 0, 1)
    return np.where(scramble(cell, seed + 5) < fill, coverage, np.float32(0)), identity


def mix(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    """``above`` laid over ``below`` with opacity ``share`` [N]; colours [3, N] or [3, 1]."""
    return below + (above - below) * share


def rgb(colour: str) -> np.ndarray:
    """``"d08050"`` as [3, 1] float32 in 0..1."""
    return np.array([[int(colour[i : i + 2], 16)] for i in (0, 2, 4)], np.float32) / np.float32(255)


def pick(palette: Sequence[str], number: np.ndarray) -> np.ndarray:
    """The palette's colour for random numbers [N] in [0, 1), [3, N]."""
    table = np.concatenate([rgb(colour) for colour in palette], axis=1)
    return table[:, np.minimum((number * len(palette)).astype(np.int64), len(palette) - 1)]


def grained(points: np.ndarray, colour: np.ndarray, strength: float, frequency: float, seed: int) -> np.ndarray:
    """``colour`` made lighter and darker by fractal noise, [3, N]."""
    return colour * (1 + np.float32(strength) * fractal(points, frequency, 4, seed))


def between(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 where low <= value < high, else 0, [N] float32."""
    return ((value >= low) & (value < high)).astype(np.float32)
