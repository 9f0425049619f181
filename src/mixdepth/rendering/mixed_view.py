"""Frames of the mixed model as a camera sees them."""

import numpy as np
import torch
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.progress import Progress
from mixdepth.rendering.mixed import layers_along, shade_mixed
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import depth_of, sample_rays, shade_static

CHUNK = 2048  # rays at once
BLOCK = 16  # frames at once


def to_uint8(rgb: torch.Tensor) -> np.ndarray:
    """Colours in 0..1 to uint8, rounded."""
    return rgb.clamp(0, 1).mul(255).round().byte().numpy()


@torch.no_grad()
def render_video(
    static: StaticField,
    dynamic: DynamicField,
    space: SpaceMap,
    camera: Camera,
    samples: int,
    frames: Tensor | None = None,
    label: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames as ``camera`` sees them, in the mean tone.

    Rays that do not meet the dynamic region at any of the frames are rendered once for all, and on the others the
    static branch is evaluated once.

    Args:
        frames: [T] those wanted; None: all.
        label: for the lines of progress; None for none.

    Returns:
        rgb [T, H, W, 3] uint8 and z-depth [T, H, W] float32, finite, world units.
    """
    wanted = torch.arange(dynamic.frames) if frames is None else frames
    batch = CameraBatch([camera])
    count, pixels = len(wanted), camera.width * camera.height
    rgb = np.empty((count, pixels, 3), dtype=np.uint8)
    depth = np.empty((count, pixels), dtype=np.float32)
    grid = pixel_grid(camera)
    progress = Progress(label, pixels) if label else None
    every = dynamic.region.bits(wanted[None])
    for index in torch.arange(pixels).split(CHUNK):
        zero = torch.zeros(len(index), dtype=torch.long)
        met = sample_rays(space, batch, zero, grid[index], samples, None, (dynamic.region, every.expand(len(index))))
        moves = torch.zeros(len(index), dtype=torch.bool)
        moves[met.rows] = True
        still, moving = index[~moves], index[moves]
        if len(still):
            traced = sample_rays(space, batch, zero[: len(still)], grid[still], samples, static.occupancy)
            shade = shade_static(static, traced)
            rgb[:, still] = to_uint8(static.tone(shade.rgb, None))
            depth[:, still] = depth_of(shade.weights, traced).numpy()
        if len(moving):
            region = dynamic.region, every.expand(len(moving))
            traced = sample_rays(space, batch, zero[: len(moving)], grid[moving], samples, static.occupancy, region)
            layers = layers_along(static, dynamic, traced)
            for block in torch.arange(count).split(BLOCK):
                mixed = shade_mixed(static, dynamic, layers, wanted[block][None], [len(moving)])
                rgb[block[:, None], moving] = to_uint8(static.tone(mixed.rgb, None)).swapaxes(0, 1)
                depth[block[:, None], moving] = mixed.depth.T.numpy()
        if progress:
            progress.update(len(index))
    size = (count, camera.height, camera.width)
    return rgb.reshape(*size, 3), depth.reshape(size)
