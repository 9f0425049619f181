"""What of a capture decides how large its models are: pixels across the space, and what moves (scene/quality.py)."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from mixdepth.cameras.camera import Camera
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.scene.quality import Moving, Seen
from mixdepth.train.video import Video

ASKED = 8  # pixels along each side of an image whose footprint is looked at
APART = 4.0  # pixels between two rays whose distance is taken
WIDTH = 320  # pixels of the images, evenly taken, in which motion is measured
ENDS = (2, 98)  # percentiles of the places that move: single pixels far from the others are noise


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


def moving_in(videos: Sequence[Video]) -> Moving:
    """What moves in ``videos``, whose frames are those of the whole capture."""
    frames, parts = len(videos[0].rgb), int(videos[0].part.max()) + 1
    small = [(step := max(1, v.parts.shape[1] // WIDTH), v.parts[::step, ::step]) for v in videos]
    lengths = [*(2**k for k in range(parts.bit_length()) if 2**k < parts), parts]
    runs = [
        (round(length * frames / parts), float(np.mean([_share(p, length, parts) for _, p in small])))
        for length in lengths
    ]
    sides = [step * side for step, p in small for side in _sides(p, parts)]
    pixels = float(sum(v.parts.size for v in videos))
    return Moving(float(np.median(sides)) if sides else 0.0, runs, pixels, frames)


def _share(sets: np.ndarray, length: int, parts: int) -> float:
    """The mean share of pixels that move in ``length`` neighbouring parts of the capture."""
    run = np.uint32((1 << length) - 1)
    return float(np.mean([(sets & run << np.uint32(at) != 0).mean() for at in range(0, parts - length + 1, length)]))


def _sides(sets: np.ndarray, parts: int) -> Iterator[float]:
    """The longer side, pixels, of what moves in each part of the capture in which anything does."""
    for part in range(parts):
        places = np.nonzero(sets >> np.uint32(part) & np.uint32(1))
        if len(places[0]):
            yield float(max(np.ptp(np.percentile(one, ENDS)) for one in places))
