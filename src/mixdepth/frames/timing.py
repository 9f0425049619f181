"""When frames are shown: the times of each camera's frames, and the timeline that all cameras of a capture share.

Output frame t lies at position ``start + t * step`` of the timeline, counted in frames of the common rate. Camera c
shows it at that position plus ``shift_c = offset_c - (smallest offset of the cameras in use)``, counted from its own
first frame; the frame nearest in time is taken, the earlier one of two that are equally near. Frames of folders whose
numbers have holes or begin differently lie where their numbers say (see :func:`_numbered`).
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from mixdepth.errors import CaptureError, ConfigurationError, DamagedFile
from mixdepth.frames.decode import (
    clock_jump,
    drained,
    first_decoded,
    frame_files,
    frame_numbers,
    open_video,
    picture_times,
    starts_anew,
    stored,
    tick,
)
from mixdepth.frames.joined import refuse_joined
from mixdepth.scene.capture import camera_name

# Rates that differ by less count as one: half of what is between 29.97 and 30 frames per second.
SAME_RATE = 5e-4
# Packets at the start of a video by which its header's rate is checked.
SAMPLE = 120
# Frames per second that cameras and programs record at.
USUAL_RATES = (
    *range(1, 31),
    12.5,
    48,
    50,
    60,
    90,
    100,
    120,
    200,
    240,
    *(n * 1000 / 1001 for n in (15, 24, 30, 60, 120)),
)
# Share of a frame by which a frame may be off even spacing before the rate counts as variable: half of what would make
# another frame the nearest. One frame dropped anywhere moves others by half a frame or more.
UNEVEN = 0.25
# Frames by which a position may be beyond the middle of two frames before the later one is nearer.
TIE = 1e-6


@dataclass(frozen=True)
class Track:
    """The frames of one camera in time, in the order in which a decoder returns them."""

    frames: int
    rate: float | None  # frames per second, see read_rate; None for a folder of images
    times: np.ndarray | None  # [frames] seconds after the first frame, ascending; None where there are no timestamps
    missing: int  # frames more that the file promises, from where its data are cut off, corrupt or zeros
    joints: tuple[int, ...] = ()  # frames before which the clock starts anew: it is taken to go on without a pause

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


def read_track(path: Path) -> Track:
    """The frames of a folder of images, or of a video, by its packets: only the first is decoded, but for H.264 that
    may be coded in fields.

    Raises:
        UserError: missing, unreadable, without frames, or joined of files of which only the first would be read.
    """
    path = Path(path)
    if path.is_dir():
        return Track(len(frame_files(path)), None, None, 0)
    with open_video(path) as (container, stream):
        packets, first = _packets(container, stream)
        rate, unit, jump = _header_rate(stream), float(tick(stream)), clock_jump(container, stream)
        # An mp4's index is complete from the start; those of other containers grow while one reads.
        promised = sum(entry.size > 0 for entry in stream.index_entries)
        fields, indexed = in_fields(stream, first), _indexed(container, stream)
    refuse_joined(path, max((packet.at or 0 for packet in packets if packet.shown), default=0))
    whole = _whole(packets)
    missing = max(promised, len(packets)) - whole
    if fields:
        stamps = [(pts, pts) for pts in picture_times(path, whole)]
        missing = math.ceil(missing * len(stamps) / max(whole, 1))
    else:
        stamps = _stamps(packets[:whole])
    if not first or not stamps:
        raise DamagedFile(f"{path}: no frame can be decoded. Copy or export it again, or leave this camera out.")
    known = [(dts, pts) for dts, pts in stamps if pts is not None]
    if len(known) < len(stamps):
        return Track(len(stamps), rate, None, missing)
    # A recording that starts amid a group of pictures: what comes before its first whole picture cannot be decoded.
    clock, joints = _clock(known, first.pts, jump)
    if fields or not indexed:
        rate = _rate(rate, clock[:SAMPLE], unit)
    return Track(len(clock), rate, clock * unit, missing, joints)


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, enough: float = math.inf
) -> tuple[list["_Packet"], av.VideoFrame | None]:
    """The packets of a video that hold something, and its first frame, if any; ``enough`` packets and that frame do."""
    packets, first = [], None
    for packet, broken in stored(container, stream):
        first = first or first_decoded(packet)
        packets.append(_Packet.of(packet, stream, broken))
        if first and len(packets) >= enough:
            break
    return packets, first or next(iter(drained(stream)), None)


def in_fields(stream: av.VideoStream, first: av.VideoFrame | None) -> bool:
    """Whether a packet may hold half a picture, every other row, as H.264 of camcorders does."""
    return bool(first and first.interlaced_frame and stream.codec_context.codec.canonical_name == "h264")


def _clock(stamps: Sequence[tuple[int | None, int]], first: int | None, jump: float) -> tuple[np.ndarray, tuple]:
    """Times of frames in the order in which they are shown, from 0 on, and the frames before which a clock starts anew.

    Where streams were joined, it goes back or far ahead; then the later part is taken to begin a frame after the
    earlier one's last.

    Args:
        stamps: time of decoding (None where it is not known) and of showing of each frame, ticks, in the order in which
            they are decoded.
        first: time of the first frame that can be decoded; those before it do not count.
        jump: see :func:`mixdepth.frames.decode.clock_jump`.
    """
    parts: list[list[float]] = [[]]
    latest = None
    for dts, pts in stamps:
        if starts_anew(latest, dts, jump):
            parts.append([])
        # The last frame before a joint may have the time of what follows.
        parts[-1].append(math.inf if dts is not None and pts - dts > jump else pts)
        latest = latest if dts is None else dts
    parts[0] = [pts for pts in parts[0] if first is None or pts >= first]
    gaps = [two - one for part in parts for one, two in itertools.pairwise(sorted(part)) if one < two < math.inf]
    step = int(np.median(gaps)) if gaps else 1
    clock: list[int] = []
    for part in filter(None, map(sorted, parts)):
        start = following = clock[-1] + step if clock else 0
        for time in part:
            clock.append(int(start + time - part[0]) if time < math.inf else following)
            following = clock[-1] + step
    joints = np.cumsum([len(part) for part in parts if part])[:-1]
    return np.array(clock, np.int64), tuple(joints.tolist())


def _stamps(packets: Sequence["_Packet"]) -> list[tuple[int | None, int | None]]:
    """What :func:`_clock` wants of the packets that are shown.

    Matroska has no times of decoding, and what ffmpeg makes of the others goes astray where it was joined. But a key
    frame is shown after all that are decoded before it; so what was shown latest since one ascends as they do.
    """
    found: list[tuple[int | None, int | None]] = []
    latest = None
    for packet in packets:
        if packet.shown:
            if packet.made_up and packet.pts is not None:
                latest = packet.pts if packet.key or latest is None else max(latest, packet.pts)
            found.append((latest if packet.made_up else packet.dts, packet.pts))
    return found


@dataclass(frozen=True)
class _Packet:
    pts: int | None = None
    dts: int | None = None
    made_up: bool = False  # dts is not the file's
    key: bool = False
    shown: bool = False
    broken: bool = False  # not all of it is there
    hole: bool = False  # zeros only
    frayed: bool = False  # zeros at its end
    at: int | None = None  # where it begins in the file

    @classmethod
    def of(cls, packet: av.Packet, stream: av.VideoStream, broken: bool) -> "_Packet":
        codec, data = stream.codec_context.name, memoryview(packet)
        # VP8 puts frames that are never shown in packets of their own: the flag show_frame (RFC 6386, 9.1).
        hidden = codec == "vp8" and not data[0] & 0x10
        # No codec writes a packet of zeros but raw video (black): the file has a hole, as of a copy that broke off.
        frayed = codec != "rawvideo" and not any(data[-16:])
        hole = frayed and bytes(data).count(0) == len(data)
        made_up, shown = stream.container.format.name.startswith("matroska"), not (packet.is_discard or hidden)
        return cls(packet.pts, packet.dts, made_up, packet.is_keyframe, shown, broken or hole, hole, frayed, packet.pos)


def _whole(packets: list[_Packet]) -> int:
    """Packets before the first damage: a frame that is dropped there would shift the indices of all later ones."""
    for i, (packet, after) in enumerate(itertools.pairwise([*packets, _Packet()])):
        # What ends in zeros before a hole was cut by it.
        if packet.broken or (packet.frayed and after.hole):
            return i
    return len(packets)


def read_rate(path: Path) -> float | None:
    """Frames per second of a video: by its header where the times of its first frames bear that out, else by these;
    None where neither says or for a folder of images.

    Raises:
        UserError: missing or unreadable.
    """
    if Path(path).is_dir():
        return None
    with open_video(path) as (container, stream):
        rate, unit, jump = _header_rate(stream), float(tick(stream)), clock_jump(container, stream)
        indexed = _indexed(container, stream)
        packets, first = _packets(container, stream, 1 if indexed else SAMPLE)
        fields = in_fields(stream, first)
    if fields:
        stamps = [(pts, pts) for pts in picture_times(path, 2 * SAMPLE)]
    elif indexed:
        return rate
    else:
        stamps = _stamps(packets)
    known = [(dts, pts) for dts, pts in stamps if pts is not None]
    if not known or len(known) < len(stamps):
        return rate
    clock, _ = _clock(known, first.pts if first else None, jump)
    return _rate(rate, clock[:SAMPLE], unit)


def _indexed(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Whether the header has the times of all frames, as that of an mp4 that is not in fragments."""
    return container.format.name.startswith("mov,mp4") and stream.frames > 0


def _rate(header: float | None, times: np.ndarray, unit: float) -> float | None:
    """Frames per second by the header where the times bear it out; else a usual rate or their own.

    Gaps that are much longer than most are pauses or frames that were dropped. How surely the others tell the rate
    depends on how much they differ.

    Args:
        times: [N] of frames, ticks.
        unit: seconds of a tick.
    """
    gaps = np.diff(times)
    gaps = gaps[gaps > 0]
    if not len(gaps):
        return header
    gaps = gaps[gaps < 1.75 * np.median(gaps)]
    own, unsure = 1 / (gaps.mean() * unit), max(SAME_RATE, max(1, 3 * gaps.std()) / gaps.sum())
    plain = header and min(abs(header / rate - 1) for rate in USUAL_RATES) <= SAME_RATE
    if header and abs(header / own - 1) <= (max(unsure, 0.5 / len(times)) if plain else SAME_RATE):
        return header
    usual = [rate for rate in USUAL_RATES if abs(rate / own - 1) <= unsure]
    return float(min(usual, key=lambda rate: (rate % 1 > 0, abs(rate - own)), default=own))


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
    places: Mapping[str, np.ndarray]  # folder of images -> where its numbers put its frames after its first; or none
    common: int | None  # frames of the timeline that all folders have, where numbers put them there; else None
    notes: list[str]  # what a user should know about the rates and numbers

    @classmethod
    def of(cls, videos: Mapping[str, Path], options: Mapping, known: Collection[str] = ()) -> "Timeline":
        """The timeline of ``videos``, of which only headers, first packets and names are read.

        Args:
            videos: camera -> video or folder of images, of all cameras in use.
            options: ``{"start", "count", "step", "fps", "offsets"}``, key ``frames`` of the configuration.
            known: cameras of the capture, also those not in use, whose offsets change nothing.

        Raises:
            UserError: a video is missing or unreadable, or an offset cannot be understood.
        """
        videos = {name: Path(path) for name, path in videos.items()}
        fps, notes = _common_rate({name: read_rate(path) for name, path in videos.items()}, options.get("fps"))
        folders = {name: [p.stem for p in frame_files(path)] for name, path in videos.items() if path.is_dir()}
        given = options.get("offsets") or {}
        told_begin = bool({camera_name(str(key)) for key in given} & folders.keys())
        places, late, told = _numbered(folders, told_begin, len(folders) < len(videos))
        shifts = _shifts(videos, given, late, fps, known)
        ends = [math.floor(where[-1] - shifts[name] + TIE) + 1 for name, where in places.items()]
        common = max(min(ends), 0) if ends else None
        selection = (options["start"], options["count"], options["step"])
        return cls(videos, *selection, fps, shifts, places, common, notes + told)

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
        where = self.positions(name, track)
        return np.searchsorted((where[1:] + where[:-1]) / 2, wanted - TIE).tolist()

    def positions(self, name: str, track: Track) -> np.ndarray:
        """Where the frames of camera ``name`` with ``track`` lie, [frames] float64, in frames after its first."""
        return self.places[name] if name in self.places else track.positions(self.fps)

    def length(self, name: str, track: Track) -> int:
        """Frames of the timeline, from its first, that camera ``name`` with ``track`` can show.

        Up to half the usual spacing after its last frame that is the nearest.
        """
        if self.common is not None and name in self.places:
            return self.common
        where = self.positions(name, track)
        last = float(where[-1])
        end = last + 0.5 * (float(np.median(np.diff(where))) if len(where) > 1 else 1.0)
        return max(math.ceil(end - self.shifts[name] - TIE), 0)

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


def _numbered(
    folders: Mapping[str, list[str]], told: bool, beside: bool
) -> tuple[dict[str, np.ndarray], dict[str, float], list[str]]:
    """Where folders of images have their frames, by the numbers of these, where their places do not say the same.

    Numbers count where frames come in even steps, holes aside, and the folders have at least one number in common; a
    step is the largest of all folders.

    Args:
        folders: camera -> the stems of its frames, in order.
        told: whether ``frames.offsets`` says where they begin, so that their first numbers do not.
        beside: whether there are videos too; else a number that all folders lack says nothing.

    Returns:
        places: camera -> [frames] float64, of all folders, in steps after the first; empty where the numbers say
        nothing that their order does not.
        late: camera -> steps after 0 at which it begins.
        notes: sentences.
    """
    numbers = {name: frame_numbers(stems) for name, stems in folders.items()}
    if not folders or (not beside and len({tuple(found or ()) for found in numbers.values()}) < 2):
        return {}, {}, []
    counted = {name: np.array(found, np.float64) for name, found in numbers.items() if found}
    steps = {name: _step(found) for name, found in counted.items()}
    first = {name: 0.0 if told else found[0] for name, found in counted.items()}
    if len(counted) < len(folders) or not all(steps.values()):
        odd = sorted(name for name in folders if not steps.get(name) and len(folders[name]) > 1)
        return (
            {},
            {},
            odd and [f"the files of {', '.join(odd)} are not numbered frame by frame: they count in their order."],
        )
    if max(first.values()) > min(found[-1] for found in counted.values()):
        return {}, {}, ["the numbers of the cameras' frames have none in common: they count in their order."]
    step = max(steps.values())
    holes = {name: _holes(found, steps[name]) for name, found in counted.items()}
    if len(set(first.values())) < 2 and len(set(steps.values())) < 2 and not any(holes.values()):
        return {}, {}, []
    notes = [f"{name}: no frame {_few(holes[name])}: the nearest is taken." for name in sorted(counted) if holes[name]]
    if len(set(first.values())) > 1:
        begin = ", ".join(f"{name} {number:g}" for name, number in sorted(first.items()))
        notes.append(f"the first frames have different numbers ({begin}): frames of one number are taken together.")
    if len({found[-1] for found in counted.values()}) > 1:
        last = ", ".join(f"{name} {found[-1]:g}" for name, found in sorted(counted.items()))
        notes.append(f"the last frames have different numbers ({last}): what not all cameras have is left out.")
    places = {name: (found - found[0]) / step for name, found in counted.items()}
    return places, {name: number / step for name, number in first.items()}, notes


def _step(numbers: np.ndarray) -> float:
    """The most frequent difference of numbers in order; 0 where others are no multiples of it."""
    if len(numbers) < 2:
        return 1.0
    found, often = np.unique(np.diff(numbers), return_counts=True)
    step = float(found[often.argmax()])
    return step if step > 0 and not np.any(found % step) else 0.0


def _holes(numbers: np.ndarray, step: float) -> list[int]:
    """The numbers between the first and the last that are not there."""
    return sorted({*range(int(numbers[0]), int(numbers[-1]), int(step))} - set(numbers.astype(int).tolist()))


def _few(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return ", ".join(map(str, numbers[:10])) + more


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
    videos: Collection[str],
    offsets: Mapping[str, float | str],
    late: Mapping[str, float],
    fps: float | None,
    known: Collection[str],
) -> dict[str, float]:
    """Frames at the rate ``fps`` that each camera in use is read ahead of the one that started last.

    ``late``: where folders begin by their numbers; what is not among them begins with the first of them.
    """
    given = {}
    for key, value in offsets.items():
        name = camera_name(str(key))
        if name not in {*videos, *known}:
            listed = ", ".join(sorted({*videos, *known})) or "none"
            raise ConfigurationError(
                f"frames.offsets: there is no camera {name}; there are {listed}. Correct the name."
            )
        given[name] = _offset(name, value, fps)
    begin = min(late.values(), default=0.0)
    own = {name: given.get(name, 0.0) - late.get(name, begin) for name in videos}
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
