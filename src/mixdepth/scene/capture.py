"""What a capture consists of: which file or folder is which camera, which photos there are, and what is not used.

Standard library only: the Snakefile asks at every start, before any heavy package is needed.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mixdepth.errors import CaptureError, ConfigurationError, listed
from mixdepth.files.kinds import (
    CONVERSIONS,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    composed,
    holds_masks_only,
    images_in,
    masks_among,
    odd_in,
    refuse_irregular,
    refuse_unread_kind,
    visible,
    what_else,
)
from mixdepth.scene.scene import Scene

# Of cameras and photos: no shell, glob, format or page makes more of it, here or on a cluster's nodes.
NAME = re.compile(r"[\w,()@+=][\w .,()@+=-]*")
# Names of the parts of one recording: GoPro's (GX010034, GX020034; GOPR0034, GP010034), and those that say so.
CHAPTERS = (
    re.compile(r"(?P<before>.*[\W_])?G(?P<one>[HXLM])\d\d(?P<two>\d{4})", re.IGNORECASE),
    re.compile(r"(?P<before>.*[\W_])?G(OPR|P\d\d)(?P<two>\d{4})", re.IGNORECASE),
    re.compile(r"(?P<one>.+?)(?:[ ._-]+|(?<=\d))(?:part|pt|chapter|chap|segment|seg|chunk)[ ._-]*\d+", re.IGNORECASE),
)
# Pictures of one camera at smaller sizes, as LLFF and nerfstudio leave them beside the whole ones.
SMALLER = re.compile(r"(.*)_\d+")
# What other tools make of videos that lie beside it.
MADE = re.compile(r"images(_\d+)?|input|(colmap|frames?|sparse|dense|stereo)([_-].*)?")


def camera_name(name: str) -> str:
    """The camera that a file stem, folder or configured name means: ``3`` and ``03`` are ``cam03``, others stay, with
    each letter and its accents as one character."""
    return f"cam{int(name):02d}" if re.fullmatch("[0-9]+", name) else composed(name)


def find_videos(data: Path, folder: str, cameras: Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Where the videos of a capture are.

    Args:
        data: folder of the capture; relative paths stay relative.
        folder: folder below ``data`` with one video file or folder of images per camera; in a folder they may lie one
            level down.
        cameras: names to use (a video that does not exist yet is expected as ``<name>.mp4``), or a map from name to
            file or folder below ``data``, or None for everything in ``folder`` (nothing where there is no such folder).

    Returns:
        camera name -> path, sorted by name.

    Raises:
        UserError: two entries are the same camera or chapters of one, a folder is of several, a link leads nowhere, or
            a name cannot be that of a file.
    """
    data = Path(data)
    if isinstance(cameras, Mapping):
        return _unique([(camera_name(name), _inside(data / value)) for name, value in cameras.items()], "camera", data)
    entries = visible(data / folder)
    if cameras is None:
        others = _no_cameras(entries)
        there = [path for path in entries if path not in others]
        _refuse_chapters(path for path in there if _is_video(path))
        places = [(_name_of(path), _camera_path(path)) for path in there]
        return _unique([(name, place) for name, place in places if place], "camera", data)
    found = []
    for name in map(camera_name, cameras):
        here = [path for path in entries if _name_of(path) == name and (path.is_dir() or _is_video(path))]
        found += [(name, _inside(path)) for path in here] or [(name, data / folder / f"{name}.mp4")]
    return _unique(found, "camera", data)


def find_photos(data: Path, folder: str, files: Sequence[str] | None, exclude: Sequence[str]) -> dict[str, str]:
    """Where the still photos of a capture are.

    Args:
        data: folder of the capture; relative paths stay relative.
        folder: folder below ``data`` with the photos; where it holds none they may lie one level down.
        files: names to use, with suffix (they need not exist yet), or None for every image in ``folder``.
        exclude: stems, or names with suffix, that nothing may read.

    Returns:
        stem -> path, sorted by stem.

    Raises:
        UserError: two photos have the same stem, one is of a kind that is not read (HEIC, camera raw, ...), a link
            leads nowhere, or nothing is called as an entry of ``exclude``.
    """
    parent = Path(data) / folder
    folders = _photo_folders(parent) if files is None else []
    there = [path for part in folders for path in visible(part)] + [parent / name for name in files or ()]
    for entry in exclude:
        if not any(_called(path, entry) for path in there):
            raise ConfigurationError(
                f'exclude_photos: nothing in {parent} is called "{entry}"; there are '
                f"{listed([path.name for path in there][:50])}. Correct the name, or leave it out."
            )
    out = {path.stem for path in there if any(_called(path, entry) for entry in exclude)}
    if files is None:
        there = [path for part in folders for path in images_in(part, out)]
    kept = [path for path in there if path.stem not in out]
    for path in kept:
        refuse_unread_kind(path)
    return _unique([(composed(path.stem), path) for path in kept], "photo")


def unused_files(scene: Scene) -> dict[str, str]:
    """What lies in a capture and is not used: path -> reason, sorted; hidden files do not count."""
    options = scene.options
    used = {Path(path) for path in [*scene.cameras.values(), *scene.photos.values()]}
    known = {place for path in [*used, *scene.files] for place in [path, *path.parents]}
    videos, pictures = (scene.data / options[key] for key in ("videos", "photos"))
    left = scene.cameras.keys() - set(scene.used_cameras)
    found = {Path(scene.cameras[name]): "neither trains nor is held out" for name in left}
    others = _no_cameras(visible(videos))
    found |= {path: others.get(path) or _why_no_camera(path) for path in visible(videos) if path not in known}
    for path in used:
        found |= dict(_beside_frames(path)) if path.is_dir() else {}
        if path.parent.parent == videos:  # one level down
            found |= {other: _why_not(other) for other in visible(path.parent) if other not in known}
    for path in visible(pictures):
        for file in visible(path) if path in known and path.is_dir() else [path]:
            if file not in known:
                found[file] = _why_no_photo(file, scene)
    for path in visible(scene.data):
        if path not in {*known, videos, pictures} and (path.is_dir() or _is_video(path) or _is_picture(path)):
            found.setdefault(path, "no setting names it")
    return {str(path): reason for path, reason in sorted(found.items())}


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def _is_picture(path: Path) -> bool:
    """By its name, also of a kind that is not read: who reads it says so."""
    return path.suffix.lower() in IMAGE_SUFFIXES | CONVERSIONS.keys()


def _name_of(path: Path) -> str:
    return camera_name(path.name if path.is_dir() else path.stem)


def _called(path: Path, entry: str) -> bool:
    """Whether an entry of a list of photos means this file: by its stem, or by its name with suffix."""
    return composed(entry) in (composed(path.stem), composed(path.name))


def _no_cameras(entries: list[Path]) -> dict[Path, str]:
    """Entries of the folder of videos that tell something of others, or that other tools made: path -> reason."""
    names = {path: path.name if path.is_dir() else path.stem for path in entries if path.is_dir() or _is_video(path)}
    masks = masks_among(names.values())
    found = {path: f"masks or the like of {masks[name]}" for path, name in names.items() if name in masks}
    folders = [path for path in names if path.is_dir()]
    found |= {path: "masks or the like, by its name" for path in folders if holds_masks_only(path)}
    if len(folders) < len(names):
        # As scenes of Neural 3D Video lie beside what other tools have made of them.
        made = [path for path in folders if MADE.fullmatch(path.name.lower())]
        found |= dict.fromkeys(made, "made of the videos, by its name; list it under `cameras` if it is a camera")
    return found


def _camera_path(path: Path) -> Path | None:
    """The video or folder of frames that an entry of the folder of videos is; None where it is none.

    Raises:
        UserError: a folder holds several, or a link leads nowhere.
    """
    _refuse_dangling(path)
    if not path.is_dir():
        return path if _is_video(path) else None
    if _shows_frames(path):
        return path
    there = visible(path)
    videos = [entry for entry in there if _is_video(entry)]
    folders = [entry for entry in there if entry.is_dir() and any(map(_is_picture, visible(entry)))]
    masks = masks_among(entry.name for entry in folders)
    folders = [entry for entry in folders if entry.name not in masks and not holds_masks_only(entry)]
    names = {entry.name for entry in folders}
    whole = [entry for entry in folders if not ((same := SMALLER.fullmatch(entry.name)) and same[1] in names)]
    inside = videos or whole
    for entry in inside:
        _refuse_dangling(entry)
    if len(inside) > 1:
        _refuse_chapters(videos)
        raise CaptureError(
            f"{path}: {len(inside)} videos or folders of frames ({listed([entry.name for entry in inside][:20])}), "
            f"expected one. If they follow each other, join them ({how_to_join(path)}); else say under `cameras` which "
            f"one is used, as in `cameras: {{{path.name}: {inside[0].relative_to(path.parent.parent)}}}`."
        )
    return inside[0] if inside else None


def _shows_frames(folder: Path) -> bool:
    """Whether pictures lie in a folder that are no previews of videos, which are called as these are. (Paths of 100,000
    would take a second.)"""
    with os.scandir(folder) as entries:
        there = [(entry, *entry.name.rpartition(".")[::2]) for entry in entries if entry.name[0] != "."]
    previews = {stem for _, stem, kind in there if f".{kind.lower()}" in VIDEO_SUFFIXES}
    kinds = IMAGE_SUFFIXES | CONVERSIONS.keys()
    return any(f".{kind.lower()}" in kinds and stem not in previews and not e.is_dir() for e, stem, kind in there)


def _inside(path: Path) -> Path:
    """What a camera's configured path means: itself, or the one video or folder of frames in it."""
    return (_camera_path(path) if path.is_dir() or path.is_symlink() else None) or path


def _refuse_dangling(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise CaptureError(
            f"{path} is a link to {path.readlink()}, which is not there. Connect the disk that it is on, or remove the"
            " link."
        )


def _refuse_chapters(videos: Iterable[Path]) -> None:
    """Refuse files that are parts of one recording."""
    parts: dict[tuple, list[Path]] = {}
    for path in videos:
        for kind, pattern in enumerate(CHAPTERS):
            if match := pattern.fullmatch(path.stem):
                recording = (kind, *(text and text.lower() for text in match.groupdict().values()))
                parts.setdefault(recording, []).append(path)
                break
    for paths in parts.values():
        if len(paths) > 1:
            folder = paths[0].parent
            raise CaptureError(
                f"{folder}: {listed([path.name for path in sorted(paths)])} are parts of one recording by their names, "
                f"not cameras. Join them ({how_to_join(folder)}) and take the parts away; or say under `cameras` which "
                f"files are cameras, as in `cameras: {{cam00: {paths[0].relative_to(folder.parent)}}}`."
            )


def how_to_join(folder: Path) -> str:
    """What joins the videos in a folder."""
    return f"in {folder}, list.txt with a line file '...' for each, and `ffmpeg -f concat -i list.txt -c copy all.mp4`"


def _photo_folders(folder: Path) -> list[Path]:
    """The folder of the photos; where it holds none, those in it that do."""
    there = visible(folder)
    for path in odd_in(folder):
        _refuse_dangling(path)
    if any(_is_picture(path) and not path.is_dir() for path in there):
        return [folder]
    below = [path for path in there if path.is_dir() and any(map(_is_picture, visible(path)))]
    masks = masks_among(path.name for path in below)
    return [path for path in below if path.name not in masks and not holds_masks_only(path)]


def _why_no_camera(path: Path) -> str:
    inside = [path, *visible(path), *(entry for below in visible(path) for entry in visible(below))]
    if any(_is_video(entry) or (entry != path and _is_picture(entry)) for entry in inside):
        return "not named in `cameras`"
    return "a folder without a video and without frames" if path.is_dir() else _why_not(path)


def _why_no_photo(path: Path, scene: Scene) -> str:
    if any(_called(path, entry) for entry in scene.options["exclude_photos"]):
        return "in `exclude_photos`"
    if path.stem in scene.test_cameras:
        return "has the pose of a held-out camera"
    if path.stem in masks_among(entry.stem for entry in visible(path.parent)):
        return "a mask or the like of another photo"
    return "not named in `photo_files`" if _is_picture(path) and scene.options["photo_files"] else _why_not(path)


def _why_not(path: Path) -> str:
    """Why a file or folder that is in nobody's list is not used."""
    if path.is_dir():
        return "a folder beside files that are used, or without pictures"
    if _is_video(path):
        return "a video where none is looked for"
    return "a picture that is in no list" if _is_picture(path) else what_else(path)


def _beside_frames(folder: Path) -> Iterator[tuple[Path, str]]:
    """What lies among the frames of a camera and is none."""
    there = visible(folder)
    masks = masks_among(path.stem for path in there if path.suffix.lower() in IMAGE_SUFFIXES)
    for path in there:
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.is_dir():
            yield path, _why_not(path)
        elif path.stem in masks:
            yield path, f"a mask or the like of {masks[path.stem]}"


def _unique(pairs: Sequence[tuple[str, Path]], kind: str, data: Path | None = None) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, path in pairs:
        if not NAME.fullmatch(name):
            other = f", or say `cameras: {{another_name: {os.path.relpath(path, data)}}}`" if data else ""
            raise CaptureError(
                f"{path}: {kind} {name!r}: results are named after it and jobs started with it, so it may hold letters"
                " and digits of any script, blanks and _ . , ( ) @ + = - only, and not begin with a blank, a dot or a"
                f" hyphen. Rename it{other}."
            )
        if name in found:
            raise CaptureError(f"{found[name]} and {path} are both {kind} {name}. Rename or remove one of them.")
        found[name] = str(path)
    paths = {path for _, path in pairs}
    for folder in {path.parent for path in paths}:
        for path in paths.intersection(odd_in(folder)):
            refuse_irregular(path)
    return dict(sorted(found.items()))
