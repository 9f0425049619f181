"""The dynamic branch: every point has a temporal code whose inner product with a learnt embedding of each frame gives
its density and colour at all wanted frames at once (MixVoxels, Wang et al. 2023, section 3.3)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixdepth.device import mixed_precision
from mixdepth.fields.region import Region
from mixdepth.fields.static import density
from mixdepth.fields.vm import VMGrid


def cosine_codes(frames: int, codes: int) -> Tensor:
    """Initial embedding [T, codes] of the frames: cosines of rising frequency (DCT-II), mean square 1.

    Frames start apart from each other and neighbours alike. With random embeddings single frames got stuck with their
    mover at a wrong depth (arc8: 18.6 dB in one frame where its neighbours had 24).
    """
    time = (torch.arange(frames) + 0.5) / frames
    basis = torch.cos(torch.pi * time[:, None] * (torch.arange(codes) % frames))
    return basis / basis.square().mean().sqrt()


def embedded(table: Tensor, frames: Tensor) -> Tensor:
    """Embeddings [..., codes] of ``frames`` [...] from ``table`` [T, codes]: its rows for numbers of frames (int64);
    for times (floating point, in 0 .. T - 1) mixed linearly, and exactly the row at whole times."""
    if not frames.is_floating_point():
        return table[frames]
    before = frames.floor().long()
    share = (frames - before).to(table.dtype)[..., None]
    return (1 - share) * table[before] + share * table[frames.ceil().long()]


class DynamicField(nn.Module):
    """Densities and colours over time, in the box of a :class:`Region` only.

    Frames are given in groups: ``frames`` [G, F] of the first ``counts[0]`` points, the next ``counts[1]``, ...; rays
    that look at neighbouring frames then share what is evaluated. They are numbers of frames (int64), or times between
    them (float64), at which the embeddings of the two neighbouring frames are mixed.

    Args:
        region: where and when something may move.
        resolution: cells of the VM grids along every axis of the region's box.
        components: of the density and of the appearance grid, per orientation.
        codes: length of the temporal codes.
        width: of the colour network.
    """

    def __init__(
        self,
        region: Region,
        resolution: int,
        components: int,
        codes: int,
        width: int,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.region, self.codes = region, codes
        self.density_grid = VMGrid(components, resolution, generator=generator)
        self.colour_grid = VMGrid(components, resolution, generator=generator)
        features = self.density_grid.features
        self.density_code = nn.Linear(features, codes)
        self.colour_code = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, 3 * codes))
        self.density_frames = nn.Parameter(cosine_codes(region.frames, codes))
        self.colour_frames = nn.Parameter(cosine_codes(region.frames, codes))
        self.amp = False  # whether colours may be computed in bfloat16

    @property
    def frames(self) -> int:
        """T, number of frames."""
        return len(self.density_frames)

    def sigma(self, v: Tensor, frames: Tensor, counts: Sequence[int]) -> Tensor:
        """Densities [N, F] of points [N, 3] of the box: rows of the last layer only."""
        code = self.density_code(self.density_grid(v)).split(list(counts))
        parts = [c @ e.t() for c, e in zip(code, embedded(self.density_frames, frames), strict=True)]
        return density(torch.cat(parts) / self.codes**0.5)

    def colour(self, v: Tensor, frames: Tensor, counts: Sequence[int]) -> Tensor:
        """Colours [N, F, 3] in 0..1 of points [N, 3] of the box."""
        features = self.colour_grid(v)
        with mixed_precision(v.device, self.amp):
            code = self.colour_code(features).view(-1, 3, self.codes).split(list(counts))
            parts = [c @ e.t() for c, e in zip(code, embedded(self.colour_frames, frames), strict=True)]
        return torch.sigmoid(torch.cat(parts).transpose(1, 2).float() / self.codes**0.5)
