"""Rendering of the mixed model: static and dynamic branch composited with ``add`` (densities add)."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.compute.device import in_chunks
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.trace import DYNAMIC, STATIC, VISIBLE, RaySamples, sample_rays


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
    density: Tensor  # [D, features] DynamicField.density_features there
    colours: Callable[[Tensor], Tensor]  # from some of 0 .. D - 1 [L] to DynamicField.colour_features there [L, width]
    depths: tuple[Tensor, Tensor, Tensor] | None  # z [M], dz [M] and far [R] of all samples, to render depth
    sets: Tensor | None = None  # [D] parts of the capture that the cell of each has: frames outside them do not see it

    def during(self, parts: Tensor) -> "Layers":
        """With those dynamic samples only that are seen in any of the ``parts`` [1] of the capture (a set, int32)."""
        assert self.sets is not None  # as :func:`layers_along` makes them
        here = (self.sets & parts).nonzero().squeeze(1)
        place = torch.full((len(self.ray) + 1,), -1, device=here.device)  # its last is that of -1: none
        place[here] = torch.arange(len(here), device=here.device)
        own = {name: getattr(self, name)[here] for name in ("ray", "z", "delta", "v", "density", "sets")}
        return replace(self, index=place[self.index], colours=lambda some: self.colours(here[some]), **own)


class Once:
    """A function of the numbers 0 .. N - 1, whose values are worked out when they are first asked for, and kept.

    Args:
        function: from some of them [L], in any order, to their values [L, width]; no gradient goes through it.
        values: [N, width], anything.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], values: Tensor):
        self.function, self.values = function, values
        self.known = torch.zeros(len(values), dtype=torch.bool, device=values.device)

    def __call__(self, some: Tensor) -> Tensor:
        new = some[~self.known[some]]
        self.values[new], self.known[new] = self.function(new), True
        return self.values[some]


@dataclass
class MixedShade:
    """What R rays show at F frames."""

    rgb: Tensor  # [R, F, 3] before tone
    depth: Tensor | None  # [R, F] median z-depth, where the layers have depths
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
    if layers.sets is not None:  # one group of frames, no gradient
        tau *= layers.sets[:, None] & field.region.bits(frames[0, :, None]) != 0
    weight, rgb, left, depth = kernels.composite_mixed(
        layers.tau, layers.rgb, layers.index, tau, layers.offsets, layers.rows, layers.depths
    )
    # Colours of the dynamic branch where any of the frames shows it.
    lit = (weight.detach().amax(1) > VISIBLE).nonzero().squeeze(1)
    shown = weight[lit]
    if layers.sets is not None:
        shown *= shown > VISIBLE
    colour = field.colour(layers.colours(lit), frames, _counts(lit, counts))
    rgb = rgb + kernels.ray_colours(shown, colour, layers.ray[lit], len(rgb))
    rgb = rgb + left[..., None] * torch.sigmoid(static.background)
    return MixedShade(rgb, depth, weight, lit)


def _counts(numbers: Tensor, sizes: Sequence[int]) -> list[int]:
    """How many of ``numbers`` [N] (ascending) are below ``sizes[0]``, of the ``sizes[1]`` after it, and so on."""
    if len(sizes) == 1:
        return [len(numbers)]
    edges = torch.tensor([0, *itertools.accumulate(sizes)], device=numbers.device)
    return torch.searchsorted(numbers, edges).diff().tolist()


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
    rgb[seen] = static.colour(samples.u[seen], samples.directions, samples.rows[seen])
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
    v = field.region.local(samples.u[here])
    own = samples.rows[here], samples.z[here], samples.delta[here], v, field.density_features(v)
    colours = Once(lambda some: field.colour_features(v[some]), v.new_empty(len(v), field.width))
    depths, sets = (samples.z, samples.dz, samples.far), field.region.sets[field.region.cells(v)]
    return Layers(samples.offsets, samples.rows, tau, rgb, index, *own, colours, depths, sets)


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
        return Layers(*static, *own, lambda some: field.colour_features(v[some]), None)


@torch.no_grad()
def cache_static(
    static: StaticField, space: SpaceMap, cameras: CameraBatch, camera: Tensor, uv: Tensor, samples: int
) -> StaticCache:
    """The visible samples of the static branch at pixels ``uv`` [P, 2] of ``camera`` [P]."""
    parts = []

    def keep(part: slice) -> None:
        traced = sample_rays(space, cameras, camera[part], uv[part], samples, static.occupancy)
        tau, rgb, light = static_samples(static, traced)
        seen = ((rgb > 0).any(1)).nonzero().squeeze(1)
        dark = torch.where(light > VISIBLE, torch.full_like(light, torch.inf), traced.z)
        stop = torch.full_like(traced.far, torch.inf).scatter_reduce(0, traced.rows, dark, "amin")
        kept = traced.only(seen)
        parts.append((kept.offsets.diff(), kept.z, tau[seen], rgb[seen], stop))

    in_chunks(keep, len(uv), samples, space.device)
    count, z, tau, rgb, stop = (torch.cat(part) for part in zip(*parts, strict=True))
    return StaticCache(torch.cat([count.new_zeros(1), count.cumsum(0)]), z, tau, rgb, stop)
