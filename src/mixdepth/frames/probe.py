"""Look at a capture before anything is computed, and refuse what cannot work, by name."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixdepth.errors import CaptureError, ConfigurationError, DamagedFile
from mixdepth.files.images import image_size, turned_by
from mixdepth.frames.decode import (
    demuxed,
    first_decoded,
    frame_files,
    has_alpha,
    last_key_frame,
    open_video,
    other_size,
    picture_streams,
    seen_through,
    upright,
    upright_size,
)
from mixdepth.frames.timing import Timeline, Track, read_track

# Transfer characteristics of high dynamic range (ITU-T H.273: SMPTE ST 2084 and ARIB STD-B67).
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


def probe_capture(
    cameras: Mapping[str, Path], photos: Mapping[str, Path], selection: Mapping, known: Collection[str] = ()
) -> dict:
    """What a capture consists of.

    Args:
        cameras: camera name -> video file or folder of images, of all cameras in use.
        photos: stem -> image file.
        selection: ``{"start", "count", "step", "fps", "offsets"}``, key ``frames`` of the configuration.
        known: cameras of the capture, also those not in use, whose offsets change nothing.

    Returns:
        ``{"cameras": {name: see probe_camera}, "photos": {stem: {path, width, height, rotation}}, "fps", "notes"}``,
        sorted by name; sizes of the upright image in original pixels; ``fps`` the common rate, None where no camera has
        one; ``selected`` how many frames of each camera are used; ``notes`` sentences about what was found and what it
        means.

    Raises:
        UserError: something is missing, unreadable, of unequal size within one folder, cut short or too short; or
            there is nothing to hold out.
    """
    _check_number(len(cameras), len(photos))
    paths = {name: Path(path) for name, path in sorted(cameras.items())}
    timeline = Timeline.of(paths, selection, known)
    found = {name: _look(path) for name, path in paths.items()}
    sizes = {stem: _photo_size(Path(path)) for stem, path in sorted(photos.items())}
    tracks = {name: camera.track for name, camera in found.items()}
    fits = _check_lengths(paths, tracks, timeline) if found else 0
    return {
        "cameras": {name: camera.facts for name, camera in found.items()},
        "photos": {
            stem: {"path": str(photos[stem]), "width": w, "height": h, "rotation": turned_by(Path(photos[stem]))}
            for stem, (w, h) in sizes.items()
        },
        "fps": timeline.fps,
        "selected": timeline.count or fits,
        "notes": [
            *timeline.notes,
            *(f"{name}: {note}" for name, camera in found.items() for note in camera.notes),
            *_mixed("cameras", {n: (c.facts["width"], c.facts["height"]) for n, c in found.items()}),
            *_mixed("photos", sizes),
        ],
    }


def probe_camera(path: Path) -> dict:
    """What one camera recorded, from the packets of its video and the first frame, or from the headers of its images.

    Returns:
        ``path``; ``width`` and ``height`` of the upright picture; ``frames`` of the whole video or folder; ``fps`` as
        the header says and ``seconds`` (both None for a folder); ``variable``, whether the rate is; ``codec``;
        ``bits`` per channel; ``rotation``, degrees clockwise that make the stored picture upright; where pixels are
        not square, ``pixel_ratio``, width over height of the upright ones. JSON-ready.

    Raises:
        UserError: missing, unreadable, without frames, of unequal size (folder) or not upright by quarter turns.
    """
    return _look(Path(path)).facts


@dataclass(frozen=True)
class _Camera:
    facts: dict
    track: Track
    notes: list[str]


def _look(path: Path) -> _Camera:
    track = read_track(path)
    size, kind, notes = _folder_picture(path) if path.is_dir() else _video_picture(path)
    seconds = None if track.times is None else round(float(track.times[-1]) + (track.spacing or 0), 3)
    facts = {"path": str(path), **size, "frames": track.frames, "fps": track.rate}
    facts |= {"variable": track.variable, "seconds": seconds, **kind}
    if track.variable:
        notes.append("its frame rate varies: of its frames the one nearest in time is taken.")
    if track.joints:
        begins = ", ".join(map(str, track.joints[:10]))
        notes.append(f"its clock starts anew at frame {begins}: what follows is taken to go on without a pause.")
    if track.missing:
        whole = track.frames + track.missing
        notes.append(f"the file is cut short or damaged: of its {whole} frames the first {track.frames} can be used.")
    if facts["width"] % 2 or facts["height"] % 2:
        notes.append(f"{facts['width']}x{facts['height']} is an odd size: videos repeat the last row or column.")
    return _Camera(facts, track, notes)


def pixel_ratio(path: Path) -> float:
    """Width over height of the pixels of the upright picture, by the header of a video; 1 of a folder of images."""
    if path.is_dir():
        return 1.0
    return _video_picture(path)[1].get("pixel_ratio", 1.0)


def _video_picture(path: Path) -> tuple[dict, dict, list[str]]:
    """Size and kind (codec, bits, rotation) of the pictures of a video, and notes, from its first frame."""
    with open_video(path) as (container, stream):
        frame = next(filter(None, map(first_decoded, demuxed(container, stream))))
        later = last_key_frame(container, stream, frame)
        codec, ratio = stream.codec_context.codec.canonical_name, stream.sample_aspect_ratio
        streams, taken = len(picture_streams(container)), stream.index
        transparent = has_alpha(frame) or seen_through(stream)
    degrees, mirrored = upright(frame)
    rotation = round(degrees / 90) * 90
    if abs(degrees - rotation) > 1:
        raise CaptureError(
            f"{path}: its rotation tag says {degrees:.4g} degrees; expected 0, 90, 180 or 270. Export it again, "
            "upright."
        )
    rotation %= 360
    width, height = upright_size(frame)
    if upright_size(later) != (width, height):
        raise other_size(path, "a frame at its end", (width, height), upright_size(later))
    notes = []
    if mirrored:
        notes.append("the file wants its picture mirrored, which no camera sees: it is only turned upright.")
    if transparent:
        notes.append("it is transparent in places: these are black.")
    if streams > 1:
        notes.append(f"it has {streams} streams of pictures: the one of {width}x{height} (number {taken}) is used.")
    if frame.color_trc in HDR_TRANSFERS:
        notes.append(f"high dynamic range ({HDR_TRANSFERS[frame.color_trc]}): its colours are taken as they are.")
    if frame.interlaced_frame:
        notes.append("it is interlaced: export it deinterlaced, or moving edges are combed.")
    bits = frame.format.components[0].bits
    kind: dict = {"codec": codec, "bits": bits, "rotation": rotation}
    if ratio and ratio != 1:
        notes.append(f"its pixels are not square ({ratio.numerator}:{ratio.denominator}): fx and fy differ.")
        kind["pixel_ratio"] = float(1 / ratio if rotation % 180 else ratio)
    return {"width": width, "height": height}, kind, notes


def _folder_picture(folder: Path) -> tuple[dict, dict, list[str]]:
    """The same of the images of a folder."""
    files = frame_files(folder)
    sizes = [image_size(file) for file in files]
    usual = Counter(sizes).most_common(1)[0][0]
    for file, size in zip(files, sizes, strict=True):
        if size != usual:
            raise CaptureError(
                f"{file}: {size[0]}x{size[1]} pixels, expected {usual[0]}x{usual[1]} as most frames of {folder} have. "
                "Export the frames of one camera at one size."
            )
    codec = "png" if files[0].suffix.lower() == ".png" else "jpeg"
    return {"width": usual[0], "height": usual[1]}, {"codec": codec, "bits": 8, "rotation": turned_by(files[0])}, []


def _photo_size(path: Path) -> tuple[int, int]:
    if not path.exists():
        raise CaptureError(f"{path}: photo not found. Put it there or correct `photo_files`.")
    return image_size(path, whole=True)


def _mixed(what: str, sizes: Mapping[str, tuple[int, int]]) -> Iterable[str]:
    """A note where not all are of one size."""
    counts = Counter(sizes.values()).most_common()
    if len(counts) > 1:
        listed = ", ".join(f"{count} of {width}x{height}" for (width, height), count in counts)
        yield f"{what} of different size: {listed}."


def _check_number(cameras: int, photos: int) -> None:
    if cameras == 1:
        raise CaptureError(
            "one camera only: one video camera is held out for scoring, and depth needs at least two training cameras, "
            "or one and photos of the same place. Add videos, or correct `videos` and `cameras` in the configuration."
        )
    if cameras + photos < 2:
        raise CaptureError(
            f"{cameras} videos and {photos} photos found: a scene needs at least two videos or two photos. Put them in "
            "the folders `videos` and `photos` below `data`, or correct these keys of the configuration."
        )


def _check_lengths(paths: Mapping[str, Path], tracks: Mapping[str, Track], timeline: Timeline) -> int:
    """How many frames ``start`` and ``step`` take of all videos. Refuses those that do not show the same moments, by
    their lengths on the common timeline."""
    lengths = {name: timeline.length(name, track) for name, track in tracks.items()}
    needed, shortest, longest = timeline.needed, min(lengths.values()), max(lengths.values())
    if needed > longest:
        raise ConfigurationError(
            f"frames: {timeline.selection} needs {needed} frames, but the longest video has {longest}. "
            "Choose a smaller `frames.start`, `frames.count` or `frames.step`."
        )
    fits = timeline.selectable(shortest)
    # The most frequent number; of several, the largest: who has less was cut.
    usual = max(Counter(lengths.values()).items(), key=lambda item: (item[1], item[0]))[0]
    if timeline.count is None:
        _refuse_cut(paths, tracks, fits)
        shorter = [name for name, n in lengths.items() if n < usual]
        wrong = shorter or [name for name, n in lengths.items() if n > usual]
        mend = f"Trim the videos to the same moments, or set `frames.count` to {fits}: the first {shortest} of each"
    else:
        wrong = [name for name, n in lengths.items() if n < needed]
        usual = max(usual, needed)
        mend = f"The selection needs {needed}: use whole videos, or set `frames.count` to {fits}, which all have"
    if wrong:
        listed = ", ".join(f"{name} has {lengths[name]} ({paths[name]})" for name in sorted(wrong))
        raise CaptureError(
            f"videos of different length: {listed}, expected {usual} frames as most others have. {mend}."
        )
    return fits


def _refuse_cut(paths: Mapping[str, Path], tracks: Mapping[str, Track], fits: int) -> None:
    for name, track in tracks.items():
        if track.missing:
            raise DamagedFile(
                f"{paths[name]}: cut short or damaged: of its {track.frames + track.missing} frames the first "
                f"{track.frames} can be used. Copy or export it again, or set `frames.count` (all cameras have {fits})."
            )
