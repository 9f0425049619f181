"""The dynamic branch: every point has a temporal code whose inner product with a learnt embedding of each frame gives
its density and colour at all wanted frames at once (MixVoxels, Wang et al. 2023, section 3.3)."""

import torch
from torch import Tensor, nn

from mixdepth.fields.occupancy import Occupancy
from mixdepth.fields.static import density
from mixdepth.fields.variation import VariationField
from mixdepth.fields.vm import VMGrid


def cosine_codes(frames: int, codes: int) -> Tensor:
    """Initial embedding [T, codes] of the frames: cosines of rising frequency (DCT-II), mean square 1.

    Frames start apart from each other and neighbours alike. With random embeddings single frames got stuck with their
    mover at a wrong depth (arc8: 18.6 dB in one frame where its neighbours had 24).
    """
    time = (torch.arange(frames) + 0.5) / frames
    basis = torch.cos(torch.pi * time[:, None] * (torch.arange(codes) % frames))
    return basis / basis.square().mean().sqrt()


class DynamicField(nn.Module):
    """Densities and colours over time, evaluated only where the variation field says that something changes.

    Args:
        frames: T, number of frames.
        resolution: cells of the VM grids along every axis.
        components: of the density and of the appearance grid, per orientation.
        codes: length of the temporal codes.
        width: of the colour network.
        hull: [G, G, G] bool motion hull.
    """

    def __init__(
        self,
        frames: int,
        resolution: int,
        components: int,
        codes: int,
        width: int,
        hull: Tensor,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.codes = codes
        self.density_grid = VMGrid(components, resolution, generator=generator)
        self.colour_grid = VMGrid(components, resolution, generator=generator)
        features = self.density_grid.features
        self.density_code = nn.Linear(features, codes)
        self.colour_code = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, 3 * codes))
        self.density_frames = nn.Parameter(cosine_codes(frames, codes))
        self.colour_frames = nn.Parameter(cosine_codes(frames, codes))
        self.variation = VariationField(hull, generator=generator)
        self.occupancy = Occupancy(hull.shape[0])
        self.occupancy.mask.copy_(hull.view(-1))

    def sigma(self, u: Tensor, frames: Tensor) -> Tensor:
        """Densities [N, F] of normalised points [N, 3] at ``frames`` [F]: rows of the last layer only."""
        code = self.density_code(self.density_grid(u))
        return density(code @ self.density_frames[frames].t() / self.codes**0.5)

    def colour(self, u: Tensor, frames: Tensor) -> Tensor:
        """Colours [N, F, 3] in 0..1 of normalised points [N, 3] at ``frames`` [F]."""
        code = self.colour_code(self.colour_grid(u)).view(-1, 3, self.codes)
        rgb = torch.einsum("nck,fk->nfc", code, self.colour_frames[frames])
        return torch.sigmoid(rgb / self.codes**0.5)

    @torch.no_grad()
    def update_region(self, cull: bool) -> None:
        """Recompute the cells where the branch is evaluated: positive variation logit and, with ``cull``, weight."""
        n = self.occupancy.resolution
        axis = (torch.arange(n, device=self.variation.hull.device) + 0.5) / n * 2 - 1
        positive = [
            self.variation(torch.stack(torch.meshgrid(x[None], axis, axis, indexing="ij"), -1).view(-1, 3)) > 0
            for x in axis
        ]
        if cull:
            self.occupancy.update()
            self.occupancy.mask &= torch.cat(positive)
        else:
            self.occupancy.mask = torch.cat(positive)
