"""The rendering stage: a variant as one camera sees it over time, and held-out photos of the static model."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.space import Space
from mixdepth.errors import UserError
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.storage import load_model
from mixdepth.io import write_npy
from mixdepth.progress import Progress
from mixdepth.rendering.compositing import median_depth
from mixdepth.rendering.mixed import shade_mixed
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid, render_static
from mixdepth.rendering.trace import sample_rays, shade_static

if TYPE_CHECKING:
    from mixdepth.config import Scene

CHUNK = 2048  # rays at once
BLOCK = 16  # frames at once
DENSER = 1.25  # samples per ray, relative to training


def to_uint8(rgb: torch.Tensor) -> np.ndarray:
    """Colours in 0..1 to uint8, rounded."""
    return rgb.clamp(0, 1).mul(255).round().byte().numpy()


@torch.no_grad()
def render_video(
    static: StaticField, dynamic: DynamicField, space: SpaceMap, camera: Camera, samples: int, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """All frames as ``camera`` sees them, in the mean tone.

    Rays that never meet the dynamic region are rendered once for all frames.

    Returns:
        rgb [T, H, W, 3] uint8 and z-depth [T, H, W] float32, finite, world units.
    """
    batch = CameraBatch([camera])
    frames, pixels = len(dynamic.density_frames), camera.width * camera.height
    rgb = np.empty((frames, pixels, 3), dtype=np.uint8)
    depth = np.empty((frames, pixels), dtype=np.float32)
    grid = pixel_grid(camera)
    progress = Progress(label, pixels)
    for index in torch.arange(pixels).split(CHUNK):
        zero = torch.zeros(len(index), dtype=torch.long)
        met = sample_rays(space, batch, zero, grid[index], samples, dynamic.occupancy)
        moves = torch.zeros(len(index), dtype=torch.bool)
        moves[met.rows] = True
        still, moving = index[~moves], index[moves]
        if len(still):
            traced = sample_rays(space, batch, zero[: len(still)], grid[still], samples, static.occupancy)
            shade = shade_static(static, traced)
            rgb[:, still] = to_uint8(static.tone(shade.rgb, None))
            depth[:, still] = median_depth(shade.weights, traced.z, traced.far).numpy()
        if len(moving):
            traced = sample_rays(
                space, batch, zero[: len(moving)], grid[moving], samples, static.occupancy, dynamic.occupancy
            )
            for block in torch.arange(frames).split(BLOCK):
                mixed = shade_mixed(static, dynamic, traced, block)
                z = traced.z[:, None].expand_as(mixed.weights).contiguous()
                far = traced.far[:, None].expand(len(moving), len(block))
                rgb[block[:, None], moving] = to_uint8(static.tone(mixed.rgb, None)).swapaxes(0, 1)
                depth[block[:, None], moving] = median_depth(mixed.weights, z, far).T.numpy()
        progress.update(len(index))
    size = (frames, camera.height, camera.width)
    return rgb.reshape(*size, 3), depth.reshape(size)


def render_camera(scene: "Scene", variant: str, camera: str, folder: Path, output: Path) -> None:
    """Write ``rgb.npy`` and ``depth.npy`` of a variant as the video camera ``camera`` sees it."""
    cameras = load_cameras(folder / "cameras.json")
    if camera not in cameras:
        raise UserError(f"{folder}/cameras.json: no camera {camera}; it has {', '.join(sorted(cameras))}")
    header, static, dynamic = load_model(folder / variant / "model.safetensors")
    assert dynamic is not None, "a variant's model has a dynamic branch"
    torch.set_num_threads(header["options"]["threads"])
    space = SpaceMap(Space.load(folder / "space.json"))
    samples = round(DENSER * header["samples"])
    rgb, depth = render_video(static, dynamic, space, cameras[camera], samples, f"render {scene.name} {variant}")
    output.mkdir(parents=True, exist_ok=True)
    write_npy(output / "rgb.npy", rgb)
    write_npy(output / "depth.npy", depth)


def render_photos(scene: "Scene", folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Held-out photos as the static model sees them: by stem, rgb [H, W, 3] uint8 and z-depth [H, W], world units."""
    cameras = load_cameras(folder / "photos.json")
    header, static, _ = load_model(folder / "static/model.safetensors")
    torch.set_num_threads(header["options"]["threads"])
    space = SpaceMap(Space.load(folder / "space.json"))
    progress = Progress(f"held-out photos {scene.name}", len(scene.test_photos))
    rendered = {}
    for stem in scene.test_photos:
        view = render_static(static, space, cameras[stem], round(DENSER * header["samples"]))
        rgb = static.tone(torch.from_numpy(view.rgb), None)
        rendered[stem] = (to_uint8(rgb.detach()), view.depth)
        progress.update()
    return rendered
