"""One held-out camera as scoring and the comparison figure look at it. Needs neither torch nor a model."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from mixdepth.errors import DamagedFile
from mixdepth.evaluation.truth import Truth
from mixdepth.frames.store import MOVING_STD, FrameStore
from mixdepth.rendering.renders import open_renders
from mixdepth.scene.scene import Scene

DEPTH_KEYS = ("depth", "depth_moving", "depth_still")


@dataclass(frozen=True)
class View:
    """One held-out camera: what was rendered and what it should be."""

    name: str
    rgb: np.ndarray  # [T, H, W, 3] uint8, rendered
    depth: np.ndarray  # [T, H, W] float32, rendered z-depth, world units
    store: FrameStore
    truth: Truth | None
    frames: range  # indices of the frames in the whole video
    scale: float  # rendered depth times this is in the truth's units
    valid: np.ndarray | None = None  # [H, W] bool: pixels that count; None counts all

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), pixels."""
        return self.rgb.shape[1], self.rgb.shape[2]

    def moving(self) -> Iterator[np.ndarray]:
        """Pixels that show something that moves, [H, W] bool per frame: as the truth says, else by their deviation."""
        if self.truth is None:
            return repeat(self.store.std > MOVING_STD, len(self.rgb))
        return (mask for _, mask in self.truth.frames(self.name, self.frames, self.size))

    def depth_pairs(self, which: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rendered, true) z-depth per frame, [N] each, in the truth's units. Only where there is a truth.

        Args:
            which: a key of DEPTH_KEYS: all pixels that count, those that move, those that stand still.
        """
        assert self.truth is not None
        true_frames = self.truth.frames(self.name, self.frames, self.size)
        for rendered, (true, mask) in zip(self.depth, true_frames, strict=True):
            chosen = {"depth": np.ones(self.size, bool), "depth_moving": mask, "depth_still": ~mask}[which]
            if self.valid is not None:
                chosen = chosen & self.valid
            yield rendered[chosen].astype(np.float64) * self.scale, true[chosen]


def open_view(
    scene: Scene, camera: str, renders: Path, store: Path, truth: Truth | None = None, scale: float = 1.0
) -> View:
    """A variant's renders of ``camera``, memory-mapped, with the camera's own frames, each in a folder.

    Raises:
        UserError: a file is missing or damaged, or the sizes differ.
    """
    rgb, depth = open_renders(renders)
    own = FrameStore.open(store)
    if rgb.shape != own.rgb.shape:
        raise DamagedFile(
            f"{renders}: rgb.npy {rgb.shape} does not fit the camera's frames {own.rgb.shape};"
            " delete this folder and run the same command again"
        )
    start, step = scene.config.frames.start, scene.config.frames.step
    return View(camera, rgb, depth, own, truth, range(start, start + step * len(rgb), step), scale)
