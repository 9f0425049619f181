"""Given cameras: one door to every format that poses may come in, and the names by which they are found.

A video camera ``cam01`` is what the file calls (the first of these that fits) "cameras/cam01.png", as we do; "cam01",
an image in any folder or a table; "cam01/0001.png", by the folder; "1.jpg", by the number; "cam_1", "cam_train1" or
"int_cam01_img", by "cam" and the number. A photo is found by its folder and file name, its file name, or its stem. A
folder that all names of the file have in the same place says nothing, unless it is called after a camera of the scene.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixdepth.cameras.formats.calibration import read_calibration
from mixdepth.cameras.formats.colmap_files import read_colmap
from mixdepth.cameras.formats.llff import read_poses_bounds
from mixdepth.cameras.formats.metashape import read_metashape
from mixdepth.cameras.formats.panoptic import read_panoptic
from mixdepth.cameras.formats.pinf import read_pinf
from mixdepth.cameras.formats.posed import Posed, Size, Unsized, fit_lens
from mixdepth.cameras.formats.realitycapture import read_realitycapture
from mixdepth.cameras.formats.storage import read_easymocap, read_stereo
from mixdepth.cameras.formats.transforms import read_transforms
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.orientation import upright_as_pictures
from mixdepth.errors import CaptureError, ConfigurationError
from mixdepth.scene.capture import camera_name
from mixdepth.words import first_of

READERS: dict[str, Callable[[Path], list[tuple[str, Posed]]]] = {
    "model": read_colmap,
    "transforms": read_transforms,
    "panoptic": lambda path: sorted(read_panoptic(path).items()),
    "toml": read_calibration,
    "metashape": read_metashape,
    "realitycapture": read_realitycapture,
    "opencv": read_stereo,
    "easymocap": read_easymocap,
    "pinf": read_pinf,
}
GROUPS = {"cameras": "camera", "photos": "photo"}
OF_IMAGES = (
    "model",
    "transforms",
    "metashape",
    "realitycapture",
)  # sources whose names are those of images, so that a photo can have its own
SAME = 1e-9  # largest difference of two poses that are one; of the extent of the translation, or of a rotation's entry
LOOSE = 5  # the weakest way for a name to mean a camera: its number only
Entries = Sequence[tuple[str, Posed]]
Parts = tuple[list[str], str]  # folders and stem of a name


@dataclass(frozen=True)
class Given:
    """Given cameras by group ("cameras", "photos") and name, at the size of the original images.

    Attributes:
        lenses, c2w: lens, and [4, 4] float64 OpenCV camera to world.
        bounds: (near, far) in world units, of those for which the file has them.
        unused: names in the file that nothing took.
        notes: what the user should know, for the log.
    """

    lenses: dict[str, dict[str, Lens]]
    c2w: dict[str, dict[str, np.ndarray]] = field(repr=False)
    bounds: dict[str, dict[str, tuple[float, float]]]
    unused: list[str]
    notes: list[str]


def read_given(
    source: str,
    path: Path,
    sizes: Mapping[str, Mapping[str, Size]],
    cameras: Mapping[str, str],
    photos: Mapping[str, str],
    turned: Mapping[str, Mapping[str, int]] | None = None,
    ratios: Mapping[str, float] | None = None,
) -> Given:
    """The given cameras of a capture.

    Args:
        source: ``poses.source``, but colmap.
        path: the file or folder.
        sizes: group to name to (width, height) of the original images, of the cameras and photos that are used.
        cameras: name to file or folder of every video camera of the scene, those that are left alone too (LLFF has rows
            for them).
        photos: stem to file, of every photo that is used. Beside video cameras, a photo takes the pose of the camera
            that has its stem for a name, unless the file has one for the photo itself.
        turned: group to name to degrees clockwise by which a tag (EXIF, of a video) turned the stored picture.
        ratios: video camera to width over height of its pixels, where they are not square.

    Raises:
        UserError: a file that is missing or wrong, a camera or photo without a pose, or an image of another aspect.
    """
    path = Path(path)
    found, unused = _find(source, path, sizes, cameras, photos)
    used = {group: {name: found[group][name] for name in sorted(sizes[group])} for group in GROUPS}
    notes = [f"{path}: no video or photo for {', '.join(unused)}"] if unused else []
    notes += _order_told(path, row_files(cameras or photos)) if source == "llff" else []
    used, along = upright_as_pictures(source, used, sizes, turned or {})
    if along:
        notes.append(
            f"{path}: made for the stored pixels of {', '.join(along)}, which a tag turns: lenses and poses are turned "
            "along"
        )
    lenses: dict[str, dict[str, Lens]] = {group: {} for group in GROUPS}
    for group, kind in GROUPS.items():
        for name, posed in used[group].items():
            where, (width, height) = f"{path}: {kind} {name}", sizes[group][name]
            if not np.isfinite(posed.pose).all():
                raise CaptureError(f"{where}: its pose is not finite. Make the file again.")
            own = posed.known_lens
            ratio = (ratios or {}).get(name, 1.0) if group == "cameras" else 1.0
            lenses[group][name] = fit_lens(where, own, (width, height), ratio)
            if cropped := min(_cropped(own, width, height), _cropped(own, round(width * ratio), height)):
                notes.append(
                    f"{where}: made for images of {own.width}x{own.height} pixels, scaled per axis to "
                    f"{width}x{height}; if the image was cropped instead, this is off by up to {cropped:.0f} pixels"
                )
    return Given(
        lenses,
        {group: {name: posed.pose for name, posed in used[group].items()} for group in GROUPS},
        {group: {name: posed.bounds for name, posed in used[group].items() if posed.bounds} for group in GROUPS},
        unused,
        notes,
    )


def _find(
    source: str,
    path: Path,
    sizes: Mapping[str, Mapping[str, Size]],
    cameras: Mapping[str, str],
    photos: Mapping[str, str],
) -> tuple[dict[str, dict[str, Posed]], list[str]]:
    """What the file has for every camera and photo, by group and name, and the names in it that nothing took."""
    found, entries = _matched(source, path, cameras, photos)
    names = [name for name, _ in entries]
    if missing := sorted(set(sizes["cameras"]) - set(found["cameras"])):
        raise CaptureError(
            f"{path}: no pose for video camera {', '.join(missing)}; it has poses for{_listed(names) or ' nothing'}. "
            "Use the file that belongs to these videos, leave cameras out (`cameras`), or name them as the file does."
        )
    # A photo without a pose of its own takes that of the video camera of its name.
    found["photos"] = {stem: found["cameras"][stem] for stem in photos if stem in found["cameras"]} | found["photos"]
    if missing := sorted(set(sizes["photos"]) - set(found["photos"])):
        raise CaptureError(
            f"{path}: photos without a pose: {', '.join(missing)}. A photo takes the pose of its own name, where "
            f"the file has one (it has{_listed(names) or ' none'}), else that of the video camera of its name "
            f"({_listed(cameras).strip() or 'there is none'}). Exclude them (`exclude_photos`), or use COLMAP "
            "(`poses.source: colmap`)."
        )
    # By what they hold: several frames of one camera are one.
    taken = {_content(posed) for group in found.values() for posed in group.values()}
    return found, sorted({name for name, posed in entries if _content(posed) not in taken})


def row_files(images: Mapping[str, str]) -> dict[str, str]:
    """The file name by which LLFF sorts each image's row; the image's own name where the configuration gave it that."""
    files = {name: Path(file).name for name, file in images.items()}
    return {name: file if camera_name(Path(file).stem) == camera_name(name) else name for name, file in files.items()}


def _order_told(path: Path, files: Mapping[str, str]) -> list[str]:
    """A note where LLFF's order of the ``files`` is not that of the names of their images."""
    order = sorted(files, key=lambda name: files[name])
    if order == sorted(files):
        return []
    rows = first_of([files[name] for name in order], 40)
    return [f"{path}: its rows are taken in the order of the file names as text, as LLFF sorts them: {rows}"]


def _matched(
    source: str, path: Path, cameras: Mapping[str, str], photos: Mapping[str, str]
) -> tuple[dict[str, dict[str, Posed]], Entries]:
    """What the file itself has for cameras and photos, by group and name; and all that it has by its own names."""
    if source == "llff":
        rows = read_poses_bounds(path, cameras or photos, row_files(cameras or photos))
        return {"cameras": rows if cameras else {}, "photos": {} if cameras else rows}, []
    entries = [(name, posed) for name, posed in READERS[source](path) if posed.c2w is not None]
    if source == "opencv":
        pair = _pair(path, entries, sorted(cameras or photos))
        return {"cameras": pair if cameras else {}, "photos": {} if cameras else pair}, entries
    found = {"cameras": _match_cameras(path, entries, cameras), "photos": {}}
    if source in OF_IMAGES:
        found["photos"] = _match_photos(path, entries, photos, cameras)
    elif not cameras:
        found["photos"] = _match_cameras(path, entries, photos)
    return found, entries


def _pair(path: Path, entries: Entries, names: Sequence[str]) -> dict[str, Posed]:
    """The two cameras of a stereo calibration: left and right, where the names say it, else in their order."""
    if len(names) != 2:
        raise CaptureError(
            f"{path}: a stereo calibration has two cameras, but there are {len(names)}: {', '.join(names)}. Name the "
            "two that it is of (`cameras`)."
        )
    sides = [[name for name in names if side in name.lower()] for side in ("left", "right")]
    first, second = (sides[0][0], sides[1][0]) if [len(side) for side in sides] == [1, 1] else names
    return {first: entries[0][1], second: entries[1][1]}


def read_lenses(path: Path, sizes: Mapping[str, Size]) -> dict[str, Lens]:
    """Known lenses (``poses.intrinsics``) of a transforms.json or a TOML calibration.

    Args:
        sizes: camera name to (width, height) of its original image.

    Returns:
        by name, at those sizes; cameras that the file does not have are left out.

    Raises:
        UserError: a file that is missing, wrong or of another kind, another aspect, or none of the cameras in it.
    """
    path = Path(path)
    source = {".json": "transforms", ".toml": "toml"}.get(path.suffix.lower())
    if source is None:
        raise ConfigurationError(f"{path}: expected a transforms.json or a calibration (.toml) as `poses.intrinsics`.")
    entries = [(name, Posed(posed.lens, None)) for name, posed in READERS[source](path)]
    found = _match_cameras(path, entries, sizes)
    if not found:
        raise CaptureError(
            f"{path}: has no lens of {', '.join(sorted(sizes))}; it has{_listed(name for name, _ in entries)}. "
            "Name the cameras as the file does, or correct `poses.intrinsics`."
        )
    return {
        name: fit_lens(f"{path}: camera {name}", posed.known_lens, sizes[name]) for name, posed in sorted(found.items())
    }


def _match_cameras(path: Path, entries: Entries, cameras: Iterable[str]) -> dict[str, Posed]:
    """The entry of each of ``cameras`` that has one, by the rules at the top of this module.

    Raises:
        UserError: a camera is meant by entries that differ.
    """
    cameras = sorted(cameras)
    whole = [_parts(name, cameras) for name, _ in entries]
    found = _named(path, entries, _without_shared(whole, cameras), cameras)
    # One pose for several cameras: what all names share was the camera after all, and told apart were its frames.
    if len({_content(posed) for posed in found.values() if posed.c2w is not None}) == 1 < len(found):
        found = _named(path, entries, whole, cameras)
    return found


def _named(path: Path, entries: Entries, parts: Sequence[Parts], cameras: Sequence[str]) -> dict[str, Posed]:
    """The entry of each of ``cameras`` that has one, where entries are called ``parts``."""
    numbers = [_number(camera) for camera in cameras]
    found = {}
    for camera in cameras:
        strengths = [_strength(folders, stem, camera, cameras) for folders, stem in parts]
        if numbers.count(_number(camera)) > 1:  # a number does not say which
            strengths = [strength % LOOSE for strength in strengths]
        best = min(strengths, default=None, key=lambda strength: strength or LOOSE + 1)
        if best:
            fitting = [entry for entry, strength in zip(entries, strengths, strict=True) if strength == best]
            found[camera] = _only(path, f"camera {camera}", fitting)
    return found


def _strength(folders: Sequence[str], stem: str, camera: str, cameras: Sequence[str]) -> int:
    """How well an entry's name means ``camera``: 1 best, ``LOOSE`` worst, 0 not at all."""
    name = _plain(camera)
    if stem == name:
        return 1 if folders[-1:] == ["cameras"] else 2
    if stem in map(_plain, cameras):
        return 0
    if numbered := [folder for folder in folders if _is_cameras(folder, cameras)]:
        # The folder is the camera, the stem its frame; one that says "cam" before one that is a number only.
        folder = ([folder for folder in numbered if not folder.isdigit()] or numbered)[-1]
        return 3 if camera_name(folder) == name else LOOSE * _same_number(folder, camera)
    return 4 if camera_name(stem) == name else LOOSE * _same_number(stem, camera)


def _without_shared(parts: Sequence[Parts], cameras: Iterable[str]) -> list[Parts]:
    """``parts`` without the folders that all have in the same place, but for those called after a camera."""
    kept = {name for name in map(_plain, cameras) if not name.isdigit()}
    numbers = {_number(camera) for camera in cameras}
    shared = set()
    if len(parts) > 1:
        shared = set.intersection(*(set(enumerate(folders)) for folders, _ in parts))
        shared = {
            (place, folder)
            for place, folder in shared
            if folder not in kept and (folder.isdigit() or _number(folder) not in numbers)
        }
    return [([f for place, f in enumerate(folders) if (place, f) not in shared], stem) for folders, stem in parts]


def _parts(name: str, known: Iterable[str]) -> Parts:
    """Folders and stem of a file's name, which may have no suffix: the whole where it is one of the ``known`` names, so
    that "left.front" is no "left". Both short enough for :func:`camera_name`."""
    *folders, file = [part for part in re.split(r"[/\\]", _plain(name)) if part not in ("", ".", "..")] or [""]
    names = set(map(_plain, known))
    stem = file if file in names else re.sub(r"\.[A-Za-z][A-Za-z0-9]{1,4}$", "", file)
    if stem.startswith("cam_") and stem[4:] in names:  # cam_train00.npz is the camera of train00.mp4
        stem = stem[4:]
    return [folder[:255] for folder in folders], stem[:255]


def _plain(name: str) -> str:
    """``name`` as one of the several ways to write the same letters (NFC; macOS writes file names otherwise)."""
    return unicodedata.normalize("NFC", name)


def _is_cameras(folder: str, cameras: Iterable[str]) -> bool:
    return _number(folder) is not None or folder in map(_plain, cameras)


def _number(name: str) -> int | None:
    """The number of a camera in ``name``: all of it, or what follows "cam" or "camera"."""
    called = r"(?<![a-z])cam(?:era)?[ _-]?(?:train)?([0-9]+)"
    match = re.fullmatch("([0-9]+)", name) or re.search(called, name.lower())
    return int(match[1]) if match else None


def _same_number(name: str, camera: str) -> bool:
    return _number(name) is not None and _number(name) == _number(camera)


def _only(path: Path, what: str, fitting: Entries) -> Posed:
    """The one of ``fitting``; several must be equal, as the frames of a camera that does not move are."""
    first = fitting[0][1]
    for name, posed in fitting[1:]:
        if posed.lens != first.lens or not _same_pose(posed.c2w, first.c2w):
            raise CaptureError(
                f"{path}: {what} could be {fitting[0][0]} or {name}, which differ. Expected one pose per camera that "
                "does not move: keep one of them, or name the cameras (`cameras`) as the file does."
            )
    return first


def _content(posed: Posed) -> tuple[Lens | Unsized, bytes]:
    return posed.lens, posed.pose.tobytes()


def _same_pose(one: np.ndarray | None, two: np.ndarray | None) -> bool:
    if one is None or two is None:
        return one is two
    return bool(np.abs(one - two).max() <= SAME * max(1.0, np.abs(one).max()))


def _match_photos(path: Path, entries: Entries, photos: Mapping[str, str], cameras: Iterable[str]) -> dict[str, Posed]:
    """The entry of each photo that has one: the same folder and file, else the same file, else the same stem. Frames
    in a camera's folder are no photos; where there are no cameras, no folder is one's."""
    parts = [_parts(name, photos) for name, _ in entries]
    told = _without_shared(parts, cameras)
    still = [
        (folders, stem, entry)
        for (folders, stem), (telling, _), entry in zip(parts, told, entries, strict=True)
        if not (cameras and any(_is_cameras(folder, cameras) for folder in telling))
    ]
    found = {}
    for stem, file in photos.items():
        folder, name = _plain(Path(file).parent.name), _plain(Path(file).name)
        by_stem = [(folders, entry) for folders, other, entry in still if other == _plain(stem)]
        by_file = [(folders, entry) for folders, entry in by_stem if re.split(r"[/\\]", _plain(entry[0]))[-1] == name]
        by_path = [(folders, entry) for folders, entry in by_file if folders[-1:] == [folder]]
        if fitting := by_path or by_file or by_stem:
            found[stem] = _only(path, f"photo {stem}", [entry for _, entry in fitting])
    return found


def _listed(names: Iterable[str]) -> str:
    """Names for a message, with a blank before them; the first forty where there are more."""
    names = sorted(set(names))
    return f" {first_of(names, 40)}" if names else ""


def _cropped(lens: Lens, width: int, height: int) -> float:
    """How many pixels an image lacks that the lens's image, scaled alike along both axes, has; 0 if by rounding."""
    scale = max(width / lens.width, height / lens.height)
    excess = max(lens.width * scale - width, lens.height * scale - height)
    return excess if excess > 1 else 0.0
