"""Frames of the mixed model as a camera sees them."""

import numpy as np
import torch
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.device import chunk
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.progress import Progress
from mixdepth.rendering.mixed import layers_along, shade_mixed
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import depth_of, sample_rays, shade_static

CHUNK = 2048  # rays at once
BLOCK = 16  # frames at once


def quantised(rgb: Tensor) -> Tensor:
    """Colours in 0..1 to uint8, rounded."""
    return rgb.clamp(0, 1).mul(255).round().byte()


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
) -> tuple[np.ndarray, np.ndarray]:
    """Frames as ``camera`` sees them, in the mean tone.

    Rays that do not meet the dynamic region at any of the frames are rendered once for all, and on the others the
    static branch is evaluated once.

    Args:
        frames: [T] those wanted (int64), or times between them (float64, in frames); None: all.
        progress: counts a step per pixel and frame.
        out: what is returned, where it is there already (a file's memory map, say).

    Returns:
        rgb [T, H, W, 3] uint8 and z-depth [T, H, W] float32, finite, world units.
    """
    device = space.device
    wanted = (torch.arange(dynamic.frames) if frames is None else frames).to(device)
    batch = CameraBatch([camera], device)
    count, pixels = len(wanted), camera.width * camera.height
    size = (count, camera.height, camera.width)
    pictures, surfaces = out or (np.empty((*size, 3), np.uint8), np.empty(size, np.float32))
    rgb, depth = pictures.reshape(count, pixels, 3), surfaces.reshape(count, pixels)
    every = dynamic.region.bits(wanted[None])
    first = 0
    for uv in pixel_grid(camera, device).split(chunk(CHUNK, device)):
        here = slice(first, first := first + len(uv))
        zero = torch.zeros(len(uv), dtype=torch.long, device=device)
        met = sample_rays(space, batch, zero, uv, samples, None, (dynamic.region, every.expand(len(uv))))
        moves = torch.zeros(len(uv), dtype=torch.bool, device=device)
        moves[met.rows] = True
        still, moving = (~moves).nonzero().squeeze(1), moves.nonzero().squeeze(1)
        picture = torch.zeros(len(uv), 3, dtype=torch.uint8, device=device)
        surface = torch.zeros(len(uv), device=device)
        if len(still):
            traced = sample_rays(space, batch, zero[: len(still)], uv[still], samples, static.occupancy)
            shade = shade_static(static, traced)
            picture[still] = quantised(static.tone(shade.rgb, None))
            surface[still] = depth_of(shade.weights, traced)
        rgb[:, here], depth[:, here] = picture.cpu().numpy(), surface.cpu().numpy()
        if len(moving):
            region = dynamic.region, every.expand(len(moving))
            traced = sample_rays(space, batch, zero[: len(moving)], uv[moving], samples, static.occupancy, region)
            layers = layers_along(static, dynamic, traced)
            for start in range(0, count, BLOCK):
                times = slice(start, start + BLOCK)
                block = wanted[times]
                mixed = shade_mixed(static, dynamic, layers, block[None], [len(moving)])
                colours, depths = picture.repeat(len(block), 1, 1), surface.repeat(len(block), 1)
                colours[:, moving] = quantised(static.tone(mixed.rgb, None)).transpose(0, 1)
                depths[:, moving] = mixed.depth.t()
                rgb[times, here], depth[times, here] = colours.cpu().numpy(), depths.cpu().numpy()
        if progress:
            progress.update(len(uv) * count)
    return pictures, surfaces
