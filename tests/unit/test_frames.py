"""From videos, folders and photos to the frame store, and back to videos."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.undistort import Undistorter, undistort, valid_pixels
from mixdepth.errors import UserError
from mixdepth.files.certificate import process
from mixdepth.files.images import read_image, write_image
from mixdepth.files.io import read_npz, write_npy
from mixdepth.frames import store
from mixdepth.frames.decode import open_video, picture_size, read_frames
from mixdepth.frames.encode import write_video
from mixdepth.frames.motion import find_motion
from mixdepth.frames.probe import probe_camera
from mixdepth.frames.store import FrameStore, motion_map, write_static_set, write_store
from mixdepth.frames.tasks import static_set
from mixdepth.report.contact_sheet import write_contact_sheet
from mixdepth.results import Store


def flat(value: int | tuple, width: int = 32, height: int = 24) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def numbered_video(path: Path, count: int, width: int = 32, height: int = 24) -> Path:
    """A video whose frame i has the brightness 10 + 8 i."""
    write_video((flat(10 + 8 * i, width, height) for i in range(count)), path, 30)
    return path


def numbers(frames) -> list[int]:
    return [round((float(image.mean()) - 10) / 8) for image in frames]


def image_folder(folder: Path, images: list[np.ndarray], suffix: str = ".png") -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i + 1}{suffix}")
    return folder


def smooth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth picture, [..., 3] in 0..255, at pixel coordinates x, y."""
    waves = [np.sin(x / 9) * np.cos(y / 11), np.sin((x + y) / 13), np.cos(x / 17 - y / 8)]
    return 127.5 + 110 * np.stack(waves, axis=-1)


def picture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] + 0.5
    return np.round(smooth(x, y)).astype(np.uint8)


def pinhole(width: int, height: int, focal: float = 60.0, cx: float | None = None) -> Camera:
    return Camera(width, height, focal, focal, width / 2 if cx is None else cx, height / 2, np.eye(4))


def lens_of(camera: Camera, scale: float = 1.0) -> Lens:
    """The undistorted lens of an original image ``scale`` times as large as the camera's."""
    size = (round(camera.width * scale), round(camera.height * scale))
    return Lens("PINHOLE", *size, tuple(scale * v for v in (camera.fx, camera.fy, camera.cx, camera.cy)))


def make_store(folder: Path, images: list[np.ndarray]) -> Path:
    source = image_folder(folder.with_name(folder.name + "_png"), images)
    camera = pinhole(images[0].shape[1], images[0].shape[0])
    outputs = (folder / f"{name}.npy" for name in ("rgb", "median", "std"))
    write_store(source, camera, lens_of(camera), range(len(images)), *outputs, label="frames")
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


# --------------------------------------------------------------------------------------------------- decode


@pytest.mark.parametrize("frames", [range(20), range(5, 12), range(3, 20, 4), range(19, 20)])
def test_frame_i_of_a_video_is_frame_i(tmp_path, frames):
    video = numbered_video(tmp_path / "v.mp4", 20)
    assert numbers(read_frames(video, frames)) == list(frames)


def test_a_variable_frame_rate_neither_drops_nor_doubles_frames(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 12)
    uneven = tmp_path / "uneven.mkv"
    ffmpeg_cli("-i", str(video), "-vf", "setpts='(N+5*gt(N,4)-0.9*gt(N,7))/30/TB'", "-fps_mode", "vfr", str(uneven))
    assert probe_camera(uneven)["frames"] == 12
    assert numbers(read_frames(uneven, range(12))) == list(range(12))


def test_a_folder_of_pngs_comes_back_exactly_in_the_order_of_the_numbers(tmp_path):
    images = [picture(20 + 0 * i, 15) // 2 + 2 * i for i in range(12)]
    folder = image_folder(tmp_path / "cam00", [image.astype(np.uint8) for image in images])
    for i, image in zip(range(1, 12, 2), read_frames(folder, range(1, 12, 2)), strict=True):
        np.testing.assert_array_equal(image, images[i])


@pytest.mark.parametrize("colour", [(200, 40, 60), (10, 220, 30), (30, 60, 240), (128, 128, 128), (255, 255, 255)])
def test_a_colour_comes_back_from_a_video_within_two_levels(tmp_path, colour):
    video = tmp_path / "v.mp4"
    write_video([flat(colour)] * 3, video, 30)
    for image in read_frames(video, range(3)):
        assert np.abs(image.astype(int) - colour).max() <= 2


def ffmpeg_cli(*arguments: str, data: bytes = b"") -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments]
    subprocess.run(command, input=data, check=True)


@pytest.mark.parametrize(
    ("size", "matrix", "pixels", "tags", "codec"),
    [
        ((64, 48), "bt601", "tv", "colorspace=unknown", "libx264"),
        ((1280, 720), "bt709", "tv", "colorspace=unknown", "libx264"),
        ((64, 48), "bt709", "pc", "colorspace=bt709:range=pc", "libx264"),
        ((1280, 720), "bt601", "tv", "colorspace=smpte170m", "libx264"),
        ((1280, 720), "bt601", "pc", "colorspace=unknown", "mjpeg"),
    ],
)
def test_colours_are_right_for_every_matrix_and_range_tagged_or_not(tmp_path, size, matrix, pixels, tags, codec):
    colour, video = (200, 40, 60), tmp_path / "v.mkv"
    scale = f"scale=out_color_matrix={matrix}:out_range={pixels}:flags=accurate_rnd,format=yuv420p,setparams={tags}"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-i", "pipe:")
    ffmpeg_cli(*raw, "-vf", scale, "-c:v", codec, "-q:v", "2", str(video), data=flat(colour, *size).tobytes())
    (image,) = read_frames(video, range(1))
    assert np.abs(image.mean((0, 1)) - colour).max() <= 3


def test_scaling_is_by_area_and_videos_look_like_folders(tmp_path):
    stripes = np.tile(np.repeat(np.array([[0, 255]], np.uint8), 2, axis=0), (24, 32))[..., None].repeat(3, 2)
    folder = image_folder(tmp_path / "cam00", [stripes, picture(64, 48)])
    video = tmp_path / "v.mp4"
    write_video([stripes, picture(64, 48)], video, 30)
    for path, tolerance in ((folder, 1), (video, 8)):  # the finest stripes are hard to encode
        (half,) = read_frames(path, range(1), (32, 24))
        assert half.shape == (24, 32, 3)
        assert np.abs(half[2:-2, 2:-2].astype(int) - 128).max() <= tolerance
    (a,), (b,) = (read_frames(path, range(1, 2), (26, 18)) for path in (folder, video))
    assert np.abs(a.astype(int) - b).mean() < 4  # 4:2:0 chroma of saturated waves


def test_a_video_cut_short_says_how_many_frames_were_found(tmp_path):
    rng = np.random.default_rng(0)
    video = tmp_path / "v.mp4"
    write_video((rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(12)), video, 30)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(UserError, match=r"v\.mp4: \d frames could be read, 12 expected \(the file ends\).*`frames`"):
        list(read_frames(video, range(12)))
    frames = probe_camera(video)["frames"]
    assert 0 < frames < 12
    assert len(list(read_frames(video, range(frames)))) == frames


def test_asking_for_more_frames_than_there_are_is_an_error_that_counts_them(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 5)
    folder = image_folder(tmp_path / "f", [flat(0)] * 5)
    for path in (video, folder):
        with pytest.raises(UserError, match="5 frames could be read, 8 expected"):
            list(read_frames(path, range(1, 8)))


def test_an_unreadable_frame_met_while_reading_is_named(tmp_path):
    folder = image_folder(tmp_path / "f", [picture(64, 48)] * 3)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:300])
    with pytest.raises(UserError, match=r"2\.png: cannot be read as an image"):
        list(read_frames(folder, range(3)))


@pytest.mark.parametrize("damage", ["zeros to the end", "noise to the end", "noise amid", "single bits"])
def test_damage_ends_a_video_and_what_comes_after_is_not_made_up(tmp_path, damage):
    rng, video = np.random.default_rng(0), tmp_path / "v.mp4"
    write_video([np.roll(picture(160, 120), 3 * i, axis=1) for i in range(40)], video, 30)
    good = list(read_frames(video, range(40)))
    data = bytearray(video.read_bytes())
    middle = len(data) * 7 // 8
    end = middle + 200 if damage == "noise amid" else len(data)
    if damage == "single bits":
        for i in range(middle, end, 50):
            data[i] ^= 16
    else:
        data[middle:end] = bytes(end - middle) if "zeros" in damage else rng.bytes(end - middle)
    video.write_bytes(data)
    read, expected = [], r"v\.mp4: \d+ frames could be read, 40 expected \((ffmpeg: |the next is damaged)"
    with pytest.raises(UserError, match=expected):
        read.extend(read_frames(video, range(40)))
    # A frame that is predicted from a damaged one may come before it.
    assert 20 < len(read) < 40
    np.testing.assert_array_equal(read[:20], good[:20])
    outputs = [tmp_path / "cam00" / f"{name}.npy" for name in ("rgb", "median", "std")]
    with pytest.raises(UserError, match=expected):
        write_store(video, None, None, range(40), *outputs, label="frames")
    assert files_in(tmp_path) == ["v.mp4"]


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_indices_may_skip_and_repeat(tmp_path, kind):
    video = numbered_video(tmp_path / "v.mp4", 12)
    path = video if kind == "video" else image_folder(tmp_path / "f", list(read_frames(video, range(12))))
    assert numbers(read_frames(path, [1, 1, 4, 5, 5, 5, 11])) == [1, 1, 4, 5, 5, 5, 11]
    assert numbers(read_frames(path, [0])) == [0]
    assert numbers(read_frames(path, [])) == []
    for wrong in ([3, 2], [-1, 0]):
        with pytest.raises(ValueError, match="ascend"):
            read_frames(path, wrong)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_rotation_tag_is_followed_and_sizes_are_those_of_the_upright_picture(tmp_path, turn):
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[:24, 32:], stored[24:, :32] = (220, 40, 40), (40, 220, 40), (40, 40, 220)
    write_video([stored] * 2, tmp_path / "plain.mp4", 30)
    video = tmp_path / "v.mp4"
    ffmpeg_cli("-display_rotation", str(turn), "-i", str(tmp_path / "plain.mp4"), "-c", "copy", str(video))
    upright = np.rot90(stored, turn // 90)  # ffmpeg's option is in degrees counter-clockwise, as rot90 turns
    height, width, _ = upright.shape
    assert picture_size(video) == (width, height)
    for size in (None, (width // 2, height // 2)):
        (image,) = read_frames(video, [1], size)
        step = 1 if size is None else 2
        assert image.shape == (height // step, width // step, 3)
        assert image.flags.c_contiguous
        assert np.abs(image[4::8, 4::8].astype(int) - upright[4 * step :: 8 * step, 4 * step :: 8 * step]).max() < 8
    facts = probe_camera(video)
    assert (facts["width"], facts["height"]) == (width, height)


@pytest.mark.parametrize(
    ("pixels", "codec"),
    [
        ("yuv420p10le", "ffv1"),
        ("yuv422p", "ffv1"),
        ("yuv444p12le", "ffv1"),
        ("gbrp", "ffv1"),
        ("rgb24", "png"),
        ("gray", "ffv1"),
        ("yuvj420p", "mjpeg"),
        ("yuv420p", "libvpx-vp9"),
    ],
)
def test_every_pixel_format_of_any_size_becomes_8_bit_rgb_without_bias(tmp_path, pixels, codec):
    grey, video = [16, 77, 128, 203, 255], tmp_path / "v.mkv"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "67x49", "-i", "pipe:")
    data = np.concatenate([flat(value, 67, 49) for value in grey]).tobytes()
    ffmpeg_cli(*raw, "-pix_fmt", pixels, "-c:v", codec, "-crf", "10", "-q:v", "1", str(video), data=data)
    for size in (None, (33, 24), (101, 77)):
        for value, image in zip(grey, read_frames(video, range(5), size), strict=True):
            assert image.shape == ((size[1], size[0], 3) if size else (49, 67, 3))
            assert np.abs(image.astype(int) - value).max() <= (2 if codec == "mjpeg" else 1)


def test_the_file_is_closed_when_nobody_reads_on(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 20, 640, 480)
    reader = read_frames(video, range(20))
    next(reader)
    reader.close()
    with pytest.raises(StopIteration):
        next(reader)
    if Path("/proc/self/fd").exists():
        assert str(video) not in [str(p.readlink()) for p in Path("/proc/self/fd").iterdir() if p.exists()]


def test_a_path_with_a_colon_and_spaces_is_a_file_not_a_protocol(tmp_path):
    folder = tmp_path / "take 1: -final"
    folder.mkdir()
    video = numbered_video(folder / "http:cam 00.mp4", 3)
    assert numbers(read_frames(video, range(3))) == [0, 1, 2]


# ------------------------------------------------------------------------------------------------ undistort


def test_a_pinhole_lens_of_the_same_intrinsics_only_scales(tmp_path):
    camera = pinhole(40, 30)
    image = picture(40, 30)
    assert undistort(image, camera, lens_of(camera, 2)) is image
    large = picture(80, 60)
    expected = large.reshape(30, 2, 40, 2, 3).mean((1, 3))
    assert np.abs(undistort(large, camera, lens_of(camera, 2)) - expected).max() <= 1


def test_another_principal_point_shifts_the_image_and_repeats_its_border():
    image = picture(40, 30)
    shifted = undistort(image, pinhole(40, 30, cx=17.0), lens_of(pinhole(40, 30)))
    np.testing.assert_array_equal(shifted[:, :-3], image[:, 3:])
    np.testing.assert_array_equal(shifted[:, -3:], np.repeat(image[:, -1:], 3, axis=1))


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("SIMPLE_RADIAL", (130.0, 82.0, 58.0, -0.12)),
        ("RADIAL", (130.0, 82.0, 58.0, 0.1, -0.05)),
        ("OPENCV", (130.0, 127.0, 78.0, 62.0, -0.1, 0.03, 0.01, -0.02)),
    ],
)
def test_a_distorted_image_comes_back_as_the_pinhole_image(model, params, scale):
    lens = Lens(model, 160, 120, params)
    camera = Camera(160, 120, 131.0, 129.0, 80.0, 60.0, np.eye(4)).resized(round(160 * scale), round(120 * scale))
    original = picture(160, 120)  # smooth() as seen through the lens
    y, x = np.mgrid[: camera.height, : camera.width] + 0.5
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy], axis=-1).reshape(-1, 2)
    pixels = lens.distort(rays).reshape(*x.shape, 2)
    inside = ((pixels > 2) & (pixels < [158, 118])).all(-1)
    assert inside.mean() > 0.7
    error = np.abs(undistort(original, camera, lens) - smooth(pixels[..., 0], pixels[..., 1]))[inside]
    assert error.mean() < 1.0
    assert error.max() < 6


def fisheye_picture(lens: Lens, camera: Camera) -> np.ndarray:
    """What the fisheye lens sees of the scene that the pinhole camera sees as ``smooth``, black where it sees none.

    The angle to the axis is looked up in a table of the lens's formula, apart from the code under test.
    """
    fx, fy, cx, cy, *k = lens.params
    theta = np.linspace(0, np.radians(89), 200_000)
    y, x = np.mgrid[: lens.height, : lens.width] + 0.5
    x, y = (x - cx) / fx, (y - cy) / fy
    radius = np.hypot(x, y)
    angle = np.interp(radius, theta * (1 + sum(c * theta ** (2 * i + 2) for i, c in enumerate(k))), theta)
    stretch = np.tan(angle) / np.maximum(radius, 1e-12)
    seen = smooth(camera.fx * stretch * x + camera.cx, camera.fy * stretch * y + camera.cy)
    return np.where((angle < np.radians(85))[..., None], np.round(seen), 0).astype(np.uint8)


@pytest.mark.parametrize("k", [(0.0, 0.0, 0.0, 0.0), (-0.04, 0.02, -0.012, 0.002)])
def test_a_fisheye_lens_of_140_degrees_is_undistorted_where_its_image_reaches(k):
    lens = Lens("OPENCV_FISHEYE", 400, 300, (160.0, 158.0, 203.0, 148.0, *k))
    camera = Camera(600, 300, 100.0, 99.0, 297.0, 152.0, np.eye(4))
    seen = undistort(fisheye_picture(lens, camera), camera, Lens(lens.model, 400, 300, lens.params))
    valid = valid_pixels(camera, lens)
    assert 0.5 < valid.mean() < 1
    y, x = np.mgrid[:300, :600] + 0.5
    error = np.abs(seen - smooth(x, y))[valid]
    assert error.mean() < 2
    assert np.percentile(error, 99) < 10
    # The horizontal axis is seen to the angle at which the image ends there.
    reach = np.degrees(np.arctan((np.flatnonzero(valid[152])[[0, -1]] + 0.5 - camera.cx) / camera.fx))
    assert reach[1] - reach[0] > 139


def test_pixels_whose_source_is_outside_the_image_are_not_valid():
    camera, shifted = pinhole(40, 30), pinhole(40, 30, cx=17.0)
    for scale in (1.0, 2.0):
        assert valid_pixels(camera, lens_of(camera, scale)).all()
        valid = valid_pixels(shifted, lens_of(camera, scale))
        assert valid[:, :-3].all()
        assert not valid[:, -3:].any()
    # Barrel distortion: the pinhole image lies within the original one. Pincushion: its corners lie outside.
    barrel = Lens("SIMPLE_RADIAL", 40, 30, (60.0, 20.0, 15.0, -0.3))
    pincushion = Lens("SIMPLE_RADIAL", 40, 30, (60.0, 20.0, 15.0, 0.3))
    assert valid_pixels(camera, barrel).all()
    valid = valid_pixels(camera, pincushion)
    assert valid[5:-5, 5:-5].all()
    assert not valid[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    y, x = np.mgrid[:30, :40] + 0.5
    rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy], axis=-1).reshape(-1, 2)
    sources = pincushion.distort(rays).reshape(30, 40, 2)
    np.testing.assert_array_equal(valid, ((sources >= 0.5) & (sources <= [39.5, 29.5])).all(-1))


def test_pixels_beyond_the_fold_of_the_lens_model_are_not_valid_and_repeat_its_rim():
    lens = Lens("SIMPLE_RADIAL", 200, 200, (100.0, 100.0, 100.0, -0.3))
    camera = Camera(400, 400, 100.0, 100.0, 200.0, 200.0, np.eye(4)).resized(200, 200)
    y, x = np.mgrid[:200, :200] + 0.5
    radius = np.hypot(x - 100, y - 100) / 50
    fold = np.sqrt(1 / 0.9)
    np.testing.assert_array_equal(valid_pixels(camera, lens), radius <= fold)
    image = undistort(picture(200, 200), camera, lens)
    assert np.abs(image[100, 155:].astype(int) - image[100, 154]).max() <= 3


def test_an_undistorter_is_used_for_many_frames_and_rounds_to_the_nearest_level():
    lens = Lens("SIMPLE_RADIAL", 40, 30, (60.0, 20.0, 15.0, -0.2))
    undistorter = Undistorter(pinhole(40, 30), lens)
    for value in (0, 37, 255):
        np.testing.assert_array_equal(undistorter(flat(value, 40, 30)), flat(value, 40, 30))


# ---------------------------------------------------------------------------------------------------- store


def test_the_store_holds_the_frames_their_median_and_their_standard_deviation(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_BYTES", 1000)  # many blocks, the last one not full
    monkeypatch.setattr(store, "VALUES", 100)
    monkeypatch.setattr(store, "SPILL", 3)
    rng = np.random.default_rng(1)
    images = list(rng.integers(0, 256, (8, 13, 17, 3), dtype=np.uint8))
    opened = FrameStore.open(make_store(tmp_path / "cam00", images))
    assert isinstance(opened.rgb, np.memmap)
    assert not opened.rgb.flags.writeable
    np.testing.assert_array_equal(opened.rgb, images)
    np.testing.assert_array_equal(opened.median, np.floor(np.median(images, axis=0) + 0.5))
    expected = (np.array(images) / 255).std(axis=0).mean(axis=-1)
    assert opened.std.dtype == np.float32
    np.testing.assert_allclose(opened.std, expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 254, 255, 256, 511, 600])
@pytest.mark.parametrize("values", ["noise", "few", "black and white"])
def test_the_median_is_exact_for_any_number_of_frames(tmp_path, count, values):
    rng = np.random.default_rng(count)
    frames = rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    if values == "few":
        frames = frames // 86 * 85 + 1
    elif values == "black and white":
        frames = np.where(frames < rng.integers(0, 256, (4, 5, 3)), 0, 255).astype(np.uint8)
    (tmp_path / "rgb").write_bytes(b"header" + frames.tobytes())
    median = store.temporal_median(tmp_path / "rgb", 6, frames.shape)
    np.testing.assert_array_equal(median, np.floor(np.median(frames, axis=0) + 0.5))


def test_one_frame_is_its_own_median_and_does_not_move(tmp_path):
    opened = FrameStore.open(make_store(tmp_path / "cam00", [picture(17, 13)]))
    np.testing.assert_array_equal(opened.median, picture(17, 13))
    assert not opened.std.any()


def test_the_store_holds_selected_scaled_undistorted_frames_of_a_video(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 12, 64, 48)
    camera, lens = pinhole(32, 24, focal=30.0), Lens("SIMPLE_RADIAL", 64, 48, (60.0, 32.0, 24.0, -0.2))
    outputs = [tmp_path / "cam00" / f"{name}.npy" for name in ("rgb", "median", "std")]
    write_store(video, camera, lens, range(2, 12, 3), *outputs, label="frames cam00")
    opened = FrameStore.open(tmp_path / "cam00")
    assert opened.rgb.shape == (4, 24, 32, 3)
    assert numbers(opened.rgb) == [2, 5, 8, 11]
    assert files_in(tmp_path / "cam00") == ["median.npy", "rgb.npy", "std.npy"]


def test_a_camera_without_a_pose_is_scaled_only(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 6, 64, 48)
    outputs = [tmp_path / "cam00" / f"{name}.npy" for name in ("rgb", "median", "std")]
    write_store(video, None, None, [0, 1, 1, 5], *outputs, label="frames", scale=0.5)
    opened = FrameStore.open(tmp_path / "cam00")
    assert opened.rgb.shape == (4, 24, 32, 3)
    assert numbers(opened.rgb) == [0, 1, 1, 5]


def test_a_video_of_another_size_than_its_lens_is_refused(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 3, 64, 48)
    outputs = [tmp_path / "cam00" / f"{name}.npy" for name in ("rgb", "median", "std")]
    camera = pinhole(32, 24)
    with pytest.raises(UserError, match=r"v\.mp4 is 64x48, but its camera was found when it was 32x24: delete cameras"):
        write_store(video, camera, lens_of(camera), range(3), *outputs, label="frames")


def test_the_same_video_gives_the_same_bytes(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 12, 200, 120)
    camera, lens = pinhole(90, 50, focal=80.0), Lens("SIMPLE_RADIAL", 200, 120, (170.0, 100.0, 60.0, -0.2))
    for run in "ab":
        outputs = [tmp_path / run / f"{name}.npy" for name in ("rgb", "median", "std")]
        write_store(video, camera, lens, range(12), *outputs, label="frames")
    for name in ("rgb", "median", "std"):
        assert (tmp_path / f"a/{name}.npy").read_bytes() == (tmp_path / f"b/{name}.npy").read_bytes()


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_BYTES", 1 << 16)
    video = tmp_path / "v.mp4"
    write_video((flat(i % 256, 64, 64) for i in range(300)), video, 30)
    camera = pinhole(64, 64)
    outputs = [tmp_path / "cam00" / f"{name}.npy" for name in ("rgb", "median", "std")]
    tracemalloc.start()
    write_store(video, camera, lens_of(camera), range(300), *outputs, label="frames")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "cam00" / "rgb.npy").stat().st_size > 3_600_000
    assert peak < 2_000_000


def test_a_store_cut_short_of_another_shape_or_pickled_is_refused_by_name(tmp_path):
    folder = make_store(tmp_path / "cam00", [flat(i) for i in range(3)])
    for name, good in [(p.name, p.read_bytes()) for p in sorted(folder.glob("*.npy"))]:
        path = folder / name
        path.write_bytes(good[:-5])
        with pytest.raises(UserError, match=rf"{name}: cannot be read .*Delete it"):
            FrameStore.open(folder)
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(UserError, match=rf"{name}: cannot be read .*Delete it"):
            FrameStore.open(folder)
        path.unlink()
        with pytest.raises(UserError, match=rf"{name}: file not found"):
            FrameStore.open(folder)
        path.write_bytes(good)
    write_npy(folder / "std.npy", np.zeros((24, 31), np.float32))
    with pytest.raises(UserError, match=r"cam00: rgb\.npy \(3, 24, 32, 3\).*do not belong together"):
        FrameStore.open(folder)
    write_npy(folder / "std.npy", np.zeros((24, 32)))
    with pytest.raises(UserError, match=r"std\.npy: 2-dimensional float64, expected 2-dimensional float32"):
        FrameStore.open(folder)


def test_the_motion_map_is_a_gaussian_blur_that_keeps_sums_and_borders():
    std = np.zeros((60, 400), np.float32)
    std[30, 200] = 1
    motion = motion_map(std)  # sigma = 2 pixels
    assert motion.dtype == np.float32
    assert motion.shape == std.shape
    np.testing.assert_allclose(motion.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(motion[30, 202] / motion[30, 200], np.exp(-0.5), rtol=1e-4)
    np.testing.assert_allclose(motion[34, 200] / motion[30, 200], np.exp(-2), rtol=1e-4)
    np.testing.assert_allclose(motion_map(np.full((9, 11), 0.3, np.float32)), 0.3, rtol=1e-5)


def test_the_static_set_holds_the_photos_undistorted_and_scaled(tmp_path):
    photos = {}
    for stem in ("b", "a"):
        photos[stem] = tmp_path / f"{stem}.png"
        Image.fromarray(picture(80, 60)).save(photos[stem])
    cameras = {"a": pinhole(40, 30), "b": pinhole(40, 30, cx=17.0), "unused": pinhole(9, 9)}
    lenses = {stem: lens_of(pinhole(40, 30), 2) for stem in "ab"}
    write_static_set(photos, cameras, lenses, tmp_path / "set.npz")
    written = read_npz(tmp_path / "set.npz")
    assert list(written) == ["a", "b"]
    for stem in "ab":
        np.testing.assert_array_equal(written[stem], undistort(picture(80, 60), cameras[stem], lenses[stem]))
    with pytest.raises(UserError, match=r"c\.png: no camera for photo c; there are a, b"):
        write_static_set({"c": tmp_path / "c.png"}, cameras, lenses, tmp_path / "set.npz")


def videos_alone(folder: Path) -> tuple[SimpleNamespace, dict[str, Any]]:
    """A scene without photos, in which something white passes by, and what its static set is made of."""
    names = ("cam02", "cam01")
    for name, shade in zip(names, (9, 40), strict=True):
        (folder / name).mkdir()
        find_motion(np.stack([flat(v) for v in (shade, shade, 200)])).save(folder / name / "motion.npz")
    given = {"photos": folder / "photos.json", "lenses": folder / "lenses.json"}
    given["plates"] = [folder / name / "motion.npz" for name in names]
    return SimpleNamespace(name="x", photos={}, train_cameras=list(names)), given


def test_without_photos_the_static_set_holds_the_plates_of_the_training_cameras(tmp_path):
    scene, given = videos_alone(tmp_path)
    static_set(scene, **given, output=tmp_path / "set.npz")
    written = read_npz(tmp_path / "set.npz")
    assert list(written) == ["cam01", "cam02"]
    np.testing.assert_array_equal(written["cam01"], flat(40))
    np.testing.assert_array_equal(written["cam02"], flat(9))


def test_a_store_is_read_without_the_packages_that_write_it():
    code = "import sys, mixdepth.frames.store; assert not {'av', 'PIL', 'ffmpeg', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -------------------------------------------------------------------------------------------- contact sheet


def test_the_contact_sheet_shows_first_middle_last_median_and_motion_of_every_camera(tmp_path):
    moving = [flat((250, 20, 20), 64, 48), flat((20, 250, 20), 64, 48), flat((20, 20, 250), 64, 48)]
    folders = [make_store(tmp_path / "cam00", moving), make_store(tmp_path / "cam01", [flat(90)] * 2)]
    stores = [file for folder in folders for file in Store(folder).files]
    write_contact_sheet(stores=stores, output=tmp_path / "sheet.jpg")
    sheet = read_image(tmp_path / "sheet.jpg")
    assert sheet.shape == (2 * (150 + 14), 1000, 3)
    centres = sheet[14 + 75, 100::200].astype(int)
    assert np.abs(centres[:3] - [[250, 20, 20], [20, 250, 20], [20, 20, 250]]).max() < 12
    assert np.abs(centres[3] - 20).max() < 12
    assert centres[4].sum() > 500  # bright: it moves
    assert sheet[164 + 14 + 75, 900].sum() < 40  # dark: it does not
    assert sheet[:14, :100].max() > 150  # the name is written


def test_more_than_forty_cameras_go_on_in_a_second_column(tmp_path):
    folder = make_store(tmp_path / "cam00", [flat(90)])
    same = [tmp_path / f"cam{i:02d}" for i in range(1, 41)]
    for other in same:
        other.symlink_to(folder)
    stores = [file for one in (folder, *same) for file in Store(one).files]
    write_contact_sheet(stores=stores, output=tmp_path / "sheet.jpg")
    assert read_image(tmp_path / "sheet.jpg").shape == (40 * (150 + 14), 2000, 3)


# --------------------------------------------------------------------------------------------------- encode


@pytest.mark.parametrize("size", [(64, 48), (33, 17), (6, 4), (1, 1)])
def test_videos_of_any_size_are_written_even_and_whole(tmp_path, size):
    write_video([flat((10, 200, 90), *size)] * 4, tmp_path / "v.mp4", 25)
    images = list(read_frames(tmp_path / "v.mp4", range(4)))
    width, height = (n + n % 2 for n in size)
    assert images[0].shape == (height, width, 3)
    assert np.abs(images[-1].astype(int) - (10, 200, 90)).max() <= 3
    assert files_in(tmp_path) == ["v.mp4"]


def test_a_video_is_tagged_bt709_with_its_rate_and_its_index_in_front(tmp_path):
    write_video([flat(99)] * 4, tmp_path / "v.mp4", 30000 / 1001)
    with open_video(tmp_path / "v.mp4") as (_, stream):
        context = stream.codec_context
        # 1 is BT.709 for all of these, and for the range 1 is "tv".
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert (context.name, context.pix_fmt, float(stream.average_rate)) == ("h264", "yuv420p", 30000 / 1001)
    data = (tmp_path / "v.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_luma_in_the_file_is_bt709s(tmp_path):
    write_video([flat((200, 40, 60))], tmp_path / "v.mp4", 30)
    with open_video(tmp_path / "v.mp4") as (container, stream):
        luma = next(container.decode(stream)).to_ndarray()[:24].mean()
    assert abs(luma - (16 + 219 / 255 * (0.2126 * 200 + 0.7152 * 40 + 0.0722 * 60))) < 1.5


def test_the_same_frames_give_the_same_bytes(tmp_path):
    rng = np.random.default_rng(2)
    frames = rng.integers(0, 256, (10, 48, 64, 3), dtype=np.uint8)
    for name in ("a.mp4", "b.mp4"):
        write_video(iter(frames), tmp_path / name, 24)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_ffmpegs_message_comes_with_a_failed_video_and_nothing_is_left(tmp_path):
    with pytest.raises(RuntimeError, match=r"v\.mp4: ffmpeg could not write the video: \w+"):
        write_video([flat(0)] * 3, tmp_path / "v.mp4", fps=0)
    assert files_in(tmp_path) == []


def test_a_failure_of_the_frames_leaves_the_old_video_and_nothing_half_written(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 3)
    before = video.read_bytes()

    def failing():
        yield flat(0)
        raise KeyError("no such frame")

    with pytest.raises(KeyError, match="no such frame"):
        write_video(failing(), video, 30)
    for frames in ([], [flat(0), flat(0, 20, 20)], [flat(0).astype(float)]):
        with pytest.raises(ValueError, match="frame"):
            write_video(frames, video, 30)
    assert video.read_bytes() == before
    assert files_in(tmp_path) == ["v.mp4"]


# -------------------------------------------------------------------------------------------------- failures


def test_a_video_that_ends_early_leaves_no_half_written_store(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 4)
    outputs = [tmp_path / "cam00" / f"{name}.npy" for name in ("rgb", "median", "std")]
    with pytest.raises(UserError, match="4 frames could be read, 6 expected"):
        write_store(video, pinhole(32, 24), lens_of(pinhole(32, 24)), range(6), *outputs, label="frames")
    assert files_in(tmp_path / "cam00") == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("kind", ["rgb", "median", "std", "video", "static", "plates", "sheet", "image"])
def test_a_full_disk_is_said_clearly_and_leaves_nothing_half_written(tmp_path, kind):
    video = numbered_video(tmp_path / "v.mp4", 3)
    folder = make_store(tmp_path / "cam00", [flat(9)] * 2)
    camera, (scene, given) = pinhole(32, 24), videos_alone(tmp_path)
    out = tmp_path / "out"
    files = {name: out / f"{name}.npy" for name in ("rgb", "median", "std")}
    files |= {"video": out / "video.mp4", "static": out / "s.npz", "plates": out / "p.npz"}
    files |= {"sheet": out / "sheet.jpg", "image": out / "r.png"}
    # Everything written under the temporary name of this one output meets "no space left on the device".
    out.mkdir()
    target = files[kind]
    (out / f".{target.stem}.{process()}.part{target.suffix}").symlink_to("/dev/full")
    lens = lens_of(camera)
    jobs = {
        "video": lambda: write_video([flat(0)] * 3, target, 30),
        "static": lambda: write_static_set(
            {"a": folder.parent / "cam00_png/1.png"}, {"a": camera}, {"a": lens}, target
        ),
        "plates": lambda: static_set(scene, **given, output=target),
        "sheet": lambda: write_contact_sheet(stores=Store(folder).files, output=target),
        "image": lambda: write_image(target, flat(0), "PNG"),
    }
    stored = (files["rgb"], files["median"], files["std"])
    job = jobs.get(kind, lambda: write_store(video, camera, lens, range(3), *stored, label="frames"))
    with pytest.raises(UserError, match=rf"{target.name}: no space left on the device"):
        job()
    assert target.name not in files_in(out)
    assert not [name for name in files_in(out) if "part" in name]


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root on Linux to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_midway_is_said_clearly_and_left_empty(tiny_disk, tmp_path):
    rng = np.random.default_rng(0)
    noise = list(rng.integers(0, 256, (40, 96, 128, 3), dtype=np.uint8))
    source, camera = tmp_path / "v.mp4", pinhole(128, 96)
    write_video(noise, source, 30)
    outputs = [tiny_disk / f"{name}.npy" for name in ("rgb", "median", "std")]
    with pytest.raises(UserError, match=r"rgb\.npy: no space left on the device"):
        write_store(source, camera, lens_of(camera), range(40), *outputs, label="frames")
    with pytest.raises(UserError, match=r"v\.mp4: no space left on the device"):
        write_video(noise, tiny_disk / "v.mp4", 30)
    assert files_in(tiny_disk) == []
