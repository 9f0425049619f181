"""The static branch: density and appearance of what does not move, a small view-dependent colour network, tone."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdepth import kernels
from mixdepth.compute.device import mixed_precision
from mixdepth.fields.occupancy import Occupancy
from mixdepth.fields.vm import VMGrid

DENSITY_SCALE, DENSITY_SLOPE, DENSITY_SHIFT = 25.0, 5.0, 3.0


def density(feature: Tensor) -> Tensor:
    """Density, per unit of normalised length, of a sum of VM features."""
    return DENSITY_SCALE * F.softplus(DENSITY_SLOPE * feature - DENSITY_SHIFT)


def encode_directions(directions: Tensor) -> Tensor:
    """Unit directions [N, 3] of ``directions`` with two octaves of sines and cosines, [N, 15]."""
    d = F.normalize(directions, dim=-1)
    return torch.cat([d, *(f(octave * d) for octave in (1.0, 2.0) for f in (torch.sin, torch.cos))], dim=-1)


class Tone(nn.Module):
    """A small affine colour per camera: real cameras differ in white balance and exposure.

    Where ``camera`` is None (held-out cameras) it is the mean tone of the training cameras.
    """

    def __init__(self, cameras: int):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(cameras, 3))  # log gain
        self.offset = nn.Parameter(torch.zeros(cameras, 3))

    def forward(self, rgb: Tensor, camera: Tensor | None) -> Tensor:
        """Colours [R, ..., 3] as ``camera`` [R] shows them."""
        if camera is None:
            return rgb * torch.exp(self.gain.mean(0)) + self.offset.mean(0)
        shape = (len(camera), *([1] * (rgb.dim() - 2)), 3)
        return rgb * torch.exp(self.gain[camera]).view(shape) + self.offset[camera].view(shape)

    def regularisation(self) -> Tensor:
        """Keeps every tone near the identity, and their mean at it (else scene and tones drift together)."""
        spread = self.gain.square().mean() + self.offset.square().mean()
        return spread + 100 * (self.gain.mean(0).square().mean() + self.offset.mean(0).square().mean())


class StaticField(nn.Module):
    """VM density and VM appearance with a colour network; see ``StaticOptions`` for the sizes."""

    def __init__(
        self,
        resolution: int,
        density_components: int,
        colour_components: int,
        width: int,
        cameras: int,
        view_dependence: bool = True,
        occupancy_resolution: int = 64,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.density_grid = VMGrid(density_components, resolution, generator=generator)
        self.colour_grid = VMGrid(colour_components, resolution, generator=generator)
        self.view_dependence = view_dependence
        self.head = nn.Sequential(
            nn.Linear(self.colour_grid.features + (15 if view_dependence else 0), width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.ReLU(inplace=True),
            nn.Linear(width, 3),
        )
        self.tone = Tone(cameras)
        self.background = nn.Parameter(torch.zeros(3))
        self.occupancy = Occupancy(occupancy_resolution)
        self.amp = False  # whether the colour network, but for its last layer, may compute in bfloat16

    def sigma(self, u: Tensor) -> Tensor:
        """Density [N] of normalised points [N, 3]."""
        return density(self.density_grid.sum(u))

    def absorption(self) -> kernels.Density:
        """:meth:`sigma` for the compiled loops."""
        grid = self.density_grid
        constants = map(np.float32, (DENSITY_SCALE, DENSITY_SLOPE, DENSITY_SHIFT))
        return kernels.Density(
            grid.planes.view(-1), grid.lines.view(-1), grid.resolution, grid.planes.shape[-1], *constants
        )

    def colour(self, u: Tensor, directions: Tensor, rays: Tensor) -> Tensor:
        """Colour [N, 3] in 0..1 of normalised points [N, 3] on ``rays`` [N], whose world directions are [R, 3]."""
        features = self.colour_grid(u)
        if self.view_dependence:
            features = torch.cat([features, encode_directions(directions)[rays]], dim=-1)
        with mixed_precision(u.device, self.amp):
            hidden = self.head[:-1](features)
        return torch.sigmoid(self.head[-1](hidden.to(features.dtype)))

    def shown(self, u: Tensor, directions: Tensor, rays: Tensor, background: Tensor) -> Tensor:
        """:meth:`colour` [N, 3] less ``background`` [3], but for rounding, where no gradient is asked for: in one
        launch on a GPU that has Triton (``rays`` int32), in blocks on CPU."""
        grid, layers = self.colour_grid, [*self.head.parameters()]
        if kernels.fused(u):
            known = grid.planes, grid.lines, u, directions, rays, layers, background, self.amp
            return kernels.triton_view().still_colours(*known)
        if not kernels.compiled(u):
            return self.colour(u, directions, rays) - background
        weight, bias, *others = layers
        of_features, of_directions = weight.split([grid.features, weight.shape[1] - grid.features], dim=1)
        start = bias[None]
        if self.view_dependence:
            start = start + encode_directions(directions) @ of_directions.t()
        second, last = (others[0], others[1]), (others[2], others[3])
        return kernels.head_colours((grid.planes, grid.lines), u, of_features, start, rays, second, last) - background
