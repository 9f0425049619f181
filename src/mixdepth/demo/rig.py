"""Where the demo's five video cameras and twelve photos are taken from."""

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.demo.solids import Vector, unit

WIDTH, HEIGHT, FOCAL = 320, 240, 280.0  # pixels; all images are alike, principal point in the middle

# Position, point looked at (units: x right, y up, z towards the viewer) and roll (its tangent).
VIDEO_VIEWS: dict[str, tuple[Vector, Vector, float]] = {
    "cam00": ((0.05, 0.34, -0.02), (0.05, -0.35, -5.6), 0.00),
    "cam01": ((-1.25, 0.18, -0.20), (-0.15, -0.35, -5.6), 0.02),
    "cam02": ((-0.42, 0.55, 0.00), (0.00, -0.40, -5.6), -0.01),
    "cam03": ((0.45, 0.08, 0.02), (0.05, -0.30, -5.6), 0.01),
    "cam04": ((1.25, 0.45, -0.18), (0.20, -0.38, -5.6), -0.02),
}

# Photos reach beyond the cameras and vary in distance, height and roll: that is what makes self-calibration strong.
PHOTO_VIEWS: dict[str, tuple[Vector, Vector, float]] = {
    "photo01.jpg": ((-1.95, 0.30, -0.70), (-0.30, -0.40, -5.6), 0.03),
    "photo02.jpg": ((-1.45, 1.10, 0.20), (-0.10, -0.50, -5.6), -0.08),
    "photo03.jpg": ((-0.90, -0.35, -0.10), (-0.10, -0.20, -5.6), 0.25),
    "photo04.jpg": ((-0.65, 0.90, -1.20), (-0.40, -0.60, -5.8), 0.00),
    "photo05.jpg": ((-0.25, -0.10, 0.90), (0.10, -0.30, -5.6), -0.40),
    "photo06.jpg": ((0.25, 1.30, -0.20), (0.10, -0.70, -5.6), 0.10),
    "photo07.jpg": ((0.30, -0.45, -0.60), (0.20, -0.10, -5.6), 0.00),
    "photo08.jpg": ((0.75, 0.70, 0.60), (0.20, -0.40, -5.6), 0.60),
    "photo09.jpg": ((0.95, 0.15, -1.10), (0.50, -0.50, -5.8), -0.06),
    "photo10.jpg": ((1.50, 1.00, -0.10), (0.30, -0.60, -5.6), 0.07),
    "photo11.jpg": ((1.70, -0.20, -0.30), (0.20, -0.30, -5.6), -0.20),
    "photo12.jpg": ((2.10, 0.40, -0.80), (0.40, -0.40, -5.6), 0.00),
}


def view(position: Vector, target: Vector, roll: float) -> Camera:
    """The demo's camera at ``position`` looking at ``target``, turned about its axis by a tangent of ``roll``."""
    forward = unit(np.subtract(target, position).astype(np.float64))
    right = unit(np.array([-forward[2], 0.0, forward[0]]))
    down = np.cross(forward, right)
    cosine = 1 / np.sqrt(1 + roll * roll)
    c2w = np.eye(4)
    c2w[:3, 0] = cosine * right + roll * cosine * down
    c2w[:3, 1] = cosine * down - roll * cosine * right
    c2w[:3, 2] = forward
    c2w[:3, 3] = position
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, c2w)


VIDEO_CAMERAS: dict[str, Camera] = {name: view(*placed) for name, placed in VIDEO_VIEWS.items()}
PHOTO_CAMERAS: dict[str, Camera] = {name: view(*placed) for name, placed in PHOTO_VIEWS.items()}


def pixel_rays(camera: Camera, place: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Rays through the point ``place`` (x, y in 0..1) of every pixel, in row order.

    Returns:
        origin [3, 1] and direction [3, H * W], float32; the directions have a z of 1 in the camera's frame.
    """
    x = (np.arange(camera.width) + place[0] - camera.cx) / camera.fx
    y = (np.arange(camera.height) + place[1] - camera.cy) / camera.fy
    right, down, forward = (camera.c2w[:3, axis, None, None] for axis in range(3))
    direction = right * x[None, None, :] + down * y[None, :, None] + forward
    return camera.centre[:, None].astype(np.float32), direction.reshape(3, -1).astype(np.float32)
