"""The video of one training camera: its frames, what moves in them, and how far their median can be believed."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import uploaded
from mixdepth.frames.store import motion_map, moving_pixels

MEDIAN_TOLERANCE = 12  # of 255: a frame that differs less from the median shows the same thing


@dataclass
class Video:
    """One training camera's frames."""

    camera: Camera
    rgb: np.ndarray  # [T, H, W, 3] uint8, may be memory-mapped
    median: np.ndarray  # [H, W, 3] uint8 temporal median
    motion: np.ndarray  # [H, W] float32 blurred temporal standard deviation, colours in 0..1
    valid: np.ndarray | None = None  # [H, W] bool: pixels that show anything; None where all do
    masks: dict[float, np.ndarray] = field(init=False, repr=False, compare=False, default_factory=dict)  # by threshold

    def moving(self, threshold: float) -> np.ndarray:
        """[H, W] bool: where the deviation exceeds the threshold, and the noise of this camera."""
        if threshold not in self.masks:
            self.masks[threshold] = moving_pixels(self.motion, threshold, self.valid)
        return self.masks[threshold]

    def part(self, first: int, last: int, device: torch.device | str = "cpu") -> "Video":
        """The frames ``first`` to ``last`` (not included) alone, with the median of the whole capture.

        Their motion is the deviation from that median: what stands still in them but is not in the static branch has to
        be shown as well.
        """
        rgb, device = self.rgb[first:last], torch.device(device)
        median = torch.from_numpy(self.median).to(device).float()
        squares = torch.zeros_like(median)
        for _, frames in uploaded(rgb, device):
            for frame in frames:  # one by one: a sum of floats depends on its order
                squares += frame.float().sub_(median).square_()
        deviation = np.sqrt(squares.cpu().numpy() / len(rgb))
        return replace(self, rgb=rgb, motion=motion_map(deviation.mean(-1) / 255))

    def median_weight(self, threshold: float, agreement: float, device: torch.device | str = "cpu") -> np.ndarray:
        """[H, W] float: 0 where a pixel moves and fewer than the share ``agreement`` of its frames show the median.

        Such a median may show a mover that lingers; taken as static it would leave a ghost.
        """
        moving, device = self.moving(threshold), torch.device(device)
        place = torch.from_numpy(np.flatnonzero(moving)).to(device)
        median = torch.from_numpy(self.median[moving]).to(device).short()
        count = torch.zeros_like(place)
        for _, frames in uploaded(self.rgb, device):
            seen = frames.flatten(1, 2).index_select(1, place).short()
            count += ((seen - median).abs().amax(-1) <= MEDIAN_TOLERANCE).sum(0)
        weight = np.ones(moving.shape)
        weight[moving] = count.cpu().numpy() >= agreement * len(self.rgb)
        return weight
