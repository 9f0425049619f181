"""When frames are shown: the timestamps of each camera, and the timeline that all cameras of a capture share.

Output frame t lies at position ``start + t * step`` of the timeline, counted in frames of the common rate. Camera c
shows it at that position plus ``shift_c = offset_c - (smallest offset of the cameras in use)``, counted from its own
first frame; the frame nearest in time is taken, the earlier one of two that are equally near.
"""

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from mixdepth.errors import CaptureError, ConfigurationError, DamagedFile
from mixdepth.frames.decode import first_decoded, frame_files, open_video, tick
from mixdepth.scene.capture import camera_name

# Rates that differ by less count as one: half of what is between 29.97 and 30 frames per second.
SAME_RATE = 5e-4
# Share of a frame by which a frame may be off even spacing before the rate counts as variable: half of what would make
# another frame the nearest. One frame dropped anywhere moves others by half a frame or more.
UNEVEN = 0.25
# Frames by which a position may be beyond the middle of two frames before the later one is nearer.
TIE = 1e-6


@dataclass(frozen=True)
class Track:
    """The frames of one camera in time, in the order in which a decoder returns them."""

    frames: int
    rate: float | None  # frames per second as the header says, None for a folder of images
    times: np.ndarray | None  # [frames] seconds after the first frame, ascending; None where there are no timestamps
    missing: int  # frames more that the file promises, from where its data are cut off, corrupt or zeros

    @property
    def spacing(self) -> float | None:
        """Seconds from frame to frame: by the header's rate where the timestamps bear it out, else their mean."""
        nominal = 1 / self.rate if self.rate else None
        if self.times is None or self.frames < 2:
            return nominal
        mean = float(self.times[-1]) / (self.frames - 1)
        return nominal if nominal and abs(nominal - mean) * (self.frames - 1) <= UNEVEN * mean else mean

    @property
    def variable(self) -> bool:
        """Whether the frames are not evenly spaced."""
        if self.times is None or self.frames < 3:
            return False
        mean = float(self.times[-1]) / (self.frames - 1)
        return bool(np.abs(self.times - mean * np.arange(self.frames)).max() > UNEVEN * mean)

    def positions(self, fps: float | None) -> np.ndarray:
        """Where its frames lie, [frames] float64, in frames of the rate ``fps`` after its first.

        Frames of an unknown rate are taken to come at the common rate.
        """
        if self.times is not None and self.variable and fps:
            return self.times * fps
        return np.arange(self.frames) * (fps * self.spacing if fps and self.spacing else 1.0)

    def end(self, fps: float | None) -> float:
        """Position up to which one of its frames is the nearest: half the mean spacing after the last."""
        last = float(self.positions(fps)[-1])
        return last + 0.5 * (last / (self.frames - 1) if self.frames > 1 else 1.0)


def read_track(path: Path) -> Track:
    """The frames of a video, by its packets (only the first frame is decoded), or of a folder of images.

    Raises:
        UserError: missing, unreadable or without frames.
    """
    path = Path(path)
    if path.is_dir():
        return Track(len(frame_files(path)), None, None, 0)
    packets, first = [], None
    with open_video(path) as (container, stream):
        for packet in container.demux(stream):
            first = first or first_decoded(packet)
            if packet.size:
                packets.append(_Packet.of(packet, stream))
        rate, unit = _header_rate(stream), float(tick(stream))
        # An mp4's index is complete from the start; those of other containers grow while one reads.
        promised = sum(entry.size > 0 for entry in stream.index_entries)
    whole = _whole(packets)
    missing = max(promised, len(packets)) - whole
    shown = [packet.pts for packet in packets[:whole] if packet.shown]
    if not first or not shown:
        raise DamagedFile(f"{path}: no frame can be decoded. Copy or export it again, or leave this camera out.")
    known = [pts for pts in shown if pts is not None]
    if len(known) < len(shown):
        return Track(len(shown), rate, None, missing)
    # A recording that starts amid a group of pictures: what comes before its first whole picture cannot be decoded.
    stamps = np.array(sorted(pts for pts in known if first.pts is None or pts >= first.pts), np.int64)
    return Track(len(stamps), rate, (stamps - stamps[0]) * unit, missing)


@dataclass(frozen=True)
class _Packet:
    pts: int | None = None
    shown: bool = False
    broken: bool = False  # not all of it is there
    hole: bool = False  # zeros only
    frayed: bool = False  # zeros at its end

    @classmethod
    def of(cls, packet: av.Packet, stream: av.VideoStream) -> "_Packet":
        codec, data = stream.codec_context.name, memoryview(packet)
        # VP8 puts frames that are never shown in packets of their own: the flag show_frame (RFC 6386, 9.1).
        hidden = codec == "vp8" and not data[0] & 0x10
        # No codec writes a packet of zeros but raw video (black): the file has a hole, as of a copy that broke off.
        frayed = codec != "rawvideo" and not any(data[-16:])
        hole = frayed and bytes(data).count(0) == len(data)
        return cls(packet.pts, not (packet.is_discard or hidden), packet.is_corrupt or hole, hole, frayed)


def _whole(packets: list[_Packet]) -> int:
    """Packets before the first damage: a frame that is dropped there would shift the indices of all later ones."""
    for i, (packet, after) in enumerate(itertools.pairwise([*packets, _Packet()])):
        # What ends in zeros before a hole was cut by it.
        if packet.broken or (packet.frayed and after.hole):
            return i
    return len(packets)


def read_rate(path: Path) -> float | None:
    """Frames per second of a video by its header, None where it does not say or for a folder of images.

    Raises:
        UserError: missing or unreadable.
    """
    if Path(path).is_dir():
        return None
    with open_video(path) as (_, stream):
        return _header_rate(stream)


def _header_rate(stream: av.VideoStream) -> float | None:
    """The nominal rate where the average agrees with it, or would with two frames more or less; else the average.

    (The last frame's duration bends the average of a short video, and so does a frame that is lost.)
    """
    average, nominal = stream.average_rate, stream.guessed_rate
    near = max(SAME_RATE, 2 / stream.frames if stream.frames else 0)
    rate = nominal if not average or (nominal and abs(nominal / average - 1) <= near) else average
    return float(rate) if rate else None


@dataclass(frozen=True)
class Timeline:
    """The common timeline of the cameras of a capture."""

    videos: Mapping[str, Path]  # camera -> video or folder of images
    start: int
    count: int | None
    step: int
    fps: float | None  # the common rate; None where no camera has one
    shifts: Mapping[str, float]  # camera -> frames at the common rate, 0 or more
    notes: list[str]  # what a user should know about the rates

    @classmethod
    def of(cls, videos: Mapping[str, Path], options: Mapping, known: Collection[str] = ()) -> "Timeline":
        """The timeline of ``videos``, of which only headers are read.

        Args:
            videos: camera -> video or folder of images, of all cameras in use.
            options: ``{"start", "count", "step", "fps", "offsets"}``, key ``frames`` of the configuration.
            known: cameras of the capture, also those not in use, whose offsets change nothing.

        Raises:
            UserError: a video is missing or unreadable, or an offset cannot be understood.
        """
        fps, notes = _common_rate({name: read_rate(path) for name, path in videos.items()}, options.get("fps"))
        shifts = _shifts(videos, options.get("offsets") or {}, fps, known)
        videos = {name: Path(path) for name, path in videos.items()}
        return cls(videos, options["start"], options["count"], options["step"], fps, shifts, notes)

    def source_frames(self, name: str) -> list[int]:
        """The frames of camera ``name`` to take, one per output frame: ascending indices, which may repeat.

        Raises:
            UserError: its video is missing, unreadable or too short.
        """
        path, track = self.videos[name], read_track(self.videos[name])
        length = self.length(name, track)
        fits = self.selectable(length)
        count = self.count or fits
        if not 0 < count <= fits:
            mend = f"set `frames.count` to {fits} or less" if fits else "choose a smaller `frames.start`"
            raise CaptureError(
                f"{path}: {name} has {length} frames on the common timeline, but {self.selection} needs {self.needed}. "
                f"Use the whole video, or {mend}."
            )
        wanted = self.start + np.arange(count) * self.step + self.shifts[name]
        where = track.positions(self.fps)
        return np.searchsorted((where[1:] + where[:-1]) / 2, wanted - TIE).tolist()

    def length(self, name: str, track: Track) -> int:
        """Frames of the timeline, from its first, that camera ``name`` with ``track`` can show."""
        return max(math.ceil(track.end(self.fps) - self.shifts[name] - TIE), 0)

    def selectable(self, length: int) -> int:
        """Output frames that ``start`` and ``step`` take from ``length`` frames of the timeline."""
        return max(math.ceil((length - self.start) / self.step), 0)

    @property
    def needed(self) -> int:
        """Frames of the timeline that the selection needs."""
        return self.start + ((self.count or 1) - 1) * self.step + 1

    @property
    def selection(self) -> str:
        return f"start {self.start}, count {self.count or 'null'}, step {self.step}"


def _common_rate(rates: Mapping[str, float | None], wanted: float | None) -> tuple[float | None, list[str]]:
    """The rate of the timeline, and what is worth knowing about it."""
    known = {name: rate for name, rate in rates.items() if rate}
    fps = wanted or min(known.values(), default=None)
    if not fps:
        return None, []
    notes = []
    if known and max(known.values()) > min(known.values()) * (1 + SAME_RATE):
        listed = ", ".join(f"{name} {rate:.5g}" for name, rate in sorted(known.items()))
        notes.append(
            f"the videos' rates differ ({listed} frames per second): of each the frame nearest in time is taken, at "
            f"{fps:.5g} frames per second ({'`frames.fps`' if wanted else 'the lowest; set `frames.fps` for another'})."
        )
    if slower := sorted(name for name, rate in known.items() if rate < fps * (1 - SAME_RATE)):
        notes.append(f"`frames.fps` is {fps:.5g}, above the rate of {', '.join(slower)}: their frames repeat.")
    if known and (unknown := sorted(rates.keys() - known.keys())):
        notes.append(
            f"the rate of {', '.join(unknown)} is unknown (images, or no rate in the file) and taken for the common "
            f"rate, {fps:.5g} frames per second."
        )
    return fps, notes


def _shifts(
    videos: Collection[str], offsets: Mapping[str, float | str], fps: float | None, known: Collection[str]
) -> dict[str, float]:
    """Frames at the rate ``fps`` that each camera in use is read ahead of the one that started last."""
    given = {}
    for key, value in offsets.items():
        name = camera_name(str(key))
        if name not in {*videos, *known}:
            listed = ", ".join(sorted({*videos, *known})) or "none"
            raise ConfigurationError(
                f"frames.offsets: there is no camera {name}; there are {listed}. Correct the name."
            )
        given[name] = _offset(name, value, fps)
    own = {name: given.get(name, 0.0) for name in videos}
    first = min(own.values(), default=0.0)
    return {name: value - first for name, value in own.items()}


def _offset(name: str, value: float | str, fps: float | None) -> float:
    """An offset in frames at the rate ``fps``: a number of frames, or a time such as "0.25 s"."""
    try:
        number = float(value.strip().removesuffix("s") if isinstance(value, str) else value)
        if not math.isfinite(number):
            raise ValueError
    except (TypeError, ValueError):
        raise ConfigurationError(
            f'frames.offsets.{name}: {value!r}; expected a number of frames or a time in seconds such as "0.25 s".'
        ) from None
    if not isinstance(value, str):
        return number
    if not fps:
        raise ConfigurationError(
            f"frames.offsets.{name}: {value!r} is a time, but no camera has a rate (folders of images). Set "
            "`frames.fps` to their frames per second, or give the offset in frames."
        )
    return number * fps
