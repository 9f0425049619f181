"""Pictures of one camera that COLMAP may choose from, their plate, and what moves in them.

A camera that does not move has one pose, whichever picture shows it best. Samples from all of the selection tell what
moves: no key point is taken there, so that no pose and no point depends on a mover.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from mixdepth.errors import ConfigurationError
from mixdepth.files.images import dots, write_image
from mixdepth.files.io import atomic_folder
from mixdepth.frames.decode import read_frames
from mixdepth.frames.motion import find_motion, moving_in, spread
from mixdepth.frames.probe import pixel_ratio
from mixdepth.results import Reference

SAMPLES = 21  # frames that the plate and the motion are taken from
REFERENCE_PARTS = 4  # of the capture, for the motion: it is wanted for all of it
PER_MOMENT = 30  # frames: the longer a capture, the more of the samples are written beside the frames that are wanted,
MOMENTS = (2, 6)  # at least and at most, the first and the last among them
MARGIN = 3  # pixels that the moving area is grown by


def write_references(path: Path, frames: Sequence[int], wanted: int | Sequence[int], output: Path) -> None:
    """Write ``plate.png``, ``moving.png`` and ``unsure.png`` of one camera, and of some moments ``frame_<NNNN>.png`` or
    ``moment_<NNNN>.png`` with ``moving_<NNNN>.png``, all of the original, upright size. The
    pictures say (PNG's pHYs) where pixels are not square.

    The video is decoded once, and memory does not grow with the number or the size of the frames by more than a few
    frames.

    Args:
        path: video file or folder of images.
        frames: its frames in the selection, ascending; one may occur several times.
        wanted: how many frames to write, spread evenly over the selection, or which ones, counted in the selection.
        output: folder for plate.png (RGB, what stands still), moving.png and unsure.png (8 bits, 255 where something
            moves, and where the plate is shown for less than half of the time), and the frames, named by their number
            in the selection, and others from the first to the last, each with its mask: 255 where it does not
            show what stands still, or the plate is unsure. What was there is replaced; it is written whole or not at
            all.

    Raises:
        UserError: a wanted frame is not in the selection, the frames cannot be read, or no space is left.
    """
    chosen = _chosen(path, len(frames), wanted)
    samples = spread(np.arange(len(frames)), SAMPLES)
    more = int(np.clip(len(frames) // PER_MOMENT, *MOMENTS))
    moments = {*samples[np.linspace(0, len(samples) - 1, more).round().astype(int)].tolist(), *chosen}
    indices = sorted({frames[number] for number in {*samples.tolist(), *moments}})
    shape = dots(pixel_ratio(Path(path)))
    with atomic_folder(output) as folder:
        own = Reference(folder)
        with (folder / "samples").open("wb") as file:
            for index, image in zip(indices, read_frames(path, indices), strict=True):
                file.write(np.ascontiguousarray(image).data)
                for number in (number for number in moments if frames[number] == index):
                    name = own.frame(number) if number in chosen else own.moment(number)
                    write_image(name, image, "PNG", compress_level=1, **shape)
        seen = np.memmap(folder / "samples", np.uint8, "r", shape=(len(indices), *image.shape))
        found = find_motion(seen, REFERENCE_PARTS)
        unsure = found.support < 0.5
        for number in moments:
            at = indices.index(frames[number])
            elsewhere = moving_in(seen[at], found.gain[at], found.noise, found.plate)
            write_image(own.moving_at(number), _mask(elsewhere | unsure, MARGIN), "PNG")
        del seen
        (folder / "samples").unlink()
        write_image(own.plate, found.plate, "PNG", compress_level=1, **shape)
        write_image(own.moving, _mask(found.parts != 0, MARGIN), "PNG")
        write_image(own.unsure, _mask(unsure, MARGIN), "PNG")


def _chosen(path: Path, count: int, wanted: int | Sequence[int]) -> list[int]:
    if isinstance(wanted, int):
        return spread(np.arange(count), wanted).tolist()
    outside = [number for number in wanted if not 0 <= number < count]
    if outside:
        raise ConfigurationError(
            f"`colmap.reference_frames`: {', '.join(map(str, outside))} is not in the selection of {path}, which has "
            f"{count} frames. Expected numbers from 0 to {count - 1}."
        )
    return sorted(set(wanted))


def _mask(mask: np.ndarray, margin: int) -> np.ndarray:
    """[H, W] uint8, 255 where ``mask`` [H, W] is true, and up to ``margin`` pixels around."""
    grown = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * margin + 1))
    return np.asarray(grown)
