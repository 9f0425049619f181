"""A camera as a file gives it, before it is matched with a video or a photo; the checks that all formats share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import LARGEST_SIDE
from mixdepth.cameras.lens import MODELS, Lens
from mixdepth.errors import CaptureError, UserError
from mixdepth.files.io import read_json

ASPECT_TOLERANCE = 0.01  # relative difference of the file's and the images' aspect
ROTATION_TOLERANCE = 1e-3  # largest entry of R^T R - I (published files are rounded to float32 or worse)
OFF_CENTRE = 0.25  # share of the image that its principal point may be away from its middle
LARGEST_MISFIT = 1.0  # pixels by which COLMAP's nearest lens may miss one that it does not have
ROUNDED = 1e-6  # a rotation that is off by more was rounded to float32 or worse: the nearest true one is taken
# From the simplest to the one that holds most.
PERSPECTIVE = ("PINHOLE", "OPENCV", "FULL_OPENCV", "BROWN4")
FISHEYE = ("OPENCV_FISHEYE",)

Size = tuple[int, int]  # (width, height), pixels


@dataclass(frozen=True)
class Unsized:
    """A lens whose file does not tell the size of the images that it is for, which is that of those there are.

    ``values`` are those of :func:`make_lens`, in pixels; where they are ``relative``, lengths are shares of the longer
    side, and the principal point counts from the middle.
    """

    where: str
    values: tuple[tuple[str, float], ...]
    models: tuple[str, ...]
    relative: bool = False

    def at(self, size: Size) -> Lens:
        """The lens for images of ``size``.

        Raises:
            UserError: as of :func:`make_lens`; or a principal point that no image of that size has.
        """
        values = dict(self.values)
        if self.relative:
            scaled = {key: values[key] * max(size) for key in ("fx", "fy", "cx", "cy")}
            values |= scaled | {"cx": size[0] / 2 + scaled["cx"], "cy": size[1] / 2 + scaled["cy"]}
        off = max(abs(values["cx"] / size[0] - 0.5), abs(values["cy"] / size[1] - 0.5))
        if not off < OFF_CENTRE:
            raise CaptureError(
                f"{self.where}: its principal point is {values['cx']:.1f}, {values['cy']:.1f}, far from the middle of "
                f"the image, which is {size[0]}x{size[1]}. Expected the images that were calibrated, at their own size."
            )
        return make_lens(self.where, size, values, self.models)


@dataclass(frozen=True)
class Posed:
    """Lens at the size that the file is for, pose, and (near, far) where the file has them.

    ``c2w`` is [4, 4] float64, OpenCV camera to world; None where the file has a lens only.
    """

    lens: Lens | Unsized
    c2w: np.ndarray | None = field(repr=False)
    bounds: tuple[float, float] | None = None

    def sized(self, size: Size) -> "Posed":
        """With a lens for images of ``size`` (width, height), if it has none yet."""
        return Posed(self.lens.at(size), self.c2w, self.bounds) if isinstance(self.lens, Unsized) else self

    @property
    def known_lens(self) -> Lens:
        """``lens``, once its size is known."""
        assert isinstance(self.lens, Lens)
        return self.lens

    @property
    def pose(self) -> np.ndarray:
        """``c2w``, where the file is read for poses."""
        assert self.c2w is not None
        return self.c2w


def read_object(path: Path, what: str) -> dict:
    """A JSON file that holds an object; ``what`` it should be is named in the error.

    Raises:
        UserError: missing, not a file, not JSON, nested too deeply, or not an object.
    """
    try:
        return read_json(path, encoding="utf-8-sig")
    except UserError as error:
        raise type(error)(f"{error} Expected {what}.") from None


def numbers(where: str, value: object, *shapes: tuple[int, ...]) -> np.ndarray:
    """``value`` (numbers, lists of them) as float64 of one of ``shapes``.

    Raises:
        UserError: not numbers, of another shape, or not finite.
    """
    expected = "expected " + " or ".join(
        f"{' x '.join(map(str, shape))} numbers" if shape else "one number" for shape in shapes
    )
    if isinstance(value, np.ndarray) and value.shape not in shapes:  # before it is copied: a file may say any shape
        raise CaptureError(f"{where}: has the shape {list(value.shape)}; {expected}.")
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CaptureError(f"{where}: {error}; {expected}.") from None
    if array.shape not in shapes:
        raise CaptureError(f"{where}: has the shape {list(array.shape)}; {expected}.")
    if not np.isfinite(array).all():
        raise CaptureError(f"{where}: not finite: {array.tolist()}. Make the file again.")
    return array


def rotation_matrix(where: str, matrix: np.ndarray, advice: str) -> np.ndarray:
    """``matrix`` [3, 3] if it is a rotation; where it was rounded, the nearest one.

    Raises:
        UserError: mirrored, or not orthonormal; ``advice`` says what was expected.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(matrix.T @ matrix - np.eye(3)).max()
        mirrored = np.linalg.det(matrix) < 0
    if mirrored or not error <= ROTATION_TOLERANCE:
        raise CaptureError(f"{where}: its rotation is {'mirrored' if mirrored else 'not orthonormal'}. {advice}")
    if error > ROUNDED:
        u, _, vt = np.linalg.svd(matrix)
        return u @ vt
    return matrix


def pose(rotation: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """c2w [4, 4] of a camera-to-world ``rotation`` [3, 3] and a ``centre`` [3]."""
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = rotation, centre
    return c2w


def inverse_pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """c2w [4, 4] of a world-to-camera ``rotation`` [3, 3] and ``translation`` [3]."""
    return pose(rotation.T, -rotation.T @ translation)


def make_lens(
    where: str, size: Sequence[float] | np.ndarray, values: Mapping[str, float], models: Sequence[str]
) -> Lens:
    """The lens with the parameters ``values`` (fx, fy, cx, cy, k1 ... by COLMAP's names; absent means 0).

    Args:
        where: file and camera, for the error.
        size: (width, height) in pixels.
        models: names of lens models; the first that holds all of ``values`` is taken.

    Raises:
        UserError: an impossible size or focal length, or a parameter that no model holds.
    """
    width, height = (int(side) for side in size)
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise CaptureError(f"{where}: images of {size[0]:g}x{size[1]:g} pixels; expected a width and a height above 0.")
    if not np.isfinite(list(values.values())).all():
        raise CaptureError(f"{where}: its lens is not finite: {dict(values)}. Make the file again.")
    if not (values["fx"] > 0 and values["fy"] > 0):
        raise CaptureError(
            f"{where}: focal lengths {values['fx']:g}, {values['fy']:g} pixels; expected numbers above 0."
        )
    given = {name for name, value in values.items() if value and name not in ("fx", "fy", "cx", "cy")}
    for model in models:
        names = MODELS[model]
        if given <= set(names) and ("fx" in names or values["fx"] == values["fy"]):
            params = ({**values, "f": values["fx"]}.get(name, 0.0) for name in names)
            return _usable(where, Lens(model, width, height, tuple(map(float, params))))
    lost = sorted(given - set().union(*(MODELS[model] for model in models))) or sorted(given)
    raise CaptureError(
        f"{where}: its lens has {', '.join(lost)}, which {' or '.join(models)} does not hold. Undistort the images and "
        f"give pinhole cameras, or calibrate with fewer parameters."
    )


def _usable(where: str, lens: Lens) -> Lens:
    """``lens``, if COLMAP, which triangulates, has one near enough."""
    _, off = lens.colmaps
    if off > LARGEST_MISFIT:
        raise CaptureError(
            f"{where}: its lens has a k4 of r^8 that COLMAP's lenses miss by {off:.2g} pixels. Undistort the images "
            "and give pinhole cameras, or calibrate with k1 to k3 only."
        )
    return lens


def fit_lens(where: str, lens: Lens, size: Size, ratio: float = 1.0) -> Lens:
    """``lens`` for the same picture at another ``size`` (width, height).

    Args:
        ratio: width over height of the image's pixels; the lens may also be for the picture with square ones.

    Raises:
        UserError: another aspect, so it cannot be the same picture.
    """
    if (lens.width, lens.height) == tuple(size):
        return lens
    sx, sy = size[0] / lens.width, size[1] / lens.height
    if min(abs(sx / sy - 1), abs(sx / sy * ratio - 1)) > ASPECT_TOLERANCE:
        raise CaptureError(
            f"{where}: made for images of {lens.width}x{lens.height} pixels, but the image is {size[0]}x{size[1]}, "
            "which is another aspect. Expected the same picture at any size; use uncropped images, or the file made "
            "from these."
        )
    values = dict(zip(MODELS[lens.model], lens.params, strict=True))
    (fx, fy), (cx, cy) = lens.focal, lens.principal_point
    values |= {"fx": fx * sx, "fy": fy * sy, "cx": cx * sx, "cy": cy * sy}
    values.pop("f", None)
    return make_lens(where, size, values, (lens.model, *(FISHEYE if lens.is_fisheye else PERSPECTIVE)))
