"""The motion hull: a visual hull (Laurentini 1994) of what moves, carved from the motion maps of training cameras."""

import torch
from torch import Tensor

from mixdepth.fields.region import BINS, Region
from mixdepth.rendering.rays import SpaceMap

PADDING = 1  # cells around the hull
SURFACE = 1.02  # what lies up to so many times the depth of the static surface counts as in front of it


def carve(
    space: SpaceMap,
    w2c: Tensor,
    intrinsics: Tensor,
    moving: list[Tensor],
    depth: list[Tensor],
    resolution: int,
    vote: float,
    frames: int,
) -> Region:
    """The motion hull of every part of the capture, in a box that fits them all: first over the whole space, then over
    the box alone, with finer cells. In time it is taken a part wider on both sides."""
    low, high = torch.full((3,), -1.0, device=space.device), torch.full((3,), 1.0, device=space.device)
    for _ in range(2):
        sets = carve_hull(space, w2c, intrinsics, moving, depth, resolution, vote, low, high)
        hull = sets != 0
        if not hull.any():
            return Region(sets, torch.full_like(low, -1.0), torch.full_like(low, 1.0), frames)
        cell = (high - low) / resolution
        inside = hull.nonzero()
        box = low + (inside.amin(0) - PADDING) * cell, low + (inside.amax(0) + 1 + PADDING) * cell
        last = low, high
        low, high = box[0].clamp(-1, 1), box[1].clamp(-1, 1)
    return Region(sets | (sets << 1 | sets >> 1) & (2 ** min(frames, BINS) - 1), *last, frames)


def carve_hull(
    space: SpaceMap,
    w2c: Tensor,
    intrinsics: Tensor,
    moving: list[Tensor],
    depth: list[Tensor],
    resolution: int,
    vote: float,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    """Motion hull [G, G, G] int32 over a box: for each cell the parts of the capture (a bit each) in which the cameras
    that see it agree that it moves.

    A camera sees a cell that projects into its image in front of its static surface. A cell belongs to the hull where
    at least two cameras see it move, and at least the share ``vote`` of those that see it (a vote, not a veto: one bad
    motion map must not cut a mover off).

    Args:
        w2c: [C, 4, 4] float32 world-to-camera.
        intrinsics: [C, 4] fx, fy, cx, cy.
        moving: per camera [H, W] int32, the parts of the capture in which a pixel moves, a bit each.
        depth: per camera [H, W] z-depth of the static surface.
        low, high: [3] corners of the box, normalised coordinates.
    """
    share = (torch.arange(resolution, device=low.device) + 0.5) / resolution
    x_axis, y_axis, z_axis = (low[k] + share * (high[k] - low[k]) for k in range(3))
    every = torch.stack([sets.max() for sets in moving]).max()
    bins = int(every).bit_length()
    bits = torch.arange(bins, dtype=torch.int32, device=low.device)
    found = torch.zeros(resolution**3, dtype=torch.int32, device=low.device)
    for slab, x in enumerate(x_axis):
        u = torch.stack(torch.meshgrid(x[None], y_axis, z_axis, indexing="ij"), dim=-1).view(-1, 3)
        points = space.denormalise(u)
        seen = torch.zeros(len(points), 1, device=low.device)
        votes = torch.zeros(len(points), bins, device=low.device)
        for pose, k, sets, surface in zip(w2c, intrinsics, moving, depth, strict=True):
            local = points @ pose[:3, :3].T + pose[:3, 3]
            z = local[:, 2]
            height, width = sets.shape
            column = torch.floor(local[:, 0] / z * k[0] + k[2])
            row = torch.floor(local[:, 1] / z * k[1] + k[3])
            inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
            flat = (row * width + column).where(inside, torch.zeros_like(row)).long()
            sees = inside & (z < SURFACE * surface.reshape(-1)[flat])
            seen[:, 0] += sees
            at = (sees & (sets.reshape(-1)[flat] != 0)).nonzero().squeeze(1)
            votes[at] += sets.reshape(-1)[flat[at], None] >> bits & 1
        agreed = ((votes >= (vote * seen).clamp_min(2)) << bits).sum(1, dtype=torch.int32)
        found[slab * resolution**2 : (slab + 1) * resolution**2] = agreed
    return found.view(resolution, resolution, resolution)
