"""What cameras of one event have in common, as pictures with time along x: their sound, and their motion.

Sound: by how much each frequency band gets louder. Motion: how much of each image row brightens and darkens. Rows are
what upright cameras share however far apart they stand: what rises and falls does so for all of them, while left and
right depend on the viewpoint (the epipolar lines of a level rig are its rows).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mixdepth.files.images import read_image
from mixdepth.frames.decode import frame_files, grey_pictures, open_sound, read_frames
from mixdepth.frames.timing import read_track

MAX_FRAMES = 2000  # at the common rate, from the start of each video
MAX_SOUND = 300.0  # seconds, from the start of each video
ROWS = 48  # of the motion
BANDS = 8  # of the sound
CELL = 4  # pixels of the small pictures, each side of a cell that changes

_WIDTH = 160  # pixels, longer side of the small pictures that motion is looked for in
_SHIFT = 16  # most rows that the same height may lie apart in two cameras
_SCALES = (2**-0.5, 1.0, 2**0.5)  # of one camera's rows to another's
_STILL = 0.01  # grey levels, the variance over time of the roots of the rows' changes: below it nothing moves
_SUDDEN, _FLASH = 4.0, 30.0  # grey levels by which light changes at least, and of which more say nothing more
_ENDS = 5  # frames at each end of a video in which no change of light counts
_SOUND_RATE, _HOP, _WINDOW = 8000, 80, 256  # hertz, samples, samples: 100 spectra a second


@dataclass(frozen=True)
class Signal:
    """A picture over time."""

    values: np.ndarray  # [channels, rows, T] float32, each row of zero mean
    rate: float  # columns per frame of the common rate
    start: float  # frame of the first column
    shift: int = 0  # rows that it may be shifted by when compared,
    scales: tuple[float, ...] = (1.0,)  # and factors that its rows may be scaled by


class Seen(NamedTuple):
    """What a camera's pictures show from one frame to the next."""

    motion: Signal  # what brightens and what darkens in each image row, values [2, ROWS, T]
    light: Signal  # by how much the whole picture changes suddenly, by a flash or a lamp, values [1, 1, T]
    change: np.ndarray  # [T, h, w] uint8: the largest change in each cell, 16 times the root of its grey levels


def seen_signals(path: Path, rate: float | None) -> Seen:
    """What changes in the pictures of a video or folder.

    Where no camera has a ``rate``, the frames of a video count as those of a folder do: one by one.
    """
    if path.is_dir():
        pictures = _folder_pictures(path)
    else:
        pictures = _at_rate(_video_pictures(path, rate), rate) if rate else grey_pictures(path, _small)
    stack = np.stack(list(itertools.islice(pictures, MAX_FRAMES)))  # [T + 1, h, w] uint8: 29 MB at most
    rows = _row_means(stack.shape[1])
    values = np.zeros((2, ROWS, max(len(stack) - 1, 1)), np.float32)
    cells = np.zeros((values.shape[2], *(-(-side // CELL) for side in stack.shape[1:])), np.uint8)
    for t, (before, after) in enumerate(itertools.pairwise(stack)):
        change = _blurred(after.astype(np.float32) - before)  # noise is of single pixels, motion is not
        floor = 3 + 4 * np.median(np.abs(change))  # most of a picture is still: its usual change is noise
        for channel, sign in enumerate((1, -1)):
            values[channel, :, t] = rows @ np.maximum(sign * change - floor, 0).mean(axis=1)
        cells[t] = np.rint(16 * np.sqrt(_largest(np.maximum(np.abs(change) - floor, 0), cells.shape[1:])))
    values = _centred_rows(np.sqrt(values))  # the root, so that one large thing does not drown all others
    if np.mean(values**2) < _STILL:  # key frames stir even a still picture, and all cameras' at the same numbers
        values[:], cells[:] = 0, 0
    return Seen(Signal(values, 1.0, 0.5, _SHIFT, _SCALES), Signal(_flashes(stack), 1.0, 0.5), cells)


def _flashes(stack: np.ndarray) -> np.ndarray:
    """Sudden changes of the mean of pictures [T + 1, h, w] from one to the next, [1, 1, T]; of at most _FLASH levels.

    What moves changes the mean little, and flicker and slow exposure do so all the time. A camera's first and last
    pictures may be dark because it starts and stops.
    """
    change = np.diff(stack.mean(axis=(1, 2))) if len(stack) > 1 else np.zeros(1)
    sudden = np.clip(np.abs(change) - _SUDDEN - 4 * np.median(np.abs(change)), 0, _FLASH) * np.sign(change)
    sudden[:_ENDS] = sudden[max(len(sudden) - _ENDS, 0) :] = 0
    return _centred_rows(sudden[None, None].astype(np.float32))


def _largest(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The largest value in each of ``shape`` equal parts of a picture."""
    down, across = (np.arange(parts) * side // parts for parts, side in zip(shape, picture.shape, strict=True))
    return np.maximum.reduceat(np.maximum.reduceat(picture, down, axis=0), across, axis=1)


def _blurred(picture: np.ndarray) -> np.ndarray:
    """The mean over 3 x 3 pixels."""
    padded = np.pad(picture, 1, mode="edge")
    across = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (across[:-2] + across[1:-1] + across[2:]) / 9


def _centred_rows(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=2, keepdims=True)


def _row_means(height: int) -> np.ndarray:
    """[ROWS, height]: the mean over each of ROWS equal parts of the height."""
    edges = np.arange(ROWS + 1)[:, None] * height / ROWS
    below = np.clip(edges - np.arange(height), 0, 1)
    return (np.diff(below, axis=0) * ROWS / height).astype(np.float32)


def _folder_pictures(folder: Path) -> Iterator[np.ndarray]:
    """Small grey pictures [h, w] uint8 of a folder of images."""
    files = frame_files(folder)
    height, width = read_image(files[0]).shape[:2]
    for frame in read_frames(folder, range(min(len(files), MAX_FRAMES)), _small(width, height)):
        yield np.rint(frame @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)


def _video_pictures(path: Path, rate: float) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds since the first frame, and a small grey upright picture [h, w] uint8, of each frame of a video."""
    return zip(read_track(path).positions(rate) / rate, grey_pictures(path, _small), strict=False)


def _small(width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, _WIDTH / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _at_rate(pictures: Iterator[tuple[float, np.ndarray]], rate: float) -> Iterator[np.ndarray]:
    """The pictures at the times 0, 1/rate, 2/rate ..., between two frames mixed by time."""
    wanted, earlier = 0, None
    for time, picture in pictures:
        while wanted / rate <= time + 0.02 / rate:
            if earlier is None or time <= earlier[0]:
                yield picture
            else:
                share = min((wanted / rate - earlier[0]) / (time - earlier[0]), 1.0)
                mixed = (1 - share) * earlier[1].astype(np.float32) + share * picture
                yield np.rint(mixed).astype(np.uint8)
            wanted += 1
        earlier = time, picture


def sound_signal(path: Path, rate: float) -> Signal | None:
    """By how much each frequency band grows louder: values [1, BANDS, T]; None for a video without sound."""
    if path.is_dir():
        return None
    with open_sound(path, _SOUND_RATE) as sound:
        if sound is None:
            return None
        start, pieces = sound
        energies, rest, wanted = [], np.zeros(0, np.float32), int(MAX_SOUND * _SOUND_RATE / _HOP)
        for samples in pieces:
            rest = np.concatenate([rest, samples])
            if len(rest) >= 8 * _SOUND_RATE:
                energies.append(_bands(rest))
                rest = rest[len(energies[-1]) * _HOP :]
                if sum(map(len, energies)) >= wanted:
                    break
        energies.append(_bands(rest))
    loudness = np.log(np.concatenate(energies)[:wanted] + 1e-7).T
    if loudness.shape[1] < _SOUND_RATE // _HOP:
        return None
    per_frame = _SOUND_RATE / _HOP / rate
    growth = np.maximum(np.diff(loudness, axis=1), 0).astype(np.float32)
    return Signal(_centred_rows(growth[None]), per_frame, start * rate)


def _bands(samples: np.ndarray) -> np.ndarray:
    """Energy [T, BANDS] in bands of equal ratio from 100 Hz up, one row per hop."""
    if len(samples) < _WINDOW:
        return np.zeros((0, BANDS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    edges = np.geomspace(100, _SOUND_RATE / 2, BANDS + 1) * _WINDOW / _SOUND_RATE
    return np.add.reduceat(power, np.maximum.accumulate(np.round(edges).astype(int))[:-1], axis=1).astype(np.float32)
