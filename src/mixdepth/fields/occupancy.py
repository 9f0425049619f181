"""Occupancy kept by rendered weight: skips what is empty and, unlike density, also what nobody sees."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdepth.fields.cells import cells
from mixdepth.kernels.arguments import DOUBTFUL, STATIC


class Occupancy(nn.Module):
    """A mask over the normalised cube of the cells that lately carried weight in some training ray; and how many images
    look at each cell: ``looks``, at most two, which is also what is taken where it is not known.

    Args:
        resolution: cells along every axis.
        threshold: a cell is dropped when its largest rendered weight stays below it.
    """

    mask: Tensor
    looks: Tensor
    largest: Tensor

    def __init__(self, resolution: int = 64, threshold: float = 2e-3):
        super().__init__()
        self.resolution, self.threshold = resolution, threshold
        self.register_buffer("mask", torch.ones(resolution**3, dtype=torch.bool))
        self.register_buffer("looks", torch.full((resolution**3,), 2, dtype=torch.uint8))
        self.register_buffer("largest", torch.zeros(resolution**3), persistent=False)

    def cells(self, u: Tensor) -> Tensor:
        """Flat cell index [...] of normalised points [..., 3]."""
        return cells(u, self.resolution)

    def doubtful(self, u: Tensor) -> Tensor:
        """Whether fewer than two images look at normalised points [..., 3], bool [...]."""
        return self.looks[self.cells(u)] < 2

    def held(self) -> Tensor:
        """The mask as bits [resolution^3] uint8: STATIC of its cells, DOUBTFUL too of those that fewer than two images
        look at (:mod:`mixdepth.kernels.arguments`)."""
        return self.mask * torch.where(self.looks < 2, STATIC | DOUBTFUL, STATIC).byte()

    def record(self, cells: Tensor, weights: Tensor) -> None:
        """Remember the rendered ``weights`` [M] of samples in ``cells`` [M]."""
        self.largest.scatter_reduce_(0, cells, weights, reduce="amax")

    def update(self) -> None:
        """Keep cells whose largest weight since about the last update reaches the threshold, and their neighbours."""
        n = self.resolution
        seen = (self.largest > self.threshold).float().view(1, 1, n, n, n)
        self.mask = F.max_pool3d(seen, 3, stride=1, padding=1).view(-1) > 0
        self.largest *= 0.1
