"""Vector-matrix factorised grids (TensoRF, Chen et al. 2022, section 4): three planes times three lines."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdepth import kernels


class VMGrid(nn.Module):
    """Features of points: for each of three orientations, ``components`` products of a plane and a line.

    Channels come last: a look-up then reads a few whole cache lines.

    Args:
        components: per orientation.
        resolution: cells along every axis of the box.
        scale: standard deviation of the initial values.
    """

    def __init__(self, components: int, resolution: int, scale: float = 0.1, generator: torch.Generator | None = None):
        super().__init__()
        shape = (3, resolution, resolution, components)
        self.planes = nn.Parameter(scale * torch.randn(shape, generator=generator))
        self.lines = nn.Parameter(scale * torch.randn((3, resolution, components), generator=generator))

    @property
    def features(self) -> int:
        """Number of features per point."""
        return 3 * self.planes.shape[-1]

    @property
    def resolution(self) -> int:
        """Cells along every axis."""
        return self.planes.shape[1]

    def forward(self, u: Tensor) -> Tensor:
        """Features [N, 3 * components] of points ``u`` [N, 3] in [-1, 1]; clamped at the border."""
        return kernels.grid_features(self.planes, self.lines, u)

    def sum(self, u: Tensor) -> Tensor:
        """The sum [N] of all features."""
        return kernels.grid_sum(self.planes, self.lines, u)

    def resampled(self, parameter: Tensor, resolution: int) -> Tensor:
        """``parameter`` (planes, lines, or optimiser state of their shape) bilinearly at another resolution."""
        if parameter.dim() == 3:
            lines = parameter.movedim(-1, 1)
            return F.interpolate(lines, size=resolution, mode="linear", align_corners=True).movedim(1, -1).contiguous()
        planes = parameter.movedim(-1, 1)
        size = (resolution, resolution)
        return F.interpolate(planes, size=size, mode="bilinear", align_corners=True).movedim(1, -1).contiguous()

    def smooth(self, weight: float) -> None:
        """Add the gradient of ``weight`` times the total variation (mean squared difference of neighbouring cells)."""
        kernels.add_roughness(self.planes, self.lines, weight)


def resize_grids(module: nn.Module, optimiser: torch.optim.Optimizer, resolution: int) -> None:
    """Resample every grid of ``module`` to ``resolution``, and hand the new parameters and moments to ``optimiser``.

    Replacing parameters without telling the optimiser leaves them stale (a known failure of earlier code).
    """
    replaced = {}
    for grid in module.modules():
        if isinstance(grid, VMGrid) and grid.resolution != resolution:
            for name in ("planes", "lines"):
                old = getattr(grid, name)
                new = nn.Parameter(grid.resampled(old.data, resolution), old.requires_grad)
                setattr(grid, name, new)
                replaced[old] = new
                state = optimiser.state.pop(old, {})
                for key, value in state.items():
                    if value.shape == old.shape:
                        state[key] = grid.resampled(value, resolution)
                if state:
                    optimiser.state[new] = state
    for group in optimiser.param_groups:
        group["params"] = [replaced.get(parameter, parameter) for parameter in group["params"]]
