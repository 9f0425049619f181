"""A static field seen by one camera: colour, depth and how far the depth can be trusted."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import in_chunks
from mixdepth.fields.static import StaticField
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.trace import depth_of, sample_rays, shade_static


@dataclass
class StaticView:
    """A rendered image of the static branch."""

    rgb: np.ndarray  # [H, W, 3] float32 in 0..1, before tone
    depth: np.ndarray  # [H, W] float32 z-depth, world units, finite
    opacity: np.ndarray  # [H, W] float32 accumulated weight
    spread: np.ndarray  # [H, W] float32 standard deviation of the depth along the ray, relative to it


def smaller(camera: Camera, width: int = 160) -> Camera:
    """``camera`` with images about ``width`` pixels wide, for previews; one that is smaller stays as it is."""
    share = min(1.0, width / camera.width)
    return camera.resized(round(share * camera.width), round(share * camera.height))


def pixel_grid(camera: Camera, device: torch.device | str = "cpu") -> Tensor:
    """Centres of all pixels in reading order, [H * W, 2] float64."""
    rows, columns = (torch.arange(count, device=device) for count in (camera.height, camera.width))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1).view(-1, 2).double() + 0.5


@torch.no_grad()
def render_static(
    field: StaticField, space: SpaceMap, camera: Camera, samples: int, yields: bool = False
) -> StaticView:
    """Render the static branch as ``camera`` sees it, ``samples`` per ray, without jitter.

    Args:
        yields: of a camera that has not trained, see :func:`mixdepth.rendering.trace.yielding`.
    """
    batch, grid = CameraBatch([camera], space.device), pixel_grid(camera, space.device)
    zero = torch.zeros(len(grid), dtype=torch.long, device=space.device)
    parts = []

    def show(part: slice) -> None:
        traced = sample_rays(space, batch, zero[part], grid[part], samples, field.occupancy)
        shade = shade_static(field, traced, yields)
        opacity = traced.sum(shade.weights)
        depth = depth_of(shade.weights, traced)
        variance = traced.sum(shade.weights * (traced.z - depth[traced.rows]) ** 2) / opacity.clamp_min(1e-6)
        parts.append((shade.rgb, depth, opacity, variance.sqrt() / depth))

    in_chunks(show, len(grid), samples, space.device)
    rgb, depth, opacity, spread = (torch.cat(p).cpu().numpy() for p in zip(*parts, strict=True))
    size = (camera.height, camera.width)
    return StaticView(rgb.reshape(*size, 3), depth.reshape(size), opacity.reshape(size), spread.reshape(size))


@torch.no_grad()
def render_depth(field: StaticField, space: SpaceMap, camera: Camera, samples: int) -> np.ndarray:
    """The depth [H, W] float32 of :func:`render_static`, for which no colours are needed: in half the time."""
    batch, grid = CameraBatch([camera], space.device), pixel_grid(camera, space.device)
    zero = torch.zeros(len(grid), dtype=torch.long, device=space.device)
    parts = []

    def show(part: slice) -> None:
        traced = sample_rays(space, batch, zero[part], grid[part], samples, field.occupancy)
        weights = kernels.composite(field.sigma(traced.u) * traced.delta, traced.offsets, traced.rows)
        parts.append(depth_of(weights, traced))

    in_chunks(show, len(grid), samples, space.device)
    return torch.cat(parts).cpu().numpy().reshape(camera.height, camera.width)
