"""Small videos and folders whose frames say their own number, for tests of everything that reads a capture."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
STEP = 4  # grey levels from frame to frame


def ffmpeg_cli(*arguments: str, data: bytes = b"") -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments]
    subprocess.run(command, input=data, check=True, stderr=subprocess.PIPE)


def grey(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), 10 + STEP * number, np.uint8)


def clip(
    path: Path, count: int, *options: str, rate: str = "30", size: tuple[int, int] = (64, 48), start: int = 0
) -> Path:
    """A video (H.264 unless ``options`` say otherwise) whose frame i shows the number ``start + i``, up to 60."""
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-framerate", rate, "-i", "pipe:")
    data = b"".join(grey(start + i, size).tobytes() for i in range(count))
    ffmpeg_cli(*raw, *(() if "-c:v" in options else H264), *options, str(path), data=data)
    return path


def folder(path: Path, images: Iterable[np.ndarray] | int, suffix: str = ".png") -> Path:
    """A folder of the ``images``, or of that many numbered ones."""
    path.mkdir()
    for i, image in enumerate(map(grey, range(images)) if isinstance(images, int) else images):
        Image.fromarray(image).save(path / f"{i + 1}{suffix}")
    return path


def numbers(frames: Iterable[np.ndarray]) -> Sequence[int]:
    """What number each frame shows."""
    return [round((float(image.mean()) - 10) / STEP) for image in frames]
