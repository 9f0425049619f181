"""Renders of a small place over time, for tests of what shows them: a wall, a board, and a red tile that moves."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.place import HEIGHT, NAMES, WIDTH, place_camera, place_view
from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.files.io import write_json, write_npy
from mixdepth.scene.settings import Settings

FRAMES = 6
RED = (220, 30, 20)


@dataclass(frozen=True)
class Place:
    """What the viewers need to know of a scene."""

    name: str = "place"
    cameras: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NAMES, ""))
    video_variant: str = "colmap"
    video_camera: str = NAMES[2]
    test_cameras: list[str] = field(default_factory=lambda: [NAMES[2]])
    train_cameras: list[str] = field(default_factory=lambda: [NAMES[0], NAMES[1], NAMES[3]])
    viewer_cameras: list[str] = field(default_factory=lambda: [NAMES[2], NAMES[1], NAMES[3]])
    options: dict = field(default_factory=lambda: {"frames": {"step": 1}})

    @property
    def config(self) -> Settings:
        return Settings.of(self.options)

    @property
    def used_cameras(self) -> list[str]:
        return sorted(NAMES)


def tile(camera: Camera, frame: int) -> np.ndarray:
    """Where a tile at z = 3.5 is seen, [H, W] bool; it moves by 0.15 a frame."""
    grid = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1).reshape(-1, 2)
    direction = camera.unproject(grid, np.ones(len(grid))) - camera.centre
    at = camera.centre + direction * ((3.5 - camera.centre[2]) / direction[:, 2])[:, None]
    inside = np.abs(at[:, :2] - [0.15 * frame - 0.4, 0.6]).max(axis=1) < 0.25
    return inside.reshape(HEIGHT, WIDTH)


def rendered(number: int, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Colours [T, H, W, 3] uint8 and z-depth [T, H, W] float32 of camera ``number``."""
    camera = place_camera(number)
    grey, depth = place_view(camera)
    rgb = np.repeat(np.stack([grey, grey // 2 + 60, 255 - grey], axis=-1)[None], frames, axis=0)
    depth = np.repeat(depth[None].astype(np.float32), frames, axis=0)
    # z-depth of the tile's plane, z = 3.5 in the world.
    grid = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1).reshape(-1, 2)
    direction = camera.unproject(grid, np.ones(len(grid))) - camera.centre
    plane = ((3.5 - camera.centre[2]) / direction[:, 2]).reshape(HEIGHT, WIDTH).astype(np.float32)
    for frame in range(frames):
        seen = tile(camera, frame)
        rgb[frame][seen] = RED
        depth[frame][seen] = plane[seen]
    return rgb, depth


def write_renders(folder: Path, frames: int = FRAMES) -> Path:
    """Write cameras.json, capture.json and the renders of all cameras into ``folder``."""
    save_cameras(folder / "cameras.json", {name: place_camera(number) for number, name in enumerate(NAMES)})
    write_json(folder / "capture.json", {"fps": 12.0})
    for number, name in enumerate(NAMES):
        rgb, depth = rendered(number, frames)
        write_npy(folder / "colmap/renders" / name / "rgb.npy", rgb)
        write_npy(folder / "colmap/renders" / name / "depth.npy", depth)
    return folder
