"""Where and when something may move: the motion hull (carved in :mod:`mixdepth.train.hull`), narrowed to what carries
weight in training. It takes the place of MixVoxels' variation field (Wang et al. 2023, section
3.2) and needs no training of its own."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdepth.fields.cells import cells

BINS = 16  # parts of the capture, each with its own mask: bits of an integer
AROUND = 128  # cells of a region around others, along every axis of the space

N = TypeVar("N", np.ndarray, Tensor)


def bin_of(frames: N, total: int) -> N:
    """The part of a capture of ``total`` frames that each of ``frames`` [...] belongs to."""
    return frames * min(total, BINS) // total


class Region(nn.Module):
    """A set of parts of the capture for each cell of a box around everything that moves.

    Args:
        sets: [G, G, G] int32, motion hull over the box: a bit for each part of the capture (:func:`bin_of`) in which
            something may move there.
        low, high: [3] corners of the box, normalised coordinates.
        frames: T, number of frames.
        threshold: a cell is dropped from a part of the capture when its largest rendered weight there stays below it.
    """

    hull: Tensor
    box: Tensor
    sets: Tensor
    largest: Tensor

    def __init__(self, sets: Tensor, low: Tensor, high: Tensor, frames: int, threshold: float = 2e-3):
        super().__init__()
        self.resolution, self.frames, self.threshold = sets.shape[0], frames, threshold
        self.bins = min(frames, BINS)
        # Of each training camera the share of its moving pixels that meet the hull; of a region that is carved here.
        self.explained: list[float | None] = []
        self.register_buffer("hull", sets.reshape(-1) != 0)
        self.register_buffer("box", torch.cat([low, 2 / (high - low)]).float())
        self.register_buffer("sets", sets.reshape(-1).int().clone())
        self.register_buffer("largest", torch.zeros(self.bins, self.hull.numel()), persistent=False)

    def local(self, u: Tensor) -> Tensor:
        """Normalised points [..., 3] in coordinates of the box, [-1, 1] inside."""
        return (u - self.box[:3]) * self.box[3:] - 1

    def bin(self, frames: Tensor) -> Tensor:
        """The part of the capture that each of ``frames`` [...] belongs to."""
        return bin_of(frames, self.frames)

    def bits(self, frames: Tensor) -> Tensor:
        """Sets [R] int32 of the parts that ``frames`` [R, F] belong to; a time between two frames to those of both."""
        if frames.is_floating_point():
            frames = torch.cat([frames.floor(), frames.ceil()], dim=-1).long()
        every = F.one_hot(self.bin(frames), self.bins).amax(-2)
        return (every << torch.arange(self.bins, device=frames.device)).sum(-1).int()

    def cells(self, v: Tensor) -> Tensor:
        """Flat cell index [...] of points [..., 3] of the box."""
        return cells(v, self.resolution)

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


def around(regions: Sequence[Region]) -> Region:
    """A region of one part, over the whole space, that has every point that any of ``regions`` ever has."""
    device = regions[0].sets.device
    edges = torch.linspace(-1, 1, AROUND + 1, device=device)
    found = torch.zeros((AROUND,) * 3, dtype=torch.bool, device=device)
    for region in regions:
        n, sides = region.resolution, []
        for low, scale in region.box.view(2, 3).t():
            own = low + torch.arange(n + 1, device=device) * (2 / scale / n)
            near = 1e-5 * (edges[1] - edges[0])  # rounding
            sides.append((edges[:-1, None] <= own[1:] + near) & (edges[1:, None] >= own[:-1] - near))
        held = (region.sets != 0).view(n, n, n).float()
        for side in sides:  # each turns the first axis to the end
            held = torch.tensordot(held, side.float(), dims=([0], [1]))
        found |= held > 0
    return Region(found.int(), edges.new_full((3,), -1.0), edges.new_full((3,), 1.0), 1)
