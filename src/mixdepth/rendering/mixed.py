"""Rendering of the mixed model: static and dynamic branch composited with ``add`` (densities add)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.device import chunk
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.trace import DYNAMIC, STATIC, VISIBLE, RaySamples, sample_rays

CHUNK = 4096  # rays at once, where the static branch is kept per pixel


@dataclass
class Layers:
    """The static branch along R rays, the same at all frames, and the D samples where the dynamic one is evaluated."""

    offsets: Tensor  # [R + 1], rows [M]: of the packed samples of both branches
    rows: Tensor
    tau: Tensor  # [M] optical thickness of the static branch
    rgb: Tensor  # [M, 3] its colours where visible, else zero
    index: Tensor  # [M] the dynamic sample at the same place, -1 where there is none
    ray: Tensor  # [D] the ray of each dynamic sample
    z: Tensor  # [D] its z-depth
    delta: Tensor  # [D] its length, normalised units
    v: Tensor  # [D, 3] its place in the region's box
    depths: tuple[Tensor, Tensor, Tensor] | None  # z [M], dz [M] and far [R] of all samples, to render depth
    sets: Tensor | None = None  # [D] parts of the capture that the cell of each has: frames outside them do not see it


@dataclass
class MixedShade:
    """What R rays show at F frames."""

    rgb: Tensor  # [R, F, 3] before tone
    depth: Tensor | None  # [R, F] median z-depth, where the layers have depths
    weight: Tensor  # [D, F] the dynamic branch's share of the weights


def shade_mixed(
    static: StaticField, field: DynamicField, layers: Layers, frames: Tensor, rays: Sequence[int]
) -> MixedShade:
    """Composite both branches; the static one takes no gradient: it is trained before.

    Args:
        frames: [G, F], for the first ``rays[0]`` rays, the next ``rays[1]``, ...
    """
    edges = torch.cumsum(torch.tensor([0, *rays], device=layers.ray.device), 0)

    def counts(ray: Tensor) -> list[int]:
        return torch.diff(torch.searchsorted(ray, edges)).tolist()

    tau = field.sigma(layers.v, frames, counts(layers.ray)) * layers.delta[:, None]
    if layers.sets is not None:  # one group of frames, no gradient
        tau *= layers.sets[:, None] & field.region.bits(frames[0, :, None]) != 0
    weight, rgb, left, depth = kernels.composite_mixed(
        layers.tau, layers.rgb, layers.index, tau, layers.offsets, layers.rows, layers.depths
    )
    # Colours of the dynamic branch where any of the frames shows it.
    lit = (weight.detach().amax(1) > VISIBLE).nonzero().squeeze(1)
    ray = layers.ray[lit]
    shown = weight[lit]
    if layers.sets is not None:
        shown *= shown > VISIBLE
    colour = shown[..., None] * field.colour(layers.v[lit], frames, counts(ray))
    rgb = rgb.index_add(0, ray, colour) + left[..., None] * torch.sigmoid(static.background)
    return MixedShade(rgb, depth, weight)


@torch.no_grad()
def static_samples(
    static: StaticField, samples: RaySamples, faint: Tensor | float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Optical thickness [M] and colours [M, 3] of the static branch, ``faint`` where it is empty or hidden, and the
    light [M] that it lets through to each sample."""
    here = samples.held(STATIC)
    tau = torch.zeros_like(samples.z)
    tau[here] = static.sigma(samples.u[here]) * samples.delta[here]
    weights = kernels.composite(tau, samples.offsets, samples.rows)
    seen = (weights > VISIBLE).nonzero().squeeze(1)
    rgb = tau.new_empty(len(tau), 3)
    rgb[:] = faint
    rgb[seen] = static.colour(samples.u[seen], samples.directions[samples.rows[seen]])
    # One minus all weights before it.
    total = torch.cumsum(weights.double(), 0)
    start = torch.cat([total.new_zeros(1), total])[samples.offsets[:-1]]
    return tau, rgb, (1 - (total - weights - start[samples.rows])).float()


@torch.no_grad()
def layers_along(static: StaticField, field: DynamicField, samples: RaySamples) -> Layers:
    """Layers for rendering, with depths, of samples taken for both branches.

    The dynamic branch is evaluated where light arrives through the static one. A frame shows the same whatever other
    frames and rays are rendered with it, but for rounding: each is shown the cells of its own part of the capture, and
    faint static samples have the background's colour, as in :func:`~mixdepth.rendering.trace.shade_static`.
    """
    tau, rgb, light = static_samples(static, samples, torch.sigmoid(static.background))
    held = samples.held(DYNAMIC)
    here = held[light[held] > VISIBLE]
    index = torch.full_like(samples.rows, -1)
    index[here] = torch.arange(len(here), device=here.device)
    own = samples.rows[here], samples.z[here], samples.delta[here], field.region.local(samples.u[here])
    sets = field.region.sets[field.region.cells(own[-1])]
    return Layers(samples.offsets, samples.rows, tau, rgb, index, *own, (samples.z, samples.dz, samples.far), sets)


@dataclass
class StaticCache:
    """What the static branch, which is not trained any more, shows at P pixels: a few samples each."""

    offsets: Tensor  # [P + 1]
    z: Tensor  # [K] z-depth
    tau: Tensor  # [K] optical thickness
    rgb: Tensor  # [K, 3]
    stop: Tensor  # [P] z-depth behind which no light arrives; infinite where some always does

    def layers(self, field: DynamicField, pick: Tensor, samples: RaySamples) -> Layers:
        """Layers of rays that show the pixels ``pick`` [R], with samples taken for the dynamic branch only."""
        cached = self.offsets, self.z, self.tau, self.rgb
        static = kernels.merge(pick, cached, samples.offsets, samples.rows, samples.z)
        return Layers(*static, samples.rows, samples.z, samples.delta, field.region.local(samples.u), None)


@torch.no_grad()
def cache_static(
    static: StaticField, space: SpaceMap, cameras: CameraBatch, camera: Tensor, uv: Tensor, samples: int
) -> StaticCache:
    """The visible samples of the static branch at pixels ``uv`` [P, 2] of ``camera`` [P]."""
    count, stop, parts = [], [], []
    for chosen in torch.arange(len(uv), device=space.device).split(chunk(CHUNK, space.device)):
        traced = sample_rays(space, cameras, camera[chosen], uv[chosen], samples, static.occupancy)
        tau, rgb, light = static_samples(static, traced)
        seen = ((rgb > 0).any(1)).nonzero().squeeze(1)
        count.append(torch.bincount(traced.rows[seen], minlength=len(chosen)))
        parts.append((traced.z[seen], tau[seen], rgb[seen]))
        dark = torch.where(light > VISIBLE, torch.full_like(light, torch.inf), traced.z)
        stop.append(torch.full_like(traced.far, torch.inf).scatter_reduce(0, traced.rows, dark, "amin"))
    z, tau, rgb = (torch.cat(part) for part in zip(*parts, strict=True))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64, device=z.device), torch.cat(count).cumsum(0)])
    return StaticCache(offsets, z, tau, rgb, torch.cat(stop))
