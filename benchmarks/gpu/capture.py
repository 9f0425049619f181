"""The benchmark's capture: a room with balls in it, three of which move, ray traced, with exact depth.

World: x right, y down, z forward. Cameras stand in two rows, as those of N3DV do.
"""

import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from findings import Found
from torch import Tensor

from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.space import choose_space
from mixdepth.errors import UserError
from mixdepth.frames.motion import TOLERANCE, Motion, deviation, part_of
from mixdepth.frames.store import MOVING_STD
from mixdepth.progress import Progress
from mixdepth.rendering.mixed_view import quantised
from mixdepth.rendering.rays import CameraBatch
from mixdepth.rendering.static_view import pixel_grid

HELD_OUT = "cam00"
SIZE, SMALL = (20, 300, 1352, 1014), (5, 8, 96, 72)  # cameras, frames, width, height
SUB_PIXELS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
SPARSE = 1500  # sparse depths per camera, with 0.5 % of noise

WALLS = ((1, 1.3), (1, -2.0), (0, -3.5), (0, 3.5), (2, 6.5))  # (axis, its value there)
NEAREST = 2.4  # z-depth that nothing that moves comes nearer than
BALLS = [
    (-1.6, 0.7, 4.6, 0.6),
    (1.9, 0.5, 5.2, 0.8),
    (0.3, 0.9, 5.6, 0.4),
    (-2.6, 0.3, 5.8, 1.0),
    (2.7, 0.95, 3.9, 0.35),
]


def movers(share: float) -> list[tuple[float, float, float, float, float]]:
    """(x, y, z, radius, turn) of what moves, after ``share`` of the capture."""
    turn = 2 * math.pi * share
    return [
        (2.0 * math.sin(turn), 0.75, 4.2 + 0.5 * math.cos(turn), 0.55, 3 * turn),
        (1.5 * math.cos(turn + 1), -0.6 + 0.3 * math.sin(3 * turn), 4.8, 0.35, -2 * turn),
        (-0.6 + 0.4 * math.sin(2 * turn), -0.1, 3.2 + 0.3 * math.sin(turn), 0.2, 5 * turn),
    ]


def texture(points: Tensor, seed: int) -> Tensor:
    """Colours [N, 3] in 0..1 at points [N, 3]: waves of 8 cm to 1.5 m, and checks with hard edges."""
    draw = torch.Generator().manual_seed(seed)
    length = torch.logspace(math.log10(0.08), math.log10(1.5), 10)
    waves = torch.nn.functional.normalize(torch.randn(3, 10, generator=draw), dim=0) * 2 * math.pi / length
    phase, colours = 6.3 * torch.rand(10, generator=draw), torch.randn(10, 3, generator=draw) * (length[:, None] ** 0.5)
    value = torch.sin(points @ waves.to(points) + phase.to(points)) @ colours.to(points)
    checks = torch.sign(torch.sin(5 * points + seed).prod(-1, keepdim=True))
    return torch.sigmoid(0.4 * value + 0.3 * checks)


def shade(points: Tensor, normal: Tensor, seed: int, local: Tensor | None = None) -> Tensor:
    """Colours [N, 3] in 0..1 of a surface under one lamp; ``local``: where the texture is looked up, if it turns."""
    lamp = torch.nn.functional.normalize(points.new_tensor([1.0, -4.0, 2.0]) - points, dim=-1)
    return texture(points if local is None else local, seed) * (
        0.45 + 0.55 * (lamp * normal).sum(-1, keepdim=True).abs()
    )


def hit_ball(origin: Tensor, direction: Tensor, ball: tuple[float, ...]) -> Tensor:
    """z-depth [N] of the first hit of rays from ``origin`` [3] along ``direction`` [N, 3], infinite without."""
    to = origin - origin.new_tensor(ball[:3])
    a, b, c = direction.square().sum(-1), direction @ to, to.square().sum() - ball[3] ** 2
    root = b * b - a * c
    return torch.where(root > 0, (-b - root.clamp_min(0).sqrt()) / a, torch.inf)


class Shot:
    """One sub-pixel of one camera's view: what stands still is seen once."""

    def __init__(self, camera: Camera, place: tuple[float, float], device: torch.device):
        uv = pixel_grid(camera, device) - 0.5 + torch.tensor(place, device=device, dtype=torch.float64)
        self.origin, self.direction = (
            x.float()
            for x in CameraBatch([camera], device).rays(torch.zeros(len(uv), dtype=torch.long, device=device), uv)
        )
        self.origin = self.origin[0]
        self.depth = torch.full_like(self.direction[:, 0], torch.inf)
        self.light = torch.zeros_like(self.direction)
        for seed, (axis, value) in enumerate(WALLS):
            z = (value - self.origin[axis]) / self.direction[:, axis]
            normal = torch.zeros(3, device=device)
            normal[axis] = 1.0
            self._add(torch.where(z > 0, z, torch.inf), lambda p, n=normal, s=seed: shade(p, n.expand_as(p), s))
        for seed, ball in enumerate(BALLS):
            self._add(hit_ball(self.origin, self.direction, ball), lambda p, b=ball, s=seed: _shade_ball(p, b, 20 + s))

    def _add(self, z: Tensor, shaded: Callable[[Tensor], Tensor]) -> None:
        here = (z < self.depth).nonzero().squeeze(1)
        self.depth[here] = z[here]
        self.light[here] = shaded(self.origin + z[here, None] * self.direction[here])

    def frame(self, share: float) -> tuple[Tensor, Tensor]:
        """Colours [N, 3] in 0..1 and z-depth [N] with what moves."""
        still = self.depth, self.light
        self.depth, self.light = self.depth.clone(), self.light.clone()
        for seed, ball in enumerate(movers(share)):
            z = hit_ball(self.origin, self.direction, ball)
            self._add(z, lambda p, b=ball, s=seed: _shade_ball(p, b, 40 + s))
        seen, (self.depth, self.light) = (self.light, self.depth), still
        return seen


def _shade_ball(points: Tensor, ball: tuple[float, ...], seed: int) -> Tensor:
    """Colours of a ball (x, y, z, radius), which may have turned about its y axis."""
    local = points - points.new_tensor(ball[:3])
    turned = local
    if len(ball) > 4:
        c, s = math.cos(ball[4]), math.sin(ball[4])
        turned = local @ points.new_tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return shade(points, local / ball[3], seed, turned)


def rig(count: int, width: int, height: int) -> dict[str, Camera]:
    """Cameras in two rows that look at the middle of the room, as N3DV's do; the held-out one is in the middle."""
    places = [
        ((index // 2) / max((count - 1) // 2, 1) * 2.4 - 1.2, -0.35 + 0.5 * (index % 2)) for index in range(count)
    ]
    places.sort(key=lambda place: abs(place[0]))
    return {f"cam{index:02d}": aimed(x, y, width, height) for index, (x, y) in enumerate(places)}


def aimed(x: float, y: float, width: int, height: int) -> Camera:
    """A camera at (x, y, 0) that looks at (0, 0.2, 4.5)."""
    eye = np.array([x, y, 0.0])
    z = np.array([0.0, 0.2, 4.5]) - eye
    z /= np.linalg.norm(z)
    right = np.cross([0.0, 1.0, 0.0], z)
    right /= np.linalg.norm(right)
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = np.stack([right, np.cross(z, right), z], axis=1), eye
    focal = 0.54 * width
    return Camera(width, height, focal, focal, width / 2, height / 2, c2w)


def place_for(name: str, size: tuple[int, int, int, int]) -> Path:
    """A folder for a capture: where it is already, else in memory if that stays half empty, else in the temporary one.

    Raises:
        UserError: the capture fits nowhere.
    """
    memory, temporary = Path("/dev/shm"), Path(tempfile.gettempdir())
    for place in (memory, temporary):
        if (place / name).is_dir():
            return place / name
    needed = 3 * math.prod(size)
    if memory.is_dir() and shutil.disk_usage(memory).free > 2 * needed:
        return memory / name
    if (free := shutil.disk_usage(temporary).free) < 1.1 * needed:
        raise UserError(
            f"{temporary}: {free / 1e9:.1f} GB are free, and {size[0]} cameras need {1.1 * needed / 1e9:.1f}; take"
            " fewer (--cameras), or set TMPDIR to a folder with room"
        )
    return temporary / name


def make_data(folder: Path, size: tuple[int, int, int, int], device: torch.device) -> Found:
    """Write cameras, frame stores, sparse depths and the held-out camera's truth; what to tell of it."""
    count, frames, width, height = size
    yield "capture", f"{count} cameras x {frames} frames of {width} x {height} in {folder}"
    folder.mkdir(parents=True, exist_ok=True)
    cameras = rig(count, width, height)
    save_cameras(folder / "cameras.json", cameras)
    bounds = []
    progress = Progress("data", count)
    for index, (name, camera) in enumerate(cameras.items()):
        shots = [Shot(camera, place, device) for place in SUB_PIXELS]
        pictures = torch.empty(frames, height * width, 3, dtype=torch.uint8, device=device)
        for frame in range(frames):
            light = sum(shot.frame(frame / frames)[0] for shot in shots) / len(shots)
            pictures[frame] = quantised(light)
        middle = Shot(camera, (0.5, 0.5), device)
        write_frames(folder / "frames" / name, pictures.view(frames, height, width, 3))
        if name == HELD_OUT:
            moved = write_truth(folder / "truth", middle, scored(frames), frames, (height, width))
            yield "share of the held-out camera that moves", moved
        else:
            bounds.append((min(float(middle.depth.min()), NEAREST), float(middle.depth.max())))
            write_sparse(folder / "sparse" / f"{name}.npz", middle.depth.cpu().numpy(), width, index)
        progress.update()
    choose_space([c for n, c in cameras.items() if n != HELD_OUT] + [cameras[HELD_OUT]], bounds).save(
        folder / "space.json"
    )


def write_frames(folder: Path, pictures: Tensor) -> None:
    """Frames ``pictures`` [T, H, W, 3] uint8, rgb.npy, and what moves in them, motion.npz and moving.npy: their light
    is steady and they have no noise, so that the device finds it at once."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "rgb.npy", pictures.cpu().numpy(), allow_pickle=False)
    count, size = len(pictures), pictures.shape[1:3]
    flat, median = pictures.flatten(1), pictures[0].flatten().clone()
    changes = (flat != flat[0]).any(0).nonzero().squeeze(1)
    for part in changes.split(1 << 20):
        ordered = flat[:, part].sort(0).values.int()
        median[part] = ((ordered[(count - 1) // 2] + ordered[count // 2] + 1) // 2).byte()
    plate, part = median.view(pictures.shape[1:]), part_of(count)
    support, parts = torch.zeros(size, device=plate.device), np.zeros(size, np.uint32)
    for number in range(part[-1] + 1):
        frames = pictures[part == number]
        squares = torch.zeros(size, device=plate.device)
        for picture in frames:
            apart = picture.float() - plate
            support += (apart.abs().amax(-1) <= TOLERANCE) / count
            squares += (apart / 255).square().mean(-1)
        parts |= (deviation(squares.cpu().numpy(), len(frames), 0.0) > MOVING_STD) * np.uint32(1 << number)
    light = np.ones((count, 3), np.float32), np.ones(count, bool)
    Motion(plate.cpu().numpy(), support.cpu().numpy(), parts, *light, noise=0.0).save(folder / "motion.npz")
    colours = pictures[:, torch.from_numpy(parts != 0).to(pictures.device)].transpose(0, 1)
    np.save(folder / "moving.npy", colours.contiguous().cpu().numpy(), allow_pickle=False)


def scored(frames: int) -> list[int]:
    """The frames that scores are taken at: at most 30, evenly spaced."""
    return list(range(0, frames, max(frames // 30, 1)))


def write_truth(folder: Path, shot: Shot, chosen: list[int], frames: int, size: tuple[int, int]) -> float:
    """depth.npy [K, H, W] float32 and moving.npy [K, H, W] bool at the chosen frames; the mean share that moves."""
    folder.mkdir(parents=True, exist_ok=True)
    depth = torch.stack([shot.frame(frame / frames)[1] for frame in chosen])
    moving = depth < shot.depth
    np.save(folder / "depth.npy", depth.view(-1, *size).cpu().numpy(), allow_pickle=False)
    np.save(folder / "moving.npy", moving.view(-1, *size).cpu().numpy(), allow_pickle=False)
    return float(moving.float().mean())


def write_sparse(path: Path, depth: np.ndarray, width: int, seed: int) -> None:
    """Depths of still surfaces at random pixels, with noise, as COLMAP might have found them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    pixel = draw.integers(0, len(depth), min(SPARSE, len(depth) // 4))
    z = depth[pixel]
    uv = np.stack([pixel % width, pixel // width], axis=1) + 0.5
    np.savez(path, uv=uv, z=z * (1 + 0.005 * draw.standard_normal(len(z))), sigma=0.005 * z)
