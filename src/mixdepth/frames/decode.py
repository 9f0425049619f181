"""Frames out of videos and folders of images: RGB, upright, by index, in one pass, one frame in memory at a time; and
what tells cameras' times: small grey pictures, and sound. Nothing else opens a video."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from mixdepth.errors import CaptureError, DamagedFile, OutOfRoom
from mixdepth.files.images import image_size, read_image
from mixdepth.files.io import check_checksum, reading
from mixdepth.files.kinds import images_in

# Accurate chroma and rounding, and the same bytes on every processor.
ACCURATE = (
    Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT
)
# libavutil's AVCOL_SPC_UNSPECIFIED, which PyAV's enumeration does not name.
UNSPECIFIED_MATRIX = 2


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The opened file and its first video stream (cover pictures do not count).

    Raises:
        UserError: missing, not a video or damaged (when opened or while it is read), or without a video stream.
    """
    with reading(path, "a video"):
        if path.is_file():
            check_checksum(path)  # the demo's have one
    try:
        # "file:" so that a name with a colon is not taken for a protocol.
        with av.open(f"file:{path}") as container:
            streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                raise CaptureError(
                    f"{path}: no video stream in it (sound only, or cut short). Replace it by the camera's video."
                )
            yield container, streams[0]
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


def frame_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of their numbers (2.png before 10.png).

    Raises:
        UserError: no image, one of a kind that is not read, or two files for one frame (1.png and 1.jpg).
    """
    files = images_in(folder)
    if not files:
        raise CaptureError(
            f"{folder}: a folder without images. Put the camera's frames there (.png, .jpg), or a video."
        )
    files.sort(key=lambda p: ([int(s) if s.isdecimal() else s for s in re.split("([0-9]+)", p.stem)], p.name))
    for first, second in itertools.pairwise(files):
        if first.stem == second.stem:
            raise CaptureError(f"{first} and {second}: two files for one frame. Remove one of them.")
    return files


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright pictures of a video or folder, from its first frame.

    Raises:
        UserError: as :func:`read_frames`.
    """
    path = Path(path)
    if path.is_dir():
        return image_size(frame_files(path)[0])
    with open_video(path) as (container, stream):
        return _upright_size(next(_decoded(path, container, stream, [0])))


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
    """The frames of the video in the order in which they are shown, without end: too few are an error.

    What cannot be decoded before the first frame is passed over, as of a recording that starts amid a group of
    pictures. Damage later on ends the video: a decoder that goes on drops frames, which shifts all later ones, or makes
    them up (it calls those corrupt).
    """
    # As the rules declare: cameras run beside each other, which uses the cores better than threads for one video.
    stream.codec_context.thread_count = 1
    count, said = 0, "the file ends"
    for packet in container.demux(stream):
        cut = packet.is_corrupt
        try:
            # A packet that the file cuts short is not decoded; what came before it is whole.
            for frame in stream.codec_context.decode(None if cut else packet):
                if frame.is_corrupt:
                    raise _too_few(path, count, frames, "the next is damaged")
                yield frame
                count += 1
        except av.InvalidDataError as error:
            said = f"ffmpeg: {error.strerror}"
            cut = count > 0
        if cut:
            break
    raise _too_few(path, count, frames, said)


def _upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)


class _Picture:
    """Decoded frames as arrays: scaled to ``size`` (see :func:`read_frames`), converted to RGB, upright."""

    def __init__(self, size: tuple[int, int] | None):
        self.size = size
        self.scaler, self.packer = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """[H, W, 3] uint8 RGB."""
        original = _upright_size(frame)
        size = self.size or original
        smaller = size != original and size[0] <= original[0] and size[1] <= original[1]
        width, height = size[::-1] if frame.rotation % 180 else size
        matrix = None
        if frame.colorspace == UNSPECIFIED_MATRIX:
            # As players do: untagged high definition is BT.709; ffmpeg by itself takes everything untagged for BT.601.
            matrix = Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
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
        return np.ascontiguousarray(np.rot90(image, frame.rotation // 90))


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


def grey_pictures(path: Path, size: Callable[[int, int], tuple[int, int]]) -> Iterator[tuple[float, np.ndarray]]:
    """Seconds, and an upright grey picture [h, w] uint8, of each frame of a video that has a time.

    Args:
        size: (width, height) to scale to, of those of the stored picture.
    """
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.time is not None:
                width, height = size(frame.width, frame.height)
                grey = frame.reformat(width, height, "gray", interpolation="AREA").to_ndarray()
                yield frame.time, np.rot90(grey, frame.rotation // 90)


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
