"""Frames out of videos and folders of images: RGB, upright, by index, in one pass, one frame in memory at a time; and
what tells cameras' times: small grey pictures, and sound. Nothing else opens a video."""

import contextlib
import itertools
import math
import re
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from mixdepth.errors import CaptureError, DamagedFile, OutOfRoom
from mixdepth.files.certificate import refuse_changed
from mixdepth.files.images import image_size, on_black, read_image, resize
from mixdepth.files.io import reading
from mixdepth.files.kinds import images_in

# Accurate chroma and rounding, and the same bytes on every processor.
ACCURATE = (
    Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT
)
# Containers of cameras, by content; no playlists, which name other files, and nothing but the file itself.
ONLY = {
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,mxf,asf,flv,yuv4mpegpipe,h264,hevc,mpegvideo",
    "protocol_whitelist": "file",
}
# libavutil's AVCOL_SPC_UNSPECIFIED, which PyAV's enumeration does not name.
UNSPECIFIED_MATRIX = 2
# Seconds by which the clock of an MPEG stream goes forward where it was set anew, and packets before such a joint that
# may be called broken.
JUMP, NEAR = 10, 4


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The opened file and its video stream (cover pictures do not count): of several the one that players show.

    Raises:
        UserError: missing, not a video or damaged (when opened or while it is read), or without a video stream.
    """
    with reading(path, "a video"):
        if path.is_file():
            refuse_changed(path)  # the demo's have a certificate
    try:
        # "file:" so that a name with a colon is not taken for a protocol.
        with av.open(f"file:{path}", options=ONLY) as container:
            if not (streams := picture_streams(container)):
                raise CaptureError(
                    f"{path}: no video stream in it (sound only, cut short, or of an unknown codec). Replace it by the "
                    "camera's video."
                )
            # As ffmpeg: the default one, then the largest.
            default = av.stream.Disposition.default
            yield container, max(streams, key=lambda s: (bool(s.disposition & default), s.width * s.height))
    except FileNotFoundError:
        raise CaptureError(
            f"{path}: video not found. Put it there or correct `cameras` in the configuration."
        ) from None
    except MemoryError as error:
        raise OutOfRoom(
            f"{path}: cannot be read as a video: that takes more memory than there is, or it is damaged"
        ) from error
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:  # PyAV decodes names of handlers and other tags
        size = path.stat().st_size if path.exists() else 0
        raise DamagedFile(
            f"{path}: cannot be read as a video ({getattr(error, 'strerror', None) or error}; {size} bytes). "
            f"Copy or export it again, or leave this camera out."
        ) from None


def picture_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The video streams of a file without cover pictures, and without those of a codec that nobody knows."""
    cover = av.stream.Disposition.attached_pic
    return [s for s in container.streams.video if s.codec_context and not s.disposition & cover]


def frame_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of their numbers (2.png before 10.png); masks beside them do not count.

    Raises:
        UserError: no image, one of a kind that is not read, or two files for one frame (1.png and 1.jpg, or two of one
            number, left_1.png and right_1.png).
    """
    files = images_in(folder)
    if not files:
        raise CaptureError(
            f"{folder}: a folder without images. Put the camera's frames there (.png, .jpg), or a video."
        )
    ordered = sorted((_parts(file.stem), file.name, file) for file in files)
    for (parts, _, first), (others, _, second) in itertools.pairwise(ordered):
        if parts == others:
            raise CaptureError(f"{first} and {second}: two files for one frame. Remove one of them.")
    kinds = {tuple(parts[::2]) for parts, _, _ in ordered}
    seen: dict[tuple, Path] = {}
    for parts, _, file in ordered if len(kinds) > 1 else ():
        if (numbers := tuple(parts[1::2])) in seen:
            raise CaptureError(
                f"{seen[numbers]} and {file}: two files for one frame, by their number. Give each camera a folder of "
                "its own, and masks another one."
            )
        if numbers:
            seen[numbers] = file
    return [file for _, _, file in ordered]


def frame_numbers(stems: Sequence[str]) -> list[int] | None:
    """The numbers of frames by their names: the one number that differs; None where it is not one, or something else
    differs too."""
    parts = [_parts(stem) for stem in stems]
    columns = list(zip(*parts, strict=False))
    varying = [column for column in columns if len(set(column)) > 1]
    if len(stems) < 2 or len(set(map(len, parts))) > 1 or len(varying) != 1 or isinstance(varying[0][0], str):
        return None
    return list(varying[0])


def _parts(stem: str) -> list[str | int]:
    """A name's texts and numbers in turn, a text first."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", stem))]


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright pictures of a video or folder, from its first frame.

    Raises:
        UserError: as :func:`read_frames`.
    """
    path = Path(path)
    if path.is_dir():
        return image_size(frame_files(path)[0])
    with open_video(path) as (container, stream):
        return upright_size(next(_decoded(path, container, stream, [0])))


def read_frames(path: Path, frames: Sequence[int], size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """The frames of one camera, upright (rotation tags of videos and EXIF orientation of images are followed).

    Args:
        path: a video file or a folder of images.
        frames: their indices, ascending; one that is repeated is yielded as often, as the same array.
        size: (width, height) of the upright picture to scale to, by area where smaller; None keeps the original size.

    Yields:
        [H, W, 3] uint8 RGB, one per index, in order.

    Raises:
        UserError: missing or unreadable, or with fewer frames than asked for.
    """
    if len(frames) and (frames[0] < 0 or any(a > b for a, b in itertools.pairwise(frames))):
        raise ValueError(f"frames must ascend from 0 or more: {frames}")
    path = Path(path)
    return _folder_frames(path, frames, size) if path.is_dir() else _video_frames(path, frames, size)


def _folder_frames(folder: Path, frames: Sequence[int], size: tuple[int, int] | None) -> Iterator[np.ndarray]:
    files = frame_files(folder)
    if len(frames) and frames[-1] >= len(files):
        raise _too_few(folder, len(files), frames, "no more files")
    for index, repeats in itertools.groupby(frames):
        image = read_image(files[index], size)
        yield from (image for _ in repeats)


def _video_frames(path: Path, frames: Sequence[int], size: tuple[int, int] | None) -> Iterator[np.ndarray]:
    with open_video(path) as (container, stream):
        decoded, picture = _decoded(path, container, stream, frames), _Picture(size)
        count = 0
        for index, repeats in itertools.groupby(frames):
            frame = next(itertools.islice(decoded, index - count, None))
            count = index + 1
            image = picture(frame)
            yield from (image for _ in repeats)


def _decoded(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, frames: Sequence[int]
) -> Iterator[av.VideoFrame]:
    """:func:`_shown` without end: too few are an error."""
    # As the rules declare: cameras run beside each other, which uses the cores better than threads for one video.
    stream.codec_context.thread_count = 1
    found, said = yield from _shown(path, container, stream)
    raise _too_few(path, found, frames, said)


def picture_times(path: Path, packets: int) -> list[int | None]:
    """The times of the frames in so many packets at the start of a video, in ticks of its stream, in the order in which
    they are shown, by decoding them."""
    with open_video(path) as (container, stream):
        return [frame.pts for frame in _shown(path, container, stream, packets)]


def _shown(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, packets: int | None = None
) -> Generator[av.VideoFrame, None, tuple[int, str]]:
    """The frames of the video in the order in which they are shown; returns their number, and why there are no more.

    What cannot be decoded before the first frame is passed over, as of a recording that starts amid a group of
    pictures. Damage later on ends the video: a decoder that goes on drops frames, which shifts all later ones, or makes
    them up (it calls those corrupt).
    """
    count, said, size, decoder = 0, "the file ends", None, _decoder(stream)
    there = itertools.islice(stored(container, stream), packets)
    # None asks a decoder for what it holds back.
    for packet, broken in itertools.chain(there, [(None, True)]):
        # A packet that the file cuts short is not decoded; what came before it is whole.
        cut = broken
        try:
            for frame in decoder.decode(None if cut else packet):
                if frame.is_corrupt:
                    return count, "the next is damaged"
                size = size or upright_size(frame)
                if upright_size(frame) != size:
                    raise other_size(path, f"frame {count}", size, upright_size(frame))
                yield frame
                count += 1
        except av.InvalidDataError as error:
            said = f"ffmpeg: {error.strerror}"
            cut = count > 0
        if cut:
            break
    return count, said


def _decoder(stream: av.VideoStream) -> av.VideoCodecContext:
    """What decodes a video: ffmpeg's own decoder, but libvpx where there is transparency beside VP8 and VP9 (WebM)."""
    own = stream.codec_context
    if not seen_through(stream):
        return own
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[own.codec.canonical_name]
    decoder = cast(av.VideoCodecContext, av.VideoCodecContext.create(name, "r"))
    decoder.thread_count = own.thread_count
    return decoder


def seen_through(stream: av.VideoStream) -> bool:
    """Whether the transparency of its pictures lies beside them (WebM)."""
    return stream.metadata.get("alpha_mode") == "1" and stream.codec_context.codec.canonical_name in ("vp8", "vp9")


def stored(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[tuple[av.Packet, bool]]:
    """The packets of a video that hold something, and whether the file lacks a part of each.

    Of a transport stream that was joined, one shortly before the joint is said to be broken, and is whole.
    """
    joins, jump = container.format.name == "mpegts", clock_jump(container, stream)
    window: deque[av.Packet | None] = deque()
    for packet in itertools.chain((p for p in demuxed(container, stream) if p.size), [None] * NEAR):
        window.append(packet)
        if len(window) > NEAR:
            times = [p.dts for p in window if p]
            joint = joins and any(starts_anew(one, two, jump) for one, two in itertools.pairwise(times))
            first = window.popleft()
            assert first is not None  # they come last
            yield first, first.is_corrupt and not joint


def demuxed(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The packets of a video, an empty one last.

    Raises:
        av.InvalidDataError: it cannot be read on.
    """
    try:
        yield from container.demux(stream)
    except IndexError:  # what PyAV has for packets of a stream that was not there at the beginning
        raise av.InvalidDataError(0, "another stream begins amid it") from None


def clock_jump(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Ticks by which a clock that goes forward was set anew; inf where it keeps time while nothing is shown."""
    return float(JUMP / tick(stream)) if container.format.name in ("mpegts", "mpeg") else math.inf


def starts_anew(before: int | None, after: int | None, jump: float) -> bool:
    """Whether a video's clock was set anew between two packets, by their times of decoding, which ascend otherwise."""
    return before is not None and after is not None and not 0 <= after - before <= jump


def other_size(path: Path, which: str, size: tuple[int, int], other: tuple[int, int]) -> CaptureError:
    """The error for a video of which a frame is not of the size of those before."""
    return CaptureError(
        f"{path}: {which} is {other[0]}x{other[1]} pixels, those before are {size[0]}x{size[1]}. Cut it where the size "
        "changes, or export it at one size if it shows the same at both."
    )


def upright(frame: av.VideoFrame) -> tuple[float, bool]:
    """By how many degrees clockwise the stored picture is turned to be upright, 0 to 360, and whether the file wants it
    mirrored beside that (left and right exchanged), which front cameras do, and no camera sees.

    By its display matrix (ISO/IEC 14496-12, 8.5.2.3): of the points (p, q) of the picture, q down, it makes
    (a p + c q, b p + d q).
    """
    matrix = cast(Any, frame.side_data).get(SideData.DISPLAYMATRIX)
    if matrix is None:
        return 0.0, False
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    mirrored = a * d - b * c < 0
    return math.degrees(math.atan2(b, -a if mirrored else a)) % 360, mirrored


def quarter_turns(frame: av.VideoFrame) -> int:
    """Counter-clockwise, as np.rot90 counts, that make the stored picture upright."""
    return -round(upright(frame)[0] / 90) % 4


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """(width, height)"""
    return (frame.height, frame.width) if quarter_turns(frame) % 2 else (frame.width, frame.height)


class _Picture:
    """Decoded frames as arrays: scaled to ``size`` (see :func:`read_frames`), converted to RGB, upright."""

    def __init__(self, size: tuple[int, int] | None):
        self.size = size
        self.scaler, self.packer = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """[H, W, 3] uint8 RGB."""
        original, turns = upright_size(frame), quarter_turns(frame)
        size = self.size or original
        smaller = size != original and size[0] <= original[0] and size[1] <= original[1]
        width, height = size[::-1] if turns % 2 else size
        matrix = None
        if frame.colorspace == UNSPECIFIED_MATRIX:
            # As players do: untagged high definition is BT.709; ffmpeg by itself takes everything untagged for BT.601.
            matrix = Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
        if has_alpha(frame):
            # On black, before it is scaled, as images are.
            rgba = self.scaler.reformat(frame, format="rgba", src_colorspace=matrix, interpolation=ACCURATE, threads=1)
            image = resize(on_black(rgba.to_ndarray()), (width, height))
            return np.ascontiguousarray(np.rot90(image, turns))
        # By way of planes, which swscale writes about three times as fast as packed RGB.
        planes = self.scaler.reformat(
            frame,
            width,
            height,
            "gbrp",
            src_colorspace=matrix,
            interpolation=ACCURATE | (Interpolation.AREA if smaller else Interpolation.BICUBIC),
            threads=1,
        )
        packed = self.packer.reformat(planes, format="rgb24", interpolation=ACCURATE, threads=1).planes[0]
        rows = np.frombuffer(memoryview(packed), np.uint8).reshape(height, packed.line_size)
        image = rows[:, : 3 * width].reshape(height, width, 3)
        return np.ascontiguousarray(np.rot90(image, turns))


def has_alpha(frame: av.VideoFrame) -> bool:
    """Whether it says of its pixels how transparent they are."""
    return any(component.is_alpha for component in frame.format.components)


def tick(stream: av.AudioStream | av.VideoStream) -> Fraction:
    """The unit of its times, seconds."""
    assert stream.time_base is not None  # only a stream that is being written may have none
    return stream.time_base


def first_decoded(packet: av.Packet) -> av.VideoFrame | None:
    """The first frame that comes out of the decoder with ``packet``; None where none does or it is damaged."""
    try:
        return next(iter(packet.decode()), None)
    except av.InvalidDataError:
        return None


def last_key_frame(
    container: av.container.InputContainer, stream: av.VideoStream, first: av.VideoFrame
) -> av.VideoFrame:
    """The last frame of a video, of which the ``first`` was read, that needs no other; that one where none is found."""
    length = stream.duration or (container.duration or 0) * Fraction(1, av.time_base) / tick(stream)
    # MPEG streams have no list of them.
    listed = container.format.name not in ("mpegts", "mpeg")
    try:
        container.seek(int((stream.start_time or 0) + (length if listed else 0)), stream=stream)
        keys = deque((p for p in demuxed(container, stream) if p.is_keyframe and p.size), maxlen=1)
        stream.codec_context.flush_buffers()
        frames = [frame for key in [*keys, None] for frame in stream.codec_context.decode(key)]
        return frames[0] if frames else first
    except av.FFmpegError:
        return first


def drained(stream: av.VideoStream) -> list[av.VideoFrame]:
    """The frames that a decoder still held back when the file ended."""
    try:
        return stream.codec_context.decode(None)
    except av.FFmpegError:
        return []


def grey_pictures(path: Path, size: Callable[[int, int], tuple[int, int]]) -> Iterator[np.ndarray]:
    """An upright grey picture [h, w] uint8 of each frame of a video.

    Args:
        size: (width, height) to scale to, of those of the stored picture.
    """
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in _shown(path, container, stream):
            width, height = size(frame.width, frame.height)
            grey = frame.reformat(width, height, "gray", interpolation="AREA").to_ndarray()
            yield np.rot90(grey, quarter_turns(frame))


@contextlib.contextmanager
def open_sound(path: Path, rate: int) -> Iterator[tuple[float, Iterator[np.ndarray]] | None]:
    """The sound of a video: seconds from its first picture on after which it begins, and its samples at ``rate`` hertz,
    mono, in pieces [N] float32 in -1..1; None where it has none."""
    with open_video(path) as (container, video):
        if not container.streams.audio:
            yield None
            return
        audio = container.streams.audio[0]
        start = float((audio.start_time or 0) * tick(audio) - (video.start_time or 0) * tick(video))
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)

        def samples(frame: av.AudioFrame) -> np.ndarray:
            parts = [part.to_ndarray()[0] for part in resampler.resample(frame)]
            return np.concatenate([np.zeros(0, np.int16), *parts]).astype(np.float32) / 32768

        yield start, map(samples, container.decode(audio))


def _too_few(path: Path, found: int, frames: Sequence[int], message: str) -> DamagedFile:
    return DamagedFile(
        f"{path}: {found} frames could be read, {frames[-1] + 1} expected ({message}). "
        f"Copy or export it again, or choose fewer frames (`frames` in the configuration)."
    )
