"""COLMAP's model files, binary and text, without COLMAP (https://colmap.github.io/format.html).

An image's pose is world to camera: a quaternion (w, x, y, z) and a translation; camera axes as OpenCV's. Binary files
are little endian. Where there are rigs and frames, which COLMAP writes since 3.12, the poses are theirs, as for COLMAP
itself: the image's camera in its rig, and the rig of its frame in the world; what the images say can be out of date.
"""

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import rotation_of
from mixdepth.cameras.formats.posed import FISHEYE, PERSPECTIVE, Posed, inverse_pose, make_lens
from mixdepth.cameras.lens import MODELS, Lens
from mixdepth.cameras.model import Model
from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.files.io import atomic

# By COLMAP's number (src/colmap/sensor/models.h); of those that are not in MODELS no images can be used.
MODEL_IDS = {
    0: "SIMPLE_PINHOLE",
    1: "PINHOLE",
    2: "SIMPLE_RADIAL",
    3: "RADIAL",
    4: "OPENCV",
    5: "OPENCV_FISHEYE",
    6: "FULL_OPENCV",
    7: "FOV",
    8: "SIMPLE_RADIAL_FISHEYE",
    9: "RADIAL_FISHEYE",
    10: "THIN_PRISM_FISHEYE",
    11: "RAD_TAN_THIN_PRISM_FISHEYE",
    12: "SIMPLE_DIVISION",
    13: "DIVISION",
    14: "SIMPLE_FISHEYE",
    15: "FISHEYE",
    16: "EUCM",
    17: "EQUIRECTANGULAR",
}
UNIT_TOLERANCE = 1e-3  # of a quaternion's length
LONGEST_NAME = 4096  # characters
CAMERA = 0  # number of COLMAP's sensors that are cameras
GREY = 128  # the colour of a point whose colour is not known


def read_colmap(folder: Path) -> list[tuple[str, Posed]]:
    """Read the name and the camera of every image of a model; binary files count where there are both.

    Raises:
        UserError: no model there, a file that is cut short or broken, a lens that is not supported, or a pose that is
            not finite or no rotation.
    """
    folder = Path(folder)
    for suffix, cameras, images in ((".bin", _binary_cameras, _binary_images), (".txt", _text_cameras, _text_images)):
        paths = folder / f"cameras{suffix}", folder / f"images{suffix}"
        if all(path.is_file() for path in paths):
            lenses, rigged = cameras(paths[0]), _rigged(folder, suffix)
            return [
                (name, _posed(paths[1], lenses, name, camera, rigged.get((number, camera)) or pose))
                for number, name, camera, pose in images(paths[1])
            ]
    raise CaptureError(
        f"{folder}: no COLMAP model; expected cameras.bin and images.bin there, or cameras.txt and images.txt. Correct "
        "`poses.path`."
    )


Steps = tuple[Sequence[float], ...]  # (quaternion, translation) of each step from the world to the camera, last first


def _posed(path: Path, lenses: Mapping[int, Lens], name: str, camera: int, steps: Steps) -> Posed:
    where = f"{path}: image {name}"
    if camera not in lenses:
        raise CaptureError(f"{where}: its camera {camera} is not in the model; it has {sorted(lenses)}.")
    c2w = np.eye(4)
    for step in reversed(steps):
        if not np.isfinite(step).all():
            raise CaptureError(f"{where}: not finite: {list(step)}. Make the model again.")
        length = math.hypot(*step[:4])
        if abs(length - 1) > UNIT_TOLERANCE:
            raise CaptureError(f"{where}: its quaternion has the length {length:g}; expected 1, as of a rotation.")
        c2w = c2w @ inverse_pose(rotation_of(np.array(step[:4]) / length), np.array(step[4:]))
    return Posed(lenses[camera], c2w)


def _rigged(folder: Path, suffix: str) -> dict[tuple[int, int], Steps]:
    """The steps to the pose of every image, by its number and its camera's, as far as rigs and frames tell them."""
    paths = folder / f"rigs{suffix}", folder / f"frames{suffix}"
    if not all(path.is_file() for path in paths):
        return {}
    rigs, frames = (_binary_rigs, _binary_frames) if suffix == ".bin" else (_text_rigs, _text_frames)
    sensors = rigs(paths[0])
    found: dict[tuple[int, int], Steps] = {}
    for rig, pose, images in frames(paths[1]):
        for camera, number in images:
            if (rig, camera) in sensors:
                own = sensors[rig, camera]
                found[number, camera] = (own, pose) if own is not None else (pose,)
    return found


def _lens(where: str, model: str | int, size: tuple[int, int], params: Iterable[float]) -> Lens:
    """The lens of a camera; ``model`` is its name (or its number, where that is unknown)."""
    if model not in MODELS:
        raise CaptureError(
            f"{where}: has the lens model {model}, which is not supported; expected one of {', '.join(MODELS)}. "
            "Undistort the images (`colmap image_undistorter`) and give the model of the new ones."
        )
    values = dict(zip(MODELS[model], params, strict=True))
    if "f" in values:
        values["fx"] = values["fy"] = values.pop("f")
    return make_lens(where, size, values, (model, *(FISHEYE if model.endswith("FISHEYE") else PERSPECTIVE)))


# Binary


class _Reader:
    """Reads a binary file from front to back; nothing is allocated before the file is known to be long enough."""

    def __init__(self, path: Path):
        self.path, self.data, self.offset = path, path.read_bytes(), 0

    def skip(self, count: int) -> int:
        """Move on by ``count`` bytes; the offset before."""
        start = self.offset
        if count > len(self.data) - start:
            raise DamagedFile(
                f"{self.path}: ends at byte {len(self.data)}, in the middle of a record; expected at least "
                f"{start + count} bytes. The file is cut short or damaged: copy it again."
            )
        self.offset += count
        return start

    def take(self, layout: str) -> tuple:
        """Numbers in ``struct``'s layout."""
        return struct.unpack_from("<" + layout, self.data, self.skip(struct.calcsize("<" + layout)))

    def count(self, smallest: int) -> int:
        """A number of records of at least ``smallest`` bytes each."""
        (count,) = self.take("Q")
        if count * smallest > len(self.data) - self.offset:
            raise DamagedFile(
                f"{self.path}: says that {count} records follow, but only {len(self.data) - self.offset} bytes do. The "
                "file is cut short or damaged: copy it again."
            )
        return count

    def name(self) -> str:
        """Text that ends with a zero byte."""
        end = self.data.find(b"\0", self.offset, self.offset + LONGEST_NAME)
        if end < 0:
            raise DamagedFile(f"{self.path}: an image's name at byte {self.offset} does not end; the file is damaged.")
        return self.data[self.skip(end + 1 - self.offset) : end].decode("utf-8", "replace")


def _binary_cameras(path: Path) -> dict[int, Lens]:
    reader, lenses = _Reader(path), {}
    for _ in range(reader.count(24)):
        number, model, width, height = reader.take("IiQQ")
        name = MODEL_IDS.get(model, model)
        params = reader.take(f"{len(MODELS.get(name, ()))}d")
        lenses[number] = _lens(f"{path}: camera {number}", name, (width, height), params)
    return lenses


def _binary_images(path: Path) -> Iterator[tuple[int, str, int, Steps]]:
    """Number, name, camera's number, and quaternion and translation of every image."""
    reader = _Reader(path)
    for _ in range(reader.count(73)):
        number, *pose, camera = reader.take("I7dI")
        name = reader.name()
        reader.skip(24 * reader.count(24))
        yield number, name, camera, (pose,)


def _binary_rigs(path: Path) -> dict[tuple[int, int], Sequence[float] | None]:
    """Quaternion and translation of every camera in its rig, by both numbers; None: the rig's own. One of which they
    are not known is left out."""
    reader = _Reader(path)
    found: dict[tuple[int, int], Sequence[float] | None] = {}
    for _ in range(reader.count(8)):
        rig, sensors = reader.take("II")
        for index in range(sensors):
            kind, sensor = reader.take("iI")
            known = index > 0 and reader.take("B")[0]
            pose = reader.take("7d") if known else None
            if kind == CAMERA and (known or index == 0):
                found[rig, sensor] = pose
    return found


def _binary_frames(path: Path) -> Iterator[tuple[int, Sequence[float], list[tuple[int, int]]]]:
    """Rig, its quaternion and translation, and (camera, image) of what was taken, of every frame."""
    reader = _Reader(path)
    for _ in range(reader.count(68)):
        _, rig, *pose = reader.take("II7d")
        taken = [reader.take("iIQ") for _ in range(reader.take("I")[0])]
        yield rig, pose, [(sensor, image) for kind, sensor, image in taken if kind == CAMERA]


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The points of a points3D.bin: positions [P, 3] float64, and how many observations each has, [P] int64.

    Raises:
        UserError: the file is cut short or damaged.
    """
    reader, points, views = _Reader(Path(path)), [], []
    for _ in range(reader.count(51)):
        _, *point = reader.take("Q3d")
        reader.skip(11)  # colour and error
        count = reader.count(8)
        reader.skip(8 * count)
        points.append(point)
        views.append(count)
    return np.array(points, np.float64).reshape(-1, 3), np.array(views, np.int64)


# Text


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every line with where it is, comments left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{path}: not a text file ({error}).") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.startswith("#"):
            yield f"{path}: line {number}", line.strip()


def _parsed(where: str, words: list[str], kinds: Iterable[Callable], expected: str) -> list:
    """``words`` as numbers, one of ``kinds`` (int, float) each."""
    try:
        return [kind(word) for kind, word in zip(kinds, words, strict=True)]
    except ValueError as error:
        raise CaptureError(f"{where}: {error}; expected {expected}.") from None


def _text_cameras(path: Path) -> dict[int, Lens]:
    expected, lenses = "CAMERA_ID MODEL WIDTH HEIGHT PARAMS", {}
    for where, line in _lines(path):
        if not line:
            continue
        words = line.split()
        if len(words) < 5:
            raise CaptureError(f"{where}: has {len(words)} words; expected {expected}.")
        number, width, height = _parsed(where, [words[0], *words[2:4]], (int, int, int), expected)
        names = MODELS.get(words[1])
        if names and len(words) != 4 + len(names):
            raise CaptureError(f"{where}: has {len(words) - 4} parameters; {words[1]} has {', '.join(names)}.")
        params = _parsed(where, words[4:], [float] * (len(words) - 4), expected) if names else ()
        lenses[number] = _lens(f"{where}: camera {number}", words[1], (width, height), params)
    return lenses


def _text_images(path: Path) -> Iterator[tuple[int, str, int, Steps]]:
    """Number, name, camera's number, and quaternion and translation of every image. Each has a second line: X Y
    POINT3D_ID ..."""
    expected = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"
    lines = _lines(path)
    for where, line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise CaptureError(f"{where}: has {len(words)} words; expected {expected}.")
        number, *pose, camera = _parsed(where, words[:9], (int, *[float] * 7, int), expected)
        where, points = next(lines, (where, ""))
        if len(points.split()) % 3:
            raise CaptureError(
                f"{where}: expected X Y POINT3D_ID of the points that {words[9]} sees, or an empty line."
            )
        yield number, words[9], camera, (pose,)


def _text_rigs(path: Path) -> dict[tuple[int, int], Sequence[float] | None]:
    """As :func:`_binary_rigs`."""
    expected = "RIG_ID NUM_SENSORS REF_SENSOR_TYPE REF_SENSOR_ID, then SENSOR_TYPE SENSOR_ID HAS_POSE POSE"
    found: dict[tuple[int, int], Sequence[float] | None] = {}
    for where, line in _lines(path):
        words = line.split()
        if not words:
            continue
        rig, _ = _parsed(where, words[:2], (int, int), expected)
        rest = words[2:]
        for index in range(len(words)):  # at most
            if not rest:
                break
            kind = rest[0]
            (sensor,) = _parsed(where, rest[1:2], (int,), expected)
            known = index > 0 and rest[2:3] == ["1"]
            pose = _parsed(where, rest[3:10], [float] * 7, expected) if known else None
            if kind == "CAMERA" and (known or index == 0):
                found[rig, sensor] = pose
            rest = rest[2 if index == 0 else 10 if known else 3 :]
    return found


def _text_frames(path: Path) -> Iterator[tuple[int, Sequence[float], list[tuple[int, int]]]]:
    """As :func:`_binary_frames`."""
    expected = "FRAME_ID RIG_ID QW QX QY QZ TX TY TZ NUM_DATA_IDS, then SENSOR_TYPE SENSOR_ID DATA_ID"
    for where, line in _lines(path):
        words = line.split()
        if not words:
            continue
        _, rig, *pose, count = _parsed(where, words[:10], (int, int, *[float] * 7, int), expected)
        taken = words[10:]
        if len(taken) != 3 * count:
            raise CaptureError(f"{where}: has {len(taken)} words behind NUM_DATA_IDS {count}; expected {expected}.")
        numbers = _parsed(where, [*taken[1::3], *taken[2::3]], [int] * (2 * count), expected)
        pairs = zip(taken[::3], numbers[:count], numbers[count:], strict=True)
        yield rig, pose, [(sensor, image) for kind, sensor, image in pairs if kind == "CAMERA"]


# Writing


def write_colmap(folder: Path, images: Mapping[str, tuple[Lens, np.ndarray]], points: Model | None = None) -> None:
    """Write a model, as binary and as text. Images with equal lenses share a camera.

    Args:
        images: image name to (lens, c2w [4, 4]).
        points: points and tracks; observations in images that are not in ``images`` are left out. Their colour, which
            we do not keep, is grey.
    """
    names = sorted(images)
    cameras = {lens: number for number, lens in enumerate(dict.fromkeys(images[name][0] for name in names), start=1)}
    seen, tracks = _observations(names, points)
    poses = {name: _world_to_camera(images[name][1]) for name in names}

    binary, text = [struct.pack("<Q", len(cameras))], ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS"]
    model_ids = {name: number for number, name in MODEL_IDS.items()}
    for lens, number in cameras.items():
        binary.append(struct.pack("<IiQQ", number, model_ids[lens.model], lens.width, lens.height))
        binary.append(np.array(lens.params, dtype="<f8").tobytes())
        text.append(_line(number, lens.model, lens.width, lens.height, *lens.params))
    _write(folder, "cameras", binary, text)

    binary = [struct.pack("<Q", len(names))]
    text = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", "# X Y POINT3D_ID of each point that it sees"]
    for number, name in enumerate(names, start=1):
        camera = cameras[images[name][0]]
        binary.append(struct.pack("<I7dI", number, *poses[name], camera) + name.encode() + b"\0")
        binary.append(struct.pack("<Q", len(seen[name])))
        binary += [struct.pack("<ddQ", x, y, point) for x, y, point in seen[name]]
        text.append(_line(number, *poses[name], camera, name))
        text.append(" ".join(_line(x, y, point) for x, y, point in seen[name]))
    _write(folder, "images", binary, text)

    binary = [struct.pack("<Q", len(tracks))]
    text = ["# POINT3D_ID X Y Z R G B ERROR, then IMAGE_ID POINT2D_IDX of each image that sees it"]
    for number, (xyz, error, track) in enumerate(tracks, start=1):
        flat = [value for pair in track for value in pair]
        binary.append(struct.pack("<Q3d3BdQ", number, *xyz, GREY, GREY, GREY, error, len(track)))
        binary.append(np.array(flat, dtype="<u4").tobytes())
        text.append(_line(number, *xyz, GREY, GREY, GREY, error, *flat))
    _write(folder, "points3D", binary, text)


def _observations(names: list[str], points: Model | None) -> tuple[dict[str, list], list]:
    """What each image sees, (x, y, point number) by image name, and each point: xyz, error, [(image number, index)]."""
    seen: dict[str, list] = {name: [] for name in names}
    if points is None:
        return seen, []
    tracks: list[tuple[list[float], float, list[tuple[int, int]]]]
    tracks = [(xyz.tolist(), error, []) for xyz, error in zip(points.points, points.error.tolist(), strict=True)]
    numbers = {name: number for number, name in enumerate(names, start=1)}
    image_names = sorted(points.lenses)
    for point, image, uv in zip(points.track_point, points.track_image, points.track_uv.tolist(), strict=True):
        name = image_names[image]
        if name in seen:
            tracks[point][2].append((numbers[name], len(seen[name])))
            seen[name].append((*uv, int(point) + 1))
    return seen, tracks


def _line(*values: object) -> str:
    """Values with blanks between them; ``repr`` of a float reads back as the same float."""
    return " ".join(repr(float(value)) if isinstance(value, float) else str(value) for value in values)


def _write(folder: Path, stem: str, binary: list[bytes], text: list[str]) -> None:
    with atomic(Path(folder) / f"{stem}.bin") as temporary:
        temporary.write_bytes(b"".join(binary))
    with atomic(Path(folder) / f"{stem}.txt") as temporary:
        temporary.write_text("\n".join(text) + "\n", encoding="utf-8")


def _world_to_camera(c2w: np.ndarray) -> list[float]:
    """Quaternion (w, x, y, z) with w >= 0 and translation of the world-to-camera transform.

    The quaternion is the eigenvector of Bar-Itzhack's matrix (2000), which is well behaved for every rotation.
    """
    r = c2w[:3, :3].T
    trace = np.trace(r)
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    matrix = np.empty((4, 4))
    matrix[0, 0], matrix[0, 1:], matrix[1:, 0] = trace, axis, axis
    matrix[1:, 1:] = r + r.T - trace * np.eye(3)
    quaternion = np.linalg.eigh(matrix)[1][:, -1]
    return [*(quaternion * (1 if quaternion[0] >= 0 else -1)).tolist(), *(-r @ c2w[:3, 3]).tolist()]
