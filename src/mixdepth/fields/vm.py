"""Vector-matrix factorised grids (TensoRF, Chen et al. 2022, section 4): three planes times three lines."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLANES = ((0, 1), (0, 2), (1, 2))  # axes of the planes; the line of each runs along the axis that is left
LINES = (2, 1, 0)


class VMGrid(nn.Module):
    """Features of points: for each of three orientations, ``components`` products of a plane and a line.

    Args:
        components: per orientation.
        resolution: cells along every axis of the normalised cube.
        scale: standard deviation of the initial values.
    """

    def __init__(self, components: int, resolution: int, scale: float = 0.1, generator: torch.Generator | None = None):
        super().__init__()
        shape = (3, components, resolution, resolution)
        self.planes = nn.Parameter(scale * torch.randn(shape, generator=generator))
        self.lines = nn.Parameter(scale * torch.randn((3, components, resolution, 1), generator=generator))

    @property
    def features(self) -> int:
        """Number of features per point."""
        return 3 * self.planes.shape[1]

    def forward(self, u: Tensor) -> Tensor:
        """Features [N, 3 * components] of normalised points ``u`` [N, 3] in [-1, 1]; clamped at the border."""
        # grid_sample's last coordinate is (x, y) = (column, row): rows are the first axis of a plane.
        plane_at = torch.stack([u[:, [b, a]] for a, b in PLANES])[:, :, None]  # [3, N, 1, 2]
        along = u[:, list(LINES)].t()
        line_at = torch.stack([torch.zeros_like(along), along], dim=-1)[:, :, None]
        planes = F.grid_sample(self.planes, plane_at, align_corners=True, padding_mode="border")
        lines = F.grid_sample(self.lines, line_at, align_corners=True, padding_mode="border")
        return (planes * lines)[..., 0].flatten(0, 1).t()

    def resampled(self, parameter: Tensor, resolution: int) -> Tensor:
        """``parameter`` (planes, lines, or optimiser state of their shape) bilinearly at another resolution."""
        size = (resolution, 1 if parameter.shape[-1] == 1 else resolution)
        return F.interpolate(parameter, size=size, mode="bilinear", align_corners=True)

    def total_variation(self) -> Tensor:
        """Mean squared difference of neighbouring cells of planes and lines."""
        p, q = self.planes, self.lines
        return (
            (p[..., 1:, :] - p[..., :-1, :]).square().mean()
            + (p[..., 1:] - p[..., :-1]).square().mean()
            + (q[..., 1:, :] - q[..., :-1, :]).square().mean()
        )


def resize_grids(module: nn.Module, optimiser: torch.optim.Optimizer, resolution: int) -> None:
    """Resample every grid of ``module`` to ``resolution``, and hand the new parameters and moments to ``optimiser``.

    Replacing parameters without telling the optimiser leaves them stale (a known failure of earlier code).
    """
    replaced = {}
    for grid in module.modules():
        if isinstance(grid, VMGrid):
            for name in ("planes", "lines"):
                old = getattr(grid, name)
                new = nn.Parameter(grid.resampled(old.data, resolution).contiguous(), old.requires_grad)
                setattr(grid, name, new)
                replaced[old] = new
                state = optimiser.state.pop(old, {})
                for key, value in state.items():
                    if value.shape == old.shape:
                        state[key] = grid.resampled(value, resolution).contiguous()
                if state:
                    optimiser.state[new] = state
    for group in optimiser.param_groups:
        group["params"] = [replaced.get(parameter, parameter) for parameter in group["params"]]
