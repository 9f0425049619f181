"""The mixed model in training: static and dynamic branch composited with ``add`` (densities add)."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.compute.device import in_chunks
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.trace import VISIBLE, RaySamples, absorbed, sample_rays


@dataclass
class Layers:
    """The static branch along R rays, the same at all frames, and the D samples where the dynamic one is trained."""

    offsets: Tensor  # [R + 1], rows [M]: of the packed samples of both branches
    rows: Tensor
    tau: Tensor  # [M] optical thickness of the static branch
    rgb: Tensor  # [M, 3] its colours
    index: Tensor  # [M] the dynamic sample at the same place, -1 where there is none
    ray: Tensor  # [D] the ray of each dynamic sample
    z: Tensor  # [D] its z-depth
    delta: Tensor  # [D] its length, normalised units
    v: Tensor  # [D, 3] its place in the region's box
    density: Tensor  # [D, features] DynamicField.density_features there
    colours: Callable[[Tensor], Tensor]  # from some of 0 .. D - 1 [L] to DynamicField.colour_features there [L, width]


@dataclass
class MixedShade:
    """What R rays show at F frames."""

    rgb: Tensor  # [R, F, 3] before tone
    weight: Tensor  # [D, F] the dynamic branch's share of the weights
    lit: Tensor  # [L] the dynamic samples that have more than VISIBLE of them at any frame


def shade_mixed(
    static: StaticField, field: DynamicField, layers: Layers, frames: Tensor, rays: Sequence[int]
) -> MixedShade:
    """Composite both branches; the static one takes no gradient: it is trained before.

    Args:
        frames: [G, F], for the first ``rays[0]`` rays, the next ``rays[1]``, ...
    """
    counts = _counts(layers.ray, rays)
    tau = field.thickness(layers.density, layers.delta, frames, counts)
    weight, rgb, left, _ = kernels.composite_mixed(
        layers.tau, layers.rgb, layers.index, tau, layers.offsets, layers.rows
    )
    # Colours of the dynamic branch where any of the frames shows it.
    lit = (weight.detach().amax(1) > VISIBLE).nonzero().squeeze(1)
    colour = field.colour(layers.colours(lit), frames, _counts(lit, counts))
    rgb = rgb + kernels.ray_colours(weight[lit], colour, layers.ray[lit], len(rgb))
    rgb = rgb + left[..., None] * torch.sigmoid(static.background)
    return MixedShade(rgb, weight, lit)


def _counts(numbers: Tensor, sizes: Sequence[int]) -> list[int]:
    """How many of ``numbers`` [N] (ascending) are below ``sizes[0]``, of the ``sizes[1]`` after it, and so on."""
    if len(sizes) == 1:
        return [len(numbers)]
    edges = torch.tensor([0, *itertools.accumulate(sizes)], device=numbers.device)
    return torch.searchsorted(numbers, edges).diff().tolist()


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
        v = field.region.local(samples.u)
        own = samples.rows, samples.z, samples.delta, v, field.density_features(v)
        return Layers(*static, *own, lambda some: field.colour_features(v[some]))


@torch.no_grad()
def cache_static(
    static: StaticField, space: SpaceMap, cameras: CameraBatch, camera: Tensor, uv: Tensor, samples: int
) -> StaticCache:
    """The visible samples of the static branch at pixels ``uv`` [P, 2] of ``camera`` [P]."""
    parts = []

    def keep(part: slice) -> None:
        traced = sample_rays(space, cameras, camera[part], uv[part], samples, static.occupancy)
        tau, weights, light = absorbed(static, traced)
        seen = (weights > VISIBLE).nonzero().squeeze(1)
        rgb = static.colour(traced.u[seen], traced.directions, traced.rows[seen])
        dark = torch.where(light > VISIBLE, torch.full_like(light, torch.inf), traced.z)
        stop = torch.full_like(traced.far, torch.inf).scatter_reduce(0, traced.rows, dark, "amin")
        kept = traced.only(seen)
        parts.append((kept.offsets.diff(), kept.z, tau[seen], rgb, stop))

    in_chunks(keep, len(uv), samples, space.device)
    count, z, tau, rgb, stop = (torch.cat(part) for part in zip(*parts, strict=True))
    return StaticCache(torch.cat([count.new_zeros(1), count.cumsum(0)]), z, tau, rgb, stop)
