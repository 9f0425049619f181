"""From optical thickness along rays to weights, colours and depth."""

import numpy as np
import torch
from torch import Tensor

from mixdepth.kernels import dispatch, plain
from mixdepth.kernels.arguments import LANES, Layers, Passed, Views
from mixdepth.kernels.threads import share

STOP = 1e-4  # light below which a ray is not followed any further
FRAMES = LANES  # composited at once at most, for rendering


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tau: Tensor, offsets: Tensor) -> Tensor:
        weights = torch.empty_like(tau)
        share(dispatch.cpu.composite_forward, len(offsets) - 1, (tau, offsets, STOP), [weights])
        ctx.save_for_backward(weights, offsets)
        return weights

    @staticmethod
    def backward(ctx, grad: Tensor):
        weights, offsets = ctx.saved_tensors
        d_tau = torch.empty_like(weights)
        known = weights, offsets, STOP, grad.contiguous()
        share(dispatch.cpu.composite_backward, len(offsets) - 1, known, [d_tau])
        return d_tau, None


def composite(tau: Tensor, offsets: Tensor, rows: Tensor) -> Tensor:
    """Rendering weights [M] of packed samples with optical thickness ``tau`` [M] (NeRF, Mildenhall et al. 2020, eq. 3).

    ``w_i = T_i (1 - exp(-tau_i))`` with ``T_i = exp(-sum_{j<i} tau_j)``; zero, also the gradient, once T is below STOP.

    >>> half = torch.log(torch.tensor(2.0))  # lets half of the light pass
    >>> offsets, rows = torch.tensor([0, 2, 3]), torch.tensor([0, 0, 1])  # two samples of one ray, one of another
    >>> composite(half.expand(3), offsets, rows)
    tensor([0.5000, 0.2500, 0.5000])
    """
    if dispatch.compiled(tau):
        return _Composite.apply(tau.contiguous(), offsets)
    return plain.composite(tau, offsets, rows, STOP)


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tau_d, tau_s, rgb_s, index, offsets):
        rays, frames = len(offsets) - 1, tau_d.shape[1]
        weight_d, left = torch.zeros_like(tau_d), tau_d.new_empty(rays, frames)
        rgb = tau_d.new_zeros(rays, frames, 3)
        share(dispatch.cpu.mixed_forward, rays, (tau_s, rgb_s, index, tau_d, offsets), [weight_d, rgb, left])
        ctx.save_for_backward(tau_s, rgb_s, index, tau_d, offsets)
        return weight_d, rgb, left

    @staticmethod
    def backward(ctx, *grads: Tensor):
        tau_s, rgb_s, index, tau_d, offsets = ctx.saved_tensors
        d_tau = torch.zeros_like(tau_d)
        known = tau_s, rgb_s, index, tau_d, offsets, *(grad.contiguous() for grad in grads)
        share(dispatch.cpu.mixed_backward, len(offsets) - 1, known, [d_tau])
        return d_tau, None, None, None, None


def composite_mixed(
    tau_s: Tensor,
    rgb_s: Tensor,
    index: Tensor,
    tau_d: Tensor,
    offsets: Tensor,
    rows: Tensor,
    depths: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Composite a static branch, which has no time axis and takes no gradient, with a dynamic one at F frames.

    Densities add: a sample with both has the sum of both, and its weight is parted by their shares.

    Args:
        tau_s, rgb_s: [M] optical thickness and [M, 3] colour of the static branch.
        index: [M] int64, the row of ``tau_d`` that belongs to a sample, -1 where nothing can move.
        tau_d: [D, F] optical thickness of the dynamic branch.
        offsets, rows: of the packed samples.
        depths: z [M], dz [M] and far [R], to have the median depth as well; by single operations or on a GPU
            (rendering on CPU has :func:`composite_frames`).

    Returns:
        the dynamic branch's part of the weights [D, F], the static branch's of the colours [R, F, 3], the light that
        passes [R, F], and the median z-depth [R, F] or None.
    """
    if dispatch.fused(tau_d):
        nothing = tau_s.new_empty(0)
        known = tau_d, tau_s, rgb_s, index, offsets, *(depths or (nothing, nothing, nothing))
        found = dispatch.triton_kernels().Mixed.apply(*known)
        return (*found[:3], found[3] if depths else None)
    if dispatch.compiled(tau_d) and depths is None:
        return (*_Mixed.apply(tau_d, tau_s, rgb_s, index, offsets), None)
    return plain.composite_mixed(tau_s, rgb_s, index, tau_d, offsets, rows, depths)


def composite_frames(
    layers: Layers | Passed, rays: Tensor, tau_d: Tensor, sets: Tensor, parts: Tensor, visible: float
) -> tuple[Views, Tensor, Tensor]:
    """:func:`composite_mixed` for rendering: of some rays, at up to FRAMES frames, each of which shows the dynamic
    samples of its part of the capture only. Takes no gradient. Rays end where STOP of the light is left.

    Args:
        rays: [r] int64, those of the layers that are wanted.
        tau_d: [D, F] optical thickness of the dynamic branch.
        sets: [D] int32, parts of the capture in which each dynamic sample is seen.
        parts: [F] int32, those that the frames show.
        visible: weight of a dynamic sample up to which it is not shown.

    Returns:
        what the rays show but for the dynamic branch's colours; the dynamic samples [L] int64, ascending, that are
        shown at any frame; and their weights [L, F].
    """
    if isinstance(layers, Passed):
        lines = layers, rays, tau_d, sets, parts, STOP, visible
        views, shown, is_lit = dispatch.triton_view().composite_frames(*lines)
        lit = is_lit.nonzero().squeeze(1)
        return views, lit, shown[lit]
    if not dispatch.compiled(tau_d):
        return _composite_frames(layers, rays, tau_d * (sets[:, None] & parts != 0), visible)
    assert len(parts) <= FRAMES
    views = Views(*(tau_d.new_empty(len(rays), len(parts), *rest) for rest in ((3,), (), ())))
    shown, is_lit = torch.empty_like(tau_d), torch.zeros(len(tau_d), dtype=torch.bool)
    opacity = layers.tau.neg().expm1_().neg_()
    known = layers, opacity, rays, tau_d, sets, parts, np.float32(STOP), np.float32(visible)
    share(dispatch.cpu_view.frames_forward, len(rays), known, [views, shown, is_lit])
    lit = is_lit.nonzero().squeeze(1)
    return views, lit, shown[lit]


def _composite_frames(layers: Layers, rays: Tensor, tau_d: Tensor, visible: float) -> tuple[Views, Tensor, Tensor]:
    depths = layers.z, layers.dz, layers.far
    weights, rgb, left, depth = composite_mixed(
        layers.tau, layers.rgb, layers.moving, tau_d, layers.offsets, layers.rows, depths
    )
    assert depth is not None  # it is asked for
    shown = weights * (weights > visible)
    faint = torch.zeros_like(left).index_add(0, layers.rows[layers.moving >= 0], weights - shown)
    lit = (shown > 0).any(1).nonzero().squeeze(1)
    return Views(rgb[rays], faint[rays], depth[rays]), lit, shown[lit]


class _RayColours(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights: Tensor, colours: Tensor, rows: Tensor, rays: int) -> Tensor:
        ctx.save_for_backward(weights, colours, rows)
        rgb = colours.new_zeros(rays, *colours.shape[1:])
        share(dispatch.cpu.colours_forward, rays, [t.contiguous() for t in (weights, colours, rows)], [rgb])
        return rgb

    @staticmethod
    def backward(ctx, grad: Tensor):
        weights, colours, rows = (t.contiguous() for t in ctx.saved_tensors)
        d_weights, d_colours = torch.empty_like(weights), torch.empty_like(colours)
        known = weights, colours, rows, grad.contiguous()
        share(dispatch.cpu.colours_backward, len(rows), known, [d_weights, d_colours])
        return d_weights, d_colours, None, None


def ray_colours(weights: Tensor, colours: Tensor, rows: Tensor, rays: int) -> Tensor:
    """Sums [R, F, 3] over the samples of each of R ``rays`` of weights [L, F] times colours [L, F, 3].

    Args:
        rows: [L] int64, the ray of each sample, ascending.
    """
    if dispatch.compiled(weights):
        return _RayColours.apply(weights, colours, rows, rays)
    return colours.new_zeros(rays, *colours.shape[1:]).index_add(0, rows, weights[..., None] * colours)


def median_depth(weights: Tensor, z: Tensor, dz: Tensor, offsets: Tensor, rows: Tensor, far: Tensor) -> Tensor:
    """z-depth [R] at which half of a ray has been absorbed, ``far`` [R] where half passes; takes no gradient.

    Each sample's weight is spread evenly over its interval ``dz`` [M].

    >>> z, dz, offsets, rows = torch.tensor([1.0, 2]), torch.ones(2), torch.tensor([0, 2]), torch.tensor([0, 0])
    >>> median_depth(torch.tensor([0.25, 0.5]), z, dz, offsets, rows, far=torch.tensor([9.0]))
    tensor([2.])
    """
    if not dispatch.compiled(weights):
        return plain.median_depth(weights, z, dz, offsets, rows, far)
    depth = torch.empty_like(far)
    share(dispatch.cpu.median_depth, len(far), (weights, z, dz, offsets, far), [depth])
    return depth
