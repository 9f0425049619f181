"""The frame store: the undistorted, scaled frames of one camera on disk, and what does not move in them.

Reading a store needs numpy only, so that training runs where no ffmpeg is; writing imports the rest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.undistort import Undistorter, undistort
from mixdepth.errors import CaptureError, DamagedFile, listed
from mixdepth.files.certificate import hashed
from mixdepth.files.io import atomic, read_npy, write_npy, write_npz
from mixdepth.progress import Progress
from mixdepth.results import Store

MOVING_STD = 0.02  # temporal standard deviation (colours in 0..1) above which a pixel moves
# Bytes of frames that are in memory at once for the temporal median, and values for the standard deviation: few enough
# for the processor's cache.
BLOCK_BYTES = 1 << 22
VALUES = 1 << 14
# Squares of this many 8-bit values fit 32 bits.
SPILL = 1 << 16


@dataclass(frozen=True)
class FrameStore:
    """The frames of one camera, read from disk as they are needed."""

    rgb: np.ndarray  # [T, H, W, 3] uint8, memory-mapped, read-only
    median: np.ndarray  # [H, W, 3] uint8, temporal median
    std: np.ndarray  # [H, W] float32, temporal standard deviation of colours in 0..1

    @classmethod
    def open(cls, folder: Path) -> "FrameStore":
        """Open ``folder`` with rgb.npy, median.npy and std.npy.

        Raises:
            UserError: one of them is missing or damaged, or they do not belong together.
        """
        store = Store(Path(folder))
        rgb = open_frames(store.rgb)
        median = np.array(_load(store.median, np.uint8, 3))
        std = np.array(_load(store.std, np.float32, 2))
        if rgb.shape[1:] != median.shape or median.shape != (*std.shape, 3):
            raise DamagedFile(
                f"{folder}: rgb.npy {rgb.shape}, median.npy {median.shape} and std.npy {std.shape} do not belong "
                "together; expected [T, H, W, 3], [H, W, 3] and [H, W]. Delete this folder and run the command again."
            )
        return cls(rgb, median, std)


def open_frames(path: Path) -> np.ndarray:
    """The frames of one camera, [T, H, W, 3] uint8, as a memory map.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _load(path, np.uint8, 4)


def _load(path: Path, dtype: type, dimensions: int) -> np.ndarray:
    array = read_npy(path)
    if array.dtype != dtype or array.ndim != dimensions:
        raise DamagedFile(
            f"{path}: {array.ndim}-dimensional {array.dtype}, expected {dimensions}-dimensional {np.dtype(dtype)}. "
            "Delete it and run the same command again."
        )
    return array


def write_store(
    path: Path,
    camera: Camera | None,
    lens: Lens | None,
    frames: Sequence[int],
    rgb: Path,
    median: Path,
    std: Path,
    label: str,
    scale: float = 1.0,
) -> None:
    """Decode, scale and undistort the frames of one camera, and measure what moves.

    Memory does not grow with the number of frames. A failure leaves none of the three files.

    Args:
        path: video file or folder of images.
        camera: the pinhole camera of the result (after scaling); None for one that has no pose.
        lens: the lens of the original images; None where there is no camera.
        frames: indices to take, ascending; repeats are allowed.
        rgb: [T, H, W, 3] uint8 is written here;
        median: the temporal median (halves rounded up), [H, W, 3] uint8, here;
        std: the temporal standard deviation (population; colours in 0..1; mean of the channels), [H, W] float32, here.
        label: what the progress lines say.
        scale: size of the result by that of the original where there is no camera: scaled, but not undistorted.

    Raises:
        UserError: the frames cannot be read or are not of the lens's size, or no space is left on the device.
    """
    from mixdepth.frames.decode import read_frames

    width, height = _stored_size(path, camera, lens, scale)
    undistorter = Undistorter(camera, lens) if camera and lens else None
    shape = (len(frames), height, width, 3)
    spread, progress = TemporalStd(shape[1:]), Progress(label, len(frames))
    with atomic(rgb) as whole:
        # Plain writes, no writable memory map: on a full disk a map ends the process with SIGBUS and no error.
        with hashed(whole) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            header = file.tell()
            for image in progress.over(read_frames(path, frames, (width, height))):
                picture = undistorter(image) if undistorter else image
                file.write(picture.data)
                spread.add(picture)
        # Inside, so that no file takes its name before all are written.
        with atomic(median) as temporary:
            with temporary.open("wb") as file:
                np.save(file, temporal_median(whole, header, shape), allow_pickle=False)
            write_npy(std, spread.value().mean(axis=-1))


def _stored_size(path: Path, camera: Camera | None, lens: Lens | None, scale: float) -> tuple[int, int]:
    """(width, height) of the frames in the store of the video or folder ``path``."""
    from mixdepth.frames.decode import picture_size

    original = picture_size(path)
    if camera is None:
        return max(1, round(original[0] * scale)), max(1, round(original[1] * scale))
    assert lens is not None  # it comes with the camera
    if original != (lens.width, lens.height):
        raise DamagedFile(
            f"{path} is {original[0]}x{original[1]}, but its camera was found when it was {lens.width}x{lens.height}: "
            "delete cameras.json of this scene's results, and run the same command again"
        )
    return camera.width, camera.height


class TemporalStd:
    """The standard deviation over time of pictures [*shape] that come one by one. Sums are whole numbers, so the result
    depends on no order of summation."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.count = shape, 0
        self.total, self.recent_squares = (np.zeros(math.prod(shape), np.uint32) for _ in range(2))
        self.squares = np.zeros(math.prod(shape), np.uint64)

    def add(self, picture: np.ndarray) -> None:
        """Take in one picture, [*shape] uint8."""
        for start in range(0, picture.size, VALUES):
            block = slice(start, start + VALUES)
            values = picture.reshape(-1)[block].astype(np.uint32)
            self.total[block] += values
            values *= values
            self.recent_squares[block] += values
        self.count += 1
        if self.count % SPILL == 0:
            self._spill()

    def value(self) -> np.ndarray:
        """The standard deviation (population) of the pictures so far, [*shape] float32, of colours in 0..1."""
        self._spill()
        total = self.total.astype(np.uint64)
        variance = (self.squares * np.uint64(self.count) - total * total).astype(np.float64)
        return (np.sqrt(variance) / (self.count * 255)).astype(np.float32).reshape(self.shape)

    def _spill(self) -> None:
        self.squares += self.recent_squares
        self.recent_squares[:] = 0


def temporal_median(path: Path, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """Median over the first axis, halves rounded up, [*shape[1:]] uint8.

    Args:
        path: a file with an array [*shape] uint8 from byte ``offset`` on; it is read in blocks of pixels.
    """
    frames, values = shape[0], math.prod(shape[1:])
    median, step = np.empty(values, np.uint8), max(BLOCK_BYTES // frames, 1)
    with path.open("rb") as file:
        for start in range(0, values, step):
            # Read, not mapped: pages of a map count as memory in use.
            block = np.empty((frames, min(step, values - start)), np.uint8)
            for frame, row in enumerate(block):
                file.seek(offset + frame * values + start)
                file.readinto(row.data)
            median[start : start + step] = _median(block)
    return median.reshape(shape[1:])


def _median(values: np.ndarray) -> np.ndarray:
    """Median [N] uint8 (halves rounded up) of ``values`` [T, N] uint8.

    Found bit by bit, from the highest: m is the largest number with at most ``low`` values below it. Comparing and
    counting whole rows is about eight times as fast as sorting columns.
    """
    low, high = (len(values) - 1) // 2, len(values) // 2
    median = np.zeros(values.shape[1], np.uint8)
    for bit in 128 >> np.arange(8, dtype=np.uint8):
        tried = median | bit
        median = np.where(_count(values < tried) <= low, tried, median)
    if low == high:
        return median
    # The value at `high` is the same, or the smallest above; the difference wraps around for those that are not above.
    above = median + np.uint8(1)
    above += (values - above).min(axis=0)
    upper = np.where(_count(values <= median) > high, median, above)
    return ((median.astype(np.uint16) + upper + 1) // 2).astype(np.uint8)


def _count(mask: np.ndarray) -> np.ndarray:
    """Number of true values over the first axis of ``mask`` [T, N], [N] uint32: in bytes as long as they suffice."""
    parts = (mask[start : start + 255].view(np.uint8) for start in range(0, len(mask), 255))
    return sum(np.add.reduce(part, axis=0, dtype=np.uint8).astype(np.uint32) for part in parts)


def motion_map(std: np.ndarray) -> np.ndarray:
    """How much a pixel moves: ``std`` [H, W] blurred by a Gaussian of width/200 pixels (at least 0.5), [H, W] float32.

    A ray is dynamic where this exceeds a threshold; the blur takes in the rim of what moves. The border is repeated.
    """
    sigma = max(std.shape[1] / 200, 0.5)
    radius = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    blurred = std.astype(np.float32)
    for axis in (0, 1):
        length = blurred.shape[axis]
        padded = np.pad(blurred, [(radius, radius) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
        shifted = (padded.take(range(i, i + length), axis=axis) for i in range(len(kernel)))
        blurred = sum(weight * part for weight, part in zip(kernel, shifted, strict=True))
    return blurred


def write_static_set(
    images: Mapping[str, Path], cameras: Mapping[str, Camera], lenses: Mapping[str, Lens], output: Path
) -> None:
    """Write the photos ``images`` (stem -> file), undistorted and scaled, as an npz of {stem: [H, W, 3] uint8}.

    Raises:
        UserError: a photo cannot be read or has no camera, or no space is left on the device.
    """
    from mixdepth.files.images import read_image

    arrays = {}
    progress = Progress("static set", len(images))
    for stem, path in progress.over(sorted(images.items())):
        if stem not in cameras or stem not in lenses:
            raise CaptureError(f"{path}: no camera for photo {stem}; there are {listed(cameras)}")
        camera = cameras[stem]
        arrays[stem] = undistort(read_image(path, (camera.width, camera.height)), camera, lenses[stem])
    write_npz(output, arrays)
