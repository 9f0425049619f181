"""What moves before a camera that stands still, what stands behind it, and how the light changed meanwhile.

Three questions, each answered so that the others cannot spoil the answer: by how much single frames are brighter than
the others (:func:`find_light`), what each pixel shows for most of the time (:func:`clean_plate`), and where and when a
pixel shows something else (:func:`moving_parts`). Needs numpy only.
"""

import itertools
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mixdepth.files.io import read_npz, write_npz
from mixdepth.frames.store import MOVING_STD, motion_map

PARTS = 32  # of the capture, at most, each with its own mask: bits of an integer
BLOCKS = 96  # light is measured on means of blocks, so many along the longer side: noise averages out, movers do not
DARK, BRIGHT = 6.0, 247.0  # of 255: outside of this a block's colour says nothing about the exposure
FLAT = 0.2  # a frame with less than this share of the usual contrast shows nothing: it is black, white or grey
SAME = 0.04  # relative difference of a block from the plate that exposure leaves
STEADY = 0.004  # log gain up to which the exposure is the same
AGREEING = 0.5  # share of the blocks that a frame's gain must bring back to the plate
TOLD = 0.1  # share of the blocks that must say something about it
FLASH = 0.35  # share of blocks changed, beyond the frames around it, from which on a frame does not count
GAINS = (0.2, 5.0)  # of a frame that counts
PLATE_FRAMES = 64  # at most so many frames, evenly spread, say what a pixel shows for most of the time
CANDIDATES = 9  # of them are compared with all others
TOLERANCE = 12  # of 255: a frame that differs less shows the same thing
SLAB = 1 << 23  # bytes of frames that are in memory at once
SHAPES = {
    "plate": ("u", "H", "W", 3),
    "support": ("f", "H", "W"),
    "parts": ("u", "H", "W"),
    "gain": ("f", "T", 3),
    "usable": ("b", "T"),
    "noise": ("f", 1),
}


@dataclass(frozen=True)
class Light:
    """The exposure of every frame of one camera, by that of its plate."""

    gain: np.ndarray  # [T, 3] float32
    usable: np.ndarray  # [T] bool: frames that show the scene; the others (black, white, a flash) teach nothing


@dataclass(frozen=True)
class Motion:
    """What one camera's frames say about what moves."""

    plate: np.ndarray  # [H, W, 3] uint8: what each pixel shows for most of the time, at the usual exposure
    support: np.ndarray  # [H, W] float32: the share of the time that it does
    parts: np.ndarray  # [H, W] uint32: the parts of the capture in which each pixel moves, a bit each
    gain: np.ndarray  # [T, 3] float32, as in :class:`Light`
    usable: np.ndarray  # [T] bool
    noise: float  # standard deviation of a still pixel, colours in 0..1

    def save(self, path: Path) -> None:
        """Write it as an npz of these names."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        write_npz(path, {**arrays, "noise": np.array([self.noise])})

    @classmethod
    def load(cls, path: Path) -> "Motion":
        """Read one.

        Raises:
            UserError: it is missing or damaged.
        """
        found = read_npz(path, **SHAPES)
        noise = float(found.pop("noise")[0])
        return cls(**found, noise=noise)

    def tell(self, label: str) -> None:
        """Say what light and noise were found, where there is anything to say."""
        lost = np.flatnonzero(~self.usable)
        if len(lost):
            numbers = ", ".join(map(str, lost))
            print(f"{label}: frames {numbers} show no picture or a flash, and do not count", file=sys.stderr)
        low, high = self.gain[self.usable].min(), self.gain[self.usable].max()
        if low < 0.98 or high > 1.02:
            print(f"{label}: exposure between {low:.2f} and {high:.2f} of the usual, taken out", file=sys.stderr)
        share, noise = float((self.parts > 0).mean()), 255 * self.noise
        print(f"{label}: {share:.0%} of the pixels move at some time; noise {noise:.1f} of 255", file=sys.stderr)


def find_motion(rgb: np.ndarray, most: int = PARTS) -> Motion:
    """All of it, with ``most`` parts of the capture, for frames ``rgb`` [T, H, W, 3] uint8 (a memory map is read three
    times, a few frames at once)."""
    light = find_light(rgb)
    noise = find_noise(rgb, light)
    plate, support = clean_plate(rgb, light, noise)
    parts = moving_parts(rgb, light, noise, plate, most)
    return Motion(plate, support, parts, light.gain, light.usable, noise)


def part_of(frames: int, most: int = PARTS) -> np.ndarray:
    """The part [T] of the capture that each of ``frames`` frames belongs to."""
    return np.arange(frames) * min(frames, most) // frames


def find_light(rgb: np.ndarray) -> Light:
    """Gains of frames [T, H, W, 3] uint8 against what most of them show.

    A gain is the median ratio of blocks, so that what moves has no say; it counts only where it brings most of them
    back.
    """
    small = np.stack([_block_means(frame) for frame in rgb])  # [T, N, 3]
    contrast = small.std(axis=1).mean(axis=-1)
    lively = contrast >= FLAT * np.median(contrast)
    level = small.mean(axis=(1, 2))
    middle = np.flatnonzero(lively)[np.argsort(level[lively], kind="stable")[lively.sum() // 2]]
    plate = small[middle]
    for _ in range(2):
        found = [_gain(frame, plate) for frame in small]
        gain, changed = np.stack([g for g, _ in found]), np.array([c for _, c in found])
        usable = lively & ((gain >= GAINS[0]) & (gain <= GAINS[1])).all(1) & ~_flashes(changed, lively)
        if not usable.any():
            usable = lively
        plate = np.median(small[usable] / gain[usable, None], axis=0)
    return Light(gain.astype(np.float32), usable)


def _block_means(frame: np.ndarray) -> np.ndarray:
    """Means [N, 3] float32 of square blocks of ``frame`` [H, W, 3] uint8."""
    height, width = frame.shape[:2]
    size = max(1, max(height, width) // BLOCKS)
    rows, columns = height // size, width // size
    summed = frame[: rows * size].reshape(rows, size, width * 3).sum(axis=1, dtype=np.uint32)
    summed = summed[:, : columns * size * 3].reshape(rows, columns, size, 3).sum(axis=2)
    return (summed / np.float32(size * size)).reshape(-1, 3).astype(np.float32)


def _gain(frame: np.ndarray, plate: np.ndarray) -> tuple[np.ndarray, float]:
    """The gain [3] of ``frame`` [N, 3] against ``plate`` [N, 3], 1 where none explains it; the share of blocks changed
    all the same."""
    told = (plate > DARK) & (plate < BRIGHT) & (frame > 0.5 * DARK) & (frame < BRIGHT)
    gain = np.ones(3)
    if told.mean() >= TOLD:
        ratio = np.log(np.where(told, frame, 1) / np.where(told, plate, 1))
        wanted = np.array([np.median(ratio[told[:, c], c]) if told[:, c].any() else 0.0 for c in range(3)])
        wanted = np.where(np.abs(wanted) < STEADY, 0.0, wanted)
        same = np.abs(ratio - wanted) <= SAME + 1.0 / np.minimum(frame, plate).clip(1)
        if same[told].mean() >= AGREEING:
            gain = np.exp(wanted)
    shown = np.minimum(plate * gain, 255)
    return gain, float((np.abs(frame - shown).max(axis=1) > TOLERANCE).mean())


def _flashes(changed: np.ndarray, lively: np.ndarray) -> np.ndarray:
    """[T] bool: frames in which much more has ``changed`` [T] than in those around them."""
    usual = np.empty_like(changed)
    for frame in range(len(changed)):
        around = slice(max(0, frame - 6), frame + 7)
        usual[frame] = np.median(changed[around][lively[around]]) if lively[around].any() else 0
    return changed > usual + FLASH


def find_noise(rgb: np.ndarray, light: Light) -> float:
    """Standard deviation of a still pixel (colours in 0..1), from differences of neighbouring frames: what moves is
    trimmed off, and what is as dark or as bright as can be (the borders of an undistorted image, too) left out."""
    frames = np.flatnonzero(light.usable)
    pairs = [(a, b) for a, b in itertools.pairwise(frames) if b == a + 1][:: max(1, len(frames) // 16)]
    step = max(1, rgb.shape[1] * rgb.shape[2] // 20000)
    found = []
    for a, b in pairs:
        before, after = (rgb[frame].reshape(-1, 3)[::step] for frame in (a, b))
        told = (np.minimum(before, after) > DARK) & (np.maximum(before, after) < BRIGHT)
        found.append((after / light.gain[b] - before / light.gain[a])[told])
    difference = np.concatenate([*found, np.empty(0)])
    if not len(difference):
        return 0.0
    limit = max(float(np.median(np.abs(difference))) / 0.6745, 1.0)
    for _ in range(5):
        limit = max(float(np.sqrt(np.square(difference[np.abs(difference) <= 3 * limit]).mean())), 0.2)
    return limit / (255 * np.sqrt(2))


def clean_plate(rgb: np.ndarray, light: Light, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """What each pixel shows for most of the time [H, W, 3] uint8, and for which share of it [H, W] float32.

    The mode: of the colours at a few moments the one that most frames agree with, then the mean of those.
    """
    chosen = spread(np.flatnonzero(light.usable), PLATE_FRAMES)
    height, width = rgb.shape[1:3]
    plate, support = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.float32)
    tolerance = np.uint8(min(max(TOLERANCE, round(4 * 255 * noise)), 64))
    rows = max(1, SLAB // (len(chosen) * width * 3))
    for start in range(0, height, rows):
        part = slice(start, start + rows)
        block = np.stack([exposed(rgb[frame, part], light.gain[frame]) for frame in chosen])
        plate[part], support[part] = _mode(block, tolerance)
    return plate, support


def spread(frames: np.ndarray, count: int) -> np.ndarray:
    """The middles of ``count`` equal parts of ``frames``; all, where they are fewer."""
    count = min(count, len(frames))
    return frames[(2 * np.arange(count) + 1) * len(frames) // (2 * count)]


def exposed(frame: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """``frame`` [..., 3] uint8, taken under ``gain`` [3], at the usual exposure, uint8."""
    if (gain == 1).all():
        return np.asarray(frame)
    table = np.rint(np.arange(256)[:, None] / gain).clip(0, 255).astype(np.uint8)
    return np.take_along_axis(table, frame.reshape(-1, 3), axis=0).reshape(frame.shape)


def _mode(block: np.ndarray, tolerance: np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """The mode [h, W, 3] uint8 of colours [F, h, W, 3] uint8, and the share [h, W] of the frames that agree with it."""
    best, votes = np.zeros(block.shape[1:], np.uint8), np.full(block.shape[1:3], -1, np.int32)
    for candidate in spread(np.arange(len(block)), CANDIDATES):
        count = _agree(block, block[candidate], tolerance).sum(axis=0, dtype=np.int32)
        more = count > votes
        votes[more], best[more] = count[more], block[candidate][more]
    # Twice: the colour at one moment has that moment's noise, the mean of those that agree has little.
    for _ in range(2):
        same = _agree(block, best, tolerance)
        count = np.maximum(same.sum(axis=0, dtype=np.int32), 1)
        total = np.zeros(best.shape, np.uint32)
        for frame, mask in zip(block, same, strict=True):
            total += frame * mask[..., None]
        best = np.rint(total / count[..., None]).astype(np.uint8)
    return best, (count / len(block)).astype(np.float32)


def _agree(block: np.ndarray, colour: np.ndarray, tolerance: np.uint8) -> np.ndarray:
    """[F, h, W] bool: whether no channel of ``block`` [F, h, W, 3] differs from ``colour`` [h, W, 3] by more."""
    apart = np.maximum(block, colour) - np.minimum(block, colour)
    # Not max(axis=-1), which takes several times as long over an axis of three.
    return np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2]) <= tolerance


def moving_parts(rgb: np.ndarray, light: Light, noise: float, plate: np.ndarray, most: int = PARTS) -> np.ndarray:
    """[H, W] uint32: the parts of the capture (:func:`part_of`) in which each pixel deviates from ``plate``."""
    part = part_of(len(rgb), most)
    found = np.zeros(plate.shape[:2], np.uint32)
    for number in range(part[-1] + 1):
        frames = np.flatnonzero((part == number) & light.usable)
        squares = np.zeros(plate.shape[:2], np.float32)
        for frame in frames:
            squares += squared_deviation(rgb[frame], light.gain[frame], plate)
        found |= (deviation(squares, len(frames), noise) > MOVING_STD) * np.uint32(1 << number)
    return found


def moving_in(frame: np.ndarray, gain: np.ndarray, noise: float, plate: np.ndarray) -> np.ndarray:
    """[H, W] bool: where one frame [H, W, 3] uint8 shows something else than ``plate``."""
    return deviation(squared_deviation(frame, gain, plate), 1, noise) > MOVING_STD


def squared_deviation(frame: np.ndarray, gain: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """[H, W] float32: the squared difference of ``frame`` from ``plate`` as it would be exposed (both [H, W, 3] uint8),
    mean over the channels, colours in 0..1."""
    shown = np.minimum(plate * gain.astype(np.float32), 255) if (gain != 1).any() else plate
    difference = frame.astype(np.float32)
    difference -= shown
    return np.einsum("hwc,hwc->hw", difference, difference) / np.float32(3 * 255**2)


def deviation(squares: np.ndarray, frames: int, noise: float) -> np.ndarray:
    """[H, W] float32: how much a pixel moves, by the sum of squared deviations [H, W] of so many ``frames``: what noise
    alone would hardly have, blurred as :func:`mixdepth.frames.store.motion_map` does."""
    if not frames:
        return np.zeros_like(squares)
    return motion_map(np.sqrt((squares / frames - np.float32(noise_variance(noise, frames))).clip(0)))


def noise_variance(noise: float, frames: int) -> float:
    """What the mean squared deviation of a still pixel over so many ``frames`` hardly exceeds: two standard deviations
    above ``noise`` squared."""
    return noise**2 * (1 + 2 * (2 / (3 * frames)) ** 0.5)
