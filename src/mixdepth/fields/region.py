"""Where and when something may move: the motion hull, carved from the motion maps of all training cameras, then
narrowed to what carries weight in training. It takes the place of MixVoxels' variation field (Wang et al. 2023, section
3.2) and needs no training of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdepth.rendering.rays import SpaceMap

BINS = 16  # parts of the capture, each with its own mask: bits of an integer
PADDING = 1  # cells around the hull


class Region(nn.Module):
    """A set of parts of the capture for each cell of a box around everything that moves.

    Args:
        hull: [G, G, G] bool motion hull over the box.
        low, high: [3] corners of the box, normalised coordinates.
        frames: T, number of frames.
        threshold: a cell is dropped from a part of the capture when its largest rendered weight there stays below it.
    """

    def __init__(self, hull: Tensor, low: Tensor, high: Tensor, frames: int, threshold: float = 2e-3):
        super().__init__()
        self.resolution, self.frames, self.threshold = hull.shape[0], frames, threshold
        self.bins = min(frames, BINS)
        self.register_buffer("hull", hull.reshape(-1).clone())
        self.register_buffer("box", torch.cat([low, 2 / (high - low)]).float())
        self.register_buffer("sets", self.hull.int() * (2**self.bins - 1))
        self.register_buffer("largest", torch.zeros(self.bins, self.hull.numel()), persistent=False)

    def local(self, u: Tensor) -> Tensor:
        """Normalised points [..., 3] in coordinates of the box, [-1, 1] inside."""
        return (u - self.box[:3]) * self.box[3:] - 1

    def bin(self, frames: Tensor) -> Tensor:
        """The part of the capture that each of ``frames`` [...] belongs to."""
        return frames * self.bins // self.frames

    def bits(self, frames: Tensor) -> Tensor:
        """Sets [R] int32 of the parts that ``frames`` [R, F] belong to; a time between two frames to those of both."""
        if frames.is_floating_point():
            frames = torch.cat([frames.floor(), frames.ceil()], dim=-1).long()
        every = F.one_hot(self.bin(frames), self.bins).amax(-2)
        return (every << torch.arange(self.bins, device=frames.device)).sum(-1).int()

    def cells(self, v: Tensor) -> Tensor:
        """Flat cell index [...] of points [..., 3] of the box."""
        i = ((v + 1) * (0.5 * self.resolution)).long().clamp_(0, self.resolution - 1)
        return (i[..., 0] * self.resolution + i[..., 1]) * self.resolution + i[..., 2]

    def holds(self, u: Tensor, bits: Tensor) -> Tensor:
        """Whether [R, N] normalised points [R, N, 3] lie in cells that share a part with ``bits`` [R]."""
        v = self.local(u)
        return (v.abs().amax(-1) <= 1) & (self.sets[self.cells(v)] & bits[:, None] != 0)

    def record(self, v: Tensor, parts: Tensor, weights: Tensor) -> None:
        """Remember the rendered ``weights`` [D, F] of points [D, 3] of the box in ``parts`` [D, F] of the capture."""
        at = parts * self.hull.numel() + self.cells(v)[:, None]
        self.largest.view(-1).scatter_reduce_(0, at.view(-1), weights.reshape(-1), reduce="amax")

    def update(self) -> None:
        """Keep, for each part, the cells whose weight reached the threshold lately, their neighbours, and these also in
        the parts before and after."""
        n = self.resolution
        bits = 1 << torch.arange(self.bins, dtype=torch.int32, device=self.sets.device)
        seen = ((self.largest > self.threshold) * bits[:, None]).sum(0, dtype=torch.int32).view(n, n, n)
        for axis in range(3):  # what goes round at the border is outside the hull, which has a margin
            seen = seen | torch.roll(seen, 1, axis) | torch.roll(seen, -1, axis)
        seen = seen | seen << 1 | seen >> 1
        self.sets = seen.view(-1) & (2**self.bins - 1) * self.hull.int()
        self.largest *= 0.1


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
    """The motion hull, in a box that fits it: first over the whole space, then over the box alone, with finer cells."""
    low, high = torch.full((3,), -1.0, device=space.device), torch.full((3,), 1.0, device=space.device)
    for _ in range(2):
        hull = carve_hull(space, w2c, intrinsics, moving, depth, resolution, vote, low, high)
        if not hull.any():
            return Region(hull, torch.full_like(low, -1.0), torch.full_like(low, 1.0), frames)
        cell = (high - low) / resolution
        inside = hull.nonzero()
        box = low + (inside.amin(0) - PADDING) * cell, low + (inside.amax(0) + 1 + PADDING) * cell
        last = low, high
        low, high = box[0].clamp(-1, 1), box[1].clamp(-1, 1)
    return Region(hull, *last, frames)


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
    """Motion hull [G, G, G] bool over a box: cells that the cameras which see them agree to be moving.

    A camera sees a cell that projects into its image in front of its static surface. A cell belongs to the hull where
    at least two cameras see it and at least the share ``vote`` of them sees it move (a vote, not a veto: one bad
    motion map must not cut a mover off).

    Args:
        w2c: [C, 4, 4] float32 world-to-camera.
        intrinsics: [C, 4] fx, fy, cx, cy.
        moving: per camera [H, W] bool.
        depth: per camera [H, W] z-depth of the static surface.
        low, high: [3] corners of the box, normalised coordinates.
    """
    share = (torch.arange(resolution, device=low.device) + 0.5) / resolution
    x_axis, y_axis, z_axis = (low[k] + share * (high[k] - low[k]) for k in range(3))
    seen = torch.zeros(resolution**3, device=low.device)
    votes = torch.zeros_like(seen)
    for slab, x in enumerate(x_axis):
        u = torch.stack(torch.meshgrid(x[None], y_axis, z_axis, indexing="ij"), dim=-1).view(-1, 3)
        points = space.denormalise(u)
        part = slice(slab * resolution**2, (slab + 1) * resolution**2)
        for pose, k, mask, surface in zip(w2c, intrinsics, moving, depth, strict=True):
            local = points @ pose[:3, :3].T + pose[:3, 3]
            z = local[:, 2]
            height, width = mask.shape
            column = torch.floor(local[:, 0] / z * k[0] + k[2])
            row = torch.floor(local[:, 1] / z * k[1] + k[3])
            inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
            flat = (row * width + column).where(inside, torch.zeros_like(row)).long()
            sees = inside & (z < 1.02 * surface.reshape(-1)[flat])
            seen[part] += sees
            votes[part] += sees & mask.reshape(-1)[flat]
    return ((seen >= 2) & (votes >= vote * seen)).view(resolution, resolution, resolution)
