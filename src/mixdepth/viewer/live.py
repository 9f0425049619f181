"""`mixdepth view`: the rig, the sparse points and the rendered clouds over time, live in a browser, by viser."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.formats.colmap_files import read_points
from mixdepth.errors import ConfigurationError
from mixdepth.files.io import read_json
from mixdepth.rendering.renders import open_renders
from mixdepth.results import Renders, Results
from mixdepth.scene.scene import Scene
from mixdepth.viewer.guard import private_server

if TYPE_CHECKING:
    import viser

POINTS = 120_000  # of the clouds of one frame together: what a browser on a laptop plays
TRAINS, HELD_OUT, SPARSE = (38, 110, 190), (214, 96, 22), (110, 116, 124)  # colours that colour-blind people tell apart
IDLE_FPS, USUAL_FPS = 20.0, 12.0  # looks at the controls a second; speed where the capture has none
ALONE = 0.5  # seconds between two looks for somebody who looks


@dataclass(frozen=True)
class Clouds:
    """What a variant's renders show in space over time: of each camera the same pixels in every frame."""

    cameras: dict[str, Camera]
    rgb: dict[str, np.ndarray]  # [T, H, W, 3] uint8
    depth: dict[str, np.ndarray]  # [T, H, W] float32, world units
    pixels: dict[str, np.ndarray]  # [N] indices of the pixels that are shown

    @property
    def frames(self) -> int:
        """How many frames all of them have."""
        return min(len(rgb) for rgb in self.rgb.values())

    def at(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, 3] float32 (world units) and colours [N, 3] uint8 of all cameras together at ``frame``."""
        parts = [
            cloud(camera, self.rgb[name][frame], self.depth[name][frame], self.pixels[name])
            for name, camera in self.cameras.items()
        ]
        return np.concatenate([points for points, _ in parts]), np.concatenate([colours for _, colours in parts])


def cloud(camera: Camera, rgb: np.ndarray, depth: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What some pixels of a picture show, in the world.

    Args:
        camera: the picture's, at its size.
        rgb: [H, W, 3] uint8.
        depth: [H, W] z-depth, world units.
        pixels: [N] indices into H x W.

    Returns:
        points [N, 3] float32, world units, and colours [N, 3] uint8.
    """
    rows, columns = np.divmod(pixels, depth.shape[1])
    uv = np.stack([columns, rows], axis=-1) + 0.5
    points = camera.unproject(uv, depth[rows, columns].astype(np.float64))
    return points.astype(np.float32), rgb[rows, columns]


def open_clouds(folder: Path, cameras: Mapping[str, Camera], points: int = POINTS) -> Clouds | None:
    """The clouds of a variant whose renders are below ``folder``, at most ``points`` a frame; None without renders.

    Raises:
        UserError: renders are damaged, or not those of ``cameras``.
    """
    found = [path.name for path in sorted(folder.glob("*")) if Renders(path).depth.is_file()]
    if not found:
        return None
    if unknown := sorted({*found} - {*cameras}):
        raise ConfigurationError(
            f"{folder / unknown[0]}: there is no such camera in cameras.json; it has {', '.join(cameras)}"
        )
    renders = {name: open_renders(folder / name) for name in found}
    sized = {name: cameras[name].resized(rgb.shape[2], rgb.shape[1]) for name, (rgb, _) in renders.items()}
    pixels = {}
    for name, (_, depth) in renders.items():
        total = depth.shape[1] * depth.shape[2]
        # The same ones in every frame: what stands still does not shimmer.
        pixels[name] = np.sort(np.random.default_rng(0).permutation(total)[: points // len(found)])
    colours, depths = {name: rgb for name, (rgb, _) in renders.items()}, {name: z for name, (_, z) in renders.items()}
    return Clouds(sized, colours, depths, pixels)


def view_scene(scene: Scene, variant: str, results: Results, port: int) -> None:
    """Serve the scene on ``port`` of this machine (the next free one, where it is taken) until interrupted.

    Only who knows the address that is printed is shown it, see ``mixdepth.viewer.guard``.
    """
    cameras = load_cameras(results.cameras)
    clouds = open_clouds(results.renders(variant, scene.video_camera).folder.parent, cameras)
    fps = read_json(results.capture)["fps"] if results.capture.exists() else None
    server, address = private_server(f"mixdepth: {scene.name}", port)
    try:
        show_rig(server, scene, cameras)
        points = _sparse_points(results.sparse / "points3D.bin")
        if points is not None:
            shape = np.broadcast_to(np.array(SPARSE, np.uint8), points.shape)
            server.scene.add_point_cloud(
                "/sparse points", points, shape, point_size=_size(cameras), point_shape="circle"
            )
        told = f"{len(clouds.cameras)} rendered views of {variant}" if clouds else f"no renders of {variant} yet"
        print(f"{scene.name}: {len(cameras)} cameras, {0 if points is None else len(points)} points, {told}")
        print(f"{address} (for you alone; stop with Ctrl-C)", flush=True)
        _play(server, clouds, fps or USUAL_FPS, _size(cameras))
    finally:
        server.stop()


def show_rig(server: "viser.ViserServer", scene: Scene, cameras: Mapping[str, Camera]) -> None:
    """Add a frustum with its name for every camera in use, and start behind the video's camera."""
    from viser import transforms

    up = -np.mean([camera.c2w[:3, 1] for camera in cameras.values()], axis=0)
    server.scene.set_up_direction(up / max(np.linalg.norm(up), 1e-9))
    for name in (name for name in scene.used_cameras if name in cameras):
        camera, held_out = cameras[name], name in scene.test_cameras
        server.scene.add_camera_frustum(
            f"/cameras/{name}",
            fov=2 * np.arctan(camera.height / 2 / camera.fy),
            aspect=camera.width / camera.height,
            scale=15 * _size(cameras),
            thickness=2.0,
            thickness_units="screen",
            color=HELD_OUT if held_out else TRAINS,
            wxyz=transforms.SO3.from_matrix(camera.c2w[:3, :3]).wxyz,
            position=camera.centre,
        )
        server.scene.add_label(f"/cameras/{name}/name", f"{name} (held out)" if held_out else name)
    start = cameras.get(scene.video_camera, next(iter(cameras.values())))
    # A little behind and above it, so that the rig is seen too.
    server.initial_camera.position = tuple(start.centre - _size(cameras) * (250 * start.c2w[:3, 2] - 90 * up))
    server.initial_camera.look_at = tuple(start.centre + 500 * _size(cameras) * start.c2w[:3, 2])


def _size(cameras: Mapping[str, Camera]) -> float:
    """A small length, world units: a hundredth of the cameras' mean distance from their middle."""
    centres = np.array([camera.centre for camera in cameras.values()])
    return 0.01 * float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean()) or 0.01


def _sparse_points(path: Path) -> np.ndarray | None:
    """The triangulated points, [P, 3] float32 world units; None before there are any."""
    if not path.is_file():
        return None
    points, views = read_points(path)
    # Any two images may agree by chance on a point far off; three hardly do.
    return points[views > 2].astype(np.float32)


def _play(server: "viser.ViserServer", clouds: Clouds | None, fps: float, size: float) -> None:
    """Do what the controls say until interrupted, while somebody looks."""
    if clouds is None:
        threading.Event().wait()
        return
    slider = server.gui.add_slider("Frame", 0, max(clouds.frames - 1, 1), 1, 0)
    playing = server.gui.add_checkbox("Play", True)
    speed = server.gui.add_slider("Frames per second", 1, 60, 1, min(max(round(fps), 1), 60))
    point = server.gui.add_slider("Point size", 0.25 * size, 8 * size, 0.25 * size, 1.5 * size)
    points, colours = clouds.at(0)
    handle = server.scene.add_point_cloud(
        "/rendered cloud", points, colours, point_size=1.5 * size, point_shape="circle"
    )
    shown = 0
    while True:
        if not server.get_clients():
            time.sleep(ALONE)
            continue
        time.sleep(1 / (within(speed) if playing.value else IDLE_FPS))
        if playing.value:
            # viser's setter does not follow its getter, so that mypy misses it.
            slider.value = (int(within(slider)) + 1) % clouds.frames  # type: ignore[misc]
        handle.point_size = within(point)
        if (wanted := min(int(within(slider)), clouds.frames - 1)) != shown:
            shown = wanted
            points, colours = clouds.at(shown)
            with server.atomic():
                handle.points, handle.colors = points, colours


def within(slider: "viser.GuiSliderHandle") -> float:
    """The slider's value; where a page sent one beyond its ends, that end."""
    return min(max(slider.value, slider.min), slider.max)
