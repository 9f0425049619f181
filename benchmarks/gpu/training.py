"""What is learnt of the benchmark's capture: the preset T or a tiny one, both trainings, scores, rendering."""

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from capture import HELD_OUT, aimed, scored
from findings import Found
from timing import SET_UP, synchronise, timed, triton, triton_choices

from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.space import Space
from mixdepth.compute.device import training_device
from mixdepth.fields.storage import load_model, save_model
from mixdepth.frames.motion import Motion
from mixdepth.frames.moving import open_moving
from mixdepth.kernels import dispatch
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import SpaceMap
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import DynamicTrainer
from mixdepth.train.options import DynamicOptions, StaticOptions
from mixdepth.train.session import Session, checkpoints
from mixdepth.train.static import StaticTrainer
from mixdepth.train.video import Video

Trainer = StaticTrainer | DynamicTrainer
Options = tuple[StaticOptions, DynamicOptions]

# The preset T over the defaults (a test compares): a GPU node may have nothing that reads YAML.
STATIC = StaticOptions(
    steps=5000, resolution=640, start_resolution=256, density_components=8, colour_components=24, width=128,
    view_dependence=True, tone=True, samples=280, start_samples=112, batch_samples=131072, grid_rate=0.08,
    network_rate=0.01, total_variation=0.003, depth_loss="urf", depth_weight=0.05, depth_sigma=0.01,
    guided_samples=0, threads=2, seed=0, device="cuda", amp=True,
)  # fmt: skip
DYNAMIC = DynamicOptions(
    steps=5000, resolution=320, start_resolution=128, components=24, codes=256, width=512, samples=280,
    start_samples=112, rays=8192, frames_per_step=16, windows=16, grid_rate=0.08, network_rate=0.03,
    total_variation=0.01, hull_vote=0.7, sparsity=1e-4, surface_weight=0.05,
    threads=2, seed=0, device="cuda", amp=True,
)  # fmt: skip
SMALL_STATIC = replace(
    STATIC, steps=80, resolution=48, start_resolution=24, colour_components=16, width=64, samples=48, start_samples=32,
    batch_samples=4096, threads=1,
)  # fmt: skip
SMALL_DYNAMIC = replace(
    DYNAMIC, steps=60, resolution=32, start_resolution=16, components=16, codes=8, width=64, samples=48,
    start_samples=32, rays=256, frames_per_step=8, windows=4, threads=1,
)  # fmt: skip


def options_of(small: bool, device: torch.device, amp: bool | None = None, times: float = 1.0) -> Options:
    """The preset T or the tiny one on ``device``, with ``times`` its steps, and its own ``amp`` if that is None."""
    chosen = (SMALL_STATIC, SMALL_DYNAMIC) if small else (STATIC, DYNAMIC)
    changed = {"device": device.type} | ({} if amp is None else {"amp": amp})
    return tuple(replace(o, steps=round(times * o.steps), **changed) for o in chosen)


class Run:
    """Both branches of one capture. Trainers stay here once they are made; files are in ``folder/name``.

    Args:
        folder: with the capture.
        with_triton: train with Triton's kernels.
    """

    def __init__(self, folder: Path, name: str, options: Options, with_triton: bool = False):
        self.folder, self.name, self.triton, self.place = folder, name, with_triton, folder / name
        self.static_options, self.dynamic_options = options
        self.device = training_device(options[0].device)
        self.cameras = load_cameras(folder / "cameras.json")
        self.names = [name for name in self.cameras if name != HELD_OUT]
        self.space = SpaceMap(Space.load(folder / "space.json"), self.device)
        self.samples = round(1.25 * self.dynamic_options.samples)  # per ray, for rendering
        self.trainers: dict[str, Trainer] = {}
        clock = self.place / "seconds.json"
        self.seconds = Counter(json.loads(clock.read_text()) if clock.exists() else {})
        torch.set_num_threads(options[0].threads)

    def videos(self) -> list[Video]:
        """The training cameras' frames."""
        found = []
        for name in self.names:
            place, rgb = self.folder / "frames" / name, self.frames(name)
            motion = Motion.load(place / "motion.npz")
            colours = open_moving(place / "moving.npy", motion.parts != 0, len(rgb))
            found.append(Video.of(self.cameras[name], rgb, motion, colours=colours))
        return found

    def frames(self, name: str) -> np.ndarray:
        """A camera's frames [T, H, W, 3] uint8, memory-mapped."""
        return np.load(self.folder / "frames" / name / "rgb.npy", mmap_mode="r", allow_pickle=False)

    def static_trainer(self, videos: list[Video]) -> StaticTrainer:
        """A trainer of the static branch on the plates, with sparse depth."""
        data = ImageSet([v.plate for v in videos], [v.camera for v in videos], [v.support for v in videos])
        parts = [np.load(self.folder / "sparse" / f"{name}.npz", allow_pickle=False) for name in self.names]
        camera = torch.cat([torch.full((len(part["z"]),), index) for index, part in enumerate(parts)])
        uv, z, sigma = (torch.from_numpy(np.concatenate([part[key] for part in parts])) for key in ("uv", "z", "sigma"))
        sparse = SparseRays(camera, uv.double(), z.float(), sigma.float())
        return StaticTrainer(data, sparse, self.space, self.static_options)

    def learn(self, train: Callable[[Trainer, str], Found] | None = None) -> Found:
        """Both branches by ``train``, which trains one to the end: by default from its last checkpoint on."""
        train = train or self.train
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with triton(self.triton):
            with self.clock("inputs"):
                videos = self.videos()
                static = self.trainers["static"] = self.static_trainer(videos)
            yield "inputs, s", self.seconds["inputs"]
            yield from train(static, "static")
            with self.clock("set-up"), timed(SET_UP, self.device) as parts:
                dynamic = DynamicTrainer(videos, static.field, self.space, self.dynamic_options)
            self.trainers["dynamic"] = dynamic
            yield "set-up, s", self.seconds["set-up"]
            yield "set-up by parts, s", parts
            pixels = sum(v.plate[..., 0].size for v in videos)
            yield "share of the pixels that moves", len(dynamic.pixels) / pixels
            yield "its colours are kept on the GPU", getattr(dynamic.pixels, "kept", None) is not None
            yield from train(dynamic, "dynamic")

    @contextmanager
    def clock(self, part: str, so_far: float = 0.0) -> Iterator[None]:
        """Count the seconds of ``part``, on top of those of earlier commands."""
        start = time.perf_counter()
        try:
            yield
        finally:
            synchronise(self.device)
            self.seconds[part] = so_far + time.perf_counter() - start
            self.place.mkdir(parents=True, exist_ok=True)
            (self.place / "seconds.json").write_text(json.dumps(self.seconds))

    def train(self, trainer: Trainer, part: str, steps: int | None = None) -> Found:
        """Train to the end, or to ``steps``; a signal stops it with a checkpoint."""
        identity = {**asdict(trainer.options), "triton": dispatch.use_triton}
        folder = self.place / f"{part}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]}"
        session = Session(folder, f"{self.name} {part}", identity)
        with self.clock(part, self.seconds[part] if checkpoints(folder) else 0.0):
            session.run(trainer, steps or trainer.options.steps)
        yield f"{part}, s", self.seconds[part]

    def results(self) -> Found:
        """Save what has been learnt; seconds in all, peak memory and scores."""
        static, dynamic = (self.trainers[part].field for part in ("static", "dynamic"))
        save_model(
            self.place / "model.safetensors", {"options": asdict(self.dynamic_options)}, static=static, dynamic=dynamic
        )
        yield "s in all", float(sum(self.seconds.values()))
        yield from self._peak_memory()
        yield from self._scores(static, dynamic)

    def _peak_memory(self) -> Found:
        if self.device.type == "cuda":
            yield "peak GPU memory, GB", torch.cuda.max_memory_allocated() / 1e9

    def _scores(self, static: torch.nn.Module, dynamic: torch.nn.Module) -> Found:
        """PSNR, and median relative depth error, of the held-out camera: everywhere, and of what moves."""
        truth = self.frames(HELD_OUT)
        depth, moving = (np.load(self.folder / "truth" / f"{key}.npy", mmap_mode="r") for key in ("depth", "moving"))
        chosen = scored(len(truth))
        camera, frames = self.cameras[HELD_OUT], torch.tensor(chosen)
        rgb, z = render_video(static, dynamic, self.space, camera, self.samples, frames)
        errors = [(rgb[k].astype(np.float32) - truth[frame]) ** 2 / 255**2 for k, frame in enumerate(chosen)]
        relative = np.abs(z / depth - 1)
        of_movers = np.concatenate([error[moving[k]] for k, error in enumerate(errors)])
        yield "PSNR, dB", -10 * math.log10(np.mean([error.mean() for error in errors]))
        yield "PSNR of what moves, dB", -10 * math.log10(of_movers.mean())
        yield "median relative depth error", float(np.median(relative))
        yield "median relative depth error of what moves", float(np.median(relative[moving]))

    def speeds(self, frames: int, views: int) -> Found:
        """Frames per second of the saved model: of the held-out camera's video, and of single frames of other views."""
        _, static, dynamic = load_model(self.place / "model.safetensors")
        static, dynamic = static.to(self.device), dynamic.to(self.device)
        camera, count = self.cameras[HELD_OUT], min(frames, dynamic.frames)
        show = partial(render_video, static, dynamic, self.space)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

        def video() -> float:
            show(camera, self.samples, torch.arange(min(28, count)))  # Triton compiles
            start = time.perf_counter()
            show(camera, self.samples, torch.arange(count))
            return count / (time.perf_counter() - start)

        def single() -> float:
            show(camera, self.samples, torch.tensor([0]))
            start = time.perf_counter()
            for index, x in enumerate(np.linspace(-1, 1, views)):
                view = aimed(x, 0.1, camera.width, camera.height)
                show(view, self.samples, torch.tensor([index * dynamic.frames // views]))
            return views / (time.perf_counter() - start)

        for on in triton_choices(self.device):
            with triton(on) as label:
                yield f"single frames of other views, frames/s{label}", single
                yield f"a camera's video, frames/s{label}", video
        yield from self._peak_memory()
