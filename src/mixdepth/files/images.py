"""Single pictures: read upright as 8-bit RGB, written whole or not at all, scaled. Nothing else reads or writes images.

imageio reads and writes their pixels, by its Pillow plugin and from files that are opened here, so that it fetches
nothing. What it would do otherwise or not at all:

- Pillow reads headers: size, kind and orientation. imageio would decode a PNG to find its EXIF, and turn it as its XMP
  says.
- Pillow reads the pixels too where imageio cannot, as of a PNG whose EXIF cannot be understood. So what is said of a
  damaged file is what Pillow says.
- Pillow puts what is transparent on black: imageio would show the colours that it hides.
- Pillow checks whether a file is whole at an eighth of its size, and scales.
- OpenEXR writes EXR, for which imageio has FreeImage, which it downloads.
"""

import contextlib
import io
import os
import shlex
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import IFD, Base

from mixdepth.errors import CaptureError, ConfigurationError, DamagedFile, OutOfRoom
from mixdepth.files.certificate import refuse_changed
from mixdepth.files.io import atomic, reading
from mixdepth.files.kinds import refuse_unread_kind

# EXIF orientation -> what makes the picture upright (EXIF 2.32, tag 0x0112); 5 and more swap width and height.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ROTATIONS = {3: 180, 6: 90, 8: 270}  # EXIF orientation -> degrees clockwise, of those that do not mirror
DENSITY = 7200.0  # dots per inch; it means nothing, but is rounded to whole numbers per metre
# What Pillow raises of damaged files (AssertionError of a palette that is not there); and MemoryError of a wrong size.
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, AssertionError, struct.error)
# Phones take 200 million pixels; Pillow's own limit of 179 million, against files that lie, is set here instead.
MOST_PIXELS = 300_000_000
Image.MAX_IMAGE_PIXELS = None
# Told by content, whatever the name: Pillow would read 40 kinds more, and start Ghostscript for PostScript.
KINDS = ("JPEG", "PNG")  # Pillow opens MPO as JPEG
# Brands of ISO/IEC 23008-12 (HEIF) files, at the bytes 8 to 12.
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}


def read_image(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """One image, upright as its EXIF orientation says, [H, W, 3] uint8 RGB, scaled to ``size`` = (width, height).

    Of 16 bits the upper 8 are kept, grey becomes RGB, and what is transparent becomes black.

    Raises:
        CaptureError: missing, or of a kind that is not read.
        DamagedFile: unreadable or cut short.
        OutOfRoom: it takes more memory than there is.
    """
    with _opened(path) as image:
        # Before the pixels are loaded, so that it is what `image_size` sees.
        orientation = _orientation(image, path)
        rgb = _rgb(image, path)
    if orientation in UPRIGHT:
        rgb = np.asarray(Image.fromarray(rgb).transpose(UPRIGHT[orientation]))
    return resize(rgb, size)


def image_size(path: Path, whole: bool = False) -> tuple[int, int]:
    """(width, height) of the upright image, from its header; with ``whole`` the pixels are read too, to find a cut.

    Raises:
        UserError: the kinds of :func:`read_image`.
    """
    with _opened(path) as image:
        width, height = image.size
        orientation = _orientation(image, path)
        if whole:
            # An eighth of the size is enough to notice, and several times faster (JPEG only; ignored by others).
            image.draft("RGB", (width // 8, height // 8))
            image.load()
    return (height, width) if orientation >= 5 else (width, height)


def turned_by(path: Path) -> int:
    """Degrees clockwise by which :func:`read_image` turns the stored picture; 0 where its tag says to mirror it."""
    with _opened(path) as image:
        return ROTATIONS.get(_orientation(image, path), 0)


def pixel_ratio(path: Path) -> float:
    """Width over height of the pixels of a PNG file, by its pHYs block (see :func:`dots`); 1 where it has none."""
    with Image.open(path, formats=KINDS) as image:
        across, down = image.info.get("dpi", (1.0, 1.0)) if image.format == "PNG" else (1.0, 1.0)
    return down / across if min(across, down) > 0 else 1.0


def dots(ratio: float) -> dict[str, tuple[float, float]]:
    """Options of :func:`write_image` that say that pixels are ``ratio`` times as wide as high; none for square ones."""
    return {"dpi": (DENSITY, DENSITY * ratio)} if ratio != 1 else {}


def camera_tags(path: Path) -> list[object]:
    """Make, model, lens, focal length and that for 35 mm film, by the EXIF tags of an image; None where it has none."""
    with Image.open(path, formats=KINDS) as image:
        exif = image.getexif()
    details = exif.get_ifd(IFD.Exif)
    tags = [exif.get(Base.Make), exif.get(Base.Model)]
    return tags + [details.get(tag) for tag in (Base.LensModel, Base.FocalLength, Base.FocalLengthIn35mmFilm)]


def resize(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """``image`` [H, W, 3] uint8 at ``size`` = (width, height): by area where smaller, bicubic where larger."""
    height, width = image.shape[:2]
    if size is None or size == (width, height):
        return image
    smaller = size[0] <= width and size[1] <= height
    method = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize(size, method))


def encoded(image: np.ndarray, kind: str, **options: Any) -> bytes:
    """``image`` as the content of a file.

    Args:
        image: [H, W, 3] or [H, W], uint8; as PNG also [H, W] uint16.
        kind: "PNG", "JPEG" or "WEBP".
        options: as Pillow has them for this kind.
    """
    return iio.imwrite("<bytes>", image, plugin="pillow", extension=f".{kind.lower()}", **options)


def write_image(path: Path, image: np.ndarray, kind: str, **options: Any) -> None:
    """Write ``image`` as :func:`encoded`, whole or not at all.

    Raises:
        OutOfRoom: no space left on the device.
    """
    # By way of memory: Pillow's own writing to a file forgets the errno of a full disk.
    content = encoded(image, kind, **options)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def encoded_exr(channels: Mapping[str, np.ndarray], header: Mapping[str, object]) -> bytes:
    """The content of an OpenEXR file of scan lines, losslessly compressed.

    Args:
        channels: by name [H, W], or [H, W, 3] by a name such as "RGB"; float16 or float32, as they are stored.
        header: attributes.

    Raises:
        ConfigurationError: this system has no /proc.
    """
    import OpenEXR  # here alone: only exports need it

    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **header}
    # By way of memory: OpenEXR itself says nothing where the last bytes of a file do not fit on the disk.
    with open(os.memfd_create("exr"), "rb") as memory:  # noqa: PTH123 (a descriptor)
        path = Path(f"/proc/self/fd/{memory.fileno()}")
        if not path.exists():
            raise ConfigurationError(
                "EXR files are written by way of /proc, which is not there: mount it (`mount -t proc proc /proc`), or"
                " export another kind."
            )
        with OpenEXR.File(header, {name: np.ascontiguousarray(values) for name, values in channels.items()}) as file:
            file.write(str(path))
        return memory.read()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    refuse_unread_kind(path)
    with reading(path, "an image", "Delete its folder and run the same command again."):
        refuse_changed(Path(path))
    try:
        with Image.open(path, formats=KINDS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise CaptureError(
                    f"{path}: {image.width}x{image.height} pixels, expected at most {MOST_PIXELS // 10**6} million."
                    f" Make it smaller, as by `magick {shlex.quote(path.name)} -resize 50% smaller{path.suffix}`."
                )
            yield image
    except FileNotFoundError:
        raise CaptureError(f"{path}: image not found. Put it there or correct the configuration.") from None
    except MemoryError as error:
        raise OutOfRoom(
            f"{path}: cannot be read as an image: that takes more memory than there is, or it is damaged"
        ) from error
    except UNREADABLE as error:
        if path.is_file() and _is_heif(path):
            refuse_unread_kind(path, ".heic")
        known = not isinstance(error, UnidentifiedImageError)
        said = (str(error) or "a part of it is missing") if known else "neither a JPEG nor a PNG by its content"
        raise DamagedFile(
            f"{path}: cannot be read as an image ({said}). Copy or export it again, or remove it."
        ) from None


def _is_heif(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS


def _rgb(image: Image.Image, path: Path) -> np.ndarray:
    """The pixels of ``path``, of which ``image`` is the header, [H, W, 3] uint8 RGB, not yet upright."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips everything above 255 to white.
        grey = (_pixels(image, path) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if not image.has_transparency_data:
        return _pixels(image, path, "RGB")
    return on_black(_pixels(image, path, "RGBA"))


def on_black(rgba: np.ndarray) -> np.ndarray:
    """[H, W, 4] uint8 RGB with alpha as [H, W, 3] uint8 RGB, what is transparent black."""
    picture = Image.fromarray(rgba)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).convert("RGB"))


def _pixels(image: Image.Image, path: Path, mode: str | None = None) -> np.ndarray:
    """The pixels of ``path``, converted to ``mode``; by Pillow from ``image`` where imageio cannot read them."""
    try:
        with Path(path).open("rb") as file:
            return iio.imread(file, plugin="pillow", index=0, mode=mode, writeable_output=False)
    except Exception:  # of a damaged file and of tags that nobody needs it raises nearly anything
        return np.asarray(image.convert(mode) if mode else image)


def _orientation(image: Image.Image, path: Path) -> int:
    """EXIF orientation, 1 to 8, without reading pixels; 1 where there is none or none that can be understood."""
    try:
        if image.format == "PNG":
            # Pillow would read all pixels to look for the tag behind them.
            exif = Image.Exif()
            exif.load(image.info.get("exif") or _png_exif(path))
        else:
            exif = image.getexif()
        orientation = exif.get(Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1
    return orientation if orientation in UPRIGHT else 1


def _png_exif(path: Path) -> bytes:
    """The EXIF block of a PNG file wherever it is, empty where there is none."""
    with Path(path).open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return file.read(length)
            file.seek(length + 4, io.SEEK_CUR)
    return b""
