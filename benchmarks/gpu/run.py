#!/usr/bin/env python3
"""Train and render a capture as large as N3DV's on a GPU: quality, seconds, and how far from the machine's limits.

    PYTHONPATH=src python benchmarks/gpu/run.py                    everything
    PYTHONPATH=src python benchmarks/gpu/run.py data train         stages that share a folder (--folder)
    PYTHONPATH=src python benchmarks/gpu/run.py --small            everything, tiny: two minutes on a CPU

Needs torch, numpy, safetensors and tqdm, no network, and 26 GB of disk for the capture, which it makes itself: 20
cameras x 300 frames of 1352 x 1014 pixels, ray traced, with exact depth. Stages: ``data`` makes it; ``train`` trains
with sparse depth and scores a held-out camera; ``long`` does so with five times the steps; ``render`` times rendering;
``steps`` times a step by parts and by kernels and compares it with what this machine copies and multiplies. A stage
that needs more than --minutes stops with a checkpoint; the same command goes on. One table of all stages done so far
ends every run; where OUT is in the environment it is also written there.
"""

import argparse
import contextlib
import hashlib
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mixdepth import kernels
from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.space import Space, choose_space
from mixdepth.device import training_device
from mixdepth.fields.storage import load_model, save_model
from mixdepth.fields.vm import VMGrid
from mixdepth.frames.store import FrameStore, motion_map
from mixdepth.io import read_json, write_json
from mixdepth.kernels import reference
from mixdepth.progress import Progress
from mixdepth.rendering import mixed_view
from mixdepth.rendering.mixed import StaticCache
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.train import dynamic as dynamic_module
from mixdepth.train import static as static_module
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import DynamicTrainer, MovingPixels, Video
from mixdepth.train.options import DynamicOptions, StaticOptions
from mixdepth.train.session import Interrupted, Session, checkpoints
from mixdepth.train.static import StaticTrainer

STAGES = ("data", "train", "long", "render", "steps")
HELD_OUT = "cam00"
SUB_PIXELS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
SPARSE = 1500  # sparse depths per camera, with 0.5 % of noise
MOVING, AGREEMENT = 0.02, 0.6  # moving_threshold and median_agreement, as in the schema

# The preset T over the defaults (a test compares): a GPU node may have nothing that reads YAML.
STATIC = StaticOptions(
    steps=5000, resolution=640, start_resolution=256, density_components=8, colour_components=24, width=128,
    view_dependence=True, tone=True, samples=280, start_samples=112, batch_samples=131072, grid_rate=0.08,
    network_rate=0.01, total_variation=0.05, depth_loss="urf", depth_weight=0.05, depth_sigma=0.01,
    guided_samples=0, threads=2, seed=0, device="cuda", amp=True,
)  # fmt: skip
DYNAMIC = DynamicOptions(
    steps=5000, resolution=320, start_resolution=128, components=24, codes=256, width=512, samples=280,
    start_samples=112, rays=8192, frames_per_step=16, windows=16, grid_rate=0.08, network_rate=0.03,
    total_variation=0.01, moving_threshold=MOVING, hull_vote=0.7, sparsity=1e-4, surface_weight=0.05,
    threads=2, seed=0, device="cuda", amp=True,
)  # fmt: skip
SMALL_STATIC = replace(
    STATIC, steps=80, resolution=48, start_resolution=24, colour_components=16, width=64, samples=48, start_samples=32,
    batch_samples=4096,
)  # fmt: skip
SMALL_DYNAMIC = replace(
    DYNAMIC, steps=60, resolution=32, start_resolution=16, components=16, codes=8, width=64, samples=48,
    start_samples=32, rays=256, frames_per_step=8, windows=4,
)  # fmt: skip


# The capture: a room with balls in it, three of which move. World: x right, y down, z forward.

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


def make_data(folder: Path, size: tuple[int, int, int, int], device: torch.device) -> dict[str, float]:
    """Write cameras, frame stores, sparse depths and the held-out camera's truth; what to record of it."""
    start, (count, frames, width, height) = time.perf_counter(), size
    cameras = rig(count, width, height)
    save_cameras(folder / "cameras.json", cameras)
    bounds, moved = [], 0.0
    progress = Progress("data", count)
    for index, (name, camera) in enumerate(cameras.items()):
        shots = [Shot(camera, place, device) for place in SUB_PIXELS]
        pictures = torch.empty(frames, height * width, 3, dtype=torch.uint8, device=device)
        for frame in range(frames):
            light = sum(shot.frame(frame / frames)[0] for shot in shots) / len(shots)
            pictures[frame] = mixed_view.quantised(light)
        middle = Shot(camera, (0.5, 0.5), device)
        write_frames(folder / "frames" / name, pictures.view(frames, height, width, 3))
        if name == HELD_OUT:
            moved = write_truth(folder / "truth", middle, scored(frames), frames, (height, width))
        else:
            bounds.append((min(float(middle.depth.min()), NEAREST), float(middle.depth.max())))
            write_sparse(folder / "sparse" / f"{name}.npz", middle.depth.cpu().numpy(), width, index)
        progress.update()
    choose_space([c for n, c in cameras.items() if n != HELD_OUT] + [cameras[HELD_OUT]], bounds).save(
        folder / "space.json"
    )
    return {"seconds": time.perf_counter() - start, "moving_share": moved, "size": list(size)}


def write_frames(folder: Path, pictures: Tensor) -> None:
    """A frame store of ``pictures`` [T, H, W, 3] uint8: rgb.npy, median.npy, std.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "rgb.npy", pictures.cpu().numpy(), allow_pickle=False)
    total = torch.zeros(pictures.shape[1:], dtype=torch.int32, device=pictures.device)
    squares = torch.zeros_like(total)
    for picture in pictures:
        total += picture
        squares += picture.int() ** 2
    count = len(pictures)
    std = ((squares.double() * count - total.double() ** 2).clamp_min(0).sqrt() / (255 * count)).mean(-1)
    np.save(folder / "std.npy", std.float().cpu().numpy(), allow_pickle=False)
    flat, median = pictures.flatten(1), pictures[0].flatten().clone()
    changes = (flat != flat[0]).any(0).nonzero().squeeze(1)
    for part in changes.split(1 << 20):
        ordered = flat[:, part].sort(0).values.int()
        median[part] = ((ordered[(count - 1) // 2] + ordered[count // 2] + 1) // 2).byte()
    np.save(folder / "median.npy", median.view(pictures.shape[1:]).cpu().numpy(), allow_pickle=False)


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


# Training and scores.


class Run:
    """The capture and options of one run; its models and checkpoints are in ``folder/name``."""

    def __init__(self, folder: Path, name: str, options: tuple[StaticOptions, DynamicOptions], deadline: float):
        self.folder, self.name, self.deadline = folder, name, deadline
        self.static_options, self.dynamic_options = options
        self.device = training_device(options[0].device)
        self.cameras = load_cameras(folder / "cameras.json")
        self.names = [name for name in self.cameras if name != HELD_OUT]
        self.space = SpaceMap(Space.load(folder / "space.json"), self.device)
        torch.set_num_threads(options[0].threads)

    def videos(self) -> list[Video]:
        """The training cameras' frames."""
        stores = {name: FrameStore.open(self.folder / "frames" / name) for name in self.names}
        return [Video(self.cameras[n], s.rgb, s.median, motion_map(s.std)) for n, s in stores.items()]

    def static_trainer(self, videos: list[Video]) -> StaticTrainer:
        """A trainer of the static branch on the medians, with sparse depth."""
        weight = [v.median_weight(MOVING, AGREEMENT) for v in videos]
        data = ImageSet([v.median for v in videos], [v.camera for v in videos], weight)
        parts = [np.load(self.folder / "sparse" / f"{name}.npz", allow_pickle=False) for name in self.names]
        camera = torch.cat([torch.full((len(part["z"]),), index) for index, part in enumerate(parts)])
        uv, z, sigma = (torch.from_numpy(np.concatenate([part[key] for part in parts])) for key in ("uv", "z", "sigma"))
        sparse = SparseRays(camera, uv.double(), z.float(), sigma.float())
        return StaticTrainer(data, sparse, self.space, self.static_options)

    def train(self, trainer: StaticTrainer | DynamicTrainer, part: str, seconds: Counter) -> None:
        """Train to the end, or stop with a checkpoint when time is up; ``seconds[part]`` counts on over both."""
        identity = {**asdict(trainer.options), "triton": kernels.use_triton}
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
        folder, steps = self.folder / self.name / f"{part}-{digest}", trainer.options.steps
        if not checkpoints(folder):
            seconds[part] = 0
        session = Session(folder, f"{self.name} {part}", identity)
        left = max(self.deadline - time.monotonic(), 10)
        timer = threading.Timer(left, os.kill, (os.getpid(), signal.SIGTERM))
        start = time.perf_counter()
        timer.start()
        try:
            session.run(trainer, steps)
        finally:
            timer.cancel()
            synchronise(self.device)
            seconds[part] += time.perf_counter() - start

    def trainers(self, seconds: Counter) -> tuple[StaticTrainer, DynamicTrainer]:
        """Both trained, now or before."""
        start = time.perf_counter()
        videos = self.videos()
        static = self.static_trainer(videos)
        synchronise(self.device)
        seconds["inputs"] = time.perf_counter() - start
        self.train(static, "static", seconds)
        start = time.perf_counter()
        dynamic = DynamicTrainer(videos, static.field, self.space, self.dynamic_options)
        synchronise(self.device)
        seconds["set-up"] = time.perf_counter() - start
        self.train(dynamic, "dynamic", seconds)
        return static, dynamic

    def samples(self) -> int:
        """Per ray, for rendering."""
        return round(1.25 * self.dynamic_options.samples)

    def scores(self, static: torch.nn.Module, dynamic: torch.nn.Module) -> dict[str, float]:
        """PSNR, dB, and median relative depth error of the held-out camera: everywhere, and of what moves."""
        truth = FrameStore.open(self.folder / "frames" / HELD_OUT).rgb
        depth, moving = (np.load(self.folder / "truth" / f"{key}.npy", mmap_mode="r") for key in ("depth", "moving"))
        chosen = scored(len(truth))
        frames = torch.tensor(chosen)
        camera = self.cameras[HELD_OUT]
        rgb, z = render_video(static, dynamic, self.space, camera, self.samples(), frames)
        errors = [(rgb[k].astype(np.float32) - truth[frame]) ** 2 / 255**2 for k, frame in enumerate(chosen)]
        relative = np.abs(z / depth - 1)
        of_movers = np.concatenate([error[moving[k]] for k, error in enumerate(errors)])
        return {
            "psnr": -10 * math.log10(np.mean([error.mean() for error in errors])),
            "psnr_moving": -10 * math.log10(of_movers.mean()),
            "depth": float(np.median(relative)),
            "depth_moving": float(np.median(relative[moving])),
        }


def train_and_score(run: Run, done: dict[str, Any]) -> None:
    """Both branches, with what they took and how good they are, into ``done[run.name]``."""
    seconds = Counter(done.get(run.name, {}).get("seconds", {}))
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        static, dynamic = run.trainers(seconds)
    finally:
        done[run.name] = {"seconds": dict(seconds)}
    save_model(run.folder / run.name / "model.safetensors", {}, static=static.field, dynamic=dynamic.field)
    moving = len(dynamic.pixels) / sum(c.width * c.height for n, c in run.cameras.items() if n in run.names)
    done[run.name] |= run.scores(static.field, dynamic.field) | {
        "memory": peak_memory(run.device),
        "moving_pixels": moving,
        "kept": dynamic.pixels.kept is not None,
    }


def time_rendering(run: Run, done: dict[str, Any]) -> None:
    """Frames per second of the held-out camera's video, and of single frames from places between the cameras."""
    _, static, dynamic = load_model(run.folder / "train/model.safetensors")
    static, dynamic = static.to(run.device), dynamic.to(run.device)
    camera, samples, found = run.cameras[HELD_OUT], run.samples(), {}
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for on in kernel_choices(run.device):
        kernels.use_triton = on
        for warm_up in (torch.arange(min(28, dynamic.frames)), torch.tensor([0])):  # Triton compiles
            render_video(static, dynamic, run.space, camera, samples, warm_up)
        start = time.perf_counter()
        render_video(static, dynamic, run.space, camera, samples)
        found[f"video {on}"] = dynamic.frames / (time.perf_counter() - start)
        views = [aimed(x, 0.1, camera.width, camera.height) for x in np.linspace(-1, 1, 8)]
        start = time.perf_counter()
        for index, view in enumerate(views):
            frame = torch.tensor([index * dynamic.frames // len(views)])
            render_video(static, dynamic, run.space, view, samples, frame)
        found[f"single {on}"] = len(views) / (time.perf_counter() - start)
    kernels.use_triton = False
    done["render"] = found | {"memory": peak_memory(run.device)}


# Where the time goes.


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak_memory(device: torch.device) -> float | None:
    """GB on the GPU at most since the last reset."""
    return torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None


def kernel_choices(device: torch.device) -> tuple[bool, ...]:
    """Without and with Triton's kernels, where they can run."""
    return (False, True) if device.type == "cuda" else (False,)


@contextlib.contextmanager
def patched(*changes: tuple[Any, str, Callable[[Callable], Callable]]) -> Iterator[None]:
    """Attributes (owner, name) replaced by what a function makes of them."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    for owner, name, change in changes:
        setattr(owner, name, change(getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def step_parts(trainer: StaticTrainer | DynamicTrainer, count: int) -> dict[str, float]:
    """Milliseconds of a step at the end of training, whole and by parts; parts are timed with the device awaited."""
    device, last, spent = trainer.space.device, trainer.options.steps, Counter()

    def steps() -> float:
        synchronise(device)
        start = time.perf_counter()
        for step in range(last - count, last):
            trainer.step(step)
        synchronise(device)
        return 1e3 * (time.perf_counter() - start) / count

    def timed(part: str) -> Callable[[Callable], Callable]:
        def change(function: Callable) -> Callable:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                synchronise(device)
                start = time.perf_counter()
                found = function(*args, **kwargs)
                synchronise(device)
                spent[part] += 1e3 * (time.perf_counter() - start) / count
                return found

            return wrapped

        return change

    if isinstance(trainer, StaticTrainer):
        places = [(static_module, "sample_rays", "rays"), (static_module, "visible_samples", "densities for culling")]
        places += [(static_module, "shade_static", "fields, composite"), (static_module, "_depth_loss", "depth loss")]
        places += [(static_module, "smooth", "total variation")]
    else:
        places = [(dynamic_module, "sample_rays", "rays"), (StaticCache, "layers", "static samples")]
        places += [(dynamic_module, "shade_mixed", "fields, composite"), (MovingPixels, "colours", "colours")]
        places += [(dynamic_module, "smooth", "total variation")]
    places += [(Tensor, "backward", "backward"), (trainer.optimiser, "step", "Adam")]
    steps()
    whole = steps()
    with patched(*((owner, name, timed(part)) for owner, name, part in places)):
        awaited = steps()
    return {"step": whole, **spent, "rest": awaited - sum(spent.values())}


def step_needs(trainer: StaticTrainer | DynamicTrainer) -> tuple[float, float]:
    """Bytes that a step must move at least, and operations of its networks (2 per multiply-add).

    Bytes: 28 per grid value (Adam reads weight, gradient and two moments and writes all but the gradient), and per
    looked-up point 6 values of 4 bytes (4 corners of a plane, 2 of a line) times orientations and components: once, or
    four times where there is a gradient (read forward and backward, read and written in adding). Rays, compositing and
    activations are not counted. Operations: what PyTorch counts of the matrix products, forward and backward.
    """
    looked_up = 0.0

    def counted(function: Callable) -> Callable:
        def wrapped(grid: VMGrid, u: Tensor) -> Tensor:
            nonlocal looked_up
            looked_up += len(u) * grid.features * 6 * 4 * (4 if torch.is_grad_enabled() else 1)
            return function(grid, u)

        return wrapped

    with patched((VMGrid, "forward", counted), (VMGrid, "sum", counted)), FlopCounterMode(display=False) as flops:
        trainer.step(trainer.options.steps - 2)
    return 28 * sum(p.numel() for p in trainer.field.parameters()) + looked_up, flops.get_total_flops()


def machine(device: torch.device) -> tuple[float, float]:
    """What this machine does at most: bytes per second of a copy (read and written), float32 operations per second."""
    big, side = (1 << 28, 8192) if device.type == "cuda" else (1 << 24, 1024)
    source = torch.ones(big, device=device)
    target, matrix = torch.empty_like(source), torch.rand(side, side, device=device)

    def best(function: Callable[[], Any]) -> float:
        times = []
        for _ in range(8):
            synchronise(device)
            start = time.perf_counter()
            function()
            synchronise(device)
            times.append(time.perf_counter() - start)
        return min(times)

    return 8 * big / best(lambda: target.copy_(source)), 2 * side**3 / best(lambda: matrix @ matrix)


def kernel_errors(trainer: DynamicTrainer) -> dict[str, float]:
    """Largest ||fused - plain|| / ||plain|| of the values and gradients of Triton's kernels, with a step's inputs."""
    from mixdepth.kernels import gpu

    seen: dict[str, tuple] = {}

    def kept(name: str) -> Callable[[Callable], Callable]:
        def change(function: Callable) -> Callable:
            def wrapped(*args: Any) -> Any:
                seen[name] = tuple(a.detach() if isinstance(a, Tensor) else a for a in args)
                return function(*args)

            return wrapped

        return change

    with patched(*((kernels, name, kept(name)) for name in ("grid_features", "composite_mixed"))):
        trainer.step(trainer.options.steps - 2)

    def compared(fused: Callable, plain: Callable, inputs: list[Tensor]) -> float:
        results = []
        for function in (fused, plain):
            leaves = [value.clone().requires_grad_() for value in inputs]
            out = [part for part in function(*leaves) if part is not None and part.requires_grad]
            draw = torch.Generator(inputs[0].device).manual_seed(0)
            weights = [torch.rand(part.shape, generator=draw, device=part.device) for part in out]
            gradients = torch.autograd.grad(sum((a * b).sum() for a, b in zip(out, weights, strict=True)), leaves)
            results.append([*(part.detach() for part in out), *gradients])
        return max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in zip(*results, strict=True))

    planes, lines, u = seen["grid_features"]
    tau_s, rgb_s, index, tau_d, offsets, rows = seen["composite_mixed"][:6]
    empty = tau_s.new_empty(0)
    return {
        "grid features": compared(
            lambda p, q: [gpu.Grid.apply(p, q, u, False)],
            lambda p, q: [reference.grid_features(p, q, u)],
            [planes, lines],
        ),
        "grid sum": compared(
            lambda p, q: [gpu.Grid.apply(p, q, u, True)],
            lambda p, q: [reference.grid_features(p, q, u).sum(-1)],
            [planes, lines],
        ),
        "composite": compared(
            lambda t: gpu.Mixed.apply(t, tau_s, rgb_s, index, offsets, empty, empty, empty)[:3],
            lambda t: reference.composite_mixed(tau_s, rgb_s, index, t, offsets, rows, None)[:3],
            [tau_d],
        ),
    }


def time_steps(run: Run, done: dict[str, Any], count: int) -> None:
    """Parts, limits and kernels of both trainings' last steps, into ``done["steps"]``."""
    found: dict[str, Any] = {"peaks": machine(run.device)}
    for trainer in run.trainers(Counter()):
        part = "static" if isinstance(trainer, StaticTrainer) else "dynamic"
        found[part] = {"needs": step_needs(trainer)}
        for on in kernel_choices(run.device):
            kernels.use_triton = on
            try:
                found[part][f"parts {on}"] = step_parts(trainer, count)
            except Exception as error:
                if not on:
                    raise
                found[part]["failed"] = f"{type(error).__name__}: {error}"[:200]
        kernels.use_triton = False
        if run.device.type == "cuda" and part == "dynamic" and "failed" not in found[part]:
            found["errors"] = kernel_errors(trainer)
    done["steps"] = found


# The table.


def table(done: dict[str, Any]) -> str:
    """Everything that has been measured, as one Markdown table."""
    rows: list[tuple[str, str, str]] = [("machine", done["machine"], "")]
    if "data" in done:
        count, frames, width, height = done["data"]["size"]
        rows.append(("capture", f"{count} cameras x {frames} frames of {width} x {height}", ""))
        rows.append(("making it, s", f"{done['data']['seconds']:.0f}", ""))
    for name in ("train", "long"):
        if "psnr" in done.get(name, {}):
            rows += _training_rows(name, done[name], done)
    rendered = done.get("render", {})
    for key, value in rendered.items():
        if key != "memory":
            kind, on = key.split()
            what = "a camera's video" if kind == "video" else "single frames of other views"
            rows.append((f"rendering {what}, frames/s{_with(on)}", f"{value:.2f}", "30"))
    if rendered.get("memory"):
        rows.append(("rendering: peak GPU memory, GB", f"{rendered['memory']:.1f}", ""))
    if "steps" in done:
        rows += _step_rows(done["steps"])
    return "\n".join(f"| {' | '.join(row)} |" for row in [("what", "value", "goal"), ("---",) * 3, *rows])


def _with(on: str) -> str:
    return " (Triton)" if on == "True" else ""


def _training_rows(name: str, found: dict[str, Any], done: dict[str, Any]) -> list[tuple[str, str, str]]:
    seconds = found["seconds"]
    parts = " + ".join(f"{seconds[part]:.0f}" for part in ("inputs", "static", "set-up", "dynamic"))
    goal = f"{done['long']['psnr'] - 0.3:.2f}" if name == "train" and "psnr" in done.get("long", {}) else ""
    rows = [
        (f"{name}: PSNR, dB", f"{found['psnr']:.2f}", goal),
        (f"{name}: PSNR of what moves, dB", f"{found['psnr_moving']:.2f}", ""),
        (
            f"{name}: median depth error, everywhere / of what moves",
            f"{found['depth']:.2%} / {found['depth_moving']:.2%}",
            "",
        ),
        (f"{name}: s", f"{sum(seconds.values()):.0f}", "300" if name == "train" else ""),
        (f"{name}: s of inputs + static + set-up + dynamic", parts, ""),
        (
            f"{name}: pixels that move, kept on the GPU",
            f"{found['moving_pixels']:.1%}, {'yes' if found['kept'] else 'no'}",
            "",
        ),
    ]
    if found["memory"]:
        rows.append((f"{name}: peak GPU memory, GB", f"{found['memory']:.1f}", ""))
    return rows


def _step_rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    bytes_per_s, flops_per_s = found["peaks"]
    rows = [("copy, GB/s; float32 products, TFLOP/s", f"{bytes_per_s / 1e9:.0f}; {flops_per_s / 1e12:.2f}", "")]
    for part in ("static", "dynamic"):
        needed, operations = found[part]["needs"]
        for key, parts in found[part].items():
            if not key.startswith("parts"):
                continue
            label = f"{part} step{_with(key.split()[1])}"
            shown = ", ".join(f"{name} {value:.2f}" for name, value in parts.items() if name != "step")
            rows.append((f"{label}, ms", f"{parts['step']:.2f}", ""))
            rows.append((f"{label}: ms of parts", shown, ""))
            seconds = parts["step"] / 1e3
            share = f"{needed / bytes_per_s / seconds:.1%}; {operations / flops_per_s / seconds:.1%}"
            rows.append((f"{label}: of the limits of memory; of products", share, ""))
        if "failed" in found[part]:
            rows.append((f"{part} step (Triton)", found[part]["failed"], ""))
    for name, error in found.get("errors", {}).items():
        rows.append((f"Triton against PyTorch: {name}, relative error", f"{error:.1e}", "1e-4"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}; all without any")
    parser.add_argument("--folder", type=Path, help="for the capture and what is learnt; a temporary one without")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a CPU")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--amp", action="store_true", help="colour networks in bfloat16")
    parser.add_argument("--triton", action="store_true", help="train with Triton's kernels")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which training stops with a checkpoint")
    args = parser.parse_args()
    if unknown := set(args.stages) - set(STAGES):
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
    device, deadline = training_device(args.device), time.monotonic() + 60 * args.minutes
    folder = args.folder or Path(tempfile.gettempdir()) / ("mixdepth-gpu-small" if args.small else "mixdepth-gpu")
    folder.mkdir(parents=True, exist_ok=True)
    size = (5, 8, 96, 72) if args.small else (20, 300, 1352, 1014)
    options = (SMALL_STATIC, SMALL_DYNAMIC) if args.small else (STATIC, DYNAMIC)
    options = tuple(replace(o, device=device.type, amp=args.amp) for o in options)
    longer = tuple(replace(o, steps=5 * o.steps) for o in options)
    results = folder / "results.json"
    done = read_json(results) if results.exists() else {}
    done["machine"] = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {options[0].threads} threads"
    actions: dict[str, Callable[[], None]] = {
        "data": lambda: done.update(data=make_data(folder, size, device)),
        "train": lambda: train_and_score(Run(folder, "train", options, deadline), done),
        "long": lambda: train_and_score(Run(folder, "long", longer, deadline), done),
        "render": lambda: time_rendering(Run(folder, "train", options, deadline), done),
        "steps": lambda: time_steps(Run(folder, "train", options, deadline), done, 4 if args.small else 40),
    }
    stopped = None
    for stage in STAGES:
        if stopped is None and (not args.stages or stage in args.stages):
            print(f"== {stage}", file=sys.stderr, flush=True)
            kernels.use_triton = args.triton and stage in ("train", "long")
            try:
                actions[stage]()
            except Interrupted as error:
                stopped = error
            write_json(results, done)
    print(table(done), flush=True)
    if out := os.environ.get("OUT"):
        Path(out, "gpu.md").write_text(table(done) + "\n")
        Path(out, "gpu.json").write_text(json.dumps(done, indent=1))
    if stopped:
        sys.exit(f"time is up: {stopped}")


if __name__ == "__main__":
    main()
