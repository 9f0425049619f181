"""The colours of the pixels that move before one camera, pixel by pixel: what a training step draws of a pixel, some
frames in a row, lies in one piece. Needs numpy only."""

import ctypes
import itertools
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mixdepth.errors import DamagedFile
from mixdepth.files.certificate import hashed
from mixdepth.files.io import atomic, read_npy

BLOCK = 1 << 24  # bytes of frames that are in memory at once
NEIGHBOURS = 4096  # pixels in a row that are read of a frame at least: a disk hardly reads fewer faster
LIBC = ctypes.CDLL(None)


def moving_colours(rgb: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Colours [N, T, 3] of the N ``moving`` [P] of the pixels of ``rgb`` [T, P, 3] uint8, in their order."""
    colours, count = np.empty((np.count_nonzero(moving), len(rgb), 3), np.uint8), 0
    for first, last in np.flatnonzero(np.diff(moving, prepend=False, append=False)).reshape(-1, 2).tolist():
        run = colours[count : count + last - first]
        # One channel after the other: NumPy transposes bytes three times as fast as triples of them.
        for channel in range(3):
            run[..., channel] = rgb[:, first:last, channel].T
        count += len(run)
    return colours


def write_moving(path: Path, rgb: Path, moving: np.ndarray) -> None:
    """Write :func:`moving_colours` of a camera's frames, which are read once, and only where something moves.

    Args:
        rgb: the file of the frames [T, H, W, 3] uint8.
        moving: [H, W] bool.
    """
    frames, moving = read_npy(rgb), moving.reshape(-1)
    shape = int(np.count_nonzero(moving)), len(frames), 3
    with atomic(path) as temporary, hashed(temporary) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for pixels, block in _blocks(rgb, frames.offset, len(frames), moving):
            file.write(moving_colours(block, moving[pixels]).data)


def _blocks(path: Path, offset: int, frames: int, moving: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Neighbouring pixels [T, n, 3], and which they are, until all that move have been there.

    Read, not mapped: of a map the system would read other frames' pixels around each piece. While one block is used
    the next is being read."""
    size = max(NEIGHBOURS, BLOCK // (3 * frames))
    found = [first + np.flatnonzero(moving[first : first + size]) for first in range(0, len(moving), size)]
    parts = [slice(int(pixels[0]), int(pixels[-1]) + 1) for pixels in found if len(pixels)]
    with path.open("rb", buffering=0) as file:
        for part, following in itertools.zip_longest(parts, parts[1:]):
            block = np.empty((frames, part.stop - part.start, 3), np.uint8)
            for frame, row in enumerate(block):
                start = offset + 3 * frame * len(moving)
                if following:
                    place, size = start + 3 * following.start, 3 * (following.stop - following.start)
                    os.posix_fadvise(file.fileno(), place, size, os.POSIX_FADV_WILLNEED)
                file.seek(start + 3 * part.start)
                file.readinto(row.data)
            yield part, block


def open_moving(path: Path, moving: np.ndarray, frames: int) -> np.ndarray:
    """What :func:`write_moving` wrote, [N, T, 3], as a memory map.

    Raises:
        DamagedFile: it is missing or damaged, or not of the pixels that are ``moving`` in so many ``frames``.
    """
    colours, expected = read_npy(path), (np.count_nonzero(moving), frames, 3)
    if colours.dtype != np.uint8 or colours.shape != expected:
        raise DamagedFile(
            f"{path}: {colours.dtype} {colours.shape}, expected uint8 {expected}, by motion.npz beside it. Delete it"
            " and run the same command again."
        )
    return colours


def fetch(colours: np.ndarray, pixels: np.ndarray, frames: np.ndarray) -> None:
    """Let the system read what of a memory map will be asked for: all of it at once. Else it would do so one pixel
    after the other, with megabytes around each.

    Args:
        colours: [N, T, 3] uint8; what is no memory map is there already.
        pixels, frames: [R] and [R, F], of which pixels, and when.
    """
    if isinstance(colours, np.memmap):
        pixel, frame, _ = colours.strides
        places = colours.ctypes.data + pixels[:, None] * pixel + frames * frame
        for page in np.unique(places // mmap.PAGESIZE).tolist():
            LIBC.madvise(ctypes.c_void_p(page * mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE), mmap.MADV_WILLNEED)
