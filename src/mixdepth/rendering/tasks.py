"""The rendering stages: a variant as one camera sees it over time or along a camera path, and held-out photos of the
static model. Parameters after the star are files, named as in mixdepth/workflow/stages.py."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from mixdepth import kernels
from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.space import Space
from mixdepth.compute.device import rendering_device, use_cpu
from mixdepth.errors import ConfigurationError
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.storage import load_model, model_header
from mixdepth.files.io import atomic_folder, new_npy, read_json, write_json
from mixdepth.progress import Progress
from mixdepth.rendering.mixed_view import Part, quantised, render_parts, render_video
from mixdepth.rendering.paths import Clock, Rig, frame_rate, make_path
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import render_static
from mixdepth.results import Renders
from mixdepth.scene.scene import Scene

DENSER = 1.25  # samples per ray, relative to training
TOGETHER = 8  # segments whose dynamic branches are held in memory, and share what is rendered of the static one


def render_camera(
    scene: Scene, variant: str, camera: str, *, model: Path, cameras: Path, space: Path, output: Path
) -> None:
    """Write colour and depth of a variant as the video camera ``camera`` sees it, into the folder ``output``."""
    posed = load_cameras(cameras)
    if camera not in posed:
        raise ConfigurationError(f"{cameras}: no camera {camera}; it has {', '.join(sorted(posed))}")
    header = model_header(model)
    frames = np.arange(header["segments"][-1][1])
    label = f"render {scene.name} {variant}"
    with atomic_folder(output) as folder:
        _render(model, header, space, [posed[camera]] * len(frames), frames, Renders(folder), label, camera)


def render_path(
    scene: Scene,
    variant: str,
    path: str,
    *,
    model: Path,
    cameras: Path,
    space: Path,
    capture: Path,
    output: Path,
) -> None:
    """Write colour, depth, cameras (one per frame, with its ``time`` in frames of the capture), and frame rate and
    settings of a variant along the camera path ``path``, into the folder ``output``."""
    header = model_header(model)
    settings, whole = scene.path(path), Space.load(space)
    frames = header["segments"][-1][1]
    fps = frame_rate(read_json(capture)["fps"], scene.config.frames.step, frames)
    posed = load_cameras(cameras)
    default = (scene.test_cameras or scene.used_cameras)[0]
    rig = Rig(posed, scene.train_cameras, default, whole.near, whole.far, whole.origin)
    file = scene.data / settings["file"] if settings["file"] else None
    made = make_path(settings, rig, Clock(frames, fps), file)
    with atomic_folder(output) as folder:
        renders = Renders(folder)
        _render(model, header, space, made.cameras, made.times, renders, f"path {scene.name} {variant} {path}")
        save_cameras(renders.cameras, made.named(), {"time": made.times.tolist()})
        write_json(renders.path, {"path": path, "fps": made.fps, "capture_frames": frames, "settings": settings})


def _render(
    model: Path,
    header: dict,
    space_file: Path,
    views: Sequence[Camera],
    times: np.ndarray,
    output: Renders,
    label: str,
    camera: str | None = None,
) -> None:
    """Write colour and depth of one frame per view, each at its time [N] (in frames of the capture).

    Args:
        camera: the video camera that this is: its exposures are given back (of one that did not train, the mean of all
            that did). None: the usual exposure.
    """
    trained = header["cameras"].index(camera) if camera in header["cameras"] else None
    space = open_space(space_file, header)
    samples = round(DENSER * header["samples"])
    size = (len(views), views[0].height, views[0].width)
    parts = shares(header["segments"], times)
    progress = Progress(label, math.prod(size) // len(views) * sum(len(index) for index, _, _ in parts))
    static = load_model(model)[1].to(space.device)

    @lru_cache(maxsize=2)  # a camera that moves shows one segment, or two, frame after frame
    def branch(segment: int) -> DynamicField:
        dynamic = load_model(model, segment)[2]
        assert dynamic is not None, "a variant's model has a dynamic branch"
        return dynamic.to(space.device)

    def part(segment: int, first: int, frames: range) -> Part:
        index, local, share = (of[frames.start : frames.stop] for of in parts[segment])
        dynamic, times = branch(segment), torch.from_numpy(local)
        gain = dynamic.exposure(trained)[times] if camera else torch.ones(len(times), 3)
        return Part(dynamic, index - first, times, share, gain)

    with new_npy(output.rgb, (*size, 3), np.uint8) as rgb, new_npy(output.depth, size, np.float32) as z:
        for run in _runs(views):
            here = [range(*np.searchsorted(index, (run.start, run.stop))) for index, _, _ in parts]
            shown = [(segment, run.start, frames) for segment, frames in enumerate(here) if frames]
            for start in range(0, len(shown), TOGETHER):
                few = [part(*one) for one in shown[start : start + TOGETHER]]
                render_parts(static, few, space, views[run.start], samples, (rgb[run], z[run]), progress)


def shares(segments: Sequence[tuple[int, int]], times: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What each segment shows: which of the ``times`` [N] (index [K], ascending), its own time there [K], and its share
    [K] in the picture, over what the segments before it show; 1 where it alone is shown, or comes first.

    Whole times stay whole numbers (int64).
    """
    found, done = [], 0
    for first, last in segments:
        # Over the frames that it shares with what is done, the share rises evenly from 0 before the first to 1.
        ramp = (times - first + 1) / (done - first + 1) if first < done else np.ones(len(times))
        shown = (ramp > 0) & (times > first - 1) & (times < last)
        index = np.flatnonzero(shown)
        local = np.clip(times[index] - first, 0, last - first - 1)
        whole = (local == np.rint(local)).all()
        found.append((index, local.astype(np.int64) if whole else local, np.minimum(ramp[index], 1)))
        done = last
    return found


def _runs(views: Sequence[Camera]) -> Iterator[slice]:
    """Runs of frames that the same camera sees: what stands still is the same in all of them."""
    start = 0
    for end in range(1, len(views) + 1):
        if end == len(views) or views[end] is not views[start]:
            yield slice(start, end)
            start = end


def open_space(path: Path, header: dict) -> SpaceMap:
    """The space of a model with this header, where it is rendered: where it was trained, if that is here."""
    use_cpu(header["options"]["threads"])
    return SpaceMap(Space.load(path), rendering_device(header["options"].get("device", "cpu")))


def render_photos(scene: Scene, *, model: Path, photos: Path, space: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Held-out photos as the static model sees them: by stem, rgb [H, W, 3] uint8 and z-depth [H, W], world units."""
    cameras = load_cameras(photos)
    header, static, _ = load_model(model)
    mapped = open_space(space, header)
    static = static.to(mapped.device)
    progress = Progress(f"held-out photos {scene.name}", len(scene.test_photos))
    rendered = {}
    for stem in scene.test_photos:
        view = render_static(static, mapped, cameras[stem], round(DENSER * header["samples"]), yields=True)
        with torch.no_grad():
            rgb = static.tone(torch.from_numpy(view.rgb).to(mapped.device), None)
        rendered[stem] = (quantised(rgb).cpu().numpy(), view.depth)
        progress.update()
    return rendered


@kernels.uncompiled()
def render_depths(
    cameras: Mapping[str, Camera], frames: Sequence[int], *, model: Path, space: Path
) -> dict[str, np.ndarray]:
    """z-depth of a few frames of a variant as a few small ``cameras`` see them: by name [F, H, W] float32, world units.

    Where segments overlap, a frame is that of the segment whose middle is nearer, as :func:`render_camera` has it.
    """
    header = model_header(model)
    mapped, samples = open_space(space, header), round(DENSER * header["samples"])
    depths = {name: np.empty((len(frames), c.height, c.width), np.float32) for name, c in cameras.items()}
    middles = np.array([first + last - 1 for first, last in header["segments"]]) / 2
    segment = np.abs(np.asarray(frames)[:, None] - middles).argmin(axis=1)
    for index in np.unique(segment):
        _, static, dynamic = load_model(model, int(index))
        assert dynamic is not None, "a variant's model has a dynamic branch"
        static, dynamic = static.to(mapped.device), dynamic.to(mapped.device)
        here = (segment == index).nonzero()[0]
        local = torch.tensor([frames[i] - header["segments"][index][0] for i in here])
        for name, camera in cameras.items():
            depths[name][here] = render_video(static, dynamic, mapped, camera, samples, local)[1]
    return depths
