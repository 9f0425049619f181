"""What is empty before a pixel: nothing static stands before what moves, and a surface is where two cameras look."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import in_chunks
from mixdepth.fields.region import BINS, Region, bin_of
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid, smaller
from mixdepth.rendering.trace import sample_rays
from mixdepth.train.hull import carve
from mixdepth.train.video import Video

WIDTH = 320  # pixels of the images whose rays are followed, at most
RESOLUTION = 96  # cells of the hull
# A place belongs to this hull where two cameras see it move, and this share of those that see it: what hides a mover
# from one of them must not make its place free.
VOTE = 0.5


# Of the rays that are followed to where another camera looks: pixels across an image, samples along a ray, and cameras
# asked, the nearest, whose images share the most with a camera's own.
SHARED_WIDTH, SHARED_SAMPLES, ASKED = 64, 128, 8


def shared_depths(cameras: Sequence[Camera], space: SpaceMap) -> list[np.ndarray]:
    """Per camera the z-depth [H, W] float32 up to which a pixel's ray is in no other camera's image, a sample short; 0
    where that is nowhere or everywhere.

    What one camera alone sees has no depth by evidence: a wall before its lens reproduces its image as well as the
    scene does, and hangs in the way of other views. Where the ray comes to what a second one sees, two must agree.
    """
    centres = np.stack([camera.c2w[:3, 3] for camera in cameras])
    found = []
    for camera, centre in zip(cameras, centres, strict=True):
        near = np.argsort(np.linalg.norm(centres - centre, axis=1), kind="stable")[1 : ASKED + 1]
        small = smaller(camera, SHARED_WIDTH)
        depth = _first_shared(small, [cameras[index] for index in near], space)
        rows, columns = (
            np.arange(count) * few // count
            for count, few in ((camera.height, small.height), (camera.width, small.width))
        )
        found.append(depth[rows[:, None], columns])
    return found


def _first_shared(camera: Camera, others: Sequence[Camera], space: SpaceMap) -> np.ndarray:
    """z-depth [H, W] float32, a sample short, of where each pixel's ray comes into the image of one of ``others``."""
    batch, uv = CameraBatch([camera], space.device), pixel_grid(camera, space.device)
    origins, directions = batch.rays(torch.zeros(len(uv), dtype=torch.long, device=uv.device), uv)
    share = (torch.arange(SHARED_SAMPLES, device=uv.device) + 0.5) / SHARED_SAMPLES
    z = space.depths(share.expand(len(uv), -1), *space.depth_range(origins, directions))
    points = origins[:, None] + z[..., None] * directions[:, None]
    seen = torch.zeros(z.shape, dtype=torch.bool, device=z.device)
    for other in others:
        w2c = torch.from_numpy(other.w2c).to(points)
        local = points @ w2c[:3, :3].T + w2c[:3, 3]
        column = local[..., 0] / local[..., 2] * other.fx + other.cx
        row = local[..., 1] / local[..., 2] * other.fy + other.cy
        inside = (column >= 0) & (column < other.width) & (row >= 0) & (row < other.height)
        seen |= inside & (local[..., 2] > 0)
    first = seen.byte().argmax(1)
    before = z.gather(1, (first - 1).clamp_min(0)[:, None])[:, 0]
    depth = torch.where(seen.any(1) & (first > 0), before, torch.zeros_like(before))
    return depth.view(camera.height, camera.width).float().cpu().numpy()


@torch.no_grad()
def free_depths(videos: Sequence[Video], space: SpaceMap, samples: int) -> list[np.ndarray]:
    """Per camera the z-depth [H, W] float32 up to which nothing static is on a pixel's ray; 0 where that is not known.

    That is as far as where a pixel that moves first meets, at a time at which it moves, the hull of the moving pixels
    alone, static surfaces left aside. That hull holds what moves wherever half of the cameras that look there see it
    move, and two at least; there this is too far by about a cell at most.

    Args:
        samples: along a ray.
    """
    device, frames = space.device, len(videos[0].rgb)
    bins = bin_of(np.arange(frames), frames)
    during = [torch.from_numpy(video.moving_during(bins)).to(device) for video in videos]
    # Nothing cuts the hull off; a camera has no say where it shows nothing.
    shown = [np.ones(video.parts.shape, bool) if video.valid is None else video.valid for video in videos]
    reach = [torch.from_numpy(np.where(valid, np.float32(np.inf), np.float32(0))).to(device) for valid in shown]
    cameras = CameraBatch([video.camera for video in videos], device)
    w2c = torch.from_numpy(np.stack([video.camera.w2c for video in videos])).float().to(device)
    region = carve(space, w2c, cameras.intrinsics.float(), during, reach, RESOLUTION, VOTE, frames)
    found = []
    for video, sets in zip(videos, during, strict=True):
        camera = smaller(video.camera, WIDTH)
        rows, columns = (
            torch.arange(count, device=device) * few // count
            for count, few in ((video.camera.height, camera.height), (video.camera.width, camera.width))
        )
        coarse = torch.zeros(camera.height, camera.width, dtype=torch.int32, device=device)
        for bit in range(BINS):
            row, column = (sets >> bit & 1).nonzero().unbind(1)
            coarse[rows[row], columns[column]] |= 1 << bit
        depth = _first(region, space, CameraBatch([camera], device), coarse, samples)
        found.append(torch.where(sets != 0, depth[rows[:, None], columns], 0.0).cpu().numpy())
    return found


def _first(region: Region, space: SpaceMap, camera: CameraBatch, sets: Tensor, samples: int) -> Tensor:
    """z-depth [H, W], a sample short, of where each pixel first meets ``region`` in a part of ``sets`` [H, W]; 0 where
    it never does."""
    first = torch.zeros(sets.numel(), device=sets.device)
    row, column = sets.nonzero().unbind(1)
    uv, index = torch.stack([column, row], dim=-1).double() + 0.5, row * sets.shape[1] + column

    def follow(part: slice) -> None:
        pixel = index[part]
        which, bits = torch.zeros_like(pixel), sets.view(-1)[pixel]
        traced = sample_rays(space, camera, which, uv[part], samples, None, (region, bits))
        meets = traced.offsets.diff() > 0
        start = traced.offsets[:-1][meets]
        first[pixel[meets]] = traced.z[start] - traced.dz[start]

    in_chunks(follow, len(index), samples, sets.device)
    return first.view(sets.shape)
