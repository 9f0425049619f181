"""The variation field: one logit per point that says whether anything ever changes there (MixVoxels, section 3.2).

It starts from the motion hull, carved from the motion maps of the training cameras, and learns the rest: along a ray
that changes the largest logit must be positive, along a ray that does not all must be negative.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdepth.fields.vm import VMGrid
from mixdepth.rendering.rays import SpaceMap

PRIOR = 3.0  # logit of a point inside the hull; minus that outside
FEATURE_SCALE = 10.0


class VariationField(nn.Module):
    """Logit of a point: a fixed prior from the hull plus a learnt VM grid."""

    def __init__(self, hull: Tensor, components: int = 4, generator: torch.Generator | None = None):
        """``hull`` [G, G, G] bool over the normalised cube."""
        super().__init__()
        self.grid = VMGrid(components, 64, generator=generator)
        self.register_buffer("hull", hull.clone())

    def forward(self, u: Tensor) -> Tensor:
        """Logits [N] of normalised points [N, 3]."""
        n = self.hull.shape[0]
        i = ((u + 1) * (0.5 * n)).long().clamp_(0, n - 1)
        prior = self.hull[i[:, 0], i[:, 1], i[:, 2]].float() * (2 * PRIOR) - PRIOR
        return prior + FEATURE_SCALE * self.grid(u).sum(-1)


def variation_loss(logits: Tensor, moving: Tensor) -> Tensor:
    """Class-weighted binary cross-entropy of each ray's largest logit.

    Args:
        logits: [R, N] logits of the samples of each ray; minus a large number where a sample does not count.
        moving: [R] bool labels.
    """
    largest = logits.amax(-1)
    label = moving.to(logits)
    share = label.mean().clamp(0.05, 0.95)
    weight = torch.where(moving, 0.5 / share, 0.5 / (1 - share))
    return F.binary_cross_entropy_with_logits(largest, label, weight=weight)


def carve_hull(
    space: SpaceMap,
    w2c: Tensor,
    intrinsics: Tensor,
    moving: list[Tensor],
    depth: list[Tensor],
    resolution: int,
    vote: float,
) -> Tensor:
    """Motion hull [G, G, G] bool: cells that the cameras which see them agree to be moving.

    A camera sees a cell that projects into its image in front of its static surface. A cell belongs to the hull where
    at least two cameras see it and at least the share ``vote`` of them sees it move (a vote, not a veto: one bad
    motion map must not cut a mover off).

    Args:
        w2c: [C, 4, 4] float32 world-to-camera.
        intrinsics: [C, 4] fx, fy, cx, cy.
        moving: per camera [H, W] bool.
        depth: per camera [H, W] z-depth of the static surface.
    """
    axis = (torch.arange(resolution) + 0.5) / resolution * 2 - 1
    seen = torch.zeros(resolution**3)
    votes = torch.zeros_like(seen)
    for slab, x in enumerate(axis):
        u = torch.stack(torch.meshgrid(x[None], axis, axis, indexing="ij"), dim=-1).view(-1, 3)
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
            sees = inside & (z < 1.02 * surface.view(-1)[flat])
            seen[part] += sees
            votes[part] += sees & mask.view(-1)[flat]
    return ((seen >= 2) & (votes >= vote * seen)).view(resolution, resolution, resolution)
