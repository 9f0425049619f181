#!/usr/bin/env python3
"""How long camera paths and exports take, and what slow motion is worth, on a finished scene.

    OMP_WAIT_POLICY=PASSIVE .venv/bin/python benchmarks/paths.py [--results results/demo] [--variant inherited]
    .venv/bin/python benchmarks/paths.py --compare COMMIT [--show spiral cam00] [--rounds 3]

Prints three tables of docs/paths.md. Slow motion is measured against the demo's own scene, which can be seen at any
time: the truth half way between two frames, which no camera filmed.

--compare renders what --show names (cameras, or the path `spiral`) with the build of a commit and with this one, in
turn, each in a process of its own that has compiled before, from the same model without its exposures, and without how
many images look at each cell (which commits before 0.3 do not know). It prints medians, and how far the pictures are
apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import safetensors.torch
import torch
from safetensors import safe_open

from mixdepth.cameras.camera import load_cameras, save_cameras
from mixdepth.cameras.space import Space
from mixdepth.exports import tasks
from mixdepth.exports.kinds import KINDS
from mixdepth.exports.source import Source
from mixdepth.fields.storage import load_model
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.paths import Clock, Rig, make_path
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.tasks import DENSER
from mixdepth.results import Results
from mixdepth.scene.settings import Settings

SPIRAL = {"kind": "spiral", "cameras": None, "file": None, "time": "play", "at": None, "speed": 1.0, "seconds": None}
SPIRAL |= {"frames": None, "fps": None, "width": None, "height": None}


def timed(function: Callable, *given: object) -> tuple[float, object]:
    start = time.perf_counter()
    found = function(*given)
    return time.perf_counter() - start, found


class Model:
    """A trained variant, one segment, as the held-out camera ``cam00`` and paths show it."""

    def __init__(self, results: Results, variant: str):
        header, self.static, self.dynamic = load_model(results.model(variant))
        torch.set_num_threads(header["options"]["threads"])
        self.space, self.samples = SpaceMap(Space.load(results.space)), round(DENSER * header["samples"])
        self.cameras = load_cameras(results.cameras)
        self.frames = header["segments"][0][1]

    def see(self, camera: object, times: np.ndarray, dynamic: object = None) -> tuple[np.ndarray, np.ndarray]:
        field = dynamic or self.dynamic
        return render_video(self.static, field, self.space, camera, self.samples, torch.from_numpy(times))

    def path(self, **given: object) -> object:
        names = sorted(self.cameras)
        rig = Rig(self.cameras, names[1:], names[0], self.space.near, self.space.far)
        return make_path({**SPIRAL, **given}, rig, Clock(self.frames, 12.0))


def rendering(model: Model, frames: int) -> None:
    """Seconds per frame of a camera that stands still, and of others."""
    camera, count = model.cameras["cam00"], min(frames, model.frames)
    model.see(camera, np.arange(1))  # compiles
    print(f"\n{camera.width}x{camera.height}, {count} frames, {torch.get_num_threads()} threads\n")
    print("| camera and time | seconds per frame |\n|---|---|")
    whole, _ = timed(model.see, camera, np.arange(count))
    slow, _ = timed(model.see, camera, np.arange(count) / 4)
    print(f"| stands still, time passes (as `render`) | {whole / count:.2f} |")
    print(f"| stands still, slow motion | {slow / count:.2f} |")
    for label, given in (
        ("moves, time passes", {}),
        ("moves, slow motion", {"speed": 0.25}),
        ("moves, time stands", {"time": "freeze"}),
    ):
        path = model.path(frames=count, **given)
        seconds = sum(
            timed(model.see, view, np.array([t]) if t % 1 else np.array([int(t)]))[0]
            for view, t in zip(path.cameras, path.times, strict=True)
        )
        print(f"| {label} | {seconds / count:.2f} |")


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    error = ((a.astype(np.float64) - b) ** 2)[where].mean()
    return -10 * np.log10(error / 255**2)


def slow_motion(model: Model) -> None:
    """PSNR against the demo at times that nobody filmed, over the pixels that the movers cover or come near."""
    from mixdepth.demo.render import Shot
    from mixdepth.demo.rig import VIDEO_CAMERAS
    from mixdepth.demo.scene import movers

    shot, camera = Shot(VIDEO_CAMERAS["cam00"]), model.cameras["cam00"]
    times = np.arange(0, model.frames - 0.5, 0.5)
    rgb, _ = model.see(camera, times)
    truth, _, moving = (np.stack(part) for part in zip(*(shot.frame(movers(t)) for t in times), strict=True))
    # Wherever something moves at a time or at one of its neighbours.
    near = [moving[max(k - 1, 0) : k + 2].any(axis=0) for k in range(len(times))]
    rows: dict[str, list[float]] = {}

    def note(name: str, picture: np.ndarray, k: int) -> None:
        rows.setdefault(name, []).append(psnr(picture, truth[k], near[k]))

    for k in range(1, len(times) - 1):
        if times[k] % 1:
            note("half way, embeddings mixed", rgb[k], k)
            fade = (rgb[k - 1].astype(np.float64) + rgb[k + 1]) / 2
            note("half way, renders of both frames cross-faded", fade, k)
            note("half way, the frame before shown again", rgb[k - 1], k)
            note("half way, the true frames cross-faded", (truth[k - 1].astype(np.float64) + truth[k + 1]) / 2, k)
        else:
            note("at filmed frames", rgb[k], k)
    print("\n| time | PSNR where it moves, dB |\n|---|---|")
    for name, values in rows.items():
        print(f"| {name} | {np.mean(values):.2f} |")
    left_out = []
    for t in range(1, model.frames - 1):
        field = replace_frame(model.dynamic, t)
        got, _ = model.see(camera, np.array([t]), field)
        both, _ = model.see(camera, np.array([t - 1, t, t + 1]))
        fade = (both[0].astype(np.float64) + both[2]) / 2
        left_out.append((psnr(got[0], both[1], near[2 * t]), psnr(fade, both[1], near[2 * t])))
    mixed, faded = np.mean(left_out, axis=0)
    print(
        f"from t - 1 and t + 1 against the model's own t: embeddings mixed {mixed:.2f} dB,"
        f" renders cross-faded {faded:.2f} dB"
    )


def replace_frame(field: torch.nn.Module, t: int) -> torch.nn.Module:
    """A copy whose frame ``t`` has the mean embedding of its neighbours."""
    import copy

    other = copy.deepcopy(field)
    with torch.no_grad():
        for table in (other.density_frames, other.colour_frames):
            table[t] = (table[t - 1] + table[t + 1]) / 2
    return other


def exports(width: int, height: int, frames: int, results: Results) -> None:
    """Frames per second of every kind of export, with pictures that have some texture."""
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
    base = small.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    rgb = np.stack(
        [np.roll(base, 3 * k, axis=1) + generator.integers(0, 6, base.shape, dtype=np.uint8) for k in range(frames)]
    )
    depth = (3 + rgb[..., 0] / 100 + generator.uniform(0, 0.01, rgb.shape[:3])).astype(np.float32)
    lens = load_cameras(results.cameras)["cam00"].resized(width, height)
    source = Source("x", rgb, depth, [lens] * frames, np.linspace(0, 1, frames), 24.0, Space.load(results.space))
    tasks.open_source = lambda *_, **__: source
    scene = SimpleNamespace(config=Settings.of({"exports": {"points": None}}))
    files = dict.fromkeys(("renders", "cameras", "space", "capture"), results.folder)  # of the source that stands in
    print(f"\n{width}x{height}, {frames} frames\n\n| export | frames per second | MB per frame |\n|---|---|---|")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as output:
            seconds, _ = timed(partial(tasks.export_renders, scene, kind, **files, output=Path(output) / "x"))
            size = sum(path.stat().st_size for path in (Path(output) / "x").iterdir()) / frames / 1e6
        print(f"| `{kind}` | {frames / seconds:.1f} | {size:.2f} |")


def compare(results: Results, variant: str, camera: str, shown: list[str], commit: str, rounds: int) -> None:
    """Print what rendering costs the build of ``commit`` and this one, and how far their pictures are apart."""
    with tempfile.TemporaryDirectory() as place:
        folder, root = Path(place), Path(__file__).parent.parent
        archive = subprocess.run(["git", "-C", root, "archive", commit, "src"], check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder], check=True, input=archive.stdout)
        scene = folder / results.folder.name
        prepare(results, variant, camera, scene)
        print(f"| {results.folder.name}, {variant} | {commit}, s | this build, s | times faster | by processor time |")
        print("|---|---|---|---|---|")
        for what in shown:
            found: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
            for number in range(rounds):
                for name, source in (("before", folder / "src"), ("after", root / "src")):
                    output = folder / f"{what}-{number}-{name}"
                    job = {"folder": str(scene), "variant": variant, "camera": camera, "shown": what}
                    job |= {"paths": {"spiral": SPIRAL}, "output": str(output)}
                    command = [sys.executable, str(root / "benchmarks/one_render.py"), json.dumps(job)]
                    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_WAIT_POLICY": "PASSIVE"}
                    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                    found[name].append(json.loads(done.stdout.splitlines()[-1]))
                    print(f"{what} {number + 1}/{rounds} {name}: {found[name][-1]}", file=sys.stderr, flush=True)
            clocks = [statistics.median(one["clock"] for one in found[name]) for name in ("before", "after")]
            ratios = (
                statistics.median(a[key] / b[key] for a, b in zip(*found.values(), strict=True))
                for key in ("clock", "processor")
            )
            print(
                f"| `{what}` | {clocks[0]:.1f} | {clocks[1]:.1f} | "
                + " | ".join(f"{ratio:.2f}" for ratio in ratios)
                + " |"
            )
            print(
                apart(folder / f"{what}-0-before/shown", folder / f"{what}-0-after/shown"), file=sys.stderr, flush=True
            )


def prepare(results: Results, variant: str, camera: str, scene: Path) -> None:
    """What rendering reads, as old builds know it, and a `tiny` camera more."""
    (scene / variant).mkdir(parents=True)
    for path in (results.space, results.capture):
        (scene / path.name).write_bytes(path.read_bytes())
    cameras = load_cameras(results.cameras)
    small = cameras[camera]
    save_cameras(scene / "cameras.json", {**cameras, "tiny": small.resized(small.width // 16, small.height // 16)})
    with safe_open(results.model(variant), framework="pt") as file:
        newer = (".looks", ".gain")  # what old builds refuse, but for the tone's gain
        names = [key for key in file.keys() if "tone" in key or not key.endswith(newer)]  # noqa: SIM118
        tensors = {key: file.get_tensor(key) for key in names}
        safetensors.torch.save_file(tensors, scene / variant / "model.safetensors", file.metadata())


def apart(before: Path, after: Path) -> str:
    """How far the pictures of two folders are apart."""
    (rgb, z), (other, other_z) = (
        [np.load(path / name, mmap_mode="r") for name in ("rgb.npy", "depth.npy")] for path in (before, after)
    )
    steps = np.zeros(256, np.int64)
    largest = 0.0
    for a, b, d, e in zip(rgb, other, z, other_z, strict=True):
        steps += np.bincount(np.abs(a.astype(np.int16) - b).ravel(), minlength=256)
        largest = max(largest, float(np.quantile(np.abs(e / d - 1), 0.999)))
    counted = {int(step): f"{steps[step] / steps.sum():.2e}" for step in np.flatnonzero(steps)}
    return f"  values of uint8 apart: {counted}; 0.999 of depths within {largest:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/demo"))
    parser.add_argument("--variant", default="inherited")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--only", choices=("rendering", "slow", "exports"))
    parser.add_argument("--compare", metavar="COMMIT", help="render with the build of a commit and with this one")
    parser.add_argument("--show", nargs="+", default=["spiral", "cam00"], help="with --compare: cameras, or spiral")
    parser.add_argument("--camera", default="cam00", help="with --compare: the held-out one, where the path begins")
    parser.add_argument("--rounds", type=int, default=3, help="with --compare: turns of both")
    args = parser.parse_args()
    results = Results(args.results)
    if args.compare:
        compare(results, args.variant, args.camera, args.show, args.compare, args.rounds)
        return
    if args.only in (None, "rendering"):
        rendering(Model(results, args.variant), args.frames)
    if args.only in (None, "slow"):
        slow_motion(Model(results, args.variant))
    if args.only in (None, "exports"):
        exports(1280, 720, args.frames, results)


if __name__ == "__main__":
    main()
