"""From numpy arrays to a rendered picture: four cameras see a wall, and a fifth between them is rendered.

.venv/bin/python examples/train_on_arrays.py picture.png     (seconds on one core)
"""

import sys

import numpy as np
from PIL import Image

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import choose_space
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import render_static
from mixdepth.train.data import ImageSet
from mixdepth.train.options import StaticOptions
from mixdepth.train.session import Session
from mixdepth.train.static import train_static_field


def camera_at(x: float) -> Camera:
    """A camera on the x axis that looks along z; sizes and intrinsics in pixels, the pose a camera-to-world matrix."""
    c2w = np.eye(4)
    c2w[0, 3] = x
    return Camera(64, 48, 60.0, 60.0, 32.0, 24.0, c2w)


def photo(camera: Camera) -> np.ndarray:
    """What a camera sees of a coloured wall at depth 4, [H, W, 3] uint8."""
    pixels = np.stack(np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5), axis=-1).reshape(-1, 2)
    wall = camera.unproject(pixels, np.full(len(pixels), 4.0))
    return (127 + 127 * np.sin(wall[:, [0, 1, 0]] * [3, 5, 8])).astype(np.uint8).reshape(48, 64, 3)


cameras = [camera_at(x) for x in (-0.9, -0.3, 0.3, 0.9)]
data = ImageSet([photo(camera) for camera in cameras], cameras)
space = SpaceMap(choose_space(cameras, bounds=[(3.0, 6.0)] * len(cameras)))  # nearest and farthest depth
options = StaticOptions(  # docs/configuration.md says under `static` what each of them means
    steps=150, resolution=48, start_resolution=16, density_components=4, colour_components=8, width=32,
    view_dependence=False, tone=False, samples=64, start_samples=32, batch_samples=16384, grid_rate=0.05,
    network_rate=0.005, total_variation=0.01, depth_loss="urf", depth_weight=0.0, depth_sigma=0.01,
    guided_samples=0, threads=1, seed=0, device="cpu", amp=False,
)  # fmt: skip
field = train_static_field(data, None, space, options, Session(None, "wall", {}))
view = render_static(field, space, camera_at(0.0), samples=64)
Image.fromarray((255 * view.rgb.clip(0, 1)).round().astype(np.uint8)).save(sys.argv[1])
