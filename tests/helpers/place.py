"""A small rendered place that tests find the cameras of: a textured wall with a textured board before it."""

from pathlib import Path

import numpy as np
from PIL import Image

from helpers.tiny import tiny_config, write_config
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens
from mixdepth.frames.encode import write_video

OPTIONS = {
    "camera_model": "SIMPLE_PINHOLE",
    "share_intrinsics": "exif",
    "reference_frames": 1,
    "ladder": True,
    "max_features": 2000,
    "peak_threshold": 0.0066667,
    "upscale_to": 200,
    "max_reprojection_error": 2.0,
    "min_angle": 1.5,
    "seed": 0,
}
WIDTH, HEIGHT, FOCAL = 200, 150, 190.0
NAMES = [f"cam{number:02d}" for number in range(4)]


def place_camera(number: int) -> Camera:
    """Cameras on an arc that look at (0, 0, 5)."""
    angle = 0.13 * (number - 2)
    c2w = np.eye(4)
    c2w[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    c2w[:3, 3] = [-5 * np.sin(angle), 0.15 * (number % 2), 5 - 5 * np.cos(angle)]
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, c2w)


def place_view(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A textured wall at z = 5.5 + x/4 with a textured board at z = 4 before it: image [H, W] uint8 and z-depth."""
    grid = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1).reshape(-1, 2)
    direction = camera.unproject(grid, np.ones(len(grid))) - camera.centre
    origin = camera.centre
    wall = (5.5 + origin[0] / 4 - origin[2]) / (direction[:, 2] - direction[:, 0] / 4)
    board = (4 - origin[2]) / direction[:, 2]
    on_board = np.abs(origin[:2] + board[:, None] * direction[:, :2]).max(axis=1) < 0.8
    depth = np.where(on_board, board, wall)
    at = (origin + depth[:, None] * direction)[:, :2] + np.where(on_board, 40, 10)[:, None]
    # Bilinear look-ups of random tables at three scales.
    colour = np.zeros(len(at))
    for scale, seed in ((3, 0), (8, 1), (16, 2)):
        table = np.random.default_rng(seed).uniform(size=(1024, 1024))
        cell = np.floor(at * scale).astype(int)
        fx, fy = (at * scale - cell).T
        x, y = cell.T
        colour += (table[y, x] * (1 - fx) + table[y, x + 1] * fx) * (1 - fy)
        colour += (table[y + 1, x] * (1 - fx) + table[y + 1, x + 1] * fx) * fy
    return (colour.reshape(HEIGHT, WIDTH) * 85).astype(np.uint8), depth.reshape(HEIGHT, WIDTH)


def write_place(folder: Path) -> Path:
    """Write cam00.png ... cam03.png and the photo cam04.jpg into ``folder``."""
    for number in range(5):
        image = Image.fromarray(place_view(place_camera(number))[0])
        image.save(folder / (f"cam{number:02d}.png" if number < 4 else f"cam{number:02d}.jpg"), quality=95)
    return folder


def write_place_capture(folder: Path) -> Path:
    """Four videos of the place, in which a red square moves before the board, and three photos, as scene ``x``."""
    data = folder / "data" / "x"
    for kind in ("videos", "photos"):
        (data / kind).mkdir(parents=True)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    for number, name in enumerate(NAMES):
        camera, frames = place_camera(number), []
        for frame in range(4):
            image = np.repeat(place_view(camera)[0][..., None], 3, axis=2)
            (x, y) = camera.project(np.array([[-0.6 + 0.3 * frame, 0.2, 3.6]]))[0][0]
            image[(abs(u - x) < 14) & (abs(v - y) < 14)] = (220, 30, 30)
            frames.append(image)
        write_video(frames, data / "videos" / f"{name}.mp4", 30)
    for name, number in (("a", -1), ("b", 4), ("c", 5)):
        Image.fromarray(place_view(place_camera(number))[0]).save(data / "photos" / f"{name}.jpg", quality=95)
    colmap = {"max_features": 2000, "upscale_to": 200, "max_reprojection_error": 2.0}
    write_config(folder, tiny_config(poses={"source": "colmap"}, colmap=colmap))
    return folder


def place_images(folder: Path) -> dict[str, Path]:
    """The images of the place by COLMAP's name, the photo last."""
    images = {f"cameras/{name}.png": folder / f"{name}.png" for name in NAMES}
    return images | {"photos/cam04.jpg": folder / "cam04.jpg"}


def place_lens() -> Lens:
    """The lens of every camera of the place."""
    return Lens("SIMPLE_PINHOLE", WIDTH, HEIGHT, (FOCAL, WIDTH / 2, HEIGHT / 2))


def true_cameras() -> dict[str, tuple[Lens, np.ndarray]]:
    """Lens and c2w of the video cameras, by COLMAP's name."""
    return {f"cameras/{name}.png": (place_lens(), place_camera(number).c2w) for number, name in enumerate(NAMES)}


def noise_image(path: Path, seed: int) -> Path:
    """An image that no other matches."""
    noise = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path
