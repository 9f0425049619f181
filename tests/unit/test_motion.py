"""What moves before a still camera, what stands behind it, and the light: found on small films whose truth is known."""

import ctypes
import mmap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.camera_paths import lay_out
from helpers.stages import work
from helpers.training import (
    CAMERAS,
    CUBE,
    DYNAMIC,
    QUIET,
    SPACE,
    STATIC,
    blinking,
    everywhere,
    mixed_fields,
)
from mixdepth.errors import DamagedFile
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region
from mixdepth.fields.storage import load_model, save_model
from mixdepth.frames import moving as files
from mixdepth.frames.motion import (
    Light,
    Motion,
    clean_plate,
    find_light,
    find_motion,
    find_noise,
    moving_parts,
    part_of,
)
from mixdepth.frames.moving import fetch, open_moving, write_moving
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import CameraBatch
from mixdepth.rendering.static_view import render_static
from mixdepth.rendering.tasks import render_camera
from mixdepth.train import dynamic as dynamic_training
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import MovingPixels, bridge, static_surfaces, train_dynamic_field
from mixdepth.train.hull import carve
from mixdepth.train.static import train_static_field
from mixdepth.train.video import Video

HEIGHT, WIDTH, FRAMES = 60, 96, 24
WALL = np.random.default_rng(0).integers(60, 190, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1).astype(float)
RED = (230.0, 30.0, 30.0)


def film(frames: int = FRAMES, noise: float = 0.0, gain: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A red square of 14 pixels walks before the wall: frames [T, H, W, 3] uint8, and where it is [T, H, W] bool.

    Args:
        noise: standard deviation of 255.
        gain: exposure, [T], [T, 3] or one for all.
    """
    moving = np.zeros((frames, HEIGHT, WIDTH), bool)
    for frame, left in enumerate(np.linspace(5, WIDTH - 20, frames).astype(int)):
        moving[frame, 20:34, left : left + 14] = True
    rgb = np.where(moving[..., None], RED, WALL)
    gain = np.broadcast_to(np.asarray(gain, float).reshape(-1, 1, 1, np.asarray(gain).size // frames or 1), rgb.shape)
    rgb = rgb * gain + np.random.default_rng(1).normal(0, 1, rgb.shape) * noise
    return rgb.round().clip(0, 255).astype(np.uint8), moving


def near(mask: np.ndarray, distance: int = 3) -> np.ndarray:
    """[H, W] bool: ``mask``, grown."""
    grown = np.pad(mask, distance)
    return np.any([np.roll(grown, (i, j), (0, 1)) for i in range(-3, 4) for j in range(-3, 4)], 0)[3:-3, 3:-3]


STEADY = Light(np.ones((FRAMES, 3), np.float32), np.ones(FRAMES, bool))


# What moves, and when


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_a_mover_is_found_where_it_is_and_when(noise: float):
    rgb, moving = film(noise=noise)
    found = find_motion(rgb)
    assert (found.gain == 1).all()
    assert found.usable.all()
    for frame, truth in enumerate(moving):  # each is a part of its own
        then = found.parts >> np.uint32(frame) & 1 != 0
        assert then[truth].mean() > 0.99
        assert then[~near(truth)].mean() < 0.001


@pytest.mark.parametrize(("frames", "most", "expected"), [(24, 32, 24), (100, 32, 32), (100, 4, 4), (1, 32, 1)])
def test_a_capture_has_parts_of_alike_length(frames: int, most: int, expected: int):
    part = part_of(frames, most)
    length = np.bincount(part)
    assert (len(part), len(length)) == (frames, expected)
    assert (np.diff(part) >= 0).all()
    assert length.max() - length.min() <= 1


def test_of_a_long_film_each_part_has_what_moves_in_any_of_its_frames():
    rgb, moving = film(frames=80)
    found, part = find_motion(rgb, most=8).parts, part_of(80, 8)
    for number in range(8):
        truth = moving[part == number].any(0)
        then = found >> np.uint32(number) & 1 != 0
        assert then[truth].mean() > 0.97
        assert then[~near(truth)].mean() < 0.001
    assert found.max() < 2**8


def test_frames_that_do_not_count_move_nothing():
    rgb, _ = film()
    plate = WALL.astype(np.uint8)
    rgb[7] = 255
    light = Light(STEADY.gain, np.arange(FRAMES) != 7)
    assert not (moving_parts(rgb, light, 0.0, plate) >> np.uint32(7) & 1).any()
    assert (moving_parts(rgb, STEADY, 0.0, plate) >> np.uint32(7) & 1).all()


# Light


@pytest.mark.parametrize(
    "spoil",
    [
        {5: 0.0},
        {11: 255.0},
        {0: 128.0},
        {17: np.linspace(3.0, 1.2, WIDTH)[:, None] * WALL},  # a flash from the side
        {3: 0.0, 4: 0.0, 11: 255.0, 23: 0.0},
        dict.fromkeys(range(5, 15), 0.0),
    ],
    ids=["black", "white", "grey", "flash", "several", "ten black in a row"],
)
def test_frames_that_show_no_picture_or_a_flash_do_not_count(spoil: dict, capsys: pytest.CaptureFixture):
    rgb, moving = film(noise=1.0)
    for frame, shown in spoil.items():
        rgb[frame] = np.minimum(shown, 255)
    found = find_motion(rgb)
    assert np.flatnonzero(~found.usable).tolist() == list(spoil)
    assert np.abs(found.plate - WALL).max() <= 2
    still = ~near(moving.any(0))
    assert (found.parts[still] > 0).mean() < 0.001
    shows = np.delete(moving, list(spoil), axis=0).any(0)
    assert (found.parts[shows] > 0).mean() > 0.99
    found.tell("x cam01")
    assert f"x cam01: frames {', '.join(map(str, spoil))} show no picture or a flash" in capsys.readouterr().err


def flicker(share: float) -> np.ndarray:
    return 1 + share * np.random.default_rng(3).choice([-1, 1], FRAMES)


GAINS = {
    "flicker of 5 %": flicker(0.05),
    "of 10 %": flicker(0.1),
    "of 20 %": flicker(0.2),
    "a ramp": np.linspace(0.8, 1.2, FRAMES),
    "a lamp switched off": np.where(np.arange(FRAMES) < 12, 1.0, 0.4),
    "other colours": np.linspace([1.0, 1.0, 1.0], [1.1, 1.0, 0.8], FRAMES),
}


@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize("gain", GAINS.values(), ids=GAINS)
def test_exposure_is_found_and_nothing_moves_by_it(gain: np.ndarray, noise: float, capsys: pytest.CaptureFixture):
    rgb, moving = film(noise=noise, gain=gain)
    found = find_motion(rgb)
    assert found.usable.all()
    true = np.broadcast_to(gain.reshape(FRAMES, -1), (FRAMES, 3))
    usual = np.median(found.gain / true, axis=0)  # which of the exposures is the usual one is for it to say
    assert np.abs(found.gain / true / usual - 1).max() < 0.01
    assert np.abs(found.plate - WALL / usual).max() <= 3 + noise
    assert (found.parts[moving.any(0)] > 0).mean() > 0.99
    assert (found.parts[~near(moving.any(0))] > 0).mean() < 0.01
    found.tell("x cam01")
    assert "of the usual, taken out" in capsys.readouterr().err


def test_steady_light_has_no_gain_at_all():
    """Not even one of two thousandths, as noise may give: renders and training are then the same as without."""
    wall = WALL.repeat(2, 0).repeat(2, 1) * (1 + 0.002 * (np.arange(FRAMES) % 2)[:, None, None, None])
    rgb = wall + np.random.default_rng(0).normal(0, 5, wall.shape)
    assert (find_light(rgb.round().astype(np.uint8)).gain == 1).all()


def test_a_dark_background_does_not_become_a_gain():
    """Black that is 2 in one frame and 4 in the next, and a bright cloud before it."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(2, 5, (FRAMES, 1, 1, 1)) + np.zeros((FRAMES, HEIGHT, WIDTH, 3))
    moving = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    for frame in range(FRAMES):
        moving[frame, 40 - frame : 58 - frame, 30:60] = True
        rgb[frame][moving[frame]] = rng.integers(60, 220, (moving[frame].sum(), 3))
    found = find_motion(rgb.astype(np.uint8))
    assert (found.gain == 1).all()
    assert found.usable.all()
    assert (found.parts[moving.any(0)] > 0).mean() > 0.99
    assert (found.parts[~near(moving.any(0))] > 0).mean() < 0.01


def test_a_small_bright_thing_before_black_does_not_become_a_gain():
    rgb = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    rgb[:, 20:36, 30:48] = np.linspace(80, 240, FRAMES)[:, None, None, None]  # a lamp that grows brighter, 5 %
    found = find_motion(rgb)
    assert (found.gain == 1).all()
    assert (found.parts[20:36, 30:48] > 0).all()


def test_what_changes_everywhere_but_nowhere_alike_is_no_gain():
    """Water, say: darker in one frame and brighter in the next, but each place by another factor."""
    factor = np.random.default_rng(0).uniform(0.5, 1.0, (FRAMES, HEIGHT // 4, WIDTH // 4, 1))
    factor[1::2] += 0.3
    rgb = WALL * factor.repeat(4, 1).repeat(4, 2)
    assert (find_light(rgb.round().astype(np.uint8)).gain == 1).all()


# Noise


@pytest.mark.parametrize(
    ("sigma", "gain"),
    [(1.5, np.ones(FRAMES)), (4.0, np.ones(FRAMES)), (10.0, np.ones(FRAMES)), (1.5, flicker(0.1)), (4.0, flicker(0.1))],
)
def test_noise_is_measured_and_movers_do_not_raise_it(sigma: float, gain: np.ndarray):
    rgb, _ = film(noise=sigma, gain=gain)
    light = find_light(rgb)
    assert 255 * find_noise(rgb, light) == pytest.approx(sigma, rel=0.15)


def test_without_frames_beside_each_other_no_noise_is_told():
    rgb, _ = film(noise=5.0)
    assert find_noise(rgb, Light(STEADY.gain, np.arange(FRAMES) % 2 == 0)) == 0.0
    assert find_motion(rgb[:1]).noise == 0.0
    assert find_noise(np.zeros_like(rgb), STEADY) == 0.0, "nothing shows it"


def test_noise_does_not_move():
    rng = np.random.default_rng(0)
    for sigma, frames in ((3.0, 24), (6.0, 100), (10.0, 24)):
        rgb = (120 + rng.normal(0, sigma, (frames, 90, 240, 3))).round().astype(np.uint8)
        found = find_motion(rgb)
        assert (found.parts > 0).mean() < 0.005, sigma
        assert found.support.min() > 0.9
        assert np.abs(found.plate - 120.0).mean() < 3 * sigma / frames**0.5


# The plate


@pytest.mark.parametrize(("frames", "noise"), [(24, 0.0), (24, 3.0), (200, 3.0)])
def test_a_mover_that_lingers_for_less_than_half_of_the_time_is_not_in_the_plate(frames: int, noise: float):
    """It stands for 40 % of the time, then it is gone; a second place shows a third thing for 10 % as well."""
    rgb = np.broadcast_to(WALL, (frames, HEIGHT, WIDTH, 3)).copy()
    rgb[: round(0.4 * frames), 20:34, 30:44] = RED
    rgb[-round(0.1 * frames) :, 20:34, 37:44] = (20, 20, 200)
    rgb += np.random.default_rng(1).normal(0, 1, rgb.shape) * noise
    light = Light(np.ones((frames, 3), np.float32), np.ones(frames, bool))
    plate, support = clean_plate(rgb.round().clip(0, 255).astype(np.uint8), light, noise / 255)
    assert np.abs(plate - WALL).max() <= (0 if noise == 0 else 4)
    assert np.abs(support[20:34, 30:37] - 0.6).max() < 0.05
    assert np.abs(support[20:34, 37:44] - 0.5).max() < 0.05
    support[20:34, 30:44] = 1
    assert support.min() > 0.95


def test_a_plate_is_of_frames_that_count_at_the_usual_exposure():
    gain = np.ones((FRAMES, 3), np.float32)
    gain[::2] = 0.5
    rgb = np.where(np.arange(FRAMES)[:, None, None, None] % 2, WALL, WALL / 2).round().astype(np.uint8)
    rgb[5:17] = 0
    light = Light(gain, (np.arange(FRAMES) < 5) | (np.arange(FRAMES) > 16))
    plate, support = clean_plate(rgb, light, 0.0)
    assert np.abs(plate - WALL).max() <= 1
    assert (support == 1).all()


# The file


def test_what_was_found_is_written_and_read(tmp_path: Path):
    found = find_motion(film(noise=3.0, gain=flicker(0.1))[0])
    found.save(tmp_path / "motion.npz")
    again = Motion.load(tmp_path / "motion.npz")
    for name in ("plate", "support", "parts", "gain", "usable"):
        one, two = getattr(found, name), getattr(again, name)
        assert one.dtype == two.dtype
        assert np.array_equal(one, two), name
    assert again.noise == pytest.approx(found.noise)


# A video of it


def long_video() -> Video:
    """Forty frames of nothing; pixel (0, k) moves in part k."""
    parts = np.zeros((16, 24), np.uint32)
    parts[0] = np.uint32(1) << np.arange(24, dtype=np.uint32)
    light = np.linspace(0.5, 1, 40)[:, None].repeat(3, 1).astype(np.float32), np.arange(40) != 30
    motion = Motion(np.zeros((16, 24, 3), np.uint8), np.ones((16, 24), np.float32), parts, *light, noise=0.0)
    rgb = np.arange(40, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 16, 24, 3), np.uint8)
    return Video.of(CAMERAS[0], rgb, motion)


def test_some_frames_of_a_video_move_where_something_moves_in_them():
    video = long_video()
    assert video.moving[0].all()
    assert not video.moving[1:].any()
    some = video.frames(10, 20)
    assert some.rgb[:, 0, 0, 0].tolist() == list(range(10, 20))
    assert np.array_equal(some.gain, video.gain[10:20])
    assert np.array_equal(some.usable, video.usable[10:20])
    assert np.flatnonzero(some.moving[0]).tolist() == sorted(set(part_of(40)[10:20]) & set(range(24)))
    assert not video.frames(30, 31).usable.any()
    assert some.plate is video.plate


def test_during_each_bin_moves_what_moves_in_any_of_its_parts():
    video = long_video()
    bins = np.arange(40) // 10
    sets = video.moving_during(bins)
    assert sets.dtype == np.int32
    for column in range(24):
        frames = np.flatnonzero(part_of(40) == column)
        assert sets[0, column] == np.bitwise_or.reduce(1 << bins[frames])
    assert not sets[1:].any()
    later = video.frames(20, 40).moving_during(np.arange(20) // 5)
    assert later[0, 20] == 0b10, "counted from the first of its own frames"


def test_pixels_that_show_nothing_do_not_move():
    video, valid = long_video(), np.ones((16, 24), bool)
    valid[0, 5] = False
    motion = Motion(video.plate, video.support, video.parts, video.gain, video.usable, 0.0)
    masked = Video.of(video.camera, video.rgb, motion, valid)
    assert not masked.moving[0, 5]
    assert masked.moving[0].sum() == 23


# The colours of what moves


@pytest.mark.parametrize("neighbours", [1, 7, 4096])
def test_moving_pixels_lie_on_disk_one_by_one_whatever_is_read_at_once(tmp_path: Path, monkeypatch, neighbours: int):
    rgb, _ = film()
    moving = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.5
    moving[10:20], moving[30] = True, False
    np.save(tmp_path / "rgb.npy", rgb)
    monkeypatch.setattr(files, "BLOCK", 0)
    monkeypatch.setattr(files, "NEIGHBOURS", neighbours)
    write_moving(tmp_path / "moving.npy", tmp_path / "rgb.npy", moving)
    found = open_moving(tmp_path / "moving.npy", moving, FRAMES)
    assert np.array_equal(found, rgb[:, moving].swapaxes(0, 1))
    with pytest.raises(DamagedFile, match=r"moving\.npy: uint8 .*, expected uint8 .*, by motion\.npz beside it"):
        open_moving(tmp_path / "moving.npy", ~moving, FRAMES)


def test_where_nothing_moves_there_are_no_colours(tmp_path: Path):
    still = np.zeros((HEIGHT, WIDTH), bool)
    np.save(tmp_path / "rgb.npy", film()[0])
    write_moving(tmp_path / "moving.npy", tmp_path / "rgb.npy", still)
    assert open_moving(tmp_path / "moving.npy", still, FRAMES).shape == (0, FRAMES, 3)


def test_what_is_drawn_of_a_pixel_is_what_the_frames_show_there():
    """Also in a segment, where fewer pixels move, and where pixels that show nothing do not."""
    valid = np.ones((16, 24), bool)
    valid[:, 12] = False
    videos = [replace(v, parts=np.where(valid, v.parts, np.uint32(0))).frames(2, 5) for v in blinking()]
    pixels = MovingPixels(videos, [np.full((16, 24), 9.0, np.float32)] * 3, np.arange(3))
    pixel, frames = torch.arange(len(pixels)).flip(0), torch.tensor([[2, 0]])
    shown = [videos[c].rgb[[2, 0], y, x] for c, y, x in zip(pixels.camera, pixels.row, pixels.column, strict=True)]
    found = pixels.colours(pixel, frames.expand(len(pixels), -1))
    assert torch.equal(found, torch.from_numpy(np.stack(shown[::-1])).float() / 255)


def test_of_a_memory_map_the_pages_that_are_drawn_are_asked_for_at_once_and_no_others(tmp_path: Path, monkeypatch):
    pixels, size = 400, mmap.PAGESIZE
    np.save(tmp_path / "moving.npy", np.zeros((pixels, FRAMES, 3), np.uint8))
    moving = np.ones((20, 20), bool)
    colours = open_moving(tmp_path / "moving.npy", moving, FRAMES)
    asked = []

    class Libc:
        def madvise(self, place: ctypes.c_void_p, size: ctypes.c_size_t, _: int) -> None:
            asked.append((place.value - start, size.value))

    start = colours.ctypes.data - colours.offset
    monkeypatch.setattr(files, "LIBC", Libc())
    fetch(colours[:, 4:], np.array([399, 0, 1]), np.array([[3, 4], [0, 1], [0, 1]]))
    assert asked == [(0, size), ((128 + 399 * FRAMES * 3 + 7 * 3) // size * size, size)]
    fetch(np.zeros((3, FRAMES, 3), np.uint8), np.array([0]), np.array([[0]]))
    assert len(asked) == 2, "what is in memory is not asked for"


# The hull of each part


def test_the_hull_has_for_every_part_what_moves_in_it_and_in_the_parts_beside_it():
    """Of 32 frames two make a part; one place moves in the first part, another in the sixth, a third in the last."""
    w2c = torch.from_numpy(np.stack([c.w2c for c in CAMERAS])).float()
    k = CameraBatch(CAMERAS).intrinsics.float()
    points = np.array([[-0.4, 0.2, 3.0], [0.3, -0.2, 3.0], [0.0, 0.35, 3.2]])
    moving = []
    for camera in CAMERAS:
        sets = torch.zeros(16, 24, dtype=torch.int32)
        for (x, y), part in zip(camera.project(points)[0], (0, 5, 13), strict=True):
            sets[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 1 << part
        moving.append(sets)
    region = carve(SPACE, w2c, k, moving, [torch.full((16, 24), 9.0)] * 3, 48, 0.7, frames=32)
    local = region.local(SPACE.normalise(torch.tensor(points, dtype=torch.float32)))
    assert local.abs().max() < 1, "one box for all of them"
    sets = region.sets[region.cells(local)].tolist()
    assert sets == [0b11, 0b111 << 4, 0b111 << 12]
    u = SPACE.normalise(torch.tensor(points[1:2], dtype=torch.float32))[None]
    for frame, there in ((7, False), (8, True), (13, True), (14, False)):
        assert region.holds(u, region.bits(torch.tensor([[frame]]))).item() == there, frame


def test_at_the_ends_of_a_capture_the_hull_has_no_parts_beyond():
    w2c = torch.from_numpy(np.stack([c.w2c for c in CAMERAS])).float()
    moving = [torch.full((16, 24), 1 << 15, dtype=torch.int32)] * 3
    k, far = CameraBatch(CAMERAS).intrinsics.float(), [torch.full((16, 24), 9.0)] * 3
    assert set(carve(SPACE, w2c, k, moving, far, 16, 0.7, frames=64).sets.tolist()) == {0, 0b11 << 14}
    nothing = [torch.zeros(16, 24, dtype=torch.int32)] * 3
    assert not carve(SPACE, w2c, k, nothing, far, 16, 0.7, frames=64).sets.any()


# What is drawn


def test_nine_in_ten_of_the_rays_are_drawn_where_something_moves_then():
    videos = blinking()
    sets = np.full((16, 24), 0b01, np.uint32)
    sets[:4] = 0b10  # a quarter moves in the second part
    videos = [replace(v, parts=sets, part=np.arange(6) // 3) for v in videos]
    pixels = MovingPixels(videos, [np.full((16, 24), 9.0, np.float32)] * 3, np.arange(6) // 3)
    drawn = pixels.draw(torch.tensor([0b10, 0b01]), [100, 50], torch.Generator().manual_seed(0))
    assert drawn.shape == (150,)
    first, second = pixels.sets[drawn[:100]], pixels.sets[drawn[100:]]
    assert (first == 0b10).sum() == 90
    assert (second == 0b01).sum() >= 45
    none = pixels.draw(torch.tensor([0b100]), [100], torch.Generator().manual_seed(0))
    assert len(none.unique()) > 50, "where nothing moves then, anything"


def test_static_surfaces_of_large_images_are_looked_at_in_coarse_steps(monkeypatch: pytest.MonkeyPatch):
    static, _ = mixed_fields(frames=2)
    videos = blinking()
    whole = static_surfaces(videos, static, SPACE, 24)
    for video, depth in zip(videos, whole, strict=True):
        assert np.array_equal(depth, render_static(static, SPACE, video.camera, 24).depth)
    monkeypatch.setattr(dynamic_training, "SURFACE_WIDTH", 12)
    for depth, fine in zip(static_surfaces(videos, static, SPACE, 24), whole, strict=True):
        assert depth.shape == (16, 24)
        assert np.array_equal(depth[::2, ::2], depth[1::2, 1::2])
        assert np.median(np.abs(depth / fine - 1)) < 0.1


# Exposures, taken out and given back


def dimmed(videos: list[Video]) -> list[Video]:
    """At half of the light in the last three of six frames, of which the fifth is black."""
    gain, usable = np.ones((6, 3), np.float32), np.arange(6) != 4
    gain[3:] = 0.5
    shown = gain * usable[:, None]
    return [replace(v, rgb=(v.rgb * shown[:, None, None]).astype(np.uint8), gain=gain, usable=usable) for v in videos]


def test_exposure_is_taken_out_in_training_and_frames_that_do_not_count_teach_nothing():
    videos = dimmed(blinking())
    data = ImageSet([v.plate for v in videos], CAMERAS)
    static = train_static_field(data, None, SPACE, replace(STATIC, steps=150), QUIET)
    field = train_dynamic_field(videos, static, SPACE, replace(DYNAMIC, steps=300), QUIET)
    assert torch.equal(field.gain[1, :, 0], torch.tensor([1.0, 1, 1, 0.5, 0.5, 0.5]))

    def centre(gain: torch.Tensor | None) -> np.ndarray:
        rgb, _ = render_video(static, field, SPACE, CAMERAS[1], 48, gain=gain)
        return rgb[:, 7:9, 11:13].astype(float).mean(axis=(1, 2, 3))

    usual, given_back = centre(None), centre(field.exposure(1))
    assert usual[1::2].min() > usual[[0, 2]].max() + 50, "white at every second frame, whatever the light"
    assert abs(usual[5] - usual[1]) < 25
    assert usual[4] == pytest.approx((usual[3] + usual[5]) / 2, abs=25), "between those beside it, not black"
    assert given_back == pytest.approx(usual * [1, 1, 1, 0.5, 0.5, 0.5], abs=1)


@pytest.mark.parametrize("moves", [True, False])
def test_renders_have_the_exposure_that_they_are_given(moves: bool):
    static, dynamic = mixed_fields(frames=4)
    if not moves:
        dynamic = DynamicField(Region(torch.zeros(8, 8, 8, dtype=torch.int32), *CUBE, 4), 8, 2, 4, 8)
    usual, depth = render_video(static, dynamic, SPACE, CAMERAS[0], 24)
    same, _ = render_video(static, dynamic, SPACE, CAMERAS[0], 24, gain=torch.ones(4, 3))
    assert np.array_equal(same, usual)
    gain = torch.tensor([[1.0, 1.0, 1.0], [0.5, 0.5, 0.5], [0.5, 1.0, 1.5], [9.0, 9.0, 9.0]])
    rgb, z = render_video(static, dynamic, SPACE, CAMERAS[0], 24, gain=gain)
    expected = np.minimum(usual * gain.numpy()[:, None, None], 255)
    assert np.abs(rgb - expected).max() <= 5, "of a rounded picture, nine times brighter"
    assert np.abs(rgb[:3] - expected[:3]).max() <= 1.3
    assert np.array_equal(z, depth)
    back, _ = render_video(static, dynamic, SPACE, CAMERAS[0], 24, torch.tensor([2, 1]), gain=gain[[2, 1]])
    assert np.array_equal(back, rgb[[2, 1]])


def test_a_training_camera_has_its_own_exposure_back_and_a_held_out_one_the_mean(tmp_path: Path):
    scene = lay_out(tmp_path, [[0, 4]])
    header, static, field = load_model(tmp_path / "none/model.safetensors")
    shown = {}
    for name in ("usual", "exposed"):
        for camera in ("cam00", "cam02"):
            work(render_camera, "render", scene, tmp_path, "none", camera, variant="none", camera=camera)
            shown[name, camera] = np.load(tmp_path / "none/renders" / camera / "rgb.npy").astype(float)
        field.gain[:, 2] = torch.tensor([0.4, 0.9, 0.6])[:, None]
        save_model(tmp_path / "none/model.safetensors", header, static=static, dynamic=field)
    for camera, gain in (("cam02", 0.9), ("cam00", (0.4 * 0.9 * 0.6) ** (1 / 3))):
        before, after = shown["usual", camera], shown["exposed", camera]
        assert np.abs(after[2] - gain * before[2]).max() < 1.1
        assert np.array_equal(np.delete(after, 2, axis=0), np.delete(before, 2, axis=0))


def test_a_model_keeps_the_exposures_and_one_of_before_has_none(tmp_path: Path):
    static, dynamic = mixed_fields(frames=4)
    field = DynamicField(everywhere(4), 8, 2, 4, 8, cameras=5)
    field.gain[3, 1] = 0.7
    save_model(tmp_path / "new", {}, static=static, dynamic=field)
    assert torch.equal(load_model(tmp_path / "new")[2].gain, field.gain)
    del dynamic.gain
    save_model(tmp_path / "old", {}, static=static, dynamic=dynamic)
    assert (load_model(tmp_path / "old")[2].exposure(None) == 1).all()


def test_frames_that_no_camera_shows_are_bridged():
    _, field = mixed_fields(frames=8)
    before = [table.detach().clone() for table in (field.density_frames, field.colour_frames)]
    bridge(field, torch.tensor([False, True, False, False, False, True, True, False]))
    for table, was in zip((field.density_frames, field.colour_frames), before, strict=True):
        for frame in (1, 5, 6):
            assert torch.equal(table[frame], was[frame])
        assert torch.equal(table[0], was[1])
        assert torch.equal(table[7], was[6])
        for frame, share in ((2, 0.25), (3, 0.5), (4, 0.75)):
            assert torch.allclose(table[frame], (1 - share) * was[1] + share * was[5])
    bridge(field, torch.zeros(8, dtype=torch.bool))
    assert torch.equal(field.density_frames[1], before[0][1]), "nothing to make them of"
