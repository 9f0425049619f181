"""Look-ups in vector-matrix grids, and their smoothness."""

from functools import partial

import numpy as np
from torch import Tensor

from mixdepth.kernels import dispatch, plain
from mixdepth.kernels.threads import run, share


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().view(-1).numpy()


class _Grid(plain.Grid):
    """The same in compiled loops."""

    @staticmethod
    def look_up(planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool) -> Tensor:
        cells, channels = planes.shape[1], planes.shape[3]
        out = u.new_empty(len(u)) if is_sum else u.new_empty(len(u), 3 * channels)
        kernel = dispatch.cpu.sum_forward if is_sum else dispatch.cpu.features_forward
        share(kernel, len(u), (planes.view(-1), lines.view(-1), u, cells, channels), [out.view(-1)])
        return out

    @staticmethod
    def add_gradients(
        planes: Tensor, lines: Tensor, u: Tensor, is_sum: bool, grad: Tensor, d_planes: Tensor, d_lines: Tensor
    ) -> None:
        cpu, points, tail = dispatch.cpu, (u.numpy(), planes.shape[1], planes.shape[3]), (_flat(grad), is_sum)
        of_lines, of_planes = (_flat(planes), *points), (_flat(lines), *points)
        tasks = [partial(cpu.lines_backward, *of_lines, o, *tail, _flat(d_lines)) for o in range(3)]
        for parity in (0, 1):
            tasks += [partial(cpu.planes_backward, *of_planes, o, parity, *tail, _flat(d_planes)) for o in range(3)]
        run(tasks)


def _grid(planes: Tensor) -> type[plain.Grid]:
    if dispatch.compiled(planes):
        return _Grid
    return dispatch.triton_kernels().Grid if dispatch.fused(planes) else plain.Grid


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
    """Add the gradient of ``weight`` times :func:`mixdepth.kernels.plain.roughness` to that of the parameters,
    which have one."""
    assert planes.grad is not None
    assert lines.grad is not None
    if not dispatch.compiled(planes):
        plain.add_roughness(planes, planes.grad, weight)
        plain.add_roughness(lines, lines.grad, weight)
        return
    for values, gradient in ((planes, planes.grad), (lines[:, :, None], lines.grad[:, :, None])):
        scale = np.float32(2 * weight / values[:, 1:].numel())
        share(dispatch.cpu.roughness_backward, 3 * values.shape[1], (values, scale), [gradient])
