"""Pictures of one camera that COLMAP may choose from, their temporal median, and what moves in them.

A camera that does not move has one pose, whichever picture shows it best. Samples from all of the selection tell what
moves: no key point is taken there, so that no pose and no point depends on a mover.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from mixdepth.errors import ConfigurationError
from mixdepth.files.images import write_image
from mixdepth.files.io import atomic_folder, write_checksum
from mixdepth.frames.decode import read_frames
from mixdepth.frames.store import MOVING_STD, motion_map, moving_pixels, temporal_median
from mixdepth.results import Reference

SAMPLES = 15  # frames that the median and the motion are taken from
BLOCK_BYTES = 1 << 24  # samples that are in memory at once
MARGIN = 3  # pixels that the moving area is grown by


def write_references(path: Path, frames: Sequence[int], wanted: int | Sequence[int], output: Path) -> None:
    """Write ``median.png``, ``moving.png`` and ``frame_<NNNN>.png`` of one camera, of the original, upright size.

    The video is decoded once, and memory does not grow with the number or the size of the frames by more than a few
    frames.

    Args:
        path: video file or folder of images.
        frames: its frames in the selection, ascending; one may occur several times.
        wanted: how many frames to write, spread evenly over the selection, or which ones, counted in the selection.
        output: folder for median.png (RGB), moving.png (8 bits, 255 where something moves) and the frames, named by
            their number in the selection. What was there is replaced; it is written whole or not at all.

    Raises:
        UserError: a wanted frame is not in the selection, the frames cannot be read, or no space is left.
    """
    chosen = {number: frames[number] for number in _chosen(path, len(frames), wanted)}
    samples = {frames[number] for number in _spread(len(frames), SAMPLES)}
    indices = sorted(samples | set(chosen.values()))
    with atomic_folder(output) as folder:
        with (folder / "samples").open("wb") as file:
            for index, image in zip(indices, read_frames(path, indices), strict=True):
                if index in samples:
                    file.write(np.ascontiguousarray(image).data)
                for number in (n for n, i in chosen.items() if i == index):
                    write_image(Reference(folder).frame(number), image, "PNG", compress_level=1)
        median, std = _statistics(folder / "samples", (len(samples), *image.shape))
        (folder / "samples").unlink()
        write_image(Reference(folder).median, median, "PNG", compress_level=1)
        write_image(Reference(folder).moving, _moving(std), "PNG")
        for image_file in sorted(folder.iterdir()):
            write_checksum(image_file)


def _chosen(path: Path, count: int, wanted: int | Sequence[int]) -> list[int]:
    if isinstance(wanted, int):
        return _spread(count, wanted)
    outside = [number for number in wanted if not 0 <= number < count]
    if outside:
        raise ConfigurationError(
            f"`colmap.reference_frames`: {', '.join(map(str, outside))} is not in the selection of {path}, which has "
            f"{count} frames. Expected numbers from 0 to {count - 1}."
        )
    return sorted(set(wanted))


def _spread(count: int, wanted: int) -> list[int]:
    """The middles of ``wanted`` equal parts of 0 .. ``count`` - 1; all, where these are fewer."""
    wanted = min(count, wanted)
    return [(2 * part + 1) * count // (2 * wanted) for part in range(wanted)]


def _statistics(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Median [H, W, 3] uint8 (halves rounded up) and standard deviation [H, W] float32 (colours in 0..1, mean of the
    channels) of the raw frames in ``path``, ``shape`` = (T, H, W, 3)."""
    count, height, width, _ = shape
    std = np.empty(shape[1:3], np.float32)
    step = max(BLOCK_BYTES // (count * width * 3), 1)
    for start in range(0, height, step):
        rows = slice(start, start + step)
        # Mapped anew for each block, so that pages already seen do not count as memory in use.
        block = np.array(np.memmap(path, np.uint8, "r", shape=shape)[:, rows])
        std[rows] = block.std(axis=0, dtype=np.float32).mean(axis=-1) / 255
    return temporal_median(path, 0, shape), std


def _moving(std: np.ndarray) -> np.ndarray:
    """[H, W] uint8, 255 where the deviation says that something moves, and around it."""
    moving = moving_pixels(motion_map(std), MOVING_STD)
    grown = Image.fromarray(moving.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * MARGIN + 1))
    return np.asarray(grown)
