"""A variant's model seen from a place that may change at any time: a coarse picture at once, then sharper ones.

The rays are those of the sharp picture's pixels: of every 27th (9th, 3rd) row and column first, in the middles of their
squares, then of the others, each traced once. What a ray shows at all times is kept while the camera rests, so that
another time costs the shading of what moves alone.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import ON_CPU, ON_GPU
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.storage import load_model, model_header
from mixdepth.rendering.mixed_view import Traced, blend, quantised, trace
from mixdepth.rendering.rays import CameraBatch
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.tasks import DENSER, open_space, shares

STRIDES = (1, 3, 9, 27)  # powers of three: the middle of a square is the middle of one of its nine squares
FIRST = 0.2  # seconds that the first picture may take
ROOM = 1 << 30  # bytes that are kept of what rays show at all times
LATELY = 9  # parts of a picture by which the speed is told


@dataclass(frozen=True)
class Picture:
    """What is seen at the middles of squares of pixels."""

    rgb: np.ndarray  # [h, w, 3] uint8
    depth: np.ndarray  # [h, w] float32 z-depth, world units
    stride: int  # pixels of the sharp picture along a square's side


class Model:
    """A trained variant. The segments that are shown are read when they are first, and two of them are held.

    Raises:
        UserError: the file is missing, damaged or not one of ours.
    """

    def __init__(self, file: Path, space: Path):
        header = model_header(file)
        self.file, self.segments = file, header["segments"]
        self.space, self.samples = open_space(space, header), round(DENSER * header["samples"])
        self.segment = lru_cache(maxsize=2)(self._segment)
        self.speeds: deque[float] = deque(maxlen=LATELY)  # rays a second

    def _segment(self, number: int) -> tuple[StaticField, DynamicField]:
        _, static, dynamic = load_model(self.file, number)
        assert dynamic is not None, "a variant's model has a dynamic branch"
        return static.to(self.space.device), dynamic.to(self.space.device)


class View:
    """What one camera sees of a model.

    Args:
        room: bytes that may be kept of what rays show at all times; of a larger picture that is the coarser part.
    """

    def __init__(self, model: Model, camera: Camera, room: int = ROOM):
        self.model, self.room, device = model, room, model.space.device
        self.batch, self.grid = CameraBatch([camera], device), pixel_grid(camera, device)
        size = (camera.height, camera.width)
        self.rgb, self.depth = np.zeros((*size, 3), np.uint8), np.zeros(size, np.float32)
        self.kept: dict[int, list[Traced]] = {}  # by segment, of the first parts of the picture
        speed = float(np.median(model.speeds)) if model.speeds else 0.0
        count = max(1, (ON_CPU if device.type == "cpu" else ON_GPU) // model.samples)
        self.steps = [
            (stride, torch.from_numpy(pixels).to(device).split(count))
            for stride, pixels in steps(*size, most=round(FIRST * speed))
        ]

    @torch.no_grad()
    def pictures(self, at: float) -> Iterator[Picture | None]:
        """Sharper and sharper pictures of the time ``at``, in frames of the capture and within it. The last is what
        :func:`~mixdepth.rendering.tasks.render_path` renders, at the usual exposure, but for rounding.

        None comes after each part of the work: who wants something else by then asks for that, not for the next.
        Another time begins with the sharpest picture of which all is kept.
        """
        at = min(max(at, 0), self.model.segments[-1][1] - 1)
        shown = [
            (number, torch.from_numpy(local).to(self.model.space.device), share)
            for number, (index, local, share) in enumerate(shares(self.model.segments, np.array([at])))
            if len(index)
        ]
        self.kept = {number: self.kept.get(number, []) for number, _, _ in shown}
        known, number = min(map(len, self.kept.values())), 0
        for step, (stride, parts) in enumerate(self.steps):
            for pixels in parts:
                self._fill(pixels, number, shown)
                number += 1
                yield None
            finer = self.steps[step + 1 : step + 2]
            if not finer or number + len(finer[0][1]) > known:
                middles = slice(stride // 2, None, stride)
                yield Picture(self.rgb[middles, middles].copy(), self.depth[middles, middles].copy(), stride)

    def _fill(self, pixels: Tensor, number: int, shown: Sequence[tuple[int, Tensor, np.ndarray]]) -> None:
        """Fill ``pixels`` [R] in, which are part ``number`` of the picture, as a mixture of the segments shown."""
        found: tuple[np.ndarray, np.ndarray] | None = None
        for segment, frame, share in shown:
            colours, depths = self._rays(segment, number, pixels).at(frame)
            seen = quantised(colours).cpu().numpy(), depths.cpu().numpy()
            if found is None:
                found = seen
            else:
                blend(found, seen, share)
        assert found is not None  # every time has a segment
        index = pixels.cpu().numpy()
        self.rgb.reshape(-1, 3)[index], self.depth.reshape(-1)[index] = found[0][0], found[1][0]

    def _rays(self, segment: int, number: int, pixels: Tensor) -> Traced:
        """What these rays show at all times of a segment: kept, or traced and, where there is room, kept."""
        kept = self.kept[segment]
        if number < len(kept):
            return kept[number]
        began = time.perf_counter()
        static, dynamic = self.model.segment(segment)
        always = dynamic.region.bits(torch.arange(dynamic.frames, device=pixels.device)[None])
        rays = trace(static, dynamic, self.model.space, self.batch, self.grid[pixels], self.model.samples, always)
        self.model.speeds.append(len(pixels) / (time.perf_counter() - began))
        held = sum(one.bytes for rows in self.kept.values() for one in rows)
        if number == len(kept) and held + rays.bytes <= self.room:
            kept.append(rays)
        return rays


def steps(height: int, width: int, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Strides, falling to 1, and which pixels [K] (in reading order) each adds to those before; of the first as few as
    ``most``, where that is possible.

    >>> {stride: len(pixels) for stride, pixels in steps(48, 64, most=400)}
    {3: 336, 1: 2736}
    """
    strides = [stride for stride in STRIDES if stride // 2 < min(height, width)]
    counts = [len(range(stride // 2, height, stride)) * len(range(stride // 2, width, stride)) for stride in strides]
    first = next((index for index, count in enumerate(counts) if count <= most), len(strides) - 1)
    seen = np.zeros((height, width), bool)
    for stride in strides[first::-1]:
        before = seen.copy()
        seen[stride // 2 :: stride, stride // 2 :: stride] = True
        yield stride, np.flatnonzero(seen & ~before)
