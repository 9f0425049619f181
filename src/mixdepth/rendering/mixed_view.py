"""Frames of the mixed model as a camera sees them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import ON_GPU, Landing, in_chunks
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.progress import Progress
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import DYNAMIC, VISIBLE, RaySamples, depth_of, lit_samples, marched

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
    colours = static.colour(samples.u[seen], samples.directions, rows) - background
    rgb = torch.zeros_like(samples.u)
    rgb[seen] = colours
    shown = kernels.ray_colours(weights[seen][:, None], colours[:, None], rows, len(samples.far))[:, 0]
    return rgb, shown + background


class Moving:
    """Both branches along some of R rays; what is the same at all times is worked out once.

    Args:
        still: optical thickness [M] of the static branch, and its colours [M, 3] by :func:`shade_still`.
        rays: [r] those with dynamic samples, all of them.
    """

    layers: kernels.Layers | kernels.Passed

    def __init__(
        self, static: StaticField, field: DynamicField, samples: RaySamples, still: tuple[Tensor, Tensor], rays: Tensor
    ):
        here = samples.held(DYNAMIC)
        index, place = torch.full_like(samples.rows, -1), samples.rows.new_empty(len(samples.far))
        index[here] = torch.arange(len(here), device=here.device)
        place[rays] = torch.arange(len(rays), device=here.device)
        v = field.region.local(samples.u[here])
        self.static, self.field, self.rays, self.delta = static, field, rays, samples.delta[here]
        self.row, self.v, self.density = place[samples.rows[here]], v, field.series(v)
        self.sets = field.region.sets[field.region.cells(v)]
        tau, rgb = still
        self.layers = kernels.Layers(samples.offsets, samples.rows, samples.z, samples.dz, samples.far, tau, rgb, index)

    @property
    def bytes(self) -> int:
        """What keeping it takes."""
        held = self.rays, self.delta, self.row, self.v, self.density, self.sets, *self.layers
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
        colours = field.colour_at(self.v, lit, frames) - background
        rgb = views.rgb + kernels.ray_colours(shown, colours, self.row[lit], len(self.rays))
        return rgb + (1 - views.faint[..., None]) * background, views.depth


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
    zero, region = torch.zeros(len(uv), dtype=torch.long, device=uv.device), (dynamic.region, parts.expand(len(uv)))
    if kernels.fused(static.background):
        directions, lit = marched(static, space, batch, zero, uv, samples, region)
        background = torch.sigmoid(static.background)
        colours = static.shown(lit.u, directions, lit.rows, background)
        still = kernels.sum_still(lit.weights, colours, lit.counts, lit.ends, background)
        fused = FusedMoving(static, dynamic, lit, colours) if len(lit.rays) else None
        return Traced(static.tone(still, None), lit.depth, fused)
    traced, tau, weights = lit_samples(static, space, batch, zero, uv, samples, region)
    colours, still = shade_still(static, traced, weights)
    moves = torch.zeros(len(uv), dtype=torch.bool, device=uv.device)
    moves[traced.rows[traced.held(DYNAMIC)]] = True
    rays = moves.nonzero().squeeze(1)
    moving = Moving(static, dynamic, traced, (tau, colours), rays) if len(rays) else None
    return Traced(static.tone(still, None), depth_of(weights, traced), moving)


@torch.no_grad()
def render_video(
    static: StaticField,
    dynamic: DynamicField,
    space: SpaceMap,
    camera: Camera,
    samples: int,
    frames: Tensor | None = None,
    progress: Progress | None = None,
    out: tuple[np.ndarray, np.ndarray] | None = None,
    gain: Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames as ``camera`` sees them, in the mean tone.

    Rays that do not meet the dynamic region at any of the frames are rendered once for all, and on the others the
    static branch is evaluated once.

    Args:
        frames: [T] those wanted (int64), or times between them (float64, in frames); None: all.
        progress: counts a step per pixel and frame.
        gain: [T, 3] exposure of each frame (:meth:`DynamicField.exposure`); None: the usual one.
        out: what is returned, where it is there already (a file's memory map, say).

    Returns:
        rgb [T, H, W, 3] uint8 and z-depth [T, H, W] float32, finite, world units.
    """
    device, landing = space.device, Landing()
    wanted = (torch.arange(dynamic.frames) if frames is None else frames).to(device)
    batch, grid = CameraBatch([camera], device), pixel_grid(camera, device)
    count, pixels = len(wanted), len(grid)
    size = (count, camera.height, camera.width)
    pictures, surfaces = out or (np.empty((*size, 3), np.uint8), np.empty(size, np.float32))
    rgb, depth = pictures.reshape(count, pixels, 3), surfaces.reshape(count, pixels)
    every = dynamic.region.bits(wanted[None])
    light = torch.ones(count, 3, device=device) if gain is None else gain.to(device)
    steady = bool((light == 1).all())

    def show(part: slice) -> None:
        rays = trace(static, dynamic, space, batch, grid[part], samples, every)
        if not rays.moving and steady:
            rgb[:, part], depth[:, part] = landing(quantised(rays.rgb)), landing(rays.depth)
        else:
            for start in range(0, count, kernels.FRAMES):
                times = slice(start, start + kernels.FRAMES)
                shown, depths = rays.at(wanted[times])
                shown *= light[times, None]
                rgb[times, part], depth[times, part] = landing(quantised(shown)), landing(depths)
        if progress:
            progress.update(len(grid[part]) * count)

    in_chunks(show, pixels, samples, device, ON_CPU, FUSED if kernels.fused(static.background) else ON_GPU)
    return pictures, surfaces
