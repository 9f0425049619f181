"""What changes its look without moving (shadows, flicker) is learnt by the dynamic branch and stays on its surface."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.elsewhere import elsewhere
from helpers.looking import look_at
from helpers.training import DYNAMIC, QUIET, STATIC, plane_depth
from mixdepth.cameras.space import choose_space
from mixdepth.frames.motion import find_motion
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import SpaceMap
from mixdepth.train.appearance import AGREEMENT, CHANGE, NEIGHBOURS, SAME_SURFACE, on_surface
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import train_dynamic_field
from mixdepth.train.static import train_static_field
from mixdepth.train.video import Video

FRAMES = 12
CAMERAS = [look_at([x, 0, 0], [0, 0, 4], width=72, height=48, focal=72.0) for x in (-0.9, -0.45, 0.45, 0.9, 0.0)]
SIZES = {"resolution": 64, "start_resolution": 24, "width": 32, "grid_rate": 0.08}


def wall(camera, kind: str) -> Video:
    """A coloured wall on which a patch flickers, or a shadow of half the light goes from left to right; "mover": the
    same as the shadow, but a unit in front of the wall."""
    y, x = np.mgrid[: camera.height, : camera.width]
    uv = np.stack([x, y], -1).reshape(-1, 2) + 0.5
    points = camera.unproject(uv, plane_depth(camera).ravel()).reshape(camera.height, camera.width, 3)
    across, down = points[..., 0], points[..., 1]
    look = np.stack([np.sin(5 * across + k) * np.sin(7 * down + 2 * k) for k in range(3)], -1) * 60 + 140
    if kind == "mover":
        across = camera.centre[0] + 0.75 * (across - camera.centre[0])
    light = []
    for frame in range(FRAMES):
        place = 0.0 if kind == "flicker" else 1.8 * frame / (FRAMES - 1) - 0.9
        level = 0.7 + 0.3 * np.cos(np.pi * frame / 2) if kind == "flicker" else 0.5
        light.append(np.where((abs(across - place) < 0.4) & (abs(down) < 0.5), level, 1.0))
    rgb = (look * np.array(light)[..., None]).round().astype(np.uint8)
    return Video.of(camera, rgb, find_motion(rgb))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return -10 * np.log10(np.mean((one / 255 - other / 255) ** 2))


def test_a_change_on_a_surface_is_told_from_one_in_front_of_it():
    """A shadow is seen at the same place of the wall by all cameras, what is in front of it at different ones."""
    for kind, low, high in (("shadow", 0.8, 1.0), ("mover", 0.0, 0.1)):
        videos = [wall(camera, kind) for camera in CAMERAS]
        moving = [video.moving for video in videos]
        found = on_surface(videos, moving, [plane_depth(video.camera) for video in videos])
        assert [len(some) for some in found] == [mask.sum() for mask in moving]
        assert low <= np.concatenate(found).mean() <= high
    nowhere = on_surface(videos, moving, [np.zeros(video.plate.shape[:2]) for video in videos])
    assert not np.concatenate(nowhere).any(), "without a surface nothing is on it"


def changes(video: Video, row: int, column: int) -> np.ndarray:
    """How one pixel differs from the plate in each frame, at the usual exposure: [T, 3] whole numbers."""
    return np.rint(video.rgb[:, row, column] / video.gain).clip(0, 255).astype(int) - video.plate[row, column]


def changes_alike(videos: list[Video], index: int, row: int, column: int, depth: list[np.ndarray]) -> bool:
    """What :func:`on_surface` says of one pixel, written out."""
    camera, changed, agreed = videos[index].camera, 0, 0
    point = camera.unproject(np.array([[column + 0.5, row + 0.5]]), depth[index][row, column][None])
    away = [np.linalg.norm(video.camera.centre - camera.centre) for video in videos]
    for other in [k for k in np.argsort(away)[::-1] if k != index][:NEIGHBOURS]:
        (x, y), z = (part[0] for part in videos[other].camera.project(point))
        if not (z > 0 and 0 <= x < 72 and 0 <= y < 48):
            continue
        if abs(depth[other][int(y), int(x)] / z - 1) > SAME_SURFACE:
            continue
        mine, theirs = changes(videos[index], row, column), changes(videos[other], int(y), int(x))
        for frame, (one, two) in enumerate(zip(mine, theirs, strict=True)):
            if all(video.usable[frame] for video in videos) and max(abs(one).max(), abs(two).max()) > CHANGE:
                changed += 1
                agreed += abs(one - two).max() <= max(CHANGE, abs(one).max() // 3)
    return changed > 0 and agreed >= AGREEMENT * changed


def test_changes_are_compared_as_written_out_and_the_same_elsewhere(monkeypatch):
    generator = np.random.default_rng(0)
    videos = [wall(camera, kind) for camera, kind in zip(CAMERAS, ["shadow"] * 3 + ["mover", "shadow"], strict=True)]
    for video in videos:
        video.rgb[:] = np.clip(video.rgb + generator.integers(-12, 13, video.rgb.shape), 0, 255)
    videos[1].gain[5:7], videos[1].rgb[5:7] = 0.5, videos[1].rgb[5:7] // 2
    videos[3].usable[8], videos[3].rgb[8] = False, 0
    depth = [plane_depth(video.camera) for video in videos]
    depth[2][:, 30:] = 3.5
    moving = [video.moving for video in videos]
    found = on_surface(videos, moving, depth)
    for index, (mask, some) in enumerate(zip(moving, found, strict=True)):
        places = np.argwhere(mask)
        asked = range(index, len(places), 17)
        assert some[list(asked)].tolist() == [changes_alike(videos, index, *places[k], depth) for k in asked]
    assert 0.1 < torch.cat(found).float().mean() < 0.9
    with elsewhere(monkeypatch) as there:
        again = on_surface(videos, moving, depth, there)
        assert all(torch.equal(one.cpu(), two) for one, two in zip(again, found, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shadow", "flicker"])
def test_light_that_changes_does_not_tear_the_surface(kind: str):
    *videos, held_out = (wall(camera, kind) for camera in CAMERAS)
    depth = [(plane_depth(v.camera), np.ones(v.plate.shape[:2])) for v in videos]
    space = SpaceMap(choose_space(CAMERAS, [(2.0, 7.0)] * len(CAMERAS)))
    data = ImageSet([v.plate for v in videos], [v.camera for v in videos], depth=depth)
    options = replace(
        STATIC, steps=250, samples=80, density_components=8, colour_components=8, depth_weight=0.3, network_rate=0.01
    )
    static = train_static_field(data, None, space, replace(options, **SIZES), QUIET)
    options = replace(
        DYNAMIC, steps=250, samples=80, components=8, codes=12, rays=256, frames_per_step=6, network_rate=0.03,
        surface_weight=0.05,
    )  # fmt: skip
    dynamic = train_dynamic_field(videos, static, space, replace(options, **SIZES), QUIET)
    rgb, rendered = render_video(static, dynamic, space, held_out.camera, 100)
    moving = held_out.moving
    seen, plate = held_out.rgb[:, moving], held_out.plate[moving]
    assert psnr(rgb[:, moving], seen) > psnr(plate[None], seen) + 6, "the change of light is learnt"
    truth = plane_depth(held_out.camera)[moving]
    assert (abs(rendered[:, moving] / truth - 1) < 0.05).mean() > 0.9, "on the surface"
