"""The colour network where no gradient is asked for, on CPU."""

import torch
from torch import Tensor

from mixdepth.kernels import dispatch
from mixdepth.kernels.grids import grid_features
from mixdepth.kernels.threads import share

BLOCK = 4096  # points at a time: what they have on their way through the network stays in the processor's cache


def head_colours(
    grid: tuple[Tensor, Tensor],
    u: Tensor,
    first: Tensor,
    start: Tensor,
    rows: Tensor,
    second: tuple[Tensor, Tensor],
    last: tuple[Tensor, Tensor],
) -> Tensor:
    """Colours [N, 3] in 0..1 of points by a network of three layers, as compiled loops: two relus, one sigmoid.

    Args:
        grid: planes and lines as of :func:`mixdepth.kernels.grid_features`, at points ``u`` [N, 3].
        first: weight [W, features] of the first layer.
        start: [R, W] what that has of each ray, without the features; or [1, W], of all rays.
        rows: [N] int64, the ray of each point.
        second, last: weight and bias of the other layers.
    """
    out = u.new_empty(len(u), 3)
    hidden, further = (u.new_empty(min(BLOCK, len(u)), len(weight)) for weight in (first, second[0]))
    for points, ray, colours in zip(u.split(BLOCK), rows.split(BLOCK), out.split(BLOCK), strict=True):
        a, b = hidden[: len(points)], further[: len(points)]
        torch.mm(grid_features(*grid, points), first.t(), out=a)
        share(dispatch.cpu_view.add_and_cut, len(points), (start, ray), [a])
        torch.mm(a, second[0].t(), out=b)
        share(dispatch.cpu_view.three_sums, len(points), (b, second[1], *last), [colours])
    return out.sigmoid_()
