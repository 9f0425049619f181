"""Frames of the mixed model as a camera sees them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import ON_GPU, Landing, in_chunks
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region, around
from mixdepth.fields.static import StaticField
from mixdepth.progress import Progress
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import DYNAMIC, VISIBLE, RaySamples, depth_of, lit_samples, marched, whole_rays

ON_CPU = 1 << 20  # samples along rays that are rendered at once there, of which a quarter or less is kept
FUSED = 1 << 29  # the same where Triton's kernels march, which write down a twentieth: a picture of 1352x1014 at once


def quantised(rgb: Tensor) -> Tensor:
    """Colours in 0..1 to uint8, rounded."""
    return rgb.clamp(0, 1).mul(255).round().byte()


def shade_still(static: StaticField, samples: RaySamples, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Colours of the static branch: of samples [M, 3], less the background's and zero where they are faint, and of rays
    [R, 3], as :func:`~mixdepth.rendering.trace.shade_static` has them."""
    background = torch.sigmoid(static.background)
    seen = (weights > VISIBLE).nonzero().squeeze(1)
    rows = samples.rows[seen]
    colours = static.shown(samples.u[seen], samples.directions, rows, background)
    rgb = torch.zeros_like(samples.u)
    rgb[seen] = colours
    shown = kernels.ray_colours(weights[seen][:, None], colours[:, None], rows, len(samples.far))[:, 0]
    return rgb, shown + background


@dataclass
class Still:
    """What R rays show of the static branch, and where on them the dynamic one may have something."""

    samples: RaySamples  # of both branches
    tau: Tensor  # [M] optical thickness of the static one, and its colours [M, 3] by :func:`shade_still`
    colours: Tensor
    rgb: Tensor  # [R, 3] and z-depth [R] of the static branch alone, in the mean tone
    depth: Tensor


class Moving:
    """Both branches along some of R rays; what is the same at all times is worked out once.

    Args:
        here: [D] the samples of ``still`` that are the dynamic branch's, ascending.
    """

    layers: kernels.Layers | kernels.Passed
    colours: Tensor | None = None  # [D, width] colour features of the samples that are ``known`` [D]
    known: Tensor

    def __init__(self, static: StaticField, field: DynamicField, still: Still, here: Tensor):
        samples, v = still.samples, field.region.local(still.samples.u[here])
        index = torch.full_like(samples.rows, -1)
        index[here] = torch.arange(len(here), device=here.device)
        self.rays, self.row = samples.rows[here].unique_consecutive(return_inverse=True)
        self.static, self.field, self.delta = static, field, samples.delta[here]
        self.v, self.density = v, field.series(v)
        self.sets = field.region.sets[field.region.cells(v)]
        packed = samples.offsets, samples.rows, samples.z, samples.dz, samples.far
        self.layers = kernels.Layers(*packed, still.tau, still.colours, index)

    @property
    def bytes(self) -> int:
        """What keeping it takes."""
        held = self.rays, self.delta, self.row, self.v, self.density, self.sets, self.colours, *self.layers
        return sum(part.nbytes for part in held if isinstance(part, Tensor))

    def at(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Colours before tone [r, F, 3] and z-depth [r, F] at ``frames`` [F], at most ``kernels.FRAMES``.

        A frame shows the same whatever other frames and rays are rendered with it, but for rounding: each is shown the
        cells of its own part of the capture.
        """
        field = self.field
        tau, parts = field.thickness_at(self.density, self.delta, frames), field.region.bits(frames[:, None])
        views, lit, shown = kernels.composite_frames(self.layers, self.rays, tau, self.sets, parts, VISIBLE)
        background = torch.sigmoid(self.static.background)
        colours = self._colours(lit, frames) - background
        rgb = views.rgb + kernels.ray_colours(shown, colours, self.row[lit], len(self.rays))
        return rgb + (1 - views.faint[..., None]) * background, views.depth

    def _colours(self, lit: Tensor, frames: Tensor) -> Tensor:
        """Colours [L, F, 3] of the samples ``lit`` [L]; of several frames what is the same in all is kept."""
        if kernels.fused(self.v) or len(frames) == 1:
            return self.field.colour_at(self.v, lit, frames)
        if self.colours is None:
            self.known = torch.zeros_like(self.sets, dtype=torch.bool)
            self.colours = self.v.new_empty(len(self.v), self.field.width)
        new = lit[~self.known[lit]]
        self.colours[new], self.known[new] = self.field.colour_features(self.v[new]), True
        return self.field.colour(self.colours[lit], frames[None], [len(lit)])


class FusedMoving(Moving):
    """The same of what Triton has marched, with colours [S, 3] of the static branch by :meth:`StaticField.shown`."""

    def __init__(self, static: StaticField, field: DynamicField, lit: kernels.Lit, colours: Tensor):
        self.static, self.field, self.layers = static, field, lit.layers._replace(colours=colours)
        self.rays, self.row, self.v, self.delta, self.sets = lit.rays, lit.row, lit.v, lit.delta, lit.sets
        self.density = field.series(lit.v)


@dataclass
class Traced:
    """What R rays show at any of the times that they were traced for."""

    rgb: Tensor  # [R, 3] and z-depth [R] of the static branch, in the mean tone
    depth: Tensor
    moving: Moving | None  # both branches along those that meet the dynamic region, where there are any

    @property
    def bytes(self) -> int:
        """What keeping them takes."""
        return self.rgb.nbytes + self.depth.nbytes + (self.moving.bytes if self.moving else 0)

    def at(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Colours [F, R, 3] in the mean tone and z-depth [F, R] at ``frames`` [F], at most ``kernels.FRAMES``."""
        rgb, depth = self.rgb.repeat(len(frames), 1, 1), self.depth.repeat(len(frames), 1)
        if self.moving:
            colours, z = self.moving.at(frames)
            rgb[:, self.moving.rays] = self.moving.static.tone(colours, None).transpose(0, 1)
            depth[:, self.moving.rays] = z.t()
        return rgb, depth


@torch.no_grad()
def trace_still(
    static: StaticField, space: SpaceMap, batch: CameraBatch, uv: Tensor, samples: int, region: tuple[Region, Tensor]
) -> Still:
    """The rays of pixels ``uv`` [R, 2] of the one camera in ``batch``, with the samples that ``region`` has in parts
    [1] of the capture, too."""
    zero, within = torch.zeros(len(uv), dtype=torch.long, device=uv.device), (region[0], region[1].expand(len(uv)))
    traced, tau, weights = lit_samples(static, space, batch, zero, uv, samples, within)
    colours, rgb = shade_still(static, traced, weights)
    return Still(traced, tau, colours, static.tone(rgb, None), depth_of(weights, traced))


@torch.no_grad()
def add_moving(static: StaticField, dynamic: DynamicField, still: Still, parts: Tensor) -> Traced:
    """What rays show with a dynamic branch, whose region is part of that they were traced with, in the ``parts`` [1] of
    the capture."""
    here = still.samples.held(DYNAMIC)
    here = here[dynamic.region.holds(still.samples.u[here][:, None], parts.expand(len(here)))[:, 0]]
    return Traced(still.rgb, still.depth, Moving(static, dynamic, still, here) if len(here) else None)


@torch.no_grad()
def trace(
    static: StaticField,
    dynamic: DynamicField,
    space: SpaceMap,
    batch: CameraBatch,
    uv: Tensor,
    samples: int,
    parts: Tensor,
) -> Traced:
    """The rays of pixels ``uv`` [R, 2] of the one camera in ``batch``, for the ``parts`` [1] of the capture."""
    if not kernels.fused(static.background):
        still = trace_still(static, space, batch, uv, samples, (dynamic.region, parts))
        return add_moving(static, dynamic, still, parts)
    rays = whole_rays(space, batch, torch.zeros(len(uv), dtype=torch.long, device=uv.device), uv)
    lit = marched(static, space, rays, samples, (dynamic.region, parts.expand(len(uv))))
    background = torch.sigmoid(static.background)
    colours = static.shown(lit.u, rays.directions, lit.rows, background)
    rgb = kernels.triton_view().sum_still(lit.weights, colours, lit.counts, lit.ends, background)
    moving = FusedMoving(static, dynamic, lit, colours) if len(lit.rays) else None
    return Traced(static.tone(rgb, None), lit.depth, moving)


class Part(NamedTuple):
    """What a segment shows of a video."""

    field: DynamicField
    frames: np.ndarray  # [K] of the video, ascending
    times: Tensor  # [K] the same of the segment, in its frames (int64), or between them (float64)
    share: np.ndarray  # [K] in the picture, over what the segments before it show; 1 where it alone is shown
    gain: Tensor  # [K, 3] exposure (:meth:`DynamicField.exposure`)


def render_video(
    static: StaticField,
    dynamic: DynamicField,
    space: SpaceMap,
    camera: Camera,
    samples: int,
    frames: Tensor | None = None,
    gain: Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of one segment as ``camera`` sees them, in the mean tone.

    Args:
        frames: [T] those wanted (int64), or times between them (float64, in frames); None: all.
        gain: [T, 3] exposure of each frame (:meth:`DynamicField.exposure`); None: the usual one.

    Returns:
        rgb [T, H, W, 3] uint8 and z-depth [T, H, W] float32, finite, world units.
    """
    times = torch.arange(dynamic.frames) if frames is None else frames
    size = (len(times), camera.height, camera.width)
    out = np.empty((*size, 3), np.uint8), np.empty(size, np.float32)
    gain = torch.ones(len(times), 3) if gain is None else gain
    part = Part(dynamic, np.arange(len(times)), times, np.ones(len(times)), gain)
    render_parts(static, [part], space, camera, samples, out)
    return out


@torch.no_grad()
def render_parts(
    static: StaticField,
    parts: Sequence[Part],
    space: SpaceMap,
    camera: Camera,
    samples: int,
    out: tuple[np.ndarray, np.ndarray],
    progress: Progress | None = None,
) -> None:
    """What segments show of a video as ``camera`` sees it, in the mean tone.

    The static branch is evaluated once for all of them. Rays that do not meet the dynamic region of a segment at any of
    its frames are shaded once for it.

    Args:
        out: rgb [T, H, W, 3] uint8 and z-depth [T, H, W] float32 (finite, world units) of the video; written at the
            frames of the parts, or faded from what is there.
        progress: counts a step per pixel and frame of each part.
    """
    device, landing = space.device, Landing()
    batch, grid = CameraBatch([camera], device), pixel_grid(camera, device)
    pictures = tuple(of.reshape(len(of), len(grid), *of.shape[3:]) for of in out)
    times = [part.times.to(device) for part in parts]
    bits = [part.field.region.bits(wanted[None]) for part, wanted in zip(parts, times, strict=True)]
    region = parts[0].field.region, bits[0]
    if len(parts) > 1:
        whole = around([part.field.region for part in parts])
        region = whole, torch.ones_like(bits[0])
    fused = kernels.fused(static.background)

    def traced(uv: Tensor) -> Iterator[Traced]:
        """Of each part. Triton's kernels march for each: that is cheaper than to keep what the rays of all pass."""
        still = None if fused else trace_still(static, space, batch, uv, samples, region)
        for part, every in zip(parts, bits, strict=True):
            if still is None:
                yield trace(static, part.field, space, batch, uv, samples, every)
            else:
                yield add_moving(static, part.field, still, every)

    def show(pixels: slice) -> None:
        for part, wanted, rays in zip(parts, times, traced(grid[pixels]), strict=True):
            light = part.gain.to(device)
            if not rays.moving and (light == 1).all() and (part.share == 1).all():
                for of, shown in zip(pictures, (quantised(rays.rgb), rays.depth), strict=True):
                    of[part.frames, pixels] = landing(shown)
                continue
            for start in range(0, len(wanted), kernels.FRAMES):
                some = slice(start, start + kernels.FRAMES)
                rgb, depth = rays.at(wanted[some])
                rgb *= light[some, None]
                fade(pictures, part.frames[some], pixels, (landing(quantised(rgb)), landing(depth)), part.share[some])
        if progress:
            progress.update(len(grid[pixels]) * sum(map(len, times)))

    in_chunks(show, len(grid), samples, device, ON_CPU, FUSED if fused else ON_GPU)


def fade(
    pictures: tuple[np.ndarray, ...],
    frames: np.ndarray,
    pixels: slice,
    after: tuple[np.ndarray, np.ndarray],
    shares: np.ndarray,
) -> None:
    """Fade what ``pictures`` (colour [T, P, 3], z-depth [T, P]) have of some ``frames`` [K] and pixels to ``after``."""
    if (shares < 1).any():
        before = pictures[0][frames, pixels], pictures[1][frames, pixels]
        blend(before, after, shares)
        after = before
    for of, shown in zip(pictures, after, strict=True):
        of[frames, pixels] = shown


def blend(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], shares_of_after: np.ndarray
) -> None:
    """Fade ``before`` (rgb [T, ..., 3], depth [T, ...]) in place to ``after``, whose shares are given [T]. Depths,
    whose mean is no surface, change in the middle."""
    for index, share in enumerate(shares_of_after):
        mixed = (1 - share) * before[0][index].astype(np.float32) + share * after[0][index]
        before[0][index] = np.rint(mixed).astype(np.uint8)
        if share > 0.5:
            before[1][index] = after[1][index]
