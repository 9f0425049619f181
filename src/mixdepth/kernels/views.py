"""Rendering on a GPU: loops and layers with what follows from them, so that nothing that lies between is written down.

In Triton alone: elsewhere :class:`mixdepth.fields.static.StaticField` and :class:`mixdepth.fields.dynamic.DynamicField`
have each by single operations, and are what these are tested against. They take no gradient.
"""

from collections.abc import Sequence

from torch import Tensor

from mixdepth.kernels import dispatch
from mixdepth.kernels.arguments import Coordinates, Density, Lit, Rays


def march_lit(
    coordinates: Coordinates,
    rays: Rays,
    samples: int,
    mask: Tensor,
    region: tuple[Tensor, Tensor, Tensor],
    density: Density,
    dark: float,
) -> Lit:
    """:func:`mixdepth.kernels.march_density` with what follows from it: of ``samples`` in the middles of equal parts of
    each ray those that are shown, with a weight above ``dark``, and on rays that meet the region all up to where no
    more than ``dark`` of the light is left.

    Args:
        mask: bits STATIC and DOUBTFUL of n^3 cells, uint8.
        region: sets of m^3 cells of a box, that box (low 3, scale 3), and each ray's own set [R] int32.
    """
    return dispatch.triton_view().march_lit(coordinates, rays, samples, mask, region, density, dark)


def still_colours(
    planes: Tensor,
    lines: Tensor,
    u: Tensor,
    directions: Tensor,
    rows: Tensor,
    layers: Sequence[Tensor],
    background: Tensor,
    amp: bool,
) -> Tensor:
    """Colours [S, 3] in 0..1, less the ``background`` [3], of points ``u`` [S, 3] as the static branch has them.

    Args:
        planes, lines: of the grid of features.
        directions: [R, 3] of rays; the first layer also takes them where it has room for their 15 numbers.
        rows: [S] int32, the ray of each point.
        layers: weights and biases of three layers.
        amp: whether the products but for the last are of bfloat16 numbers.
    """
    return dispatch.triton_view().still_colours(planes, lines, u, directions, rows, layers, background, amp)


def sum_still(weights: Tensor, colours: Tensor, counts: Tensor, ends: Tensor, background: Tensor) -> Tensor:
    """Colours [R, 3] of rays over the ``background`` [3]: sums of ``weights`` [S] times ``colours`` [S, 3] of the
    ``counts`` [R] samples of each that end before ``ends`` [R]."""
    return dispatch.triton_view().sum_still(weights, colours, counts, ends, background)


def thickness(
    planes: Tensor, lines: Tensor, v: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, scale: float
) -> Tensor:
    """Optical thickness [D, F] of samples of length ``delta`` [D] at points ``v`` [D, 3]: ``scale * delta *
    softplus(features @ weight.T + bias)``, with ``weight`` [F, features] and ``bias`` [F]."""
    return dispatch.triton_view().thickness(planes, lines, v, delta, weight, bias, scale)


def moving_colours(
    planes: Tensor,
    lines: Tensor,
    v: Tensor,
    lit: Tensor,
    hidden: Sequence[Tensor],
    last: Sequence[Tensor],
    amp: bool,
) -> Tensor:
    """Sigmoids [L, O] of two layers, weight and bias of each, of the features of the points ``lit`` [L] of [D, 3].

    Args:
        amp: whether the products of the first are of bfloat16 numbers.
    """
    return dispatch.triton_view().moving_colours(planes, lines, v, lit, hidden, last, amp)
