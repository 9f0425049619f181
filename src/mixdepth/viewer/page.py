"""viewer.html: a few rendered views with their depth as a relief to look around in, one file that needs nothing else.

Each frame of a view is one base64 line, which the page inflates (zlib, RFC 1950). It holds five planes of H x W bytes:
G, R - G, B - G and the low and high byte of the disparity's code, all of them as differences: to the frame before, and
of that to the pixel on the left. What stands still costs almost nothing, and colour and depth cannot come out of step.
"""

import base64
import itertools
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.errors import ConfigurationError, DamagedFile, listed
from mixdepth.exports.side_by_side import COLOURS, depth_range, frame_rate
from mixdepth.files.html import environment, policy
from mixdepth.files.images import resize
from mixdepth.files.io import atomic, read_json
from mixdepth.progress import Progress
from mixdepth.rendering.renders import open_renders
from mixdepth.scene.scene import Scene

LEVELS = 16383  # codes of disparity, spaced evenly from the farthest to the nearest depth of a view
# A pixel keeps its colour and its disparity until one has changed by more than this: models flicker in their last bits.
COLOUR_HOLD, DISPARITY_HOLD = 1, 8  # of 255, of LEVELS
BUDGET = 20_000_000  # bytes of the page's data
MAX_FRAMES = 256  # layers of a texture that every WebGL2 has
MAX_PIXELS = 64_000_000  # of all frames of all views; the page needs about 8 bytes for each
MAX_WIDTH = 2048  # pixels; textures that every WebGL2 has
SMALLEST = 32  # pixels of a picture's shorter side, whatever the budget


@dataclass(frozen=True)
class View:
    """One camera's renders, as the page shows them."""

    name: str
    camera: Camera  # at the size of the page
    rgb: np.ndarray  # [T, h, w, 3] uint8, as rendered
    depth: np.ndarray  # [T, h, w] float32, as rendered
    near: float  # smallest and largest z-depth of all frames, world units
    far: float


def write_viewer(
    scene: Scene, *, renders: Sequence[Path], cameras: Path, capture: Path, output: Path, budget: int = BUDGET
) -> None:
    """Write viewer.html from ``scene.video_variant``'s ``renders`` of ``scene.viewer_cameras``.

    Frames are left out beyond MAX_FRAMES; pictures are scaled down until the page's data fits into ``budget`` bytes.
    In memory are one frame at a time, and the page's data.

    Raises:
        UserError: renders are missing or damaged, or do not fit together.
    """
    posed = load_cameras(cameras)
    views = [_view(folder, name, posed) for name, folder in zip(scene.viewer_cameras, renders, strict=True)]
    counts = {view.name: len(view.rgb) for view in views}
    if len(set(counts.values())) != 1:
        raise DamagedFile(f"{renders[0].parent}: numbers of frames differ: {counts}. Render them again.")
    total = len(views[0].rgb)
    step = -(-total // MAX_FRAMES)
    views, lines = fitted(views, range(0, total, step), budget, f"viewer {scene.name}")
    fps = frame_rate(read_json(capture)["fps"], scene.config.frames.step, total)
    page = {
        "scene": scene.name,
        "variant": scene.video_variant,
        "fps": fps / step,
        "frames": len(lines[0]),
        "note": _note(views[0], total, step),
        "levels": LEVELS,
        "depths": depth_range(views[0].depth),
        "focus": focus(views[0]).tolist(),
        "up": up(views).tolist(),
        "views": [_about(view, scene) for view in views],
        "palette": (matplotlib.colormaps[COLOURS](np.arange(256), bytes=True)[:, :3]).ravel().tolist(),
    }
    # "<" would let a name end the element that holds the JSON.
    about = json.dumps(page, allow_nan=False).replace("<", "\\u003c")
    pages = environment("mixdepth.viewer")
    style, script = (pages.get_template(f"viewer.{kind}.j2").render() for kind in ("css", "js"))
    ours = {"style": style, "script": script, "policy": policy(style, script)}
    with atomic(output) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(pages.get_template("viewer.html.j2").generate(page=page, about=about, lines=lines, **ours))


def _view(folder: Path, name: str, cameras: dict[str, Camera]) -> View:
    """The renders below ``folder``, and the range of their depths."""
    if name not in cameras:
        raise ConfigurationError(f"{folder}: there is no camera {name} in cameras.json; it has {listed(cameras)}")
    rgb, depth = open_renders(folder)
    camera = cameras[name].resized(rgb.shape[2], rgb.shape[1])
    near = min(float(frame.min()) for frame in depth)
    far = max(float(frame.max()) for frame in depth)
    if not 0 < near <= far < math.inf:
        raise DamagedFile(f"{folder}/depth.npy: depths from {near} to {far}, expected positive ones. Render it again.")
    return View(name, camera, rgb, depth, near, far)


def fitted(
    views: Sequence[View], frames: range, budget: int, label: str = "viewer"
) -> tuple[list[View], list[list[str]]]:
    """The views at the largest size at which their frames fit into ``budget`` bytes; by view, a line for each frame."""
    pixels = len(frames) * sum(view.camera.width * view.camera.height for view in views)
    width = max(view.camera.width for view in views)
    scale = min(1.0, math.sqrt(MAX_PIXELS / pixels), MAX_WIDTH / width)
    count = len(frames) * len(views)
    while True:
        scaled = [_scaled(view, scale) for view in views]
        smallest = min(min(view.camera.width, view.camera.height) for view in scaled) <= SMALLEST
        progress = Progress(f"{label} {scaled[0].camera.width}x{scaled[0].camera.height}", count)
        lines: list[str] = []
        used = 0
        for line in itertools.chain.from_iterable(encode(view, frames) for view in scaled):
            lines.append(line)
            used += len(line)
            if used > budget and not smallest:
                break
            progress.update()
        else:
            return scaled, [lines[first : first + len(frames)] for first in range(0, count, len(frames))]
        scale *= 0.95 * math.sqrt(budget / used * len(lines) / count)


def _scaled(view: View, scale: float) -> View:
    width, height = (max(round(side * scale), 1) for side in (view.camera.width, view.camera.height))
    return View(view.name, view.camera.resized(width, height), view.rgb, view.depth, view.near, view.far)


def encode(view: View, frames: Sequence[int]) -> Iterator[str]:
    """The frames of a view, one base64 line each (see above); the first one stands for itself."""
    shape = view.camera.height, view.camera.width
    before = np.zeros((3, *shape), np.uint8), np.zeros(shape, np.uint16)
    for colours, codes in held(view, frames):
        red, green, blue = np.moveaxis(colours, -1, 0)
        planes = np.stack([green, red - green, blue - green])
        parts = _to_the_left(planes - before[0]), _to_the_left(codes - before[1])
        low, high = (parts[1] & 255).astype(np.uint8), (parts[1] >> 8).astype(np.uint8)
        packed = zlib.compress(parts[0].tobytes() + low.tobytes() + high.tobytes(), 9)
        yield base64.b64encode(packed).decode()
        before = planes, codes


def _to_the_left(array: np.ndarray) -> np.ndarray:
    """Differences to the pixel on the left, modulo the type's range."""
    return np.concatenate([array[..., :1], np.diff(array, axis=-1)], axis=-1)


def held(view: View, frames: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Colours [H, W, 3] uint8 and disparity's codes [H, W] uint16 of each frame, as the page stores them."""
    height, width = view.camera.height, view.camera.width
    # A mean of depths across an edge is no surface: depths are those of the pixel in the middle.
    rows, columns = (
        ((np.arange(small) + 0.5) * large / small).astype(int)
        for small, large in zip((height, width), view.depth.shape[1:], strict=True)
    )
    shown: tuple[np.ndarray, np.ndarray] | None = None
    for index in frames:
        colours = resize(np.ascontiguousarray(view.rgb[index]), (width, height))
        codes = quantised(view.depth[index][np.ix_(rows, columns)], view.near, view.far)
        if shown is not None:
            away = np.abs(colours.astype(np.int16) - shown[0]).max(axis=-1) > COLOUR_HOLD
            away |= np.abs(codes.astype(np.int32) - shown[1]) > DISPARITY_HOLD
            colours = np.where(away[..., None], colours, shown[0])
            codes = np.where(away, codes, shown[1])
        shown = colours, codes
        yield shown


def quantised(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """Codes of disparity, uint16: LEVELS at ``near``, 0 at ``far``."""
    span = max(1 / near - 1 / far, 1e-12)
    code = (1 / depth.astype(np.float64) - 1 / far) / span
    return np.rint(LEVELS * np.clip(code, 0, 1)).astype(np.uint16)


def focus(view: View) -> np.ndarray:
    """The point, [3], that the viewer turns around: on the axis of the view, at its middle's median depth."""
    frame = view.depth[0]
    height, width = frame.shape
    middle = frame[height // 4 : -(-3 * height // 4), width // 4 : -(-3 * width // 4)]
    return view.camera.centre + float(np.median(middle)) * view.camera.c2w[:3, 2]


def up(views: Sequence[View]) -> np.ndarray:
    """What is up, a unit vector [3]: the mean of the cameras' own."""
    mean = -sum((view.camera.c2w[:3, 1] for view in views), np.zeros(3))
    length = np.linalg.norm(mean)
    return mean / length if length > 1e-6 else -views[0].camera.c2w[:3, 1]


def _about(view: View, scene: Scene) -> dict[str, Any]:
    camera = view.camera
    return {
        "name": view.name,
        "heldOut": view.name in scene.test_cameras,
        "width": camera.width,
        "height": camera.height,
        **{key: float(getattr(camera, key)) for key in ("fx", "fy", "cx", "cy")},
        "c2w": camera.c2w.ravel().tolist(),
        "near": view.near,
        "far": view.far,
    }


def _note(view: View, total: int, step: int) -> str:
    """What the page leaves out; empty where it has everything."""
    parts = []
    if step > 1:
        parts.append({2: "every second frame", 3: "every third frame"}.get(step, f"every {step}th of {total} frames"))
    height, width = view.rgb.shape[1:3]
    if (view.camera.width, view.camera.height) != (width, height):
        parts.append(f"pictures scaled from {width}×{height} to {view.camera.width}×{view.camera.height}")
    return f"To keep this page small: {' and '.join(parts)}." if parts else ""
