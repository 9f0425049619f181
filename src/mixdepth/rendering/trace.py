"""From pixels to samples to colours of the static branch: what training, depth extraction and rendering share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixdepth.fields.occupancy import Occupancy
from mixdepth.fields.static import StaticField
from mixdepth.rendering.compositing import render_weights
from mixdepth.rendering.rays import CameraBatch, SpaceMap, segment_lengths, stratified

VISIBLE = 1e-3  # colour is computed where the rendering weight exceeds this


@dataclass
class RaySamples:
    """Samples of R rays, N each, and which of them (M in all) lie where something may be."""

    directions: Tensor  # [R, 3] world units per unit of z-depth
    far: Tensor  # [R] last z-depth of each ray
    z: Tensor  # [R, N] z-depth, world units, ascending
    dz: Tensor  # [R, N] z-depth interval that each sample stands for
    delta: Tensor  # [R, N] the same as a length in normalised units
    kept: Tensor  # [M] flat indices into [R * N]
    u: Tensor  # [M, 3] normalised coordinates of the kept samples

    def scatter(self, values: Tensor) -> Tensor:
        """Values [M] of kept samples as a dense [R, N], zero elsewhere; differentiable."""
        dense = values.new_zeros(self.z.numel()).index_put((self.kept,), values)
        return dense.view(self.z.shape)

    @property
    def rows(self) -> Tensor:
        """The ray [M] of each kept sample."""
        return self.kept // self.z.shape[1]


def sample_rays(
    space: SpaceMap,
    cameras: CameraBatch,
    camera: Tensor,
    uv: Tensor,
    samples: int,
    *occupancies: Occupancy,
    generator: torch.Generator | None = None,
) -> RaySamples:
    """Stratified samples along the rays of pixels ``uv`` [R, 2] of ``camera`` [R], kept where any occupancy has them.

    Samples are jittered where a generator is given, each on its own.
    """
    origins, directions = cameras.rays(camera, uv)
    near, far = space.depth_range(origins, directions)
    share = stratified(len(uv), samples, generator, uv.device)
    z = space.depths(share, near, far)
    u = space.normalise(origins[:, None] + z[..., None] * directions[:, None])
    masks = [occupancy.mask[occupancy.cells(u)] for occupancy in occupancies]
    kept = torch.stack(masks).any(0).flatten().nonzero().squeeze(1)
    edges = torch.cat([near[:, None], 0.5 * (z[:, 1:] + z[:, :-1]), far[:, None]], dim=1)
    return RaySamples(
        directions,
        far,
        z,
        edges[:, 1:] - edges[:, :-1],
        segment_lengths(u),
        kept,
        u.view(-1, 3)[kept],
    )


@dataclass
class StaticShade:
    """What the static branch shows along R rays."""

    tau: Tensor  # [R, N] optical thickness
    weights: Tensor  # [R, N] rendering weights
    rgb: Tensor  # [R, 3] colours over the background, in 0..1 before tone


def shade_static(field: StaticField, samples: RaySamples) -> StaticShade:
    """Render the static branch; colours only where the weight matters."""
    tau = samples.scatter(field.sigma(samples.u) * samples.delta.flatten()[samples.kept])
    weights = render_weights(tau)
    flat = weights.flatten()[samples.kept]
    seen = (flat.detach() > VISIBLE).nonzero().squeeze(1)
    rows = samples.rows[seen]
    colours = field.colour(samples.u[seen], samples.directions[rows])
    w = flat[seen]
    rgb = torch.zeros_like(samples.directions).index_add(0, rows, w[:, None] * colours)
    left = 1 - torch.zeros_like(samples.far).index_add(0, rows, w)
    return StaticShade(tau, weights, rgb + left[:, None] * torch.sigmoid(field.background))
