"""The rendering stages: a variant as one camera sees it over time or along a camera path, and held-out photos of the
static model. Parameters after the star are files, named as in mixdepth/workflow/stages.py."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mixdepth import kernels
from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.space import Space
from mixdepth.compute.device import rendering_device, use_cpu
from mixdepth.errors import ConfigurationError
from mixdepth.fields.storage import load_model, model_header
from mixdepth.files.io import atomic_folder, new_npy, read_json, write_json
from mixdepth.progress import Progress
from mixdepth.rendering.mixed_view import quantised, render_video
from mixdepth.rendering.paths import Clock, Rig, frame_rate, make_path
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import render_static
from mixdepth.results import Renders
from mixdepth.scene.scene import Scene

DENSER = 1.25  # samples per ray, relative to training
LONGEST_BLEND = 16  # frames of two segments that are held in memory, to fade one into the other


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
    with new_npy(output.rgb, (*size, 3), np.uint8) as rgb, new_npy(output.depth, size, np.float32) as z:
        for segment, (index, local, share) in enumerate(parts):
            if not len(index):
                continue
            _, static, dynamic = load_model(model, segment)
            assert dynamic is not None, "a variant's model has a dynamic branch"
            static, dynamic = static.to(space.device), dynamic.to(space.device)
            for run in _runs(views, index, share):
                here, frames = slice(index[run.start], index[run.stop - 1] + 1), torch.from_numpy(local[run])
                view, gain = views[here.start], dynamic.exposure(trained)[frames] if camera else None
                if share[run.start] == 1:
                    render_video(static, dynamic, space, view, samples, frames, progress, (rgb[here], z[here]), gain)
                else:
                    after = render_video(static, dynamic, space, view, samples, frames, progress, gain=gain)
                    blend((rgb[here], z[here]), after, share[run])


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


def _runs(views: Sequence[Camera], index: np.ndarray, share: np.ndarray) -> Iterator[slice]:
    """Runs of ``index`` [K] that follow each other, are seen by the same camera and are all blended or all not: what
    stands still is rendered once for each. Blended ones are short, for they are held in memory."""
    start = 0
    for k in range(1, len(index) + 1):
        if (
            k == len(index)
            or index[k] != index[k - 1] + 1
            or views[index[k]] is not views[index[start]]
            or (share[k] == 1) != (share[start] == 1)
            or (share[k] < 1 and k - start == LONGEST_BLEND)
        ):
            yield slice(start, k)
            start = k


def blend(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], shares_of_after: np.ndarray
) -> None:
    """Fade ``before`` (rgb [T, H, W, 3], depth [T, H, W]) in place to ``after``, whose shares are given [T]. Depths,
    whose mean is no surface, change in the middle."""
    for index, share in enumerate(shares_of_after):
        mixed = (1 - share) * before[0][index].astype(np.float32) + share * after[0][index]
        before[0][index] = np.rint(mixed).astype(np.uint8)
        if share > 0.5:
            before[1][index] = after[1][index]


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
