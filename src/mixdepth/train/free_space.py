"""What is empty before a pixel: nothing static stands before what moves, and a surface is where two cameras look."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import in_chunks
from mixdepth.fields.occupancy import Occupancy
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


# Of the rays that are followed to where another camera looks: rows and columns of them over an image, samples along
# each, and cameras asked, the nearest, whose images share the most with a camera's own.
ROWS, COLUMNS, SAMPLES, ASKED = 36, 64, 128, 8


class SharedView:
    """Where the rays of cameras come to what a second camera sees, by a coarse grid over each image.

    What one camera alone sees has no depth by evidence: a wall before its lens reproduces its image as well as the
    scene does, and hangs in the way of other views. From where another camera looks, two must agree.
    """

    def __init__(self, cameras: CameraBatch, space: SpaceMap):
        centres = cameras.origin.double()
        sizes = [(camera.width, camera.height) for camera in cameras.cameras]
        self.size = torch.tensor(sizes, dtype=torch.float64, device=space.device)
        found = []
        for camera, centre in zip(cameras.cameras, centres, strict=True):
            near = (centres - centre).norm(dim=1).argsort(stable=True)[1 : ASKED + 1].tolist()
            found.append(_shared_from(camera, [cameras.cameras[index] for index in near], space))
        self.depth = torch.stack(found)  # [C, ROWS, COLUMNS]

    def from_depth(self, camera: Tensor, uv: Tensor) -> Tensor:
        """z-depth [R], a sample short, of where rays (camera [R], pixels [R, 2]) come into another camera's image; 0
        where they begin there, or never do."""
        share = (uv / self.size[camera]).clamp(0, 1 - 1e-9)
        return self.depth[camera, (share[:, 1] * ROWS).long(), (share[:, 0] * COLUMNS).long()]


def _shared_from(camera: Camera, others: Sequence[Camera], space: SpaceMap) -> Tensor:
    """z-depth [ROWS, COLUMNS] of where a camera's rays come into the image of one of ``others``, see SharedView."""
    small = camera.resized(COLUMNS, ROWS)
    batch, uv = CameraBatch([small], space.device), pixel_grid(small, space.device)
    origins, directions = batch.rays(torch.zeros(len(uv), dtype=torch.long, device=uv.device), uv)
    share = (torch.arange(SAMPLES, device=uv.device) + 0.5) / SAMPLES
    z = space.depths(share.expand(len(uv), -1), *space.depth_range(origins, directions))
    points = origins[:, None] + z[..., None] * directions[:, None]
    seen = torch.zeros(z.shape, dtype=torch.bool, device=z.device)
    for other in others:
        seen |= _in_image(points, other)
    first = seen.byte().argmax(1)
    before = z.gather(1, (first - 1).clamp_min(0)[:, None])[:, 0]
    depth = torch.where(seen.any(1) & (first > 0), before, torch.zeros_like(before))
    return depth.view(ROWS, COLUMNS).float()


def _in_image(points: Tensor, camera: Camera) -> Tensor:
    """Which of the world points [..., 3] lie in the camera's image, whatever is before them."""
    w2c = torch.from_numpy(camera.w2c).to(points)
    local = points @ w2c[:3, :3].T + w2c[:3, 3]
    column = local[..., 0] / local[..., 2] * camera.fx + camera.cx
    row = local[..., 1] / local[..., 2] * camera.fy + camera.cy
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    return inside & (local[..., 2] > 0)


@torch.no_grad()
def count_looks(occupancy: Occupancy, cameras: Sequence[Camera], space: SpaceMap) -> None:
    """Add to ``occupancy.looks`` the cameras that look at each cell, at a corner of it at least."""
    corners = torch.arange(occupancy.resolution + 1, device=space.device) / occupancy.resolution * 2 - 1
    points = space.denormalise(torch.stack(torch.meshgrid(corners, corners, corners, indexing="ij"), -1))
    for camera in cameras:
        looks = F.max_pool3d(_in_image(points, camera).float()[None, None], 2, stride=1).view(-1)
        occupancy.looks.add_(looks.byte()).clamp_(max=2)
        if bool((occupancy.looks == 2).all()):
            return


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
