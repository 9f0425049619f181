"""From pixels to samples to colours of the static branch: what training, depth extraction and rendering share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.fields.occupancy import Occupancy
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.kernels import plain
from mixdepth.kernels.arguments import DYNAMIC, STATIC
from mixdepth.rendering.rays import CameraBatch, SpaceMap, stratified

FAINT = 1e-3  # optical thickness below which a sample is not trained: its gradient is as small
VISIBLE = 1e-3  # colour is computed where the rendering weight exceeds this


@dataclass
class RaySamples:
    """The M samples of R rays that lie where something may be, packed: those of ray r are offsets[r]:offsets[r + 1]."""

    directions: Tensor  # [R, 3] world units per unit of z-depth
    far: Tensor  # [R] last z-depth of each ray
    offsets: Tensor  # [R + 1] int64
    rows: Tensor  # [M] int64, the ray of each sample
    z: Tensor  # [M] z-depth, world units, ascending along each ray
    dz: Tensor  # [M] z-depth interval that each sample stands for
    delta: Tensor  # [M] the same as a length in normalised units
    u: Tensor  # [M, 3] normalised coordinates
    holds: Tensor  # [M] uint8: STATIC where the occupancy has the sample, DYNAMIC where the region does, or both

    def sum(self, values: Tensor) -> Tensor:
        """Sums [R, ...] over the samples of each ray of values [M, ...]; differentiable."""
        return values.new_zeros(len(self.far), *values.shape[1:]).index_add(0, self.rows, values)

    def held(self, by: int) -> Tensor:
        """Indices of the samples that the occupancy (STATIC) or the region (DYNAMIC) has."""
        return (self.holds & by).nonzero().squeeze(1)

    def only(self, kept: Tensor) -> "RaySamples":
        """The samples with these indices [K] (ascending), of the same rays."""
        # Rows ascend, so where a ray starts can be looked up: unlike counting, that never waits for a GPU.
        rows = self.rows[kept]
        offsets = torch.searchsorted(rows, torch.arange(len(self.far) + 1, device=rows.device))
        each = (getattr(self, name)[kept] for name in ("z", "dz", "delta", "u", "holds"))
        return RaySamples(self.directions, self.far, offsets, rows, *each)


def sample_rays(
    space: SpaceMap,
    cameras: CameraBatch,
    camera: Tensor,
    uv: Tensor,
    samples: int,
    occupancy: Occupancy | None,
    region: tuple[Region, Tensor] | None = None,
    stop: Tensor | None = None,
    generator: torch.Generator | None = None,
    around: tuple[Tensor, Tensor] | None = None,
) -> RaySamples:
    """Stratified samples along the rays of pixels ``uv`` [R, 2] of ``camera`` [R], kept where something may be.

    Samples are jittered where a generator is given, each on its own.

    Args:
        occupancy: of the static branch; None to keep nothing for its sake.
        region: that of the dynamic branch, and the parts of the capture [R] (:meth:`Region.bits`) that each ray shows.
        stop: [R] z-depths from which on nothing is kept.
        around: z-depths [R, K] to sample as well, and whether [R] a ray does (guided sampling: it adds to the full
            coverage and never replaces it).
    """
    origins, directions = cameras.rays(camera, uv)
    near, far = space.depth_range(origins, directions)
    depths = space.depths(stratified(len(uv), samples, generator, uv.device), near, far)
    stop = torch.full_like(far, torch.inf) if stop is None else stop
    if around is not None:
        extra, wanted = around
        extra = torch.minimum(torch.maximum(extra, near[:, None]), far[:, None])
        # Where none are wanted the last sample is repeated: it then stands for nothing.
        extra = torch.where(wanted[:, None], extra, depths[:, -1:])
        depths = torch.cat([depths, extra], dim=1).sort(dim=1).values
    if kernels.compiled(depths):
        mask = None if occupancy is None else occupancy.mask
        sets = None if region is None else (region[0].sets, region[0].box, region[1])
        rays = kernels.Rays(origins, directions, near, far, stop)
        packed = kernels.march(space.coordinates(), rays, depths, mask, sets)
    else:
        u = space.normalise(origins[:, None] + depths[..., None] * directions[:, None])
        holds = torch.zeros_like(depths, dtype=torch.uint8)
        if occupancy is not None:
            holds |= STATIC * occupancy.mask[occupancy.cells(u)].byte()
        if region is not None:
            holds |= DYNAMIC * region[0].holds(u, region[1]).byte()
        packed = plain.march(u, near, far, depths, holds * (depths < stop[:, None]))
    return RaySamples(directions, far, *packed)


@torch.no_grad()
def lit_samples(
    field: StaticField,
    space: SpaceMap,
    cameras: CameraBatch,
    camera: Tensor,
    uv: Tensor,
    samples: int,
    region: tuple[Region, Tensor],
) -> tuple[RaySamples, Tensor, Tensor]:
    """What :func:`sample_rays` keeps for both branches where more than VISIBLE of the light arrives through the static
    one, and of each sample the optical thickness [M] and rendering weight [M] of that branch.

    What lies behind has no visible colour of its own.
    """
    if not kernels.compiled(field.background):
        traced = sample_rays(space, cameras, camera, uv, samples, field.occupancy, region)
        tau, weights, light = absorbed(field, traced, yields=True)
        kept = (light > VISIBLE).nonzero().squeeze(1)
        return traced.only(kept), tau[kept], weights[kept]
    rays, alone = whole_rays(space, cameras, camera, uv), 1 if space.even else len(uv)
    depths = space.depths(stratified(alone, samples, None, uv.device), rays.near[:alone], rays.far[:alone])
    sets = region[0].sets, region[0].box, region[1]
    known = space.coordinates(), rays, depths, field.occupancy.held(), sets, field.absorption()
    packed, tau, weights = kernels.march_density(*known, VISIBLE)
    return RaySamples(rays.directions, rays.far, *packed), tau, weights


def whole_rays(space: SpaceMap, cameras: CameraBatch, camera: Tensor, uv: Tensor) -> kernels.Rays:
    """The rays of pixels ``uv`` [R, 2] of ``camera`` [R] through the whole space, for marching."""
    origins, directions = cameras.rays(camera, uv)
    near, far = space.depth_range(origins, directions)
    return kernels.Rays(origins, directions, near, far, far)


def marched(
    field: StaticField, space: SpaceMap, rays: kernels.Rays, samples: int, region: tuple[Region, Tensor]
) -> kernels.Lit:
    """What rendering wants of the :func:`lit_samples` of rays, where Triton is."""
    sets = region[0].sets, region[0].box, region[1]
    known = space.coordinates(), rays, samples, field.occupancy.held(), sets, field.absorption()
    return kernels.triton_view().march_lit(*known, VISIBLE)


def absorbed(field: StaticField, samples: RaySamples, yields: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Optical thickness [M] and rendering weight [M] of the static branch, zero where its occupancy has no sample, and
    the light [M] that it lets through to each.

    Args:
        yields: as :func:`yielding` has it.
    """
    here = samples.held(STATIC)
    tau = torch.zeros_like(samples.z)
    tau[here] = field.sigma(samples.u[here]) * samples.delta[here]
    tau = yielding(field, samples, tau) if yields else tau
    weights = kernels.composite(tau, samples.offsets, samples.rows)
    # One minus all weights before it.
    total = torch.cumsum(weights.double(), 0)
    start = torch.cat([total.new_zeros(1), total])[samples.offsets[:-1]]
    return tau, weights, (1 - (total - weights - start[samples.rows])).float()


def yielding(field: StaticField, samples: RaySamples, tau: Tensor) -> Tensor:
    """Optical thickness [M] of the static branch, ``tau`` [M], as other cameras are to see it than those that trained.

    What fewer than two images look at has no depth by evidence: a wall before one's lens reproduces its image as well
    as the scene does. So it yields, along each ray, to what two look at, by as much of the light as that absorbs.
    """
    doubtful = field.occupancy.doubtful(samples.u)
    light = 1 - samples.sum(kernels.composite(torch.where(doubtful, 0.0, tau), samples.offsets, samples.rows))
    light = torch.where(light > VISIBLE, light, 0.0)
    return torch.where(doubtful, tau * light[samples.rows], tau)


@torch.no_grad()
def visible_samples(field: StaticField, samples: RaySamples) -> RaySamples:
    """Those samples that the static branch absorbs anything at and that light reaches: what training can change.

    Densities alone cost a small part of a training step (Li et al. 2023, NerfAcc, section 3), so that several times as
    many rays fit into one.
    """
    tau = field.sigma(samples.u) * samples.delta
    weights = kernels.composite(tau, samples.offsets, samples.rows)
    return samples.only(((weights > 0) & (tau > FAINT)).nonzero().squeeze(1))


@dataclass
class StaticShade:
    """What the static branch shows along R rays."""

    tau: Tensor  # [M] optical thickness
    weights: Tensor  # [M] rendering weights
    rgb: Tensor  # [R, 3] colours over the background, in 0..1 before tone


def shade_static(field: StaticField, samples: RaySamples, yields: bool = False) -> StaticShade:
    """Render the static branch; colours only where the weight matters.

    Args:
        yields: as :func:`yielding` has it.
    """
    tau = field.sigma(samples.u) * samples.delta
    tau = yielding(field, samples, tau) if yields else tau
    weights = kernels.composite(tau, samples.offsets, samples.rows)
    seen = (weights.detach() > VISIBLE).nonzero().squeeze(1)
    rows, w = samples.rows[seen], weights[seen]
    colours = field.colour(samples.u[seen], samples.directions, rows)
    rgb = torch.zeros_like(samples.directions).index_add(0, rows, w[:, None] * colours)
    left = 1 - torch.zeros_like(samples.far).index_add(0, rows, w)
    return StaticShade(tau, weights, rgb + left[:, None] * torch.sigmoid(field.background))


def depth_of(weights: Tensor, samples: RaySamples) -> Tensor:
    """Median z-depth [R] of rendering weights [M]."""
    return kernels.median_depth(weights, samples.z, samples.dz, samples.offsets, samples.rows, samples.far)
