"""Frames out of videos and folders of images: RGB, by index, one pass, one frame in memory at a time."""

import contextlib
import io
import itertools
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import ffmpeg
import imageio_ffmpeg
import numpy as np
from PIL import Image

from mixdepth.capture import IMAGE_SUFFIXES
from mixdepth.errors import UserError
from mixdepth.io import atomic

# Accurate chroma and rounding, and the same bytes on every processor.
SCALER_FLAGS = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
# libavutil's AVCOL_SPC_UNSPECIFIED, which PyAV's enumeration does not name.
UNSPECIFIED_MATRIX = 2


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The opened file and its first video stream (cover pictures do not count).

    Raises:
        UserError: missing, not a video or damaged (when opened or while it is read), or without a video stream.
    """
    try:
        # "file:" so that a name with a colon is not taken for a protocol.
        with av.open(f"file:{path}") as container:
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                raise UserError(
                    f"{path}: no video stream in it (sound only, or cut short). Replace it by the camera's video."
                )
            yield container, streams[0]
    except FileNotFoundError:
        raise UserError(f"{path}: video not found. Put it there or correct `cameras` in the configuration.") from None
    except (av.FFmpegError, OSError) as error:
        size = path.stat().st_size if path.exists() else 0
        raise UserError(
            f"{path}: cannot be read as a video ({error.strerror or error}; {size} bytes). "
            f"Copy or export it again, or leave this camera out."
        ) from None


def frame_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of their numbers (2.png before 10.png).

    Raises:
        UserError: no image, or two files for one frame (1.png and 1.jpg).
    """
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise UserError(f"{folder}: a folder without images. Put the camera's frames there (.png, .jpg), or a video.")
    files.sort(key=lambda p: ([int(s) if s.isdecimal() else s for s in re.split("([0-9]+)", p.stem)], p.name))
    for first, second in itertools.pairwise(files):
        if first.stem == second.stem:
            raise UserError(f"{first} and {second}: two files for one frame. Remove one of them.")
    return files


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """One image, [H, W, 3] uint8 RGB, scaled to ``size`` = (width, height) by area.

    Raises:
        UserError: missing or unreadable.
    """
    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"{path}: image not found") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as an image ({error}). Copy or export it again.") from None
    return resize(np.asarray(rgb), size)


def resize(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """``image`` [H, W, 3] uint8 at ``size`` = (width, height): by area where smaller, bicubic where larger."""
    height, width = image.shape[:2]
    if size is None or size == (width, height):
        return image
    smaller = size[0] <= width and size[1] <= height
    method = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize(size, method))


def read_frames(path: Path, frames: range, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """The frames of one camera.

    Args:
        path: a video file or a folder of images.
        frames: their indices, ascending.
        size: (width, height) to scale to, by area where smaller; None keeps the original size.

    Yields:
        [H, W, 3] uint8 RGB, one per index, in order.

    Raises:
        UserError: missing or unreadable, or with fewer frames than asked for.
    """
    if len(frames) and (frames.step < 1 or frames[0] < 0):
        raise ValueError(f"frames must ascend from 0 or more: {frames}")
    path = Path(path)
    return _folder_frames(path, frames, size) if path.is_dir() else _video_frames(path, frames, size)


def write_reference(path: Path, frame: int, output: Path) -> None:
    """Write frame ``frame`` of a video or folder as a PNG of the original size.

    Raises:
        UserError: as :func:`read_frames`, or no space left on the device.
    """
    (image,) = read_frames(path, range(frame, frame + 1))
    write_image(output, image, "PNG")


def write_image(path: Path, image: np.ndarray, kind: str, **options: object) -> None:
    """Write ``image`` [H, W, 3] uint8 as "PNG" or "JPEG", whole or not at all."""
    # By way of memory: Pillow's own writing to a file forgets the errno of a full disk.
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    with atomic(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _folder_frames(folder: Path, frames: range, size: tuple[int, int] | None) -> Iterator[np.ndarray]:
    files = frame_files(folder)
    if len(frames) and frames[-1] >= len(files):
        raise _too_few(folder, len(files), frames, "")
    for index in frames:
        yield read_image(files[index], size)


def _video_frames(path: Path, frames: range, size: tuple[int, int] | None) -> Iterator[np.ndarray]:
    if not len(frames):
        return
    command, (width, height) = _decode_command(path, size)
    # A file, not a pipe, for the messages: nobody empties a pipe while frames are read, and ffmpeg would stand still.
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages)
        try:
            for index in range(frames[-1] + 1):
                image = np.empty((height, width, 3), np.uint8)
                if not _fill(process.stdout, image):
                    process.wait()
                    raise _too_few(path, index, frames, last_line(messages))
                if index in frames:
                    yield image
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _decode_command(path: Path, size: tuple[int, int] | None) -> tuple[list[str], tuple[int, int]]:
    with open_video(path) as (container, stream):
        original, index = (stream.width, stream.height), stream.index
        first = next(container.decode(stream), None)
    if first is None:
        raise UserError(f"{path}: no frame can be decoded. Copy or export it again, or leave this camera out.")
    width, height = size or original
    area = width <= original[0] and height <= original[1] and (width, height) != original
    scaler = {"flags": f"{'area' if area else 'bicubic'}+{SCALER_FLAGS}"}
    if first.colorspace == UNSPECIFIED_MATRIX:
        # As players do: untagged high definition is BT.709; ffmpeg by itself takes everything untagged for BT.601.
        scaler["in_color_matrix"] = "bt709" if original[0] >= 1280 or original[1] > 576 else "bt601"
    # Sizes are those of the stored frames, so a rotation flag must not turn them.
    stream = ffmpeg.input(f"file:{path}", noautorotate=None, threads=2)[str(index)].filter(
        "scale", width, height, **scaler
    )
    output = ffmpeg.output(stream, "pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
    command = output.global_args("-nostdin", "-hide_banner", "-loglevel", "error").compile(
        cmd=imageio_ffmpeg.get_ffmpeg_exe()
    )
    return command, (width, height)


def _fill(pipe: BinaryIO, image: np.ndarray) -> bool:
    """Read one frame into ``image``; False where the pipe ends before."""
    view, got = memoryview(image).cast("B"), 0
    while got < len(view):
        step = pipe.readinto(view[got:])
        if not step:
            return False
        got += step
    return True


def last_line(messages: BinaryIO) -> str:
    """The last line that ffmpeg wrote to ``messages``; empty where it wrote none."""
    messages.seek(0)
    lines = messages.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _too_few(path: Path, found: int, frames: range, message: str) -> UserError:
    said = f" (ffmpeg: {message})" if message else ""
    return UserError(
        f"{path}: {found} frames could be read, {frames[-1] + 1} expected{said}. "
        f"Copy or export it again, or choose fewer frames (`frames` in the configuration)."
    )
