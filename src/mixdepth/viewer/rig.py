"""What the live view shows beside the models: the rig, the sparse points and the rendered clouds over time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.formats.colmap_files import read_points
from mixdepth.cameras.space import Space
from mixdepth.errors import ConfigurationError
from mixdepth.rendering.renders import open_renders
from mixdepth.results import Renders
from mixdepth.scene.scene import Scene

if TYPE_CHECKING:
    import viser

RIG = "/rig"  # what all of it lies below in viser's tree
POINTS = 120_000  # of the clouds of one frame together: what a browser on a laptop plays
TRAINS, HELD_OUT, SPARSE = (38, 110, 190), (214, 96, 22), (110, 116, 124)  # colours that colour-blind people tell apart


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


class Surroundings:
    """Cameras, sparse points and clouds on the page."""

    def __init__(
        self,
        server: "viser.ViserServer",
        scene: Scene,
        cameras: Mapping[str, Camera],
        points: np.ndarray | None,
        clouds: Clouds | None,
    ):
        self.server, self.clouds = server, clouds
        self.frame = server.scene.add_frame(RIG, show_axes=False, visible=False)
        show_rig(server, scene, cameras)
        self.shown, self.cloud = -1, None
        if points is not None:
            colours = np.broadcast_to(np.array(SPARSE, np.uint8), points.shape)
            self._add("sparse points", points, colours, size_of(cameras))
        if clouds:
            self.cloud, self.shown = self._add("rendered cloud", *clouds.at(0), size_of(cameras)), 0

    def _add(self, name: str, points: np.ndarray, colours: np.ndarray, size: float) -> "viser.PointCloudHandle":
        return self.server.scene.add_point_cloud(
            f"{RIG}/{name}", points, colours, point_size=size, point_shape="circle"
        )

    def show(self, visible: bool, frame: int, size: float) -> None:
        """Show them or not, the clouds at ``frame`` (or their last one) with points of ``size``, world units."""
        self.frame.visible = visible
        if not (visible and self.clouds and self.cloud):
            return
        self.cloud.point_size = size
        if (wanted := min(frame, self.clouds.frames - 1)) != self.shown:
            self.shown = wanted
            points, colours = self.clouds.at(wanted)
            with self.server.atomic():
                self.cloud.points, self.cloud.colors = points, colours


def show_rig(server: "viser.ViserServer", scene: Scene, cameras: Mapping[str, Camera]) -> None:
    """Add a frustum with its name for every camera in use."""
    from viser import transforms

    up = -np.mean([camera.c2w[:3, 1] for camera in cameras.values()], axis=0)
    server.scene.set_up_direction(up / max(np.linalg.norm(up), 1e-9))
    for name in (name for name in scene.used_cameras if name in cameras):
        camera, held_out = cameras[name], name in scene.test_cameras
        server.scene.add_camera_frustum(
            f"{RIG}/cameras/{name}",
            fov=2 * np.arctan(camera.height / 2 / camera.fy),
            aspect=camera.width / camera.height,
            scale=15 * size_of(cameras),
            thickness=2.0,
            thickness_units="screen",
            color=HELD_OUT if held_out else TRAINS,
            wxyz=transforms.SO3.from_matrix(camera.c2w[:3, :3]).wxyz,
            position=camera.centre,
        )
        server.scene.add_label(f"{RIG}/cameras/{name}/name", f"{name} (held out)" if held_out else name)


def stand(server: "viser.ViserServer", start: Camera, cameras: Mapping[str, Camera], space: Space | None) -> None:
    """Have pages begin at the camera ``start``, looking at the middle of a model's ``space``; without a model a little
    behind and above it, so that the rig is seen too."""
    size, down, forward = size_of(cameras), start.c2w[:3, 1], start.c2w[:3, 2]
    away = 500 * size if space is None else 2 / (1 / space.near + 1 / space.far)
    back = size * (250 * forward + 90 * down) if space is None else np.zeros(3)
    server.initial_camera.position = tuple(start.centre - back)
    server.initial_camera.look_at = tuple(start.centre + away * forward)
    if space is not None:
        server.initial_camera.fov = 2 * math.atan(start.height / 2 / start.fy)


def size_of(cameras: Mapping[str, Camera]) -> float:
    """A small length, world units: a hundredth of the cameras' mean distance from their middle."""
    centres = np.array([camera.centre for camera in cameras.values()])
    return 0.01 * float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean()) or 0.01


def sparse_points(path: Path) -> np.ndarray | None:
    """The triangulated points, [P, 3] float32 world units; None before there are any."""
    if not path.is_file():
        return None
    points, views = read_points(path)
    # Any two images may agree by chance on a point far off; three hardly do.
    return points[views > 2].astype(np.float32)
