"""Which samples of rays are kept, and in which order: packed lists of them."""

from typing import Any

import torch
from torch import Tensor

from mixdepth.kernels import dispatch, plain
from mixdepth.kernels.arguments import Coordinates, Density, Kept, KeptLit, Mask, Rays, Sets
from mixdepth.kernels.threads import share

Packed = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def march(
    coordinates: Coordinates,
    rays: Rays,
    depths: Tensor,
    mask: Tensor | None,
    sets: tuple[Tensor, Tensor, Tensor] | None,
) -> Packed:
    """Samples at ``depths`` [R, N] of rays, kept where a mask over the normalised cube, or sets over a box, have them.

    On CPU only; elsewhere :func:`mixdepth.kernels.plain.march` packs what PyTorch has sampled.

    Args:
        depths: z-depths, ascending along each ray.
        mask: flat bool mask over n^3 cells.
        sets: flat int32 sets over m^3 cells of a box, that box (low 3, scale 3), and each ray's own set [R] int32.

    Returns:
        offsets [R + 1], rows [M], z [M], dz [M] the interval that each stands for, delta [M] the same as a length in
        normalised units, u [M, 3], and holds [M] uint8: 1 where the mask has the sample, 2 where the sets do, 3 both.
    """
    count, samples = depths.shape
    kept = Kept(
        *_counters(count),
        depths.new_empty(count * samples, 6),
        torch.empty(count * samples, dtype=torch.uint8),
    )
    share(dispatch.cpu.march, count, _known(coordinates, rays, depths, mask, sets), [kept])
    offsets = _offsets(kept.counts)
    total = int(offsets[-1])
    rows, holds = torch.empty(total, dtype=torch.int64), torch.empty(total, dtype=torch.uint8)
    z, dz, delta, u = (depths.new_empty(total, *rest) for rest in ((), (), (), (3,)))
    share(dispatch.cpu.pack, count, (kept, offsets), [rows, z, dz, delta, u, holds])
    return offsets, rows, z, dz, delta, u, holds


def march_density(
    coordinates: Coordinates,
    rays: Rays,
    depths: Tensor,
    mask: Tensor,
    sets: tuple[Tensor, Tensor, Tensor] | None,
    density: Density,
    dark: float,
) -> tuple[Packed, Tensor, Tensor]:
    """:func:`march` for rendering: with what the static branch absorbs, up to where at most ``dark`` of the light is
    left. Rays stop nowhere else.

    On CPU only; elsewhere :func:`mixdepth.rendering.trace.lit_samples` has it by single operations.

    Args:
        depths: [R, N], or [1, N] where they are the same along every ray.

    Returns:
        what :func:`march` returns, of each sample the optical thickness [M], zero where the mask has it not, and the
        rendering weight [M].
    """
    count = len(rays.far)
    kept = KeptLit(*_counters(count), *_lit(count * depths.shape[1], depths))
    known = _known(coordinates, rays, depths, mask, sets), density, (0,) * density.channels, dark
    share(dispatch.cpu_view.march_density, count, (*known[0], *known[1:]), [kept])
    offsets = _offsets(kept.counts)
    rows = torch.empty(int(offsets[-1]), dtype=torch.int64)
    packed = KeptLit(kept.counts, kept.starts, *_lit(len(rows), depths))
    share(dispatch.cpu_view.pack_lit, count, (kept, offsets), [rows, packed])
    _, _, z, dz, delta, u, holds, tau, weights = packed
    return (offsets, rows, z, dz, delta, u, holds), tau, weights


def _known(
    coordinates: Coordinates,
    rays: Rays,
    depths: Tensor,
    mask: Tensor | None,
    sets: tuple[Tensor, Tensor, Tensor] | None,
) -> tuple[Any, ...]:
    """What the loops that march are given."""
    mask = torch.zeros(0, dtype=torch.bool) if mask is None else mask
    none = torch.zeros(0, dtype=torch.int32)
    cells, box, wanted = sets or (none, depths.new_zeros(6), none)
    return (
        coordinates,
        Rays(*(t.contiguous() for t in rays)),
        depths.contiguous(),
        Mask(mask, _side(mask)),
        Sets(cells, _side(cells), box, wanted.contiguous()),
    )


def _counters(rays: int) -> tuple[Tensor, Tensor]:
    return torch.empty(rays, dtype=torch.int64), torch.empty(rays, dtype=torch.int64)


def _lit(samples: int, like: Tensor) -> tuple[Tensor, ...]:
    """Room for what is said of so many samples."""
    z, dz, delta, tau, weights = (like.new_empty(samples) for _ in range(5))
    return z, dz, delta, like.new_empty(samples, 3), torch.empty(samples, dtype=torch.uint8), tau, weights


def _side(cells: Tensor) -> int:
    """n of n^3 cells."""
    return round(len(cells) ** (1 / 3))


def _offsets(count: Tensor) -> Tensor:
    """Where each of R packed rays starts, and the end: [R + 1] from samples per ray [R]."""
    return torch.cat([count.new_zeros(1), torch.cumsum(count, 0)])


def merge(
    pick: Tensor, cached: tuple[Tensor, Tensor, Tensor, Tensor], offsets: Tensor, rows: Tensor, z: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Static samples kept per pixel and the samples of rays, in order of depth.

    Args:
        pick: [R] the pixel that each ray shows.
        cached: of all P pixels offsets [P + 1], z [K], tau [K], rgb [K, 3].
        offsets, rows, z: of the rays' own packed samples, D in all.

    Returns:
        offsets [R + 1], rows [M], tau [M] and rgb [M, 3] of the static samples (zero for the others), and index [M]:
        the number of the ray's own sample, -1 for a static one.
    """
    starts, z_static, tau_static, rgb_static = cached
    total = _offsets(starts[pick + 1] - starts[pick] + offsets[1:] - offsets[:-1])
    count = int(total[-1])
    all_rows = torch.repeat_interleave(
        torch.arange(len(pick), device=z.device), total[1:] - total[:-1], output_size=count
    )
    if not dispatch.compiled(z):
        found = plain.merge(pick, cached, rows, z, count)
        return total, all_rows, *found
    tau, rgb, index = z.new_empty(count), z.new_empty(count, 3), torch.empty(count, dtype=torch.int64)
    known = pick, starts, z_static, tau_static, rgb_static, offsets, z, total
    share(dispatch.cpu.merge, len(pick), known, [tau, rgb, index])
    return total, all_rows, tau, rgb, index
