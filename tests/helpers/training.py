"""A scene of a few pixels that trains in seconds."""

import numpy as np
import torch

from helpers.looking import look_at
from mixdepth import kernels
from mixdepth.cameras.space import choose_space
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import BINS, Region
from mixdepth.fields.static import StaticField
from mixdepth.frames.motion import find_motion
from mixdepth.kernels.arguments import DYNAMIC as MOVES
from mixdepth.rendering.mixed_view import Moving, Still, shade_still
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.trace import depth_of, lit_samples
from mixdepth.train.options import DynamicOptions, StaticOptions
from mixdepth.train.session import Session
from mixdepth.train.video import Video

CAMERAS = [look_at([x, 0, 0], [0, 0, 4], width=24, height=16, focal=24.0) for x in (-0.6, 0.0, 0.6)]
SPACE = SpaceMap(choose_space(CAMERAS, [(2.0, 7.0)] * 3))
STATIC = StaticOptions(
    steps=80, resolution=16, start_resolution=8, density_components=2, colour_components=2, width=16,
    view_dependence=False, tone=False, samples=32, start_samples=24, batch_samples=2048, grid_rate=0.05,
    network_rate=0.005, total_variation=0.01, depth_loss="urf", depth_weight=0.0, depth_sigma=0.01,
    guided_samples=0, threads=1, seed=0, device="cpu", amp=False,
)  # fmt: skip
DYNAMIC = DynamicOptions(
    steps=60, resolution=16, start_resolution=8, start_samples=24, components=2, codes=4, width=8, samples=32, rays=64,
    frames_per_step=3, windows=2, grid_rate=0.05, network_rate=0.005, total_variation=0.01, hull_vote=0.8,
    sparsity=1e-4, surface_weight=0.05, threads=1, seed=0, device="cpu", amp=False,
)  # fmt: skip
CUBE = -torch.ones(3), torch.ones(3)
QUIET = Session(None, "test", {})


def plane_depth(camera) -> np.ndarray:
    """z-depth [H, W] of the plane z = 4 in world units."""
    y, x = np.mgrid[: camera.height, : camera.width]
    uv = np.stack([x, y], -1).reshape(-1, 2) + 0.5
    direction = camera.unproject(uv, np.ones(len(uv))) - camera.centre
    return ((4 - camera.centre[2]) / direction[:, 2]).reshape(camera.height, camera.width)


def blinking() -> list[Video]:
    """A grey wall in front of which a white square appears in half of the frames."""
    videos = []
    for camera in CAMERAS:
        rgb = np.full((6, 16, 24, 3), 90, np.uint8)
        rgb += np.random.default_rng(0).integers(0, 60, (1, 16, 24, 1), dtype=np.uint8)
        corners, _ = camera.project(np.array([[-0.5, -0.4, 3.0], [0.5, 0.4, 3.0]]))
        (x0, y0), (x1, y1) = corners.round().astype(int)
        rgb[1::2, y0:y1, x0:x1] = 250
        videos.append(Video.of(camera, rgb, find_motion(rgb)))
    return videos


def everywhere(frames: int, resolution: int = 8) -> Region:
    """The whole space, in which something may move in all of the capture."""
    sets = torch.full((resolution,) * 3, 2 ** min(frames, BINS) - 1, dtype=torch.int32)
    return Region(sets, *CUBE, frames)


def mixed_fields(frames: int) -> tuple[StaticField, DynamicField]:
    generator = torch.Generator().manual_seed(0)
    return StaticField(8, 2, 2, 8, 3, generator=generator), DynamicField(everywhere(frames), 8, 2, 4, 8, generator)


@torch.no_grad()
def seen_frames(
    fields: tuple[StaticField, DynamicField],
    cameras: CameraBatch,
    camera: torch.Tensor,
    uv: torch.Tensor,
    samples: int,
    frames: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours before tone [R, F, 3] and z-depth [R, F] of pixels at ``frames`` [F], as rendering has them."""
    static, dynamic = fields
    region = dynamic.region, dynamic.region.bits(frames[None]).expand(len(uv))
    traced, tau, weights = lit_samples(static, SPACE, cameras, camera, uv, samples, region)
    still = Still(traced, tau, *shade_still(static, traced, weights), depth_of(weights, traced))
    moving = Moving(static, dynamic, still, traced.held(MOVES))
    seen = zip(*(moving.at(block) for block in frames.split(kernels.FRAMES)), strict=True)
    shown = still.rgb[:, None].repeat(1, len(frames), 1), still.depth[:, None].repeat(1, len(frames))
    for whole, blocks in zip(shown, seen, strict=True):
        whole[moving.rays] = torch.cat(blocks, 1)
    return shown
