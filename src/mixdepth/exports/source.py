"""What is exported: the renders of a video camera or of a camera path, with the camera and time of every frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.space import Space
from mixdepth.errors import ConfigurationError, DamagedFile, listed
from mixdepth.files.io import read_json
from mixdepth.rendering.paths import frame_rate
from mixdepth.rendering.renders import open_renders
from mixdepth.results import Renders
from mixdepth.scene.scene import Scene


@dataclass(frozen=True)
class Source:
    """Rendered frames."""

    name: str  # of the camera or path
    rgb: np.ndarray  # [N, H, W, 3] uint8, sRGB; memory map
    depth: np.ndarray  # [N, H, W] float32 z-depth, world units, finite; memory map
    cameras: list[Camera]  # of each frame
    times: np.ndarray  # [N] in 0..1 of the capture
    fps: float
    space: Space

    def frames(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Name (sorts in the order of time), colour [H, W, 3] and depth [H, W] of each frame."""
        for index, (rgb, depth) in enumerate(zip(self.rgb, self.depth, strict=True)):
            yield frame_name(index), np.ascontiguousarray(rgb), np.ascontiguousarray(depth)


def frame_name(index: int) -> str:
    """What the files of a frame are called."""
    return f"{index:05d}"


def open_source(scene: Scene, renders: Path, *, cameras: Path, space: Path, capture: Path) -> Source:
    """The renders in the folder ``renders``, which rule `render` or `render_path` wrote.

    Raises:
        UserError: they are missing or damaged, or do not belong to the cameras.
    """
    rgb, depth = open_renders(renders)
    along = Renders(renders)
    if along.path.exists():
        said, timed = read_json(along.path), read_json(along.cameras)
        times = np.array([camera["time"] for camera in timed.values()])
        views, fps, count = list(load_cameras(along.cameras).values()), said["fps"], said["capture_frames"]
    else:
        known = load_cameras(cameras)
        if renders.name not in known:
            raise ConfigurationError(f"{cameras}: no camera {renders.name}; it has {listed(known)}")
        count = len(rgb)
        views, times = [known[renders.name]] * count, np.arange(count)
        fps = frame_rate(read_json(capture)["fps"], scene.config.frames.step, count)
    if len(views) != len(rgb) or (views[0].height, views[0].width) != rgb.shape[1:3]:
        raise DamagedFile(
            f"{renders}: {len(rgb)} frames of {rgb.shape[2]}x{rgb.shape[1]} pixels, but the cameras are {len(views)} of"
            f" {views[0].width}x{views[0].height}. Delete this folder and run the same command again."
        )
    return Source(renders.name, rgb, depth, views, times / max(count - 1, 1), fps, Space.load(space))
