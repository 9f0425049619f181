"""The video of one training camera: its frames, what moves in them and when, and what stands still."""

from dataclasses import dataclass, replace

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.frames.motion import Motion, part_of
from mixdepth.frames.moving import moving_colours


@dataclass(frozen=True)
class Video:
    """One training camera's frames, or some of them in a row."""

    camera: Camera
    rgb: np.ndarray  # [T, H, W, 3] uint8, may be memory-mapped
    kept: np.ndarray  # [H, W] bool: N pixels, all that move among them, whose colours lie pixel by pixel in
    colours: np.ndarray  # [N, T, 3] uint8, may be memory-mapped
    plate: np.ndarray  # [H, W, 3] uint8: what each pixel shows for most of the time
    support: np.ndarray  # [H, W] float32: for which share of it
    parts: np.ndarray  # [H, W] uint32: a bit for each part of the capture in which a pixel moves
    part: np.ndarray  # [T] the part that each frame belongs to
    gain: np.ndarray  # [T, 3] float32 exposure of each frame, by that of the plate
    usable: np.ndarray  # [T] bool: frames that show the scene
    valid: np.ndarray | None = None  # [H, W] bool: pixels that show anything; None where all do

    @classmethod
    def of(
        cls,
        camera: Camera,
        rgb: np.ndarray,
        motion: Motion,
        valid: np.ndarray | None = None,
        colours: np.ndarray | None = None,
    ) -> "Video":
        """The frames of ``camera`` with what is known of them. Pixels that show nothing do not move.

        Args:
            colours: [N, T, 3] of the pixels that move, where they are at hand (:mod:`mixdepth.frames.moving`).
        """
        kept = motion.parts != 0
        if colours is None:
            colours = moving_colours(rgb.reshape(len(rgb), -1, 3), kept.reshape(-1))
        parts = motion.parts if valid is None else np.where(valid, motion.parts, np.uint32(0))
        part = part_of(len(rgb))
        light = motion.gain, motion.usable
        return cls(camera, rgb, kept, colours, motion.plate, motion.support, parts, part, *light, valid)

    @property
    def moving(self) -> np.ndarray:
        """[H, W] bool: where anything moves in these frames."""
        return self.parts != 0

    @property
    def places(self) -> np.ndarray:
        """Where in ``colours`` the pixels that are ``moving`` lie, in reading order."""
        return np.flatnonzero(self.moving[self.kept])

    def moving_during(self, bins: np.ndarray) -> np.ndarray:
        """[H, W] int32: a bit for each bin in which a pixel moves.

        Args:
            bins: [T] the bin of each frame.
        """
        found = np.zeros(self.parts.shape, np.int32)
        for one in np.unique(bins):
            bits = np.bitwise_or.reduce(np.uint32(1) << self.part[bins == one].astype(np.uint32))
            found |= ((self.parts & bits) != 0) * np.int32(1 << one)
        return found

    def frames(self, first: int, last: int) -> "Video":
        """The frames ``first`` to ``last`` (not included) alone: what moves in them, before the same plate."""
        some = slice(first, last)
        bits = np.bitwise_or.reduce(np.uint32(1) << self.part[some].astype(np.uint32))
        each = {name: getattr(self, name)[some] for name in ("rgb", "part", "gain", "usable")}
        return replace(self, parts=self.parts & bits, colours=self.colours[:, some], **each)
