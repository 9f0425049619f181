"""Grid look-ups and the compositing of both branches on CUDA, in Triton: one launch where plain PyTorch needs dozens.

They are off unless ``MIXDEPTH_TRITON=1`` is in the environment (:data:`mixdepth.kernels.dispatch.use_triton`), until
tests/unit/test_gpu.py has passed on a GPU: none was at hand. Continuous integration compares them with plain PyTorch in
Triton's interpreter on CPU, and compiles them for an H100 (tests/unit/test_triton.py). ``benchmarks/gpu/run.py``
compares values and times on a GPU. What they compute is described in :mod:`mixdepth.kernels`.
"""

from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixdepth.kernels import launches, plain

POINTS = 16  # that one program looks up; with more, the backward pass needs too many registers
SIZES = ["points", "cells", "frames"]  # that change as training goes on: to specialise would be to compile again


def launch(kernel, programs: int, moved: int | Callable[[], int], *arguments, **options) -> None:
    """Run ``kernel`` in as many ``programs``, none where they are 0. ``moved``: the bytes that it must read and write,
    for :func:`mixdepth.kernels.launches.counted`."""
    if programs:
        with launches.launching(kernel.__name__.strip("_"), moved):
            kernel[(programs,)](*arguments, **options)


@triton.jit
def _locate(x, cells):
    """Cell and share of the way to the next, of coordinates in [-1, 1] along ``cells`` grid points."""
    x = tl.minimum(tl.maximum((x + 1) * 0.5 * (cells - 1), 0.0), cells - 1.0)
    cell = tl.minimum(x.to(tl.int32), cells - 2)
    return cell, x - cell.to(tl.float32)


@triton.jit
def read_point(u, i, inside):
    """Coordinates of points ``i`` of ``u`` [N, 3]."""
    return tl.load(u + 3 * i, inside, 0.0), tl.load(u + 3 * i + 1, inside, 0.0), tl.load(u + 3 * i + 2, inside, 0.0)


@triton.jit
def look_up(planes, lines, x, y, z, k, mask, cells, orientation: tl.constexpr, channels: tl.constexpr):
    """Places [POINTS, PADDED] in flat planes and lines of the first of the cells around points, shares [POINTS, 1] of
    the way to the next, and interpolated values."""
    # The axes of planes 0, 1, 2 are (0, 1), (0, 2), (1, 2); their lines run along 2, 1, 0.
    row, a = _locate(x if orientation < 2 else y, cells)
    column, b = _locate(y if orientation == 0 else z, cells)
    cell, c = _locate(z if orientation == 0 else (y if orientation == 1 else x), cells)
    a, b, c = a[:, None], b[:, None], c[:, None]
    p = (((orientation * cells + row) * cells + column) * channels)[:, None] + k[None]
    q = ((orientation * cells + cell) * channels)[:, None] + k[None]
    below = p + cells * channels
    upper = tl.load(planes + p, mask, 0.0) * (1 - b) + tl.load(planes + p + channels, mask, 0.0) * b
    lower = tl.load(planes + below, mask, 0.0) * (1 - b) + tl.load(planes + below + channels, mask, 0.0) * b
    along = tl.load(lines + q, mask, 0.0) * (1 - c) + tl.load(lines + q + channels, mask, 0.0) * c
    return p, q, a, b, c, upper * (1 - a) + lower * a, along


@triton.jit(do_not_specialize=SIZES)
def _grid_forward(
    planes, lines, u, out, points, cells,
    channels: tl.constexpr, PADDED: tl.constexpr, POINTS: tl.constexpr, IS_SUM: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    k = tl.arange(0, PADDED)
    inside = i < points
    mask = inside[:, None] & (k < channels)[None]
    x, y, z = read_point(u, i, inside)
    total = tl.zeros([POINTS, PADDED], tl.float32)
    for orientation in tl.static_range(3):
        _, _, _, _, _, p, q = look_up(planes, lines, x, y, z, k, mask, cells, orientation, channels)
        if IS_SUM:
            total += p * q
        else:
            tl.store(out + i[:, None] * (3 * channels) + orientation * channels + k[None], p * q, mask)
    if IS_SUM:
        tl.store(out + i, tl.sum(total, 1), inside)


@triton.jit(do_not_specialize=SIZES)
def _grid_backward(
    planes, lines, u, grad, d_planes, d_lines, points, cells,
    channels: tl.constexpr, PADDED: tl.constexpr, POINTS: tl.constexpr, IS_SUM: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    k = tl.arange(0, PADDED)
    inside = i < points
    mask = inside[:, None] & (k < channels)[None]
    x, y, z = read_point(u, i, inside)
    # Nobody reads here what others add to, so sums need no order: "relaxed", else each has a fence and empties L1.
    for orientation in tl.static_range(3):
        some = mask
        if IS_SUM:
            g = tl.load(grad + i, inside, 0.0)[:, None] + tl.zeros([POINTS, PADDED], tl.float32)
            some = mask & (g != 0)  # compositing does not reach every point
        else:
            g = tl.load(grad + i[:, None] * (3 * channels) + orientation * channels + k[None], mask, 0.0)
        p, q, a, b, c, plane, line = look_up(planes, lines, x, y, z, k, mask, cells, orientation, channels)
        below = p + cells * channels
        upper, lower = g * line * (1 - a), g * line * a
        tl.atomic_add(d_planes + p, upper * (1 - b), some, sem="relaxed")
        tl.atomic_add(d_planes + p + channels, upper * b, some, sem="relaxed")
        tl.atomic_add(d_planes + below, lower * (1 - b), some, sem="relaxed")
        tl.atomic_add(d_planes + below + channels, lower * b, some, sem="relaxed")
        tl.atomic_add(d_lines + q, g * plane * (1 - c), some, sem="relaxed")
        tl.atomic_add(d_lines + q + channels, g * plane * c, some, sem="relaxed")


class Grid(plain.Grid):
    """The same in one launch for the values, and one for the gradients."""

    @staticmethod
    def look_up(planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool) -> Tensor:
        out = u.new_empty(len(u)) if is_sum else u.new_empty(len(u), 3 * planes.shape[3])
        _over_points(_grid_forward, planes, (planes, lines, u, out), is_sum)
        return out

    @staticmethod
    def add_gradients(
        planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool, grad: Tensor, d_planes: Tensor, d_lines: Tensor
    ) -> None:
        _over_points(_grid_backward, planes, (planes, lines, u, grad, d_planes, d_lines), is_sum)


def _over_points(kernel, planes: Tensor, tensors: tuple[Tensor, ...], is_sum: bool) -> None:
    """Run a kernel over all points; the third of its tensors."""
    assert all(tensor.is_contiguous() for tensor in tensors)
    points, cells, channels = len(tensors[2]), planes.shape[1], planes.shape[3]
    sizes = points, cells, channels, triton.next_power_of_2(channels), POINTS, is_sum
    launch(kernel, triton.cdiv(points, POINTS), sum(tensor.nbytes for tensor in tensors), *tensors, *sizes)


@triton.jit
def opacity(tau):
    """1 - exp(-tau), exact in float32 also where tau is small."""
    return tl.where(tau < 0.01, tau * (1 - tau * (0.5 - tau / 6)), 1 - tl.exp(-tau))


@triton.jit(do_not_specialize=SIZES)
def _mixed_forward(
    tau_s, rgb_s, index, tau_d, offsets, z, dz, far, weight_d, rgb, left, depth, frames,
    FRAMES: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """One ray, sample after sample, at all frames."""
    ray = tl.program_id(0).to(tl.int64)
    f = tl.arange(0, FRAMES)
    light = tl.full([FRAMES], 1.0, tl.float32)
    red, green, blue = light * 0, light * 0, light * 0
    middle = light * 0
    if DEPTH:
        middle += tl.load(far + ray)
    for i in range(tl.load(offsets + ray), tl.load(offsets + ray + 1)):
        ts, at = tl.load(tau_s + i), tl.load(index + i) * frames + f
        own = (f < frames) & (at >= 0)
        td = tl.load(tau_d + at, own, 0.0)
        weight = light * opacity(ts + td)
        moves = weight * (td / tl.maximum(ts + td, 1e-20))
        still = weight - moves
        tl.store(weight_d + at, moves, own)
        red += still * tl.load(rgb_s + 3 * i)
        green += still * tl.load(rgb_s + 3 * i + 1)
        blue += still * tl.load(rgb_s + 3 * i + 2)
        if DEPTH:
            within = (light - 0.5) / tl.maximum(weight, 1e-20) - 0.5
            half = (light > 0.5) & (light - weight <= 0.5)
            middle = tl.where(half, tl.load(z + i) + tl.load(dz + i) * within, middle)
        light -= weight
    here, all_frames = ray * frames + f, f < frames
    tl.store(rgb + 3 * here, red, all_frames)
    tl.store(rgb + 3 * here + 1, green, all_frames)
    tl.store(rgb + 3 * here + 2, blue, all_frames)
    tl.store(left + here, light, all_frames)
    if DEPTH:
        tl.store(depth + here, middle, all_frames)


@triton.jit
def _mix(tau_s, rgb_s, index, tau_d, g_weight, i, f, frames, light, red, green, blue):
    """Of one sample: its places in ``tau_d``, weights, the loss per unit of weight, and what its share changes."""
    ts, at = tl.load(tau_s + i), tl.load(index + i) * frames + f
    own = (f < frames) & (at >= 0)
    td = tl.load(tau_d + at, own, 0.0)
    tau = tl.maximum(ts + td, 1e-20)
    weight = light * opacity(ts + td)
    still = tl.load(rgb_s + 3 * i) * red + tl.load(rgb_s + 3 * i + 1) * green + tl.load(rgb_s + 3 * i + 2) * blue
    gain = tl.load(g_weight + at, own, 0.0) - still
    return at, own, weight, still + gain * (td / tau), weight * gain * (ts / tau) / tau


@triton.jit(do_not_specialize=SIZES)
def _mixed_backward(
    tau_s, rgb_s, index, tau_d, offsets, g_weight, g_rgb, g_left, d_tau, frames, FRAMES: tl.constexpr
):  # fmt: skip
    """dL/d tau_k = T_(k+1) mix_k - sum over i > k of w_i mix_i - T_end g_left, and the change of the shares.

    The sum is what is left of that over all samples: in float64, so that hidden samples get no noise for a gradient.
    """
    ray = tl.program_id(0).to(tl.int64)
    f = tl.arange(0, FRAMES)
    here, all_frames = ray * frames + f, f < frames
    red = tl.load(g_rgb + 3 * here, all_frames, 0.0)
    green = tl.load(g_rgb + 3 * here + 1, all_frames, 0.0)
    blue = tl.load(g_rgb + 3 * here + 2, all_frames, 0.0)
    first, last = tl.load(offsets + ray), tl.load(offsets + ray + 1)
    light = tl.full([FRAMES], 1.0, tl.float32)
    behind = tl.zeros([FRAMES], tl.float64)
    for i in range(first, last):
        _, _, weight, mix, _ = _mix(tau_s, rgb_s, index, tau_d, g_weight, i, f, frames, light, red, green, blue)
        behind += (weight * mix).to(tl.float64)
        light -= weight
    behind += (light * tl.load(g_left + here, all_frames, 0.0)).to(tl.float64)
    light = tl.full([FRAMES], 1.0, tl.float32)
    for i in range(first, last):
        at, own, weight, mix, change = _mix(tau_s, rgb_s, index, tau_d, g_weight, i, f, frames, light, red, green, blue)
        behind -= (weight * mix).to(tl.float64)
        light -= weight
        found = (light * mix).to(tl.float64) - behind + change.to(tl.float64)
        tl.store(d_tau + at, found.to(tl.float32), own)


class Mixed(torch.autograd.Function):
    """``Mixed.apply(tau_d, tau_s, rgb_s, index, offsets, z, dz, far)``: :func:`mixdepth.kernels.composite_mixed`.

    ``z``, ``dz`` and ``far`` are empty where no depth is wanted; the depth is then empty as well.
    """

    @staticmethod
    def forward(ctx, tau_d, tau_s, rgb_s, index, offsets, z, dz, far):
        rays, frames = len(offsets) - 1, tau_d.shape[1]
        tensors = [t.contiguous() for t in (tau_s, rgb_s, index, tau_d, offsets)]
        weight_d, left = torch.zeros_like(tensors[3]), tau_d.new_empty(rays, frames)
        rgb, depth = tau_d.new_empty(rays, frames, 3), tau_d.new_empty(len(far), frames)
        out = weight_d, rgb, left, depth
        known = *tensors, z, dz, far, *out
        more = frames, triton.next_power_of_2(frames), len(far) > 0
        launch(_mixed_forward, rays, sum(tensor.nbytes for tensor in known), *known, *more, num_warps=1)
        ctx.save_for_backward(*tensors)
        ctx.mark_non_differentiable(depth)
        return out

    @staticmethod
    def backward(ctx, *grads: Tensor):
        tensors, offsets = ctx.saved_tensors, ctx.saved_tensors[4]
        rays, frames = len(offsets) - 1, tensors[3].shape[1]
        d_tau = torch.zeros_like(tensors[3])
        known = *tensors, *(grad.contiguous() for grad in grads[:3]), d_tau
        padded, moved = triton.next_power_of_2(frames), sum(tensor.nbytes for tensor in known)
        launch(_mixed_backward, rays, moved, *known, frames, padded, num_warps=1)
        return d_tau, None, None, None, None, None, None, None
