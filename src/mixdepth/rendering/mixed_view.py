"""Frames of the mixed model as a camera sees them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import Landing, in_chunks
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.progress import Progress
from mixdepth.rendering.mixed import layers_along, shade_mixed
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import DYNAMIC, RaySamples, depth_of, sample_rays, shade_static

BLOCK = 16  # frames at once


def quantised(rgb: Tensor) -> Tensor:
    """Colours in 0..1 to uint8, rounded."""
    return rgb.clamp(0, 1).mul(255).round().byte()


def _still(static: StaticField, traced: RaySamples) -> tuple[Tensor, Tensor]:
    """Colours [R, 3] and z-depth [R] of rays that do not meet the dynamic region."""
    shade = shade_static(static, traced)
    return static.tone(shade.rgb, None), depth_of(shade.weights, traced)


def _moving(
    static: StaticField, dynamic: DynamicField, traced: RaySamples, wanted: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Of the other rays, by blocks of the frames ``wanted`` [T]: which frames these are, colours [F, R, 3] and z-depth
    [F, R]."""
    if not len(traced.far):
        for start in range(0, len(wanted), BLOCK):
            frames = len(wanted[start : start + BLOCK])
            yield slice(start, start + BLOCK), traced.z.new_empty(frames, 0, 3), traced.z.new_empty(frames, 0)
        return
    layers = layers_along(static, dynamic, traced)
    for start in range(0, len(wanted), BLOCK):
        times = slice(start, start + BLOCK)
        block = wanted[None, times]
        here = layers.during(dynamic.region.bits(block))
        mixed = shade_mixed(static, dynamic, here, block, [len(traced.far)])
        assert mixed.depth is not None  # these layers have depths
        yield times, static.tone(mixed.rgb, None).transpose(0, 1), mixed.depth.t()


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
        uv = grid[part]
        zero, region = torch.zeros(len(uv), dtype=torch.long, device=device), (dynamic.region, every.expand(len(uv)))
        traced = sample_rays(space, batch, zero, uv, samples, static.occupancy, region)
        moves = torch.zeros(len(uv), dtype=torch.bool, device=device)
        moves[traced.rows[traced.held(DYNAMIC)]] = True
        still, moving = (~moves).nonzero().squeeze(1), moves.nonzero().squeeze(1)
        picture = torch.zeros(len(uv), 3, device=device)
        surface = torch.zeros(len(uv), device=device)
        if len(still):
            picture[still], surface[still] = _still(static, traced.of(still))
        if not len(moving) and steady:
            rgb[:, part], depth[:, part] = landing(quantised(picture)), landing(surface)
        else:
            for times, moved, z in _moving(static, dynamic, traced.of(moving), wanted):
                colours, depths = picture.repeat(len(z), 1, 1), surface.repeat(len(z), 1)
                colours[:, moving], depths[:, moving] = moved, z
                colours *= light[times, None]
                rgb[times, part], depth[times, part] = landing(quantised(colours)), landing(depths)
        if progress:
            progress.update(len(uv) * count)

    in_chunks(show, pixels, samples, device)
    return pictures, surfaces
