"""What :mod:`mixdepth.kernels` computes, in plain PyTorch: for GPUs, where numba is missing, and for the tests."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PLANES = ((0, 1), (0, 2), (1, 2))  # axes of the planes; the line of each runs along the axis that is left
LINES = (2, 1, 0)
OPAQUE = 50.0  # optical thickness that lets 2e-22 of the light pass: larger ones would only make sums less precise


def grid_features(planes: Tensor, lines: Tensor, u: Tensor) -> Tensor:
    """See :func:`mixdepth.kernels.grid_features`."""
    p, q = _factors(planes, lines, u)
    return (p * q).flatten(0, 1).t()


def _factors(planes: Tensor, lines: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Values [3, C, N] of planes and of lines at points."""
    # grid_sample's last coordinate is (x, y) = (column, row): rows are the first axis of a plane.
    axes = u.unbind(1)
    plane_at = torch.stack([torch.stack([axes[b], axes[a]], dim=-1) for a, b in PLANES])[:, :, None]  # [3, N, 1, 2]
    along = torch.stack([axes[line] for line in LINES])
    line_at = torch.stack([torch.zeros_like(along), along], dim=-1)[:, :, None]
    p = F.grid_sample(planes.permute(0, 3, 1, 2), plane_at, align_corners=True, padding_mode="border")
    q = F.grid_sample(lines.permute(0, 2, 1)[..., None], line_at, align_corners=True, padding_mode="border")
    return p[..., 0], q[..., 0]


class Grid(torch.autograd.Function):
    """``Grid.apply(planes, lines, u, is_sum)``: :func:`mixdepth.kernels.grid_features`, or ``grid_sum``.

    Subclasses replace the two loops over points, :meth:`look_up` and :meth:`add_gradients`.
    """

    @classmethod
    def forward(cls, ctx, planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool) -> Tensor:
        u = u.contiguous()
        ctx.save_for_backward(planes, lines, u)
        ctx.is_sum, ctx.add_gradients = is_sum, cls.add_gradients
        return cls.look_up(planes, lines, u, is_sum)

    @staticmethod
    def backward(ctx, grad: Tensor):
        planes, lines, u = ctx.saved_tensors
        # Parameters whose gradients are kept get theirs in place: a fresh one per step would cost more than its sums.
        kept = all(grid.is_leaf and grid.grad is not None for grid in (planes, lines))
        sums = [grid.grad if kept else torch.zeros_like(grid) for grid in (planes, lines)]
        ctx.add_gradients(planes, lines, u, ctx.is_sum, grad.contiguous(), *sums)
        return None if kept else sums[0], None if kept else sums[1], None, None

    @staticmethod
    def look_up(planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool) -> Tensor:
        """The sum [N] of the features of points, or all [N, 3 * C]."""
        features = grid_features(planes, lines, u)
        return features.sum(-1) if is_sum else features

    @staticmethod
    def add_gradients(
        planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool, grad: Tensor, d_planes: Tensor, d_lines: Tensor
    ) -> None:
        """Add the gradients to ``d_planes`` and ``d_lines``; ``grad`` is that of what :meth:`look_up` returns.

        A point's channels are written side by side; in the gradient that grid_sample makes they are apart, so that on a
        GPU each would cost a memory sector of its own.
        """
        cells, channels = planes.shape[1], planes.shape[3]
        p, q = _factors(planes, lines, u)
        grad = grad if is_sum else grad.view(-1, 3, channels).permute(1, 2, 0)
        dp, dq = ((grad * other).transpose(1, 2).reshape(-1, channels) for other in (q, p))  # [3 * N, C]
        x = ((u.t() + 1) * (0.5 * (cells - 1))).clamp(0, cells - 1)
        cell = x.long().clamp_max(cells - 2)

        def along(axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
            """Cells [3, N] and shares [3 * N, 1] of the way to the next, along each orientation's axis."""
            first = torch.stack([cell[axis] for axis in axes])
            return first, (torch.stack([x[axis] for axis in axes]) - first).view(-1, 1)

        (row, a), (column, b), (place, c) = (along(axes) for axes in (*zip(*PLANES, strict=True), LINES))
        orientation = torch.arange(3, device=u.device)[:, None]
        corner = ((orientation * cells + row) * cells + column).view(-1)
        end = (orientation * cells + place).view(-1)
        flat_planes, flat_lines = d_planes.view(-1, channels), d_lines.view(-1, channels)
        for down, share in ((0, 1 - a), (cells, a)):
            part = dp * share
            flat_planes.index_add_(0, corner + down, part * (1 - b))
            flat_planes.index_add_(0, corner + down + 1, part * b)
        flat_lines.index_add_(0, end, dq * (1 - c))
        flat_lines.index_add_(0, end + 1, dq * c)


def roughness(planes: Tensor, lines: Tensor) -> Tensor:
    """Total variation: mean squared difference of neighbouring cells of planes and of lines."""
    return (
        (planes[:, 1:] - planes[:, :-1]).square().mean()
        + (planes[:, :, 1:] - planes[:, :, :-1]).square().mean()
        + (lines[:, 1:] - lines[:, :-1]).square().mean()
    )


def add_roughness(values: Tensor, gradient: Tensor, weight: float) -> None:
    """Add to ``gradient`` that of ``weight`` times the part of :func:`roughness` that is of planes, or of lines."""
    for axis in range(1, values.dim() - 1):
        difference = values.detach().diff(dim=axis)
        count, scale = difference.shape[axis], 2 * weight / difference.numel()
        gradient.narrow(axis, 1, count).add_(difference, alpha=scale)
        gradient.narrow(axis, 0, count).sub_(difference, alpha=scale)


def _columns(values: Tensor) -> Tensor:
    """``values`` [M, ...] as [M, F]."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def sums_before(values: Tensor, offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of packed values [M, ...] over the samples of the same ray before each [M, ...], and over each ray [R, ...].

    Differences of one running sum over everything, which is one pass on a GPU. They are float64: the other rays' values
    then cost a precision of 1e-16 of their sum.
    """
    columns = _columns(values).t()  # [F, M]; a running sum along a first axis is slow on a GPU
    running = F.pad(columns.double().reshape(-1).cumsum(0), (1, 0))
    first = len(values) * torch.arange(len(columns), device=values.device)
    edges = running.index_select(0, (first[:, None] + offsets).view(-1)).view(len(columns), -1)
    before = running[:-1].view(columns.shape) - edges[:, :-1].index_select(1, rows)
    whole = edges[:, 1:] - edges[:, :-1]
    return before.t().reshape(values.shape), whole.t().reshape(-1, *values.shape[1:])


def composite(tau: Tensor, offsets: Tensor, rows: Tensor, stop: float) -> Tensor:
    """See :func:`mixdepth.kernels.composite`."""
    light = torch.exp(-sums_before(tau.clamp_max(OPAQUE), offsets, rows)[0])
    return torch.where(light < stop, 0, light * -torch.expm1(-tau)).to(tau.dtype)


def composite_mixed(
    tau_s: Tensor,
    rgb_s: Tensor,
    index: Tensor,
    tau_d: Tensor,
    offsets: Tensor,
    rows: Tensor,
    depths: tuple[Tensor, Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """See :func:`mixdepth.kernels.composite_mixed`; its largest arrays are [M, F]."""
    rays, frames = len(offsets) - 1, tau_d.shape[1]
    moving = (index >= 0).nonzero().squeeze(1)
    own = index[moving]
    tau_own = tau_d.index_select(0, own)
    tau = tau_s[:, None].expand(-1, frames).index_add(0, moving, tau_own)
    before, whole = sums_before(tau.clamp_max(OPAQUE), offsets, rows)
    weights = (torch.exp(-before) * -torch.expm1(-tau)).to(tau.dtype)
    moves = weights.index_select(0, moving) * tau_own / tau.index_select(0, moving).clamp_min(1e-20)
    weight_d = torch.zeros_like(tau_d).index_add(0, own, moves)
    coloured = (rgb_s != 0).any(1).nonzero().squeeze(1)
    still = weights.index_add(0, moving, -moves).index_select(0, coloured)
    rgb = tau.new_zeros(rays, frames, 3)
    rgb = rgb.index_add(0, rows[coloured], still[..., None] * rgb_s[coloured][:, None])
    left = torch.exp(-whole).to(tau.dtype)
    return weight_d, rgb, left, median_depth(weights, *depths[:2], offsets, rows, depths[2]) if depths else None


@torch.no_grad()
def median_depth(weights: Tensor, z: Tensor, dz: Tensor, offsets: Tensor, rows: Tensor, far: Tensor) -> Tensor:
    """See :func:`mixdepth.kernels.median_depth`; [R, F] where the weights are [M, F]."""
    columns = _columns(weights)
    absorbed, _ = sums_before(columns, offsets, rows)
    at, column = ((absorbed < 0.5) & (absorbed + columns >= 0.5)).nonzero().unbind(1)
    within = (0.5 - absorbed[at, column]) / columns[at, column] - 0.5
    depth = far[:, None].repeat(1, columns.shape[1])
    depth[rows[at], column] = (z[at] + dz[at] * within).to(depth.dtype)
    return depth.view(-1, *weights.shape[1:])


def march(
    u: Tensor, near: Tensor, far: Tensor, depths: Tensor, holds: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See :func:`mixdepth.kernels.march`; ``u`` [R, N, 3] and ``holds`` [R, N] of all samples, kept or not."""
    gaps = (u[:, 1:] - u[:, :-1]).norm(dim=-1)
    delta = 0.5 * (torch.cat([gaps[:, :1], gaps], dim=1) + torch.cat([gaps, gaps[:, -1:]], dim=1))
    edges = torch.cat([near[:, None], 0.5 * (depths[:, 1:] + depths[:, :-1]), far[:, None]], dim=1)
    kept = (holds.reshape(-1) > 0).nonzero().squeeze(1)
    rows = kept // depths.shape[1]
    offsets = F.pad(torch.cumsum((holds > 0).sum(1), 0), (1, 0))
    each = depths, edges[:, 1:] - edges[:, :-1], delta, u, holds
    z, dz, delta, u, holds = (values.flatten(0, 1).index_select(0, kept) for values in each)
    return offsets, rows, z, dz, delta, u, holds


def merge(
    pick: Tensor, cached: tuple[Tensor, Tensor, Tensor, Tensor], rows: Tensor, z: Tensor, total: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The last three of what :func:`mixdepth.kernels.merge` returns, ``total`` samples in all."""
    starts, z_static, tau_static, rgb_static = cached
    counts = starts[pick + 1] - starts[pick]
    row_static = torch.repeat_interleave(torch.arange(len(pick), device=z.device), counts, output_size=total - len(z))
    within = torch.arange(len(row_static), device=z.device) - (torch.cumsum(counts, 0) - counts)[row_static]
    place = starts[pick][row_static] + within
    by_depth = torch.cat([z_static[place], z]).argsort(stable=True)
    all_rows = torch.cat([row_static, rows])
    order = by_depth[all_rows[by_depth].argsort(stable=True)]
    tau = torch.cat([tau_static[place], torch.zeros_like(z)])[order]
    rgb = torch.cat([rgb_static[place], z.new_zeros(len(z), 3)])[order]
    index = torch.cat([torch.full_like(row_static, -1), torch.arange(len(z), device=z.device)])[order]
    return tau, rgb, index
