"""The operations that the model's time goes into: grid look-ups, marching, compositing.

On CPU they run as loops compiled by numba (:mod:`mixdepth.kernels.cpu`), elsewhere, and where numba is missing, as
plain PyTorch (:mod:`mixdepth.kernels.plain`). Both are tested against each other. On a GPU some can run as Triton
kernels instead (:mod:`mixdepth.kernels.gpu`, off by default until tests/test_gpu.py has passed on one). Samples are
*packed*: one flat list of the M samples of R rays; those of ray r are ``offsets[r]:offsets[r + 1]``, and ``rows`` [M]
is the ray of each.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from mixdepth.kernels import plain

try:
    from mixdepth.kernels import cpu
except ImportError:  # a GPU node with PyTorch alone, or with a numba that refuses its numpy
    cpu = None

STOP = 1e-4  # light below which a ray is not followed any further
# Off by default until tests/test_gpu.py has passed on a GPU. It needs triton, which comes with PyTorch for CUDA.
use_triton = os.environ.get("MIXDEPTH_TRITON") == "1"
_compile = True
_pool = ThreadPoolExecutor(max(os.cpu_count() or 1, 1), thread_name_prefix="mixdepth")


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Run as plain PyTorch what is too little to be worth the seconds that compiling takes."""
    global _compile
    before, _compile = _compile, False
    try:
        yield
    finally:
        _compile = before


def compiled(tensor: Tensor) -> bool:
    """Whether operations on ``tensor`` run as compiled loops."""
    return _compile and cpu is not None and tensor.device.type == "cpu" and tensor.dtype == torch.float32


def fused(tensor: Tensor) -> bool:
    """Whether operations on ``tensor`` run as Triton kernels."""
    return use_triton and tensor.is_cuda and tensor.dtype == torch.float32


def _gpu() -> ModuleType:
    from mixdepth.kernels import gpu  # needs triton

    return gpu


def _all(tasks: list[Callable[[], None]]) -> None:
    """Run tasks in at most as many threads as PyTorch uses; which thread takes which does not matter."""
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            task()
        return

    queue = iter(tasks)  # next() is atomic

    def work() -> None:
        for task in queue:
            task()

    futures = [_pool.submit(work) for _ in range(threads - 1)]
    work()
    for future in futures:
        future.result()


def _parts(count: int) -> list[tuple[int, int]]:
    """``count`` things in equal parts, a few per thread."""
    edges = np.linspace(0, count, min(4 * torch.get_num_threads(), max(count, 1)) + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().view(-1).numpy()


class _Grid(plain.Grid):
    @staticmethod
    def look_up(planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool) -> Tensor:
        cells, channels, points = planes.shape[1], planes.shape[3], u.numpy()
        out = u.new_empty(len(u)) if is_sum else u.new_empty(len(u), 3 * channels)
        kernel = cpu.sum_forward if is_sum else cpu.features_forward
        arrays = _flat(planes), _flat(lines), points, cells, channels
        flat = _flat(out)
        _all([lambda a=a, b=b: kernel(*arrays, a, b, flat) for a, b in _parts(len(u))])
        return out

    @staticmethod
    def add_gradients(
        planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool, grad: Tensor, d_planes: Tensor, d_lines: Tensor
    ) -> None:
        cells, channels = planes.shape[1], planes.shape[3]
        points, tail = (u.numpy(), cells, channels), (_flat(grad), is_sum)
        of_lines, of_planes = (_flat(planes), *points), (_flat(lines), *points)
        tasks = [lambda o=o: cpu.lines_backward(*of_lines, o, *tail, _flat(d_lines)) for o in range(3)]
        for parity in (0, 1):
            tasks += [
                lambda o=o, p=parity: cpu.planes_backward(*of_planes, o, p, *tail, _flat(d_planes)) for o in range(3)
            ]
        _all(tasks)


def _grid(planes: Tensor) -> type[plain.Grid]:
    if compiled(planes):
        return _Grid
    return _gpu().Grid if fused(planes) else plain.Grid


def grid_features(planes: Tensor, lines: Tensor, u: Tensor) -> Tensor:
    """Products of planes and lines at points, bilinear, clamped at the border (TensoRF, Chen et al. 2022, eq. 3).

    Args:
        planes: [3, G, G, C]; the axes of the three are (x, y), (x, z), (y, z).
        lines: [3, G, C] along z, y, x.
        u: [N, 3] in [-1, 1]; takes no gradient.

    Returns:
        [N, 3 * C].
    """
    return _grid(planes).apply(planes, lines, u, False)


def grid_sum(planes: Tensor, lines: Tensor, u: Tensor) -> Tensor:
    """The sum [N] of :func:`grid_features` over its features."""
    return _grid(planes).apply(planes, lines, u, True)


def add_roughness(planes: Tensor, lines: Tensor, weight: float) -> None:
    """Add the gradient of ``weight`` times :func:`mixdepth.kernels.plain.roughness` to that of the parameters."""
    if not compiled(planes):
        for grid in (planes, lines):
            plain.add_roughness(grid, grid.grad, weight)
        return
    for values, gradient in ((planes, planes.grad), (lines[:, :, None], lines.grad[:, :, None])):
        scale = np.float32(2 * weight / values[:, 1:].numel())
        arrays = values.detach().numpy(), scale
        out = gradient.numpy()
        parts = _parts(3 * values.shape[1])
        _all([lambda a=a, b=b, x=arrays, y=out: cpu.roughness_backward(*x, a, b, y) for a, b in parts])


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tau: Tensor, offsets: Tensor) -> Tensor:
        weights = torch.empty_like(tau)
        arrays = tau.numpy(), offsets.numpy(), STOP
        out = weights.numpy()
        _all([lambda a=a, b=b: cpu.composite_forward(*arrays, a, b, out) for a, b in _parts(len(offsets) - 1)])
        ctx.save_for_backward(weights, offsets)
        return weights

    @staticmethod
    def backward(ctx, grad: Tensor):
        weights, offsets = ctx.saved_tensors
        d_tau = torch.empty_like(weights)
        arrays = weights.numpy(), offsets.numpy(), STOP, grad.contiguous().numpy()
        out = d_tau.numpy()
        _all([lambda a=a, b=b: cpu.composite_backward(*arrays, a, b, out) for a, b in _parts(len(offsets) - 1)])
        return d_tau, None


def composite(tau: Tensor, offsets: Tensor, rows: Tensor) -> Tensor:
    """Rendering weights [M] of packed samples with optical thickness ``tau`` [M] (NeRF, Mildenhall et al. 2020, eq. 3).

    ``w_i = T_i (1 - exp(-tau_i))`` with ``T_i = exp(-sum_{j<i} tau_j)``; zero, also the gradient, once T is below STOP.
    """
    if compiled(tau):
        return _Composite.apply(tau.contiguous(), offsets)
    return plain.composite(tau, offsets, rows, STOP)


class _Mixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tau_d, tau_s, rgb_s, index, offsets, z, dz, far):
        rays, frames = len(offsets) - 1, tau_d.shape[1]
        weight_d, left = torch.zeros_like(tau_d), tau_d.new_empty(rays, frames)
        rgb = tau_d.new_zeros(rays, frames, 3)
        depth = tau_d.new_empty(len(far), frames)
        arrays = [t.detach().numpy() for t in (tau_s, rgb_s, index, tau_d, offsets, z, dz, far)]
        out = [t.numpy() for t in (weight_d, rgb, left, depth)]
        _all([lambda a=a, b=b: cpu.mixed_forward(*arrays, a, b, *out) for a, b in _parts(rays)])
        ctx.save_for_backward(tau_s, rgb_s, index, tau_d, offsets)
        ctx.mark_non_differentiable(depth)
        return weight_d, rgb, left, depth

    @staticmethod
    def backward(ctx, *grads: Tensor):
        tau_s, rgb_s, index, tau_d, offsets = ctx.saved_tensors
        d_tau = torch.zeros_like(tau_d)
        arrays = [t.detach().numpy() for t in (tau_s, rgb_s, index, tau_d, offsets)]
        arrays += [grad.contiguous().numpy() for grad in grads[:3]]
        out = d_tau.numpy()
        _all([lambda a=a, b=b: cpu.mixed_backward(*arrays, a, b, out) for a, b in _parts(len(offsets) - 1)])
        return d_tau, None, None, None, None, None, None, None


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
        depths: z [M], dz [M] and far [R], to have the median depth as well.

    Returns:
        the dynamic branch's part of the weights [D, F], the static branch's of the colours [R, F, 3], the light that
        passes [R, F], and the median z-depth [R, F] or None.
    """
    if not (compiled(tau_d) or fused(tau_d)):
        return plain.composite_mixed(tau_s, rgb_s, index, tau_d, offsets, rows, depths)
    nothing = tau_s.new_empty(0)
    function = _Mixed if compiled(tau_d) else _gpu().Mixed
    found = function.apply(tau_d, tau_s, rgb_s, index, offsets, *(depths or (nothing, nothing, nothing)))
    return (*found[:3], found[3] if depths else None)


class _RayColours(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights: Tensor, colours: Tensor, rows: Tensor, rays: int) -> Tensor:
        ctx.save_for_backward(weights, colours, rows)
        rgb = colours.new_zeros(rays, *colours.shape[1:])
        arrays, out = [t.contiguous().numpy() for t in (weights, colours, rows)], rgb.numpy()
        _all([lambda a=a, b=b: cpu.colours_forward(*arrays, a, b, out) for a, b in _parts(rays)])
        return rgb

    @staticmethod
    def backward(ctx, grad: Tensor):
        weights, colours, rows = (t.contiguous() for t in ctx.saved_tensors)
        d_weights, d_colours = torch.empty_like(weights), torch.empty_like(colours)
        arrays = [t.numpy() for t in (weights, colours, rows, grad.contiguous())]
        out = d_weights.numpy(), d_colours.numpy()
        _all([lambda a=a, b=b: cpu.colours_backward(*arrays, a, b, *out) for a, b in _parts(len(rows))])
        return d_weights, d_colours, None, None


def ray_colours(weights: Tensor, colours: Tensor, rows: Tensor, rays: int) -> Tensor:
    """Sums [R, F, 3] over the samples of each of R ``rays`` of weights [L, F] times colours [L, F, 3].

    Args:
        rows: [L] int64, the ray of each sample, ascending.
    """
    if compiled(weights):
        return _RayColours.apply(weights, colours, rows, rays)
    return colours.new_zeros(rays, *colours.shape[1:]).index_add(0, rows, weights[..., None] * colours)


def median_depth(weights: Tensor, z: Tensor, dz: Tensor, offsets: Tensor, rows: Tensor, far: Tensor) -> Tensor:
    """z-depth [R] at which half of a ray has been absorbed, ``far`` [R] where half passes; takes no gradient.

    Each sample's weight is spread evenly over its interval ``dz`` [M].
    """
    if not compiled(weights):
        return plain.median_depth(weights, z, dz, offsets, rows, far)
    depth = torch.empty_like(far)
    arrays = [t.detach().numpy() for t in (weights, z, dz, offsets, far)]
    out = depth.numpy()
    _all([lambda a=a, b=b: cpu.median_depth(*arrays, a, b, out) for a, b in _parts(len(far))])
    return depth


def march(
    kind: int,
    space: Tensor,
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    depths: Tensor,
    mask: Tensor | None,
    sets: tuple[Tensor, Tensor, Tensor] | None,
    stop: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Samples at ``depths`` [R, N] of rays, kept where a mask over the normalised cube, or sets over a box, have them.

    On CPU only; elsewhere :func:`mixdepth.kernels.plain.march` packs what PyTorch has sampled.

    Args:
        kind, space: of the normalisation, see :attr:`mixdepth.rendering.rays.SpaceMap.packed`.
        origins, directions: [R, 3]; ``near``, ``far``: [R] z-depths between which the samples share the ray.
        mask: flat bool mask over n^3 cells.
        sets: flat int32 sets over m^3 cells of a box, that box (low 3, scale 3), and each ray's own set [R] int32.
        stop: [R] z-depth from which on nothing is kept.

    Returns:
        offsets [R + 1], rows [M], z [M], dz [M] the interval that each stands for, delta [M] the same as a length in
        normalised units, u [M, 3], and holds [M] uint8: 1 where the mask has the sample, 2 where the sets do, 3 both.
    """
    rays, samples = depths.shape
    count = torch.empty(rays, dtype=torch.int64)
    dense, dense_holds = depths.new_empty(rays, samples, 6), torch.empty(rays, samples, dtype=torch.uint8)
    arrays = [t.contiguous().numpy() for t in (space, origins, directions, near, far, depths)]
    mask = torch.zeros(0, dtype=torch.bool) if mask is None else mask
    cells, box, bits = sets or (
        torch.zeros(0, dtype=torch.int32),
        depths.new_zeros(6),
        torch.zeros(0, dtype=torch.int32),
    )
    arrays += [mask.numpy(), round(len(mask) ** (1 / 3)), cells.numpy(), round(len(cells) ** (1 / 3))]
    arrays += [box.numpy(), bits.contiguous().numpy(), stop.contiguous().numpy()]
    scratch = count.numpy(), dense.numpy(), dense_holds.numpy()
    parts = _parts(rays)
    _all([lambda a=a, b=b: cpu.march(kind, *arrays, a, b, *scratch) for a, b in parts])
    offsets = _offsets(count)
    total = int(offsets[-1])
    rows, holds = torch.empty(total, dtype=torch.int64), torch.empty(total, dtype=torch.uint8)
    z, dz, delta, u = (depths.new_empty(total, *rest) for rest in ((), (), (), (3,)))
    packed = [t.numpy() for t in (rows, z, dz, delta, u, holds)]
    places = offsets.numpy()
    _all([lambda a=a, b=b: cpu.pack(scratch[0], places, *scratch[1:], a, b, *packed) for a, b in parts])
    return offsets, rows, z, dz, delta, u, holds


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
    if not compiled(z):
        found = plain.merge(pick, cached, rows, z, count)
        return total, all_rows, *found
    tau, rgb, index = z.new_empty(count), z.new_empty(count, 3), torch.empty(count, dtype=torch.int64)
    arrays = [t.numpy() for t in (pick, starts, z_static, tau_static, rgb_static, offsets, z, total)]
    out = [t.numpy() for t in (tau, rgb, index)]
    _all([lambda a=a, b=b: cpu.merge(*arrays, a, b, *out) for a, b in _parts(len(pick))])
    return total, all_rows, tau, rgb, index
