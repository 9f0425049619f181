"""The demo capture as files: videos, photos and the truth, laid out like a user's own capture."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mixdepth.demo.render import Shot
from mixdepth.demo.rig import FOCAL, PHOTO_CAMERAS, VIDEO_CAMERAS
from mixdepth.demo.scene import FPS, FRAMES, movers
from mixdepth.demo.solids import Ball
from mixdepth.errors import ConfigurationError
from mixdepth.files.images import write_image
from mixdepth.files.io import write_npz
from mixdepth.frames.encode import write_recording
from mixdepth.progress import Progress

CAMERA_NAMES = tuple(VIDEO_CAMERAS)
PHOTO_FILES = tuple(PHOTO_CAMERAS)
Movers = Callable[[int], tuple[Ball, ...]]  # by frame
VIEW_STEPS = 25  # seeing the still scene takes about as long as adding what moves to this many frames


def make_demo(output: Path) -> None:
    """Render the demo capture into ``output``: ``videos/cam%02d.mp4``, ``photos/*.jpg`` and ``truth.npz``.

    The same bytes every time on one machine; the pixels before encoding are the same on every machine.
    """
    views = len(PHOTO_FILES) + len(CAMERA_NAMES)
    progress = Progress("demo capture", views * VIEW_STEPS + len(CAMERA_NAMES) * FRAMES)
    for name in PHOTO_FILES:
        write_photo(output / "photos" / name, render_photo(name))
        progress.update(VIEW_STEPS)
    write_films(output, movers, progress)


def write_films(output: Path, movers: Movers, progress: Progress) -> None:
    """Write the videos of all cameras and ``truth.npz`` into ``output``.

    Args:
        movers: what moves at a frame.
        progress: counts a step per frame, and ``VIEW_STEPS`` per camera.
    """
    truth: dict[str, list[np.ndarray]] = {"depth": [], "moving": [], "static_depth": []}
    for name in CAMERA_NAMES:
        shot = Shot(VIDEO_CAMERAS[name])
        progress.update(VIEW_STEPS)
        frames = zip(*progress.over(render_video(shot, movers)), strict=True)
        pictures, depth, moving = (np.stack(arrays) for arrays in frames)
        write_video(output / "videos" / f"{name}.mp4", pictures)
        truth["depth"].append(depth.astype(np.float16))
        truth["moving"].append(moving)
        truth["static_depth"].append(shot.still_depth())
    c2w = np.stack([camera.c2w for camera in VIDEO_CAMERAS.values()])
    arrays = {key: np.stack(values) for key, values in truth.items()}
    write_npz(output / "truth.npz", {**arrays, "c2w_opencv": c2w, "focal": np.array(FOCAL, np.float64)})


def render_photo(name: str) -> np.ndarray:
    """A photo before encoding, [H, W, 3] uint8."""
    return Shot(PHOTO_CAMERAS[name]).still()


def render_video(shot: Shot, movers: Movers = movers) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each frame's picture before encoding [H, W, 3] uint8, depth [H, W] float32 and moving mask [H, W] bool."""
    return (shot.frame(movers(frame)) for frame in range(FRAMES))


def digest(arrays: list[np.ndarray]) -> str:
    """sha256 of the arrays' types, shapes and contents: what freezes the capture."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def write_photo(path: Path, picture: np.ndarray) -> None:
    """Write [H, W, 3] uint8 as a JPEG of high quality."""
    write_image(path, picture, "JPEG", quality=95, subsampling=0)


def write_video(path: Path, pictures: np.ndarray) -> None:
    """Write [T, H, W, 3] uint8 as a recording that any player shows.

    Raises:
        OutOfRoom: no space is left on the device, or no memory.
        ConfigurationError: this ffmpeg cannot write it.
    """
    try:
        write_recording(pictures, path, FPS)
    except RuntimeError as error:
        raise ConfigurationError(f"{error}. `mixdepth doctor` says whether ffmpeg works here.") from error
