"""Every picture comes in upright, as 8-bit RGB, or is refused with the way to mend it."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.clips import ffmpeg_cli
from mixdepth.errors import DamagedFile, UserError
from mixdepth.files.images import encoded, image_size, read_image, resize, write_image
from mixdepth.frames.decode import read_frames
from mixdepth.frames.probe import probe_camera

CORNERS = np.kron(
    np.array([[[250, 10, 10], [10, 250, 10], [10, 10, 250]], [[250, 250, 10], [10, 250, 250], [250, 10, 250]]]),
    np.ones((16, 16, 1)),
).astype(np.uint8)
# EXIF orientation -> how an upright picture is stored (EXIF 2.32: what row 0 and column 0 of the stored one are).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_orientation_is_honoured_by_pixels_and_sizes(tmp_path, orientation, suffix):
    path = tmp_path / f"p{suffix}"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](CORNERS)))
    stored.save(path, exif=exif(orientation), **({"quality": 95, "subsampling": 0} if suffix == ".jpg" else {}))
    assert image_size(path) == image_size(path, whole=True) == (48, 32)
    assert np.abs(read_image(path).astype(int) - CORNERS).max() <= 12 * (suffix == ".jpg")
    assert read_image(path, (24, 16)).shape == (16, 24, 3)


def test_the_orientation_of_a_png_is_found_behind_the_pixels_too(tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(np.ascontiguousarray(STORED[6](CORNERS))).save(path)
    content, tags = path.read_bytes(), exif(6).removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(tags)) + b"eXIf" + tags + struct.pack(">I", zlib.crc32(b"eXIf" + tags))
    path.write_bytes(content[:-12] + chunk + content[-12:])
    assert image_size(path) == (48, 32)
    np.testing.assert_array_equal(read_image(path), CORNERS)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("tags", [b"Exif\0\0nonsense", exif(0), exif(9), exif(6)[:-9], b""])
def test_an_orientation_that_cannot_be_understood_counts_as_upright(tmp_path, tags):
    for name in ("p.jpg", "p.png"):
        Image.fromarray(CORNERS).save(tmp_path / name, exif=tags)
        assert image_size(tmp_path / name) == (48, 32)
        assert read_image(tmp_path / name).shape == (32, 48, 3)


def test_frames_of_a_folder_are_upright_too(tmp_path):
    folder = tmp_path / "cam00"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(np.ascontiguousarray(STORED[8](CORNERS))).save(folder / f"{i}.png", exif=exif(8))
    found = probe_camera(folder)
    assert (found["width"], found["height"], found["frames"]) == (48, 32, 2)


def test_sixteen_bits_become_eight_and_are_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 32).astype(np.uint16).reshape(32, 64)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    with Image.open(tmp_path / "grey.png") as image:
        assert image.mode.startswith("I;16")
    found = read_image(tmp_path / "grey.png")
    np.testing.assert_array_equal(found, (ramp >> 8).astype(np.uint8)[..., None].repeat(3, 2))


def test_colours_of_sixteen_bits_keep_their_upper_eight(tmp_path):
    colour = np.array([0x1234, 0x80FF, 0xFE01], ">u2")
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb48be", "-s", "4x2", "-i", "pipe:", "-frames:v", "1")
    ffmpeg_cli(*raw, "-pix_fmt", "rgb48be", str(tmp_path / "p.png"), data=np.tile(colour, 8).tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), np.full((2, 4, 3), [0x12, 0x80, 0xFE]))


def test_grey_palette_and_two_levels_become_rgb(tmp_path):
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    grey.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.asarray(grey)[..., None].repeat(3, 2))
    Image.fromarray(CORNERS).quantize(8).save(tmp_path / "palette.png")
    assert np.abs(read_image(tmp_path / "palette.png").astype(int) - CORNERS).max() <= 4
    grey.convert("1", dither=Image.Dither.NONE).save(tmp_path / "two.png")
    assert set(np.unique(read_image(tmp_path / "two.png"))) == {0, 255}


def test_transparent_pixels_become_black_whatever_colour_they_hide(tmp_path):
    alpha = np.full(CORNERS.shape[:2], 255, np.uint8)
    alpha[:, :8], alpha[:, 8:16] = 0, 128
    Image.fromarray(np.dstack([CORNERS, alpha])).save(tmp_path / "alpha.png")
    found = read_image(tmp_path / "alpha.png").astype(int)
    assert found[:, :8].max() == 0
    np.testing.assert_allclose(found[:, 8:16], CORNERS[:, 8:16] * (128 / 255), atol=1.5)
    np.testing.assert_array_equal(found[:, 16:], CORNERS[:, 16:])
    Image.fromarray(CORNERS).quantize(8).save(tmp_path / "palette.png", transparency=0)
    assert (read_image(tmp_path / "palette.png").max(-1) == 0).any()


def test_heic_is_refused_with_commands_that_convert_it_by_name_and_by_content(tmp_path):
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
    for name, first in (("IMG 1.HEIC", "not read"), ("IMG 1.jpg", r"Rename it to 'IMG 1\.heic'")):
        path = tmp_path / name
        path.write_bytes(content)
        commands = r"`heif-convert 'IMG 1\.heic' 'IMG 1\.jpg'`.*sips -s .*magick mogrify -format jpg \*\.heic"
        for read in (read_image, image_size):
            with pytest.raises(UserError, match=rf"(?i){name}: .*{first}.*{commands}"):
                read(path)


@pytest.mark.parametrize("suffix", [".dng", ".CR2", ".nef", ".arw", ".tif"])
def test_raw_and_other_kinds_are_refused_with_a_command_although_a_preview_could_be_read(tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    Image.fromarray(CORNERS).save(path, "TIFF")
    with pytest.raises(UserError, match=rf"p{suffix}: .*not read.*`magick mogrify -format (jpg|png) \*{suffix}`"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"no picture\n" * 50, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_an_image_that_is_not_one_is_refused_by_name(tmp_path, content):
    path = tmp_path / "p.png"
    path.write_bytes(content)
    for read in (read_image, image_size):
        with pytest.raises(UserError, match=r"p\.png: cannot be read as an image.*again"):
            read(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_image_cut_short_anywhere_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, exif=exif(6))
    content = path.read_bytes()
    for share in (0.02, 0.1, 0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match=rf"p\{suffix}: cannot be read as an image"):
            read_image(path)
        with pytest.raises(UserError, match=rf"p\{suffix}: cannot be read as an image"):
            image_size(path, whole=True)


def test_a_palette_image_without_its_palette_is_refused_by_name(tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(CORNERS).quantize(8).save(path)
    content = path.read_bytes()
    start = content.index(b"PLTE") - 4
    path.write_bytes(content[:start] + content[start + 12 + int.from_bytes(content[start : start + 4], "big") :])
    with pytest.raises(DamagedFile, match=r"p\.png: cannot be read as an image \(a part of it is missing\)\. Copy"):
        read_image(path)
    with pytest.raises(DamagedFile, match=r"p\.png: cannot be read as an image \(a part of it is missing\)\. Copy"):
        next(read_frames(tmp_path, [0]))


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png: image not found"):
        read_image(tmp_path / "gone.png")


def test_a_tiff_of_32_bits_is_refused_rather_than_clipped(tmp_path):
    path = tmp_path / "p.png"
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(path, "TIFF")
    with pytest.raises(UserError, match=r"p\.png: .*neither a JPEG nor a PNG"):
        read_image(path)


def test_what_is_written_comes_back_and_scaling_is_by_area(tmp_path):
    write_image(tmp_path / "new" / "p.png", CORNERS, "PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "p.png"), CORNERS)
    write_image(tmp_path / "grey.png", CORNERS[..., 0], "PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[..., 1], CORNERS[..., 0])
    stripes = np.tile(np.array([[0, 255], [0, 255]], np.uint8), (8, 8))[..., None].repeat(3, 2)
    assert set(np.unique(resize(stripes, (8, 8)))) <= {127, 128}
    assert resize(stripes, (16, 16)) is stripes
    assert resize(stripes, (31, 33)).shape == (33, 31, 3)


def test_what_imageio_takes_for_an_address_or_an_archive_is_a_file_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("imageio:chelsea.png", "https:/host/p.png", "old.zip/p.png", "<video0>.png"):
        with pytest.raises(UserError, match=r"image not found"):
            read_image(Path(name))
        write_image(Path(name), CORNERS, "PNG")
        np.testing.assert_array_equal(read_image(Path(name)), CORNERS)


def test_only_the_first_picture_of_several_is_read(tmp_path):
    first, second = Image.fromarray(CORNERS), Image.fromarray(CORNERS[::-1, ::-1])
    first.save(tmp_path / "moving.png", save_all=True, append_images=[second, second])
    np.testing.assert_array_equal(read_image(tmp_path / "moving.png"), CORNERS)
    first.save(
        tmp_path / "pair.jpg", "MPO", save_all=True, append_images=[second], quality=95, subsampling=0, exif=exif(3)
    )
    assert np.abs(read_image(tmp_path / "pair.jpg")[::-1, ::-1].astype(int) - CORNERS).max() <= 12


def test_pixels_are_those_that_pillow_reads_and_files_those_that_it_writes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (19, 23, 3), dtype=np.uint8)
    for mode, kind in (("CMYK", "JPEG"), ("L", "JPEG"), ("RGB", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("L", "PNG")):
        Image.fromarray(noise).convert(mode).save(tmp_path / "p", kind)
        with Image.open(tmp_path / "p") as image:
            assert image.mode == mode
            np.testing.assert_array_equal(read_image(tmp_path / "p"), np.asarray(image.convert("RGB")))
    options = {"PNG": {"compress_level": 4}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 80}}
    depth = noise[..., 0].astype(np.uint16) * 257
    for kind, pixels in (("PNG", noise), ("PNG", noise[..., 0]), ("PNG", depth), ("JPEG", noise), ("WEBP", noise)):
        Image.fromarray(pixels).save(tmp_path / "p", kind, **options[kind])
        assert encoded(pixels, kind, **options[kind]) == (tmp_path / "p").read_bytes()


@pytest.mark.parametrize(("suffix", "kind"), [("jfif", "JPEG"), ("JPE", "JPEG"), ("mpo", "MPO")])
def test_other_names_of_jpegs_are_read(tmp_path, suffix, kind):
    path = tmp_path / f"a.{suffix}"
    pictures = [Image.new("RGB", (40, 30), colour) for colour in ((200, 40, 60), (0, 0, 0))]
    more = {"save_all": True, "append_images": pictures[1:]} if kind == "MPO" else {}
    pictures[0].save(path, kind, quality=95, **more)
    assert image_size(path, whole=True) == (40, 30)
    assert np.abs(read_image(path).astype(int) - (200, 40, 60)).max() <= 3


def test_photos_of_200_megapixels_are_read_and_more_than_300_are_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.new("1", (16320, 12240)).save(path)
    assert image_size(path, whole=True) == (16320, 12240)
    content = bytearray(path.read_bytes())
    header = content[12:16] + (30000).to_bytes(4, "big") * 2 + content[24:29]
    content[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    path.write_bytes(content)
    for read in (image_size, read_image):
        with pytest.raises(UserError, match=r"a\.png: 30000x30000 pixels, expected at most 300 million"):
            read(path)
