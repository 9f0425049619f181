"""What marching is given and writes: tensors by name, which the compiled loop gets as arrays by the same names."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

FORWARD, BOUNDED, UNBOUNDED = range(3)  # kinds of Coordinates

Vector = tuple[np.float32, ...]  # of three
_ZERO, _ONE = np.float32(0), np.float32(1)
_NOWHERE = (_ZERO, _ZERO, _ZERO)


class Coordinates(NamedTuple):
    """How world points become normalised ones: what :class:`mixdepth.rendering.rays.SpaceMap` does, for a loop."""

    kind: int  # FORWARD, BOUNDED or UNBOUNDED
    low: Vector  # corner of the box that becomes -1
    scale: Vector  # normalised units per unit of the box
    # Of a forward space alone: the others never look at them.
    right: Vector = _NOWHERE  # axes of the reference frame
    down: Vector = _NOWHERE
    ahead: Vector = _NOWHERE
    centre: Vector = _NOWHERE  # its origin, world units
    nearest: np.float32 = _ONE  # smallest z-depth in it
    inverse_near: np.float32 = _ONE  # disparity of its near end
    per_disparity: np.float32 = _ONE  # one by the difference between its near and its far end's


class Rays(NamedTuple):
    """R rays, between two z-depths that their samples share."""

    origins: Tensor  # [R, 3] world units
    directions: Tensor  # [R, 3] world units per unit of z-depth
    near: Tensor  # [R]
    far: Tensor  # [R]
    stop: Tensor  # [R] z-depth from which on nothing is kept


class Mask(NamedTuple):
    """Cells of the normalised cube that may hold something."""

    cells: Tensor  # [size^3] bool
    size: int  # 0: no mask


class Sets(NamedTuple):
    """Cells of a box that may hold something in some parts of the capture."""

    cells: Tensor  # [size^3] int32, the parts as a set of bits
    size: int  # 0: none
    box: Tensor  # [6] low 3 and scale 3, normalised coordinates
    wanted: Tensor  # [R] int32, the parts that each ray shows


class Kept(NamedTuple):
    """What marching writes: the samples kept, in front of each row."""

    counts: Tensor  # [R] int64
    samples: Tensor  # [R, N, 6] z, dz, delta, u
    holds: Tensor  # [R, N] uint8
