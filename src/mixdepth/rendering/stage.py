"""The rendering stage: a variant as one camera sees it over time, and held-out photos of the static model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mixdepth import kernels
from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.space import Space
from mixdepth.device import rendering_device
from mixdepth.errors import UserError
from mixdepth.fields.storage import load_model
from mixdepth.io import new_npy
from mixdepth.progress import Progress
from mixdepth.rendering.mixed_view import quantised, render_video
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import render_static

if TYPE_CHECKING:
    from mixdepth.config import Scene

DENSER = 1.25  # samples per ray, relative to training


def render_camera(scene: "Scene", variant: str, camera: str, folder: Path, output: Path) -> None:
    """Write ``rgb.npy`` and ``depth.npy`` of a variant as the video camera ``camera`` sees it."""
    cameras = load_cameras(folder / "cameras.json")
    if camera not in cameras:
        raise UserError(f"{folder}/cameras.json: no camera {camera}; it has {', '.join(sorted(cameras))}")
    model = folder / variant / "model.safetensors"
    header = load_model(model)[0]
    space = _open_space(folder, header)
    view, samples, label = cameras[camera], round(DENSER * header["samples"]), f"render {scene.name} {variant}"
    size = (header["segments"][-1][1], view.height, view.width)
    with new_npy(output / "rgb.npy", (*size, 3), np.uint8) as rgb, new_npy(output / "depth.npy", size, np.float32) as z:
        done = 0
        for index, (first, last) in enumerate(header["segments"]):
            _, static, dynamic = load_model(model, index)
            assert dynamic is not None, "a variant's model has a dynamic branch"
            static, dynamic = static.to(space.device), dynamic.to(space.device)
            if first < done:
                frames = torch.arange(done - first)
                _blend((rgb[first:done], z[first:done]), render_video(static, dynamic, space, view, samples, frames))
            rest = slice(max(first, done), last)
            frames = torch.arange(rest.start - first, last - first)
            render_video(static, dynamic, space, view, samples, frames, label, (rgb[rest], z[rest]))
            done = last


def _blend(before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]) -> None:
    """Fade ``before`` (rgb [T, H, W, 3], depth [T, H, W]) in place to ``after``. Depths, whose mean is no surface,
    change in the middle."""
    for index, share in enumerate(np.linspace(0, 1, len(after[0]) + 2)[1:-1]):
        mixed = (1 - share) * before[0][index].astype(np.float32) + share * after[0][index]
        before[0][index] = np.rint(mixed).astype(np.uint8)
        if share > 0.5:
            before[1][index] = after[1][index]


def _open_space(folder: Path, header: dict) -> SpaceMap:
    """The space of a model with this header, where it is rendered: where it was trained, if that is here."""
    torch.set_num_threads(header["options"]["threads"])
    return SpaceMap(Space.load(folder / "space.json"), rendering_device(header["options"].get("device", "cpu")))


def render_photos(scene: "Scene", folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Held-out photos as the static model sees them: by stem, rgb [H, W, 3] uint8 and z-depth [H, W], world units."""
    cameras = load_cameras(folder / "photos.json")
    header, static, _ = load_model(folder / "static/model.safetensors")
    space = _open_space(folder, header)
    static = static.to(space.device)
    progress = Progress(f"held-out photos {scene.name}", len(scene.test_photos))
    rendered = {}
    for stem in scene.test_photos:
        view = render_static(static, space, cameras[stem], round(DENSER * header["samples"]))
        with torch.no_grad():
            rgb = static.tone(torch.from_numpy(view.rgb).to(space.device), None)
        rendered[stem] = (quantised(rgb).cpu().numpy(), view.depth)
        progress.update()
    return rendered


@kernels.uncompiled()
def render_depths(
    variant: str, cameras: Mapping[str, Camera], frames: Sequence[int], folder: Path
) -> dict[str, np.ndarray]:
    """z-depth of a few frames of a variant as a few small ``cameras`` see them: by name [F, H, W] float32, world units.

    Where segments overlap, a frame is that of the segment whose middle is nearer, as :func:`render_camera` has it.
    """
    model = folder / variant / "model.safetensors"
    header = load_model(model)[0]
    space, samples = _open_space(folder, header), round(DENSER * header["samples"])
    depths = {name: np.empty((len(frames), c.height, c.width), np.float32) for name, c in cameras.items()}
    middles = np.array([first + last - 1 for first, last in header["segments"]]) / 2
    segment = np.abs(np.asarray(frames)[:, None] - middles).argmin(axis=1)
    for index in np.unique(segment):
        _, static, dynamic = load_model(model, int(index))
        assert dynamic is not None, "a variant's model has a dynamic branch"
        static, dynamic = static.to(space.device), dynamic.to(space.device)
        here = (segment == index).nonzero()[0]
        local = torch.tensor([frames[i] - header["segments"][index][0] for i in here])
        for name, camera in cameras.items():
            depths[name][here] = render_video(static, dynamic, space, camera, samples, local)[1]
    return depths
