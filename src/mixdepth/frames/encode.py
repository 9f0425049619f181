"""Frames into videos, by the program ffmpeg. Nothing else writes a video."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO

import ffmpeg
import imageio_ffmpeg
import numpy as np
from ffmpeg.nodes import FilterableStream as Stream

from mixdepth.errors import OutOfRoom
from mixdepth.files.io import atomic

# By area, with accurate chroma and rounding, and the same bytes on every processor.
FLAGS = "area+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
SCALE = {"flags": FLAGS, "out_range": "tv", "out_color_matrix": "bt709"}
PIXELS = {8: "yuv420p", 10: "yuv420p10le"}  # by bits
BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
# Without dates and versions, the index in front.
MP4 = {
    "format": "mp4",
    "vcodec": "libx264",
    "movflags": "+faststart",
    "fflags": "+bitexact",
    "flags:v": "+bitexact",
    "map_metadata": -1,
    "color_range": "tv",
}


def write_video(frames: Iterable[np.ndarray], path: Path, fps: float, bits: int = 8) -> None:
    """Write an H.264 mp4 (4:2:0, BT.709, index in front), which every player shows in the right colours.

    The same frames give the same bytes.

    Args:
        frames: [H, W, 3] uint8 RGB, all of one size; an odd size is made even by repeating the last row or column.
        path: the file, written whole or not at all.
        fps: frames per second.
        bits: 8, which plays everywhere; or 10 (profile High 10), which editing programs read: colours keep what the way
            from RGB to YUV rounds off at 8 bits.

    Raises:
        OutOfRoom: no space is left on the device, or no memory.
        RuntimeError: ffmpeg failed; with its last message.
        ValueError: no frames, or frames of another shape or type.
    """

    def converted(stream: Stream) -> Stream:
        stream = stream.filter("scale", in_range="pc", **SCALE).filter("format", PIXELS[bits])
        return stream.filter("setparams", range="tv", **BT709)

    # A fixed number of threads and the same algorithms on every processor: both change x264's bytes.
    same = {"threads": 2, "x264-params": "cpu-independent=1"}
    _encode(frames, path, Fraction(fps).limit_denominator(1001), converted, {"crf": 18, **same, **BT709})


def write_recording(frames: Iterable[np.ndarray], path: Path, fps: int) -> None:
    """Write an H.264 mp4 as a good camera would: colours come back within about two levels. One thread and no dates or
    versions, so that the same frames give the same bytes. Arguments and errors as :func:`write_video`."""
    tags = "threads=1:colorprim=bt709:transfer=bt709:colormatrix=bt709"
    options = {"pix_fmt": "yuv420p", "crf": 8, "preset": "medium", "threads": 1, "colorspace": "bt709"}
    _encode(frames, path, fps, lambda stream: stream.filter("scale", **SCALE), {**options, "x264-params": tags})


def _encode(
    frames: Iterable[np.ndarray],
    path: Path,
    fps: Fraction | int,
    converted: Callable[[Stream], Stream],
    options: Mapping[str, object],
) -> None:
    """Write ``frames`` as an MP4.

    Args:
        converted: makes of the RGB stream the one that is encoded.
        options: ffmpeg's for the output, beside MP4.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: no frames to write")
    height, width = first.shape[0] + first.shape[0] % 2, first.shape[1] + first.shape[1] % 2
    stream = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", video_size=(width, height), framerate=fps)
    # In memory: where the disk is full, what ffmpeg says about it must not be lost.
    with atomic(path) as temporary, open(os.memfd_create("messages"), "w+b") as messages:  # noqa: PTH123 (a descriptor)
        output = ffmpeg.output(converted(stream), f"file:{temporary}", **MP4, **options)
        output = output.global_args("-y", "-hide_banner", "-loglevel", "error")
        process = subprocess.Popen(
            output.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=messages,
        )
        assert process.stdin is not None  # a pipe
        try:
            _feed(process.stdin, _even_frames(chain([first], frames), first.shape))
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code:
            messages.seek(0)
            _raise_why(path, messages.read())


def _even_frames(frames: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for image in frames:
        if image.shape != shape or image.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
            raise ValueError(f"frame {image.shape} {image.dtype}, expected [H, W, 3] uint8 as the first {shape}")
        yield np.pad(image, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")


def _feed(pipe: IO[bytes], frames: Iterable[np.ndarray]) -> None:
    """Write all frames; where ffmpeg ends before, its exit status says why."""
    try:
        with pipe:
            for image in frames:
                pipe.write(np.ascontiguousarray(image).data)
    except BrokenPipeError:
        pass


def _raise_why(path: Path, messages: bytes) -> None:
    """Raise what ffmpeg's ``messages`` say: an OSError where there is no space, else its last line."""
    for number in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(number).encode() in messages:
            raise OSError(number, os.strerror(number))
    lines = messages.decode(errors="replace").strip().splitlines()
    said = f"{path}: ffmpeg could not write the video: {lines[-1].strip() if lines else 'it does not say why'}"
    if os.strerror(errno.ENOMEM) in said:
        raise OutOfRoom(said) from MemoryError()
    raise RuntimeError(said)
