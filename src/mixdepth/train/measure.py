"""What of images decides how large a model of them is (scene/quality.py): pixels across the space."""

from collections.abc import Sequence

import numpy as np
import torch

from mixdepth.cameras.camera import Camera
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.scene.quality import Seen

ASKED = 8  # pixels along each side of an image whose footprint is looked at
APART = 4.0  # pixels between two rays whose distance is taken


def seen_by(cameras: Sequence[Camera], space: SpaceMap) -> Seen:
    """How many pixels ``cameras`` have, and how many of them lie along an axis of ``space`` where the rays are half-way
    through it: the median over rays of all directions."""
    batch, share = CameraBatch(cameras, space.device), (np.arange(ASKED) + 0.5) / ASKED
    grid = np.stack(np.meshgrid(share, share), -1).reshape(-1, 2)
    uv = torch.from_numpy(np.concatenate([grid * (c.width, c.height) for c in cameras])).to(space.device)
    camera = torch.arange(len(cameras), device=space.device).repeat_interleave(len(grid))
    origins, directions = batch.rays(camera, uv)
    near, far = space.depth_range(origins, directions)
    z = space.depths(torch.full_like(near, 0.5)[:, None], near, far)
    middle, right, below = (
        space.normalise(origins + z * batch.rays(camera, uv + uv.new_tensor(shift))[1])
        for shift in ([0.0, 0.0], [APART, 0.0], [0.0, APART])
    )
    across, down = ((one - middle).norm(dim=-1) / APART for one in (right, below))
    footprint = (across * down).sqrt()[middle.abs().amax(-1) <= 1]
    pixels = float(sum(c.width * c.height for c in cameras))
    if not len(footprint):  # nothing that they look at is in the space
        return Seen(float(max(max(c.width, c.height) for c in cameras)), pixels)
    return Seen(2 / float(footprint.median()), pixels)
