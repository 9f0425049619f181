"""Frames of the mixed model as a camera sees them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import Landing, in_chunks
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.progress import Progress
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import DYNAMIC, VISIBLE, RaySamples, depth_of, lit_samples

ON_CPU = 1 << 20  # samples along rays that are rendered at once there, of which a quarter or less is kept


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


def shade_moving(
    static: StaticField,
    field: DynamicField,
    samples: RaySamples,
    still: tuple[Tensor, Tensor],
    rays: Tensor,
    wanted: Tensor,
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Both branches along some ``rays`` [r], all of those with dynamic samples, by blocks of the frames ``wanted`` [T]:
    which frames these are, colours before tone [r, F, 3] and z-depth [r, F].

    A frame shows the same whatever other frames and rays are rendered with it, but for rounding: each is shown the
    cells of its own part of the capture.

    Args:
        still: optical thickness [M] of the static branch, and its colours [M, 3] by :func:`shade_still`.
    """
    here = samples.held(DYNAMIC)
    index, place = torch.full_like(samples.rows, -1), samples.rows.new_empty(len(samples.far))
    index[here] = torch.arange(len(here), device=here.device)
    place[rays] = torch.arange(len(rays), device=here.device)
    v, delta, row = field.region.local(samples.u[here]), samples.delta[here], place[samples.rows[here]]
    density, sets = field.density_features(v), field.region.sets[field.region.cells(v)]
    each = (getattr(samples, name) for name in ("offsets", "rows", "z", "dz", "far"))
    layers, background = kernels.Layers(*each, *still, index), torch.sigmoid(static.background)
    for start in range(0, len(wanted), kernels.FRAMES):
        times = slice(start, start + kernels.FRAMES)
        block = wanted[None, times]
        tau, parts = field.thickness(density, delta, block, [len(v)]), field.region.bits(block.t())
        views, lit, shown = kernels.composite_frames(layers, rays, tau, sets, parts, VISIBLE)
        colours = field.colour(field.colour_features(v[lit]), block, [len(lit)]) - background
        rgb = views.rgb + kernels.ray_colours(shown, colours, row[lit], len(rays))
        yield times, rgb + (1 - views.faint[..., None]) * background, views.depth


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
        traced, tau, weights = lit_samples(static, space, batch, zero, uv, samples, region)
        colours, still = shade_still(static, traced, weights)
        picture, surface = static.tone(still, None), depth_of(weights, traced)
        moves = torch.zeros(len(uv), dtype=torch.bool, device=device)
        moves[traced.rows[traced.held(DYNAMIC)]] = True
        moving = moves.nonzero().squeeze(1)
        if not len(moving) and steady:
            rgb[:, part], depth[:, part] = landing(quantised(picture)), landing(surface)
        else:
            for times, moved, z in shade_moving(static, dynamic, traced, (tau, colours), moving, wanted):
                shown, depths = picture.repeat(z.shape[1], 1, 1), surface.repeat(z.shape[1], 1)
                shown[:, moving], depths[:, moving] = static.tone(moved, None).transpose(0, 1), z.t()
                shown *= light[times, None]
                rgb[times, part], depth[times, part] = landing(quantised(shown)), landing(depths)
        if progress:
            progress.update(len(uv) * count)

    in_chunks(show, pixels, samples, device, ON_CPU)
    return pictures, surfaces
