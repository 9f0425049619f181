"""Look at a capture before anything is computed, and refuse what cannot work, by name."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from mixdepth.errors import UserError
from mixdepth.frames.decode import frame_files, open_video


def probe_capture(cameras: Mapping[str, Path], photos: Mapping[str, Path], selection: Mapping) -> dict:
    """Sizes and numbers of frames of a capture.

    Args:
        cameras: camera name -> video file or folder of images.
        photos: stem -> image file.
        selection: ``{"start", "count", "step"}``, the frames to use (key ``frames`` of the configuration).

    Returns:
        ``{"cameras": {name: {path, width, height, frames, fps}}, "photos": {stem: {path, width, height}}}``, sorted by
        name; sizes in original pixels, ``frames`` of the whole video or folder, ``fps`` None for a folder.

    Raises:
        UserError: something is missing, unreadable, of unequal size within one folder, or too short; or there is
            nothing to hold out.
    """
    _check_number(len(cameras), len(photos))
    found = {
        "cameras": {name: _probe_camera(Path(path)) for name, path in sorted(cameras.items())},
        "photos": {stem: _probe_photo(Path(path)) for stem, path in sorted(photos.items())},
    }
    if cameras:
        _check_lengths(found["cameras"], selection)
    return found


def selected_frames(total: int, selection: Mapping) -> range:
    """The indices that ``selection`` = ``{"start", "count", "step"}`` takes from ``total`` frames.

    Raises:
        UserError: there are not that many frames.
    """
    needed = _needed(selection)
    if needed > total:
        raise UserError(f"frames: {_in_words(selection)} needs {needed} frames, there are {total}")
    start, step = selection["start"], selection["step"]
    return range(start, total, step) if selection["count"] is None else range(start, needed, step)


def _needed(selection: Mapping) -> int:
    """Frames that a video must have for ``selection``."""
    return selection["start"] + ((selection["count"] or 1) - 1) * selection["step"] + 1


def _in_words(selection: Mapping) -> str:
    return "start {start}, count {count}, step {step}".format(**{**selection, "count": selection["count"] or "null"})


def _check_number(cameras: int, photos: int) -> None:
    if cameras == 1:
        raise UserError(
            "one camera only: one video camera is held out for scoring, and depth needs at least two training cameras, "
            "or one and photos of the same place. Add videos, or correct `videos` and `cameras` in the configuration."
        )
    if cameras + photos < 2:
        raise UserError(
            f"{cameras} videos and {photos} photos found: a scene needs at least two videos or two photos. Put them in "
            "the folders `videos` and `photos` below `data`, or correct these keys of the configuration."
        )


def _probe_camera(path: Path) -> dict:
    return {"path": str(path), **(_probe_folder(path) if path.is_dir() else _probe_video(path))}


def _probe_video(path: Path) -> dict:
    with open_video(path) as (container, stream):
        if stream.codec_context.name == "vp8":
            # VP8 puts frames that are never shown in packets of their own, so packets do not count.
            frames = sum(1 for _ in container.decode(stream))
        else:
            packets = container.demux(stream)
            frames = sum(1 for p in packets if p.size and not p.is_discard and not p.is_corrupt)
        rate = stream.average_rate or stream.guessed_rate
        size = {"width": stream.width, "height": stream.height}
    if not frames or not all(size.values()):
        raise UserError(f"{path}: a video without frames. Copy or export it again, or leave this camera out.")
    return {**size, "frames": frames, "fps": float(rate) if rate else None}


def _probe_folder(folder: Path) -> dict:
    files = frame_files(folder)
    sizes = [_image_size(file, whole=False) for file in files]
    usual = Counter(sizes).most_common(1)[0][0]
    for file, size in zip(files, sizes, strict=True):
        if size != usual:
            raise UserError(
                f"{file}: {size[0]}x{size[1]} pixels, expected {usual[0]}x{usual[1]} as most frames of {folder} have. "
                "Export the frames of one camera at one size."
            )
    return {"width": usual[0], "height": usual[1], "frames": len(files), "fps": None}


def _probe_photo(path: Path) -> dict:
    width, height = _image_size(path, whole=True)
    return {"path": str(path), "width": width, "height": height}


def _image_size(path: Path, whole: bool) -> tuple[int, int]:
    """(width, height) from the header; with ``whole`` the pixels are read too, which finds a file cut short."""
    try:
        with Image.open(path) as image:
            size = image.size
            if whole:
                # An eighth of the size is enough to notice, and several times faster (JPEG only; ignored by others).
                image.draft("RGB", (size[0] // 8, size[1] // 8))
                image.load()
            return size
    except FileNotFoundError:
        raise UserError(f"{path}: photo not found. Put it there or correct `photo_files`.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path}: cannot be read as an image ({error}). Copy or export it again, or remove it."
        ) from None


def _check_lengths(cameras: Mapping[str, dict], selection: Mapping) -> None:
    counts = {name: camera["frames"] for name, camera in cameras.items()}
    # The most frequent number; of several, the largest: who has less was cut.
    usual = max(Counter(counts.values()).items(), key=lambda item: (item[1], item[0]))[0]
    needed = _needed(selection)
    if needed > max(counts.values()):
        raise UserError(
            f"frames: {_in_words(selection)} needs {needed} frames, but the longest video has {max(counts.values())}. "
            "Choose a smaller `frames.start`, `frames.count` or `frames.step`."
        )
    if selection["count"] is not None:
        _refuse({name: n for name, n in counts.items() if n < needed}, cameras, max(usual, needed), needed)
        return
    shorter = {name: n for name, n in counts.items() if n < usual}
    _refuse(shorter or {name: n for name, n in counts.items() if n > usual}, cameras, usual, None)


def _refuse(wrong: Mapping[str, int], cameras: Mapping[str, dict], usual: int, needed: int | None) -> None:
    if not wrong:
        return
    listed = ", ".join(f"{name} has {n} ({cameras[name]['path']})" for name, n in sorted(wrong.items()))
    if needed is None:
        shortest = min(camera["frames"] for camera in cameras.values())
        mend = f"Trim the videos to the same moments, or set `frames.count` to use the first {shortest} of each"
    else:
        mend = f"The selection needs {needed}: use whole videos, or set a smaller `frames.count`"
    raise UserError(f"videos of different length: {listed}, expected {usual} frames as most others have. {mend}.")
