"""What :mod:`mixdepth.kernels` computes, in plain PyTorch: for GPUs, where numba is missing, and for the tests."""

import torch
import torch.nn.functional as F
from torch import Tensor

PLANES = ((0, 1), (0, 2), (1, 2))  # axes of the planes; the line of each runs along the axis that is left
LINES = (2, 1, 0)


def grid_features(planes: Tensor, lines: Tensor, u: Tensor) -> Tensor:
    """See :func:`mixdepth.kernels.grid_features`."""
    # grid_sample's last coordinate is (x, y) = (column, row): rows are the first axis of a plane.
    axes = u.unbind(1)
    plane_at = torch.stack([torch.stack([axes[b], axes[a]], dim=-1) for a, b in PLANES])[:, :, None]  # [3, N, 1, 2]
    along = torch.stack([axes[line] for line in LINES])
    line_at = torch.stack([torch.zeros_like(along), along], dim=-1)[:, :, None]
    p = F.grid_sample(planes.permute(0, 3, 1, 2), plane_at, align_corners=True, padding_mode="border")
    q = F.grid_sample(lines.permute(0, 2, 1)[..., None], line_at, align_corners=True, padding_mode="border")
    return (p * q)[..., 0].flatten(0, 1).t()


def roughness(planes: Tensor, lines: Tensor) -> Tensor:
    """Total variation: mean squared difference of neighbouring cells of planes and of lines."""
    return (
        (planes[:, 1:] - planes[:, :-1]).square().mean()
        + (planes[:, :, 1:] - planes[:, :, :-1]).square().mean()
        + (lines[:, 1:] - lines[:, :-1]).square().mean()
    )


def padded(values: Tensor, offsets: Tensor, rows: Tensor) -> Tensor:
    """Packed values [M, ...] as a dense [R, N, ...], N the most samples of a ray, zero where a ray has fewer."""
    counts = offsets[1:] - offsets[:-1]
    dense = values.new_zeros(len(counts), int(counts.max()) if len(counts) else 0, *values.shape[1:])
    column = torch.arange(len(values), device=values.device) - offsets[rows]
    return dense.index_put((rows, column), values)


def composite(tau: Tensor, offsets: Tensor, rows: Tensor, stop: float) -> Tensor:
    """See :func:`mixdepth.kernels.composite`."""
    if not len(tau):
        return tau
    dense = padded(tau, offsets, rows)
    column = torch.arange(len(tau), device=tau.device) - offsets[rows]
    light = torch.exp(dense - torch.cumsum(dense, dim=1))[rows, column]
    return torch.where(light < stop, torch.zeros_like(tau), light * -torch.expm1(-tau))


def composite_mixed(
    tau_s: Tensor,
    rgb_s: Tensor,
    index: Tensor,
    tau_d: Tensor,
    offsets: Tensor,
    rows: Tensor,
    depths: tuple[Tensor, Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """See :func:`mixdepth.kernels.composite_mixed`."""
    rays, frames = len(offsets) - 1, tau_d.shape[1]
    moving = (index >= 0).nonzero().squeeze(1)
    tau = tau_s[:, None].expand(-1, frames)
    tau = tau.index_add(0, moving, tau_d[index[moving]])
    dense = padded(tau, offsets, rows)
    column = torch.arange(len(tau), device=tau.device) - offsets[rows]
    light = torch.exp(dense - torch.cumsum(dense, dim=1))[rows, column]
    weights = light * -torch.expm1(-tau)  # [M, F]
    share = tau_d[index[moving]] / tau[moving].clamp_min(1e-20)
    weight_d = torch.zeros_like(tau_d).index_add(0, index[moving], weights[moving] * share)
    still = weights.index_add(0, moving, -weights[moving] * share)
    rgb = tau.new_zeros(rays, frames, 3).index_add(0, rows, still[..., None] * rgb_s[:, None])
    left = torch.exp(-dense.sum(1)) if dense.shape[1] else tau.new_ones(rays, frames)
    if depths is None:
        return weight_d, rgb, left, None
    z, dz, far = depths
    columns = [median_depth(weights[:, f].contiguous(), z, dz, offsets, rows, far) for f in range(frames)]
    return weight_d, rgb, left, torch.stack(columns, dim=1)


def median_depth(weights: Tensor, z: Tensor, dz: Tensor, offsets: Tensor, rows: Tensor, far: Tensor) -> Tensor:
    """See :func:`mixdepth.kernels.median_depth`."""
    if not len(weights):
        return far.clone()
    column = torch.arange(len(weights), device=weights.device) - offsets[rows]
    total = torch.cumsum(padded(weights, offsets, rows), dim=1)
    before = total[rows, column] - weights
    hit = (before < 0.5) & (before + weights >= 0.5)
    depth = far.clone()
    depth[rows[hit]] = z[hit] + dz[hit] * ((0.5 - before[hit]) / weights[hit] - 0.5)
    return depth


def march(
    u: Tensor, near: Tensor, far: Tensor, depths: Tensor, holds: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See :func:`mixdepth.kernels.march`; ``u`` [R, N, 3] and ``holds`` [R, N] of all samples, kept or not."""
    gaps = (u[:, 1:] - u[:, :-1]).norm(dim=-1)
    delta = 0.5 * (torch.cat([gaps[:, :1], gaps], dim=1) + torch.cat([gaps, gaps[:, -1:]], dim=1))
    edges = torch.cat([near[:, None], 0.5 * (depths[:, 1:] + depths[:, :-1]), far[:, None]], dim=1)
    kept = holds > 0
    offsets = F.pad(torch.cumsum(kept.sum(1), 0), (1, 0))
    rows = kept.nonzero()[:, 0]
    return offsets, rows, depths[kept], (edges[:, 1:] - edges[:, :-1])[kept], delta[kept], u[kept], holds[kept]


def merge(
    pick: Tensor, cached: tuple[Tensor, Tensor, Tensor, Tensor], rows: Tensor, z: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The last three of what :func:`mixdepth.kernels.merge` returns."""
    starts, z_static, tau_static, rgb_static = cached
    counts = starts[pick + 1] - starts[pick]
    row_static = torch.repeat_interleave(torch.arange(len(pick), device=z.device), counts)
    within = torch.arange(len(row_static), device=z.device) - (torch.cumsum(counts, 0) - counts)[row_static]
    place = starts[pick][row_static] + within
    by_depth = torch.cat([z_static[place], z]).argsort(stable=True)
    all_rows = torch.cat([row_static, rows])
    order = by_depth[all_rows[by_depth].argsort(stable=True)]
    tau = torch.cat([tau_static[place], torch.zeros_like(z)])[order]
    rgb = torch.cat([rgb_static[place], z.new_zeros(len(z), 3)])[order]
    index = torch.cat([torch.full_like(row_static, -1), torch.arange(len(z), device=z.device)])[order]
    return tau, rgb, index
