"""From videos, folders and photos to the frame store, and back to videos."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens
from mixdepth.errors import UserError
from mixdepth.frames import decode, store
from mixdepth.frames.contact_sheet import write_contact_sheet
from mixdepth.frames.decode import open_video, read_frames, read_image, write_reference
from mixdepth.frames.encode import write_video
from mixdepth.frames.probe import probe_capture, selected_frames
from mixdepth.frames.store import FrameStore, motion_map, write_median_set, write_static_set, write_store
from mixdepth.frames.undistort import Undistorter, undistort
from mixdepth.io import read_npz

ALL = {"start": 0, "count": None, "step": 1}


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


# ---------------------------------------------------------------------------------------------------- probe


def test_probe_tells_sizes_counts_and_rates_of_videos_folders_and_photos(tmp_path):
    video = numbered_video(tmp_path / "cam00.mp4", 6, 48, 32)
    folder = image_folder(tmp_path / "cam01", [flat(i) for i in range(6)])
    photo = tmp_path / "p.jpg"
    Image.fromarray(flat(9, 50, 40)).save(photo)
    assert probe_capture({"cam01": folder, "cam00": video}, {"p": photo}, ALL) == {
        "cameras": {
            "cam00": {"path": str(video), "width": 48, "height": 32, "frames": 6, "fps": 30.0},
            "cam01": {"path": str(folder), "width": 32, "height": 24, "frames": 6, "fps": None},
        },
        "photos": {"p": {"path": str(photo), "width": 50, "height": 40}},
    }


def probe_with(good: Path, bad: Path, **photos: Path) -> None:
    probe_capture({"cam00": good, "cam01": bad}, photos, ALL)


def test_a_missing_video_is_named(tmp_path):
    good = numbered_video(tmp_path / "cam00.mp4", 2)
    with pytest.raises(UserError, match=r"cam01\.mp4: video not found.*`cameras`"):
        probe_with(good, tmp_path / "cam01.mp4")


@pytest.mark.parametrize("content", ["nothing", "text", "no index"])
def test_an_unreadable_video_is_named_with_its_size(tmp_path, content):
    good, bad = numbered_video(tmp_path / "cam00.mp4", 2), tmp_path / "cam01.mp4"
    ffmpeg_cli("-i", str(good), "-c", "copy", str(tmp_path / "index last.mp4"))
    index_last = (tmp_path / "index last.mp4").read_bytes()
    data = {"nothing": b"", "text": b"not a video\n" * 99, "no index": index_last[:-300]}[content]
    bad.write_bytes(data)
    with pytest.raises(UserError, match=rf"cam01\.mp4: cannot be read as a video \(.*{len(data)} bytes\).*again"):
        probe_with(good, bad)


def test_a_file_without_a_video_stream_is_named(tmp_path):
    good, bad = numbered_video(tmp_path / "cam00.mp4", 2), tmp_path / "cam01.mp4"
    ffmpeg_cli("-f", "lavfi", "-i", "sine=duration=0.1", str(bad))
    with pytest.raises(UserError, match=r"cam01\.mp4: no video stream"):
        probe_with(good, bad)


def test_a_folder_without_images_is_named(tmp_path):
    good, bad = numbered_video(tmp_path / "cam00.mp4", 2), tmp_path / "cam01"
    bad.mkdir()
    with pytest.raises(UserError, match="cam01: a folder without images"):
        probe_with(good, bad)


def test_frames_of_different_sizes_in_one_folder_are_named(tmp_path):
    good = numbered_video(tmp_path / "cam00.mp4", 3)
    bad = image_folder(tmp_path / "cam01", [flat(0), flat(0, 30, 20), flat(0)])
    with pytest.raises(UserError, match=r"2\.png: 30x20 pixels, expected 32x24"):
        probe_with(good, bad)


def test_two_files_for_one_frame_are_refused(tmp_path):
    good = numbered_video(tmp_path / "cam00.mp4", 3)
    bad = image_folder(tmp_path / "cam01", [flat(0), flat(0)])
    Image.fromarray(flat(0)).save(bad / "2.jpg")
    with pytest.raises(UserError, match=r"2\.jpg and .*2\.png: two files for one frame"):
        probe_with(good, bad)


def test_an_unreadable_frame_is_named(tmp_path):
    good = numbered_video(tmp_path / "cam00.mp4", 2)
    bad = image_folder(tmp_path / "cam01", [flat(0), flat(0)])
    (bad / "2.png").write_bytes(b"PNG?")
    with pytest.raises(UserError, match=r"2\.png: cannot be read as an image"):
        probe_with(good, bad)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_missing_photo_and_one_cut_short_are_named(tmp_path, suffix):
    videos = [numbered_video(tmp_path / f"cam0{i}.mp4", 2) for i in range(2)]
    with pytest.raises(UserError, match=r"gone\.png: photo not found"):
        probe_with(*videos, gone=tmp_path / "gone.png")
    photo = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo)
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cut\....: cannot be read as an image"):
        probe_with(*videos, cut=photo)


def test_a_video_with_fewer_frames_than_the_others_is_named_with_its_count(tmp_path):
    cameras = {f"cam0{i}": numbered_video(tmp_path / f"cam0{i}.mp4", 7 if i == 1 else 10) for i in range(4)}
    expected = r"cam01 has 7 \(.*cam01\.mp4\), expected 10 frames as most others have.*rim.*`frames\.count`"
    with pytest.raises(UserError, match=expected):
        probe_capture(cameras, {}, ALL)
    with pytest.raises(UserError, match=r"cam01 has 7 .*selection needs 8"):
        probe_capture(cameras, {}, {"start": 1, "count": 4, "step": 2})
    assert probe_capture(cameras, {}, {"start": 0, "count": 4, "step": 2})["cameras"]["cam01"]["frames"] == 7


def test_a_video_with_more_frames_than_the_others_is_named_too(tmp_path):
    cameras = {f"cam0{i}": numbered_video(tmp_path / f"cam0{i}.mp4", 9 if i == 1 else 5) for i in range(3)}
    with pytest.raises(UserError, match=r"cam01 has 9 .*expected 5 frames.*first 5 of each"):
        probe_capture(cameras, {}, ALL)


def test_a_selection_beyond_every_video_says_so(tmp_path):
    cameras = {f"cam0{i}": numbered_video(tmp_path / f"cam0{i}.mp4", 5) for i in range(2)}
    with pytest.raises(UserError, match=r"start 2, count 4, step 1 needs 6 frames, but the longest video has 5"):
        probe_capture(cameras, {}, {"start": 2, "count": 4, "step": 1})


def test_one_video_camera_only_is_refused_and_so_is_nothing_at_all(tmp_path):
    with pytest.raises(UserError, match=r"one camera only: .*at least two training cameras, or"):
        probe_capture({"cam00": tmp_path / "cam00.mp4"}, {"p": tmp_path / "p.png"}, ALL)
    with pytest.raises(UserError, match=r"0 videos and 0 photos found.*`videos` and `photos`"):
        probe_capture({}, {}, ALL)


def test_selected_frames():
    assert selected_frames(10, ALL) == range(10)
    assert list(selected_frames(10, {"start": 3, "count": None, "step": 3})) == [3, 6, 9]
    assert list(selected_frames(10, {"start": 1, "count": 3, "step": 4})) == [1, 5, 9]
    with pytest.raises(UserError, match="needs 10 frames, there are 9"):
        selected_frames(9, {"start": 1, "count": 3, "step": 4})
    with pytest.raises(UserError, match="there are 9"):
        selected_frames(9, {"start": 9, "count": None, "step": 1})


# --------------------------------------------------------------------------------------------------- decode


@pytest.mark.parametrize("frames", [range(20), range(5, 12), range(3, 20, 4), range(19, 20)])
def test_frame_i_of_a_video_is_frame_i(tmp_path, frames):
    video = numbered_video(tmp_path / "v.mp4", 20)
    assert numbers(read_frames(video, frames)) == list(frames)


def test_a_variable_frame_rate_neither_drops_nor_doubles_frames(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 12)
    uneven = tmp_path / "uneven.mkv"
    ffmpeg_cli("-i", str(video), "-vf", "setpts='(N+5*gt(N,4)-0.9*gt(N,7))/30/TB'", "-fps_mode", "vfr", str(uneven))
    assert probe_capture({"a": video, "b": uneven}, {}, ALL)["cameras"]["b"]["frames"] == 12
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
    assert np.abs(a.astype(int) - b).mean() < 3


def test_a_video_cut_short_says_how_many_frames_were_found_and_what_ffmpeg_said(tmp_path):
    rng = np.random.default_rng(0)
    video = tmp_path / "v.mp4"
    write_video((rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(12)), video, 30)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(UserError, match=r"v\.mp4: \d frames could be read, 12 expected \(ffmpeg: .*\).*`frames`"):
        list(read_frames(video, range(12)))
    frames = probe_capture({"a": video, "b": video}, {}, ALL)["cameras"]["a"]["frames"]
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


def test_ffmpeg_ends_when_nobody_reads_on(tmp_path, monkeypatch):
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    video = numbered_video(tmp_path / "v.mp4", 20, 640, 480)
    monkeypatch.setattr(decode.subprocess, "Popen", Recorded)
    reader = read_frames(video, range(20))
    next(reader)
    reader.close()
    assert [process.poll() is not None for process in started] == [True]


def test_a_path_with_a_colon_and_spaces_is_a_file_not_a_protocol(tmp_path):
    folder = tmp_path / "take 1: -final"
    folder.mkdir()
    video = numbered_video(folder / "http:cam 00.mp4", 3)
    assert numbers(read_frames(video, range(3))) == [0, 1, 2]


def test_the_reference_image_is_the_frame_at_original_size(tmp_path):
    video = numbered_video(tmp_path / "v.mp4", 6, 40, 30)
    write_reference(video, 4, tmp_path / "reference" / "cam00.png")
    image = read_image(tmp_path / "reference" / "cam00.png")
    assert image.shape == (30, 40, 3)
    assert numbers([image]) == [4]
    assert files_in(tmp_path / "reference") == ["cam00.png"]


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


def test_an_undistorter_is_used_for_many_frames_and_rounds_to_the_nearest_level():
    lens = Lens("SIMPLE_RADIAL", 40, 30, (60.0, 20.0, 15.0, -0.2))
    undistorter = Undistorter(pinhole(40, 30), lens)
    for value in (0, 37, 255):
        np.testing.assert_array_equal(undistorter(flat(value, 40, 30)), flat(value, 40, 30))


# ---------------------------------------------------------------------------------------------------- store


def test_the_store_holds_the_frames_their_median_and_their_standard_deviation(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK_BYTES", 1000)  # many blocks, the last one not full
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
    for name, good in [(p.name, p.read_bytes()) for p in sorted(folder.iterdir())]:
        path = folder / name
        path.write_bytes(good[:-5])
        with pytest.raises(UserError, match=rf"{name}: damaged .*Delete it"):
            FrameStore.open(folder)
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(UserError, match=rf"{name}: damaged .*Delete it"):
            FrameStore.open(folder)
        path.unlink()
        with pytest.raises(UserError, match=rf"{name}: file not found"):
            FrameStore.open(folder)
        path.write_bytes(good)
    np.save(folder / "std.npy", np.zeros((24, 31), np.float32))
    with pytest.raises(UserError, match=r"cam00: rgb\.npy \(3, 24, 32, 3\).*do not belong together"):
        FrameStore.open(folder)
    np.save(folder / "std.npy", np.zeros((24, 32)))
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


def test_the_median_set_holds_the_medians_of_the_stores(tmp_path):
    stores = {n: make_store(tmp_path / n, [flat(v) for v in (9, 9, 200)]) for n in ("cam02", "cam01")}
    write_median_set(stores, tmp_path / "set.npz")
    written = read_npz(tmp_path / "set.npz")
    assert list(written) == ["cam01", "cam02"]
    np.testing.assert_array_equal(written["cam01"], flat(9))


def test_a_store_is_read_without_the_packages_that_write_it():
    code = "import sys, mixdepth.frames.store; assert not {'av', 'PIL', 'ffmpeg', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -------------------------------------------------------------------------------------------- contact sheet


def test_the_contact_sheet_shows_first_middle_last_median_and_motion_of_every_camera(tmp_path):
    moving = [flat((250, 20, 20), 64, 48), flat((20, 250, 20), 64, 48), flat((20, 20, 250), 64, 48)]
    stores = {"cam00": make_store(tmp_path / "cam00", moving), "cam01": make_store(tmp_path / "cam01", [flat(90)] * 2)}
    write_contact_sheet(stores, tmp_path / "sheet.jpg")
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
    write_contact_sheet({f"cam{i:02d}": folder for i in range(41)}, tmp_path / "sheet.jpg")
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
@pytest.mark.parametrize("kind", ["rgb", "median", "std", "video", "static", "medians", "sheet", "reference"])
def test_a_full_disk_is_said_clearly_and_leaves_nothing_half_written(tmp_path, kind):
    video = numbered_video(tmp_path / "v.mp4", 3)
    folder = make_store(tmp_path / "cam00", [flat(9)] * 2)
    camera = pinhole(32, 24)
    out = tmp_path / "out"
    files = {name: out / f"{name}.npy" for name in ("rgb", "median", "std")}
    files |= {"video": out / "video.mp4", "static": out / "s.npz", "medians": out / "m.npz"}
    files |= {"sheet": out / "sheet.jpg", "reference": out / "r.png"}
    # Everything written under the temporary name of this one output meets "no space left on the device".
    out.mkdir()
    target = files[kind]
    (out / f".{target.stem}.{os.getpid()}.part{target.suffix}").symlink_to("/dev/full")
    lens = lens_of(camera)
    jobs = {
        "video": lambda: write_video([flat(0)] * 3, target, 30),
        "static": lambda: write_static_set(
            {"a": folder.parent / "cam00_png/1.png"}, {"a": camera}, {"a": lens}, target
        ),
        "medians": lambda: write_median_set({"cam00": folder}, target),
        "sheet": lambda: write_contact_sheet({"cam00": folder}, target),
        "reference": lambda: write_reference(video, 1, target),
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
