"""Sums that colour scores are made of.

Sums of colours are whole numbers and therefore exact, so that a score depends on no order of summation, and pooling
over cameras is adding.
"""

import math
from dataclasses import dataclass

import numpy as np

# Identical images have an infinite PSNR, which JSON cannot hold; no real render comes near it.
MAX_PSNR = 100.0


def psnr(squared_error: float, values: int) -> float | None:
    """Peak signal-to-noise ratio, dB: ``-10 log10(squared_error / values)``, at most :data:`MAX_PSNR`.

    Args:
        squared_error: sum over ``values`` colours in 0..1.
        values: how many; None is returned where there are none.

    >>> psnr(0.3, values=30)
    20.0
    """
    if not values:
        return None
    mean = squared_error / values
    return min(-10 * math.log10(mean), MAX_PSNR) if mean > 0 else MAX_PSNR


@dataclass
class Mean:
    """A mean that is added to."""

    total: float = 0.0
    count: int = 0

    def add(self, total: float, count: int = 1) -> None:
        """Add ``count`` values that sum up to ``total``."""
        self.total += total
        self.count += count

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.count + other.count)

    @property
    def value(self) -> float | None:
        """None without values."""
        return self.total / self.count if self.count else None


@dataclass
class SquaredError:
    """Squared colour error of a set of pixels, in levels (0..255) squared, and how many colour values it is of."""

    total: float = 0  # a whole number, exact, where it was added up from pixels
    values: int = 0

    def add(self, squared: np.ndarray) -> None:
        """Add pixels: ``squared`` [N, 3] squared differences in levels."""
        self.total += int(squared.sum(dtype=np.int64))
        self.values += squared.size

    def __add__(self, other: "SquaredError") -> "SquaredError":
        return SquaredError(self.total + other.total, self.values + other.values)

    @property
    def psnr(self) -> float | None:
        """dB, pooled over all pixels; None without pixels."""
        return psnr(self.total / 255**2, self.values)


@dataclass
class AffineFit:
    """Least squares fit ``truth ~ gain * render + offset`` of one colour channel of one camera, from exact sums."""

    count: int = 0
    x: int = 0  # sum of rendered levels
    y: int = 0  # sum of true levels
    xx: int = 0
    xy: int = 0
    yy: int = 0

    def add(self, render: np.ndarray, truth: np.ndarray) -> None:
        """Add one frame of the channel, [N] uint8 each."""
        wide, true = render.astype(np.int64).ravel(), truth.astype(np.int64).ravel()
        self.count += wide.size
        self.x += int(wide.sum())
        self.y += int(true.sum())
        self.xx += int(wide @ wide)
        self.xy += int(wide @ true)
        self.yy += int(true @ true)

    def solve(self) -> tuple[float, float, float]:
        """(gain, offset in 0..1, remaining squared error in 0..1 squared). A flat render keeps gain 0."""
        if not self.count:
            return 1.0, 0.0, 0.0
        # Whole numbers of any size: no cancellation however many pixels there are.
        variance = self.count * self.xx - self.x**2
        covariance = self.count * self.xy - self.x * self.y
        gain = covariance / variance if variance else 0.0
        offset = (self.y - gain * self.x) / self.count / 255
        unexplained = self.count * self.yy - self.y**2 - (covariance**2 / variance if variance else 0.0)
        return gain, offset, max(unexplained / self.count / 255**2, 0.0)
