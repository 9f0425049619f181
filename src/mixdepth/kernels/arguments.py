"""What marching is given and writes: tensors by name, which the compiled loop gets as arrays by the same names."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

FORWARD, BOUNDED, UNBOUNDED = range(3)  # kinds of Coordinates

# Bits of what a sample is kept for: what may be there of the static branch; of the dynamic one; and, of the static one,
# what fewer than two of the images that trained look at.
STATIC, DYNAMIC, DOUBTFUL = 1, 2, 4

LANES = 16  # numbers at once: frames, or samples of a ray, in the loops of rendering

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

    cells: Tensor  # [size^3] bool; or uint8, STATIC and perhaps DOUBTFUL
    size: int  # 0: no mask


class Sets(NamedTuple):
    """Cells of a box that may hold something in some parts of the capture."""

    cells: Tensor  # [size^3] int32, the parts as a set of bits
    size: int  # 0: none
    box: Tensor  # [6] low 3 and scale 3, normalised coordinates
    wanted: Tensor  # [R] int32, the parts that each ray shows


class Density(NamedTuple):
    """Density of the static branch: ``scale * softplus(slope * sum - shift)`` of sums over a vector-matrix grid."""

    planes: Tensor  # of 3 * size * size * channels values
    lines: Tensor  # of 3 * size * channels
    size: int  # cells along an axis
    channels: int
    scale: np.float32
    slope: np.float32
    shift: np.float32


class Kept(NamedTuple):
    """What marching writes: of each ray how many samples are kept, and from which row on they are."""

    counts: Tensor  # [R] int64
    starts: Tensor  # [R] int64
    samples: Tensor  # [R * N, 6] z, dz, delta, u
    holds: Tensor  # [R * N] uint8


class KeptLit(NamedTuple):
    """The same of marching with densities: M samples, or room for so many."""

    counts: Tensor  # [R] int64
    starts: Tensor  # [R] int64
    z: Tensor  # [M]
    dz: Tensor  # [M]
    delta: Tensor  # [M]
    u: Tensor  # [M, 3]
    holds: Tensor  # [M] uint8
    tau: Tensor  # [M] optical thickness
    weights: Tensor  # [M] rendering weights


class Layers(NamedTuple):
    """The static branch along R rays, the same at all frames, and where on them the dynamic one has samples."""

    offsets: Tensor  # [R + 1], rows [M]: of the packed samples of both branches
    rows: Tensor
    z: Tensor  # [M] z-depth
    dz: Tensor  # [M] z-depth interval that each stands for
    far: Tensor  # [R] last z-depth of each ray
    tau: Tensor  # [M] optical thickness of the static branch
    rgb: Tensor  # [M, 3] its colours less the background's: zero where it is faint
    moving: Tensor  # [M] int64, the dynamic sample at the same place, -1 where there is none


class Passed(NamedTuple):
    """:class:`Layers` along the r moving rays alone, as Triton has them, of R that were marched."""

    offsets: Tensor  # [r + 1] int64, of their P samples
    first_shown: Tensor  # [r] int64, number of the first of their shown samples of the static branch
    first_own: Tensor  # [r] int64, and of their dynamic ones; of both kinds the next along a ray has the next number
    codes: Tensor  # [P] int32, four times the number of the sample along its ray; plus 2 if it is shown, 1 if it moves
    tau: Tensor  # [P] optical thickness of the static branch
    near: Tensor  # [R] first and last z-depth of each ray
    far: Tensor
    colours: Tensor  # [S, 3] of the shown samples, less the background's
    kind: int  # of the coordinates, which says how samples are spaced
    samples: int  # of each ray


class Lit(NamedTuple):
    """What marching on a GPU writes of R rays: of the static branch what is shown, and of rays that meet the dynamic
    region all that light passes."""

    depth: Tensor  # [R] median z-depth of the static branch
    u: Tensor  # [S, 3] normalised coordinates of the samples of it that are shown
    rows: Tensor  # [S] int32, the ray of each
    weights: Tensor  # [S] their rendering weights
    counts: Tensor  # [R] int32, how many of them each ray has
    ends: Tensor  # [R] int64, and where they end
    layers: Passed  # but for the colours
    rays: Tensor  # [r] int64, those with dynamic samples
    row: Tensor  # [D] int32, of each dynamic sample its ray's place among these
    v: Tensor  # [D, 3] its coordinates in the box of the region
    delta: Tensor  # [D] its length, normalised units
    sets: Tensor  # [D] int32, the parts of the capture in which it is seen


class Views(NamedTuple):
    """What R rays show at F frames, but for the colours of the dynamic branch."""

    rgb: Tensor  # [R, F, 3] over the background
    faint: Tensor  # [R, F] sum of the dynamic branch's weights that are too small to be shown
    depth: Tensor  # [R, F] median z-depth
