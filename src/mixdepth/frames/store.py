"""The frame store: the undistorted, scaled frames of one camera on disk, and what does not move in them.

Reading a store needs numpy only, so that training runs where no ffmpeg is; writing imports the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens
from mixdepth.errors import UserError
from mixdepth.frames.undistort import Undistorter, undistort
from mixdepth.io import atomic, write_npy, write_npz
from mixdepth.progress import Progress

# Bytes of frames that are in memory at once for the temporal median and standard deviation.
BLOCK_BYTES = 1 << 24


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
        folder = Path(folder)
        rgb = _load(folder / "rgb.npy", np.uint8, 4)
        median = np.array(_load(folder / "median.npy", np.uint8, 3))
        std = np.array(_load(folder / "std.npy", np.float32, 2))
        if rgb.shape[1:] != median.shape or median.shape != (*std.shape, 3):
            raise UserError(
                f"{folder}: rgb.npy {rgb.shape}, median.npy {median.shape} and std.npy {std.shape} do not belong "
                "together; expected [T, H, W, 3], [H, W, 3] and [H, W]. Delete this folder and run the command again."
            )
        return cls(rgb, median, std)


def _load(path: Path, dtype: type, dimensions: int) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: file not found") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: damaged ({error}). Delete it and run the same command again.") from None
    if array.dtype != dtype or array.ndim != dimensions:
        raise UserError(
            f"{path}: {array.ndim}-dimensional {array.dtype}, expected {dimensions}-dimensional {np.dtype(dtype)}. "
            "Delete it and run the same command again."
        )
    return array


def write_store(
    path: Path, camera: Camera, lens: Lens, frames: range, rgb: Path, median: Path, std: Path, label: str
) -> None:
    """Decode, scale and undistort the frames of one camera, and measure what moves.

    Memory does not grow with the number of frames.

    Args:
        path: video file or folder of images.
        camera: the pinhole camera of the result (after scaling).
        lens: the lens of the original images.
        frames: indices to take.
        rgb: [T, H, W, 3] uint8 is written here;
        median: the temporal median, [H, W, 3] uint8, here;
        std: the temporal standard deviation (population; colours in 0..1; mean of the channels), [H, W] float32, here.
        label: what the progress lines say.

    Raises:
        UserError: the frames cannot be read, or no space is left on the device.
    """
    from mixdepth.frames.decode import read_frames

    undistorter = Undistorter(camera, lens)
    progress = Progress(label, len(frames))
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(frames), camera.height, camera.width, 3)}
    with atomic(rgb) as temporary:
        # Plain writes, no writable memory map: on a full disk a map ends the process with SIGBUS and no error.
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for image in read_frames(path, frames, (camera.width, camera.height)):
                file.write(np.ascontiguousarray(undistorter(image)))
                progress.update()
        middle, spread = temporal_statistics(temporary)
        write_npy(median, middle)
        write_npy(std, spread)


def temporal_statistics(rgb: Path) -> tuple[np.ndarray, np.ndarray]:
    """Median [H, W, 3] uint8 (halves rounded up) and standard deviation [H, W] float32 over the frames of rgb.npy."""
    frames, height, width, _ = np.load(rgb, mmap_mode="r", allow_pickle=False).shape
    values = height * width * 3
    median, std = np.empty(values, np.uint8), np.empty(values, np.float32)
    step = max(BLOCK_BYTES // frames, 1)
    for start in range(0, values, step):
        block = slice(start, start + step)
        # Mapped anew for each block, so that pages already seen do not count as memory in use.
        mapped = np.load(rgb, mmap_mode="r", allow_pickle=False).reshape(frames, -1)
        median[block], std[block] = _statistics(np.array(mapped[:, block].T, order="C"))
    return median.reshape(height, width, 3), std.reshape(-1, 3).mean(axis=1).reshape(height, width)


def _statistics(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median [N] uint8 and standard deviation [N] float32 (colours in 0..1) of ``values`` [N, T] uint8.

    The sums are whole numbers, so the result depends on no order of summation.
    """
    count = values.shape[1]
    total = values.sum(axis=1, dtype=np.int64)
    squares = np.square(values, dtype=np.uint16).sum(axis=1, dtype=np.int64)
    std = np.sqrt((squares * count - total * total).astype(np.float64)) / (count * 255)
    low, high = (count - 1) // 2, count // 2
    values.partition((low, high), axis=1)
    median = (values[:, low].astype(np.uint16) + values[:, high] + 1) // 2
    return median.astype(np.uint8), std.astype(np.float32)


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
    from mixdepth.frames.decode import read_image

    progress = Progress("static set", len(images))
    arrays = {}
    for stem, path in sorted(images.items()):
        if stem not in cameras or stem not in lenses:
            raise UserError(f"{path}: no camera for photo {stem}; there are {', '.join(sorted(cameras)) or 'none'}")
        camera = cameras[stem]
        arrays[stem] = undistort(read_image(path, (camera.width, camera.height)), camera, lenses[stem])
        progress.update()
    write_npz(output, arrays)


def write_median_set(stores: Mapping[str, Path], output: Path) -> None:
    """Write the temporal medians of the stores (camera -> folder) as an npz of {camera: [H, W, 3] uint8}."""
    write_npz(output, {name: FrameStore.open(folder).median for name, folder in sorted(stores.items())})
