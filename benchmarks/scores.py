#!/usr/bin/env python3
"""How long scores take, and whether depth scores without a truth rank depth as the truth does.

    .venv/bin/python benchmarks/scores.py speed [--size 320x240] [--frames 24]
    .venv/bin/python benchmarks/scores.py scene demo --config config/config.yaml
    .venv/bin/python benchmarks/scores.py rank demo --config config/config.yaml

speed: milliseconds of processor time per frame of each measure, in one thread, on a noisy picture of random blocks.
LPIPS has random weights. scene: seconds of `evaluate` on a finished scene, variant by variant, each in a process of its
own, so that starting Python and importing count; with the processor's time, which other programs change less. rank:
each variant's depth, as it is and made worse in known ways, scored against the truth and without it, and the rank
correlation (Spearman's) between the two.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from mixdepth.results import Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.scene.schema import read_yaml


def speed(size: tuple[int, int], frames: int) -> None:
    """Print a Markdown table of the measures' times at ``size`` = (width, height)."""
    import torch
    from safetensors.torch import save_file

    from mixdepth.evaluation.colour import score_colour
    from mixdepth.evaluation.lpips import Lpips, load_lpips
    from mixdepth.evaluation.pictures import MEASURES

    torch.set_num_threads(1)
    width, height = size
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))[:height, :width]
    truth = np.clip(blocks + rng.normal(0, 5, (frames, height, width, 3)), 0, 255).astype(np.uint8)
    render = np.clip(blocks + rng.normal(0, 15, (frames, height, width, 3)), 0, 255).astype(np.uint8)
    moving = np.zeros((frames, height, width), bool)
    moving[:, : height // 4] = True

    def timed(function: Callable[[], object]) -> float:
        function()
        start = time.process_time()
        function()
        return (time.process_time() - start) / frames * 1000

    measures = {name: measure.compare for name, measure in MEASURES.items()}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("alex", "vgg"):
            path = Path(folder) / f"{name}.safetensors"
            save_file(Lpips(name).state_dict(), path)
            measures[f"lpips_{name}"] = load_lpips(name, path).compare
    rows = {"PSNR, affine, flicker": timed(lambda: score_colour(render, truth, moving, measures={}))}
    for name, compare in measures.items():
        rows[name] = timed(lambda: [compare(*pair, None) for pair in zip(render, truth, strict=True)])  # noqa: B023
    print(f"| measure | ms per frame at {width}x{height} |\n|---|---|")
    for name, milliseconds in rows.items():
        print(f"| {name} | {milliseconds:.1f} |")


def scene_times(scene: Scene, config: Path, results: Path) -> None:
    """Print how long scoring a finished scene takes."""
    command = [sys.executable, "-m", "mixdepth", "--config", str(config), "--scene", scene.name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for variant in scene.variants:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / scene.name
            copy.mkdir()
            for path in (results / scene.name).iterdir():
                (copy / path.name).symlink_to(path.resolve()) if path.name != variant else None
            (copy / variant).mkdir()
            for path in (results / scene.name / variant).iterdir():
                if path.name != "metrics.json":
                    (copy / variant / path.name).symlink_to(path.resolve())
            start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            more = ["--results", folder, "evaluate", variant]
            subprocess.run([*command, *more], check=True, capture_output=True, env=environment)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{scene.name} {variant}: {wall:.1f} s, {busy:.1f} s of the processor, {after.ru_maxrss >> 10} MB")


def worse(depth: np.ndarray, how: str) -> np.ndarray:
    """``depth`` [T, H, W] made worse in a known way."""
    if how == "as it is":
        return depth
    if how.startswith("x"):
        return depth * np.float32(how[1:])
    share = float(how.split()[1])
    _, height, width = depth.shape
    noise = np.random.default_rng(0).normal(0, share, (height // 16 + 1, width // 16 + 1))
    return depth * np.kron(1 + noise, np.ones((16, 16)))[:height, :width].astype(np.float32)


def rank(scene: Scene, results: Results) -> None:
    """Print depth scores with and without the truth, and how alike they rank."""
    from mixdepth.cameras.camera import load_cameras
    from mixdepth.evaluation.consistency import neighbours
    from mixdepth.evaluation.depth import depth_errors, relative_median
    from mixdepth.evaluation.tasks import consistency_scores, point_scores
    from mixdepth.evaluation.truth import load_truth
    from mixdepth.evaluation.view import open_view

    truth = load_truth(scene, scene.test_cameras, video=True)
    cameras = load_cameras(results.cameras)
    scale = truth.similarity(results.cameras).scale
    near = {name: neighbours(name, cameras, scene.used_cameras) for name in scene.test_cameras}
    rows = []
    print("| depth | truth: median | within 5 % | points: median | within 5 % | neighbours: median | within 5 % |")
    print("|---|---|---|---|---|---|---|")
    for variant in scene.variants:
        for how in ("as it is", "blocks 0.02", "blocks 0.05", "x1.03", "x1.1"):
            views = [
                open_view(scene, name, results.renders(variant, name).folder, results.store(name).folder, truth, scale)
                for name in scene.test_cameras
            ]
            views = [replace(view, depth=worse(view.depth, how)) for view in views]

            def pairs(views: list = views) -> list:
                return [pair for view in views for pair in view.depth_pairs("depth")]

            found = [relative_median(pairs), depth_errors(pairs)["within_5_percent"]]
            model, space = results.model(variant), results.space
            by_points = point_scores(views, results.held_out_depth)
            for scores in (by_points, consistency_scores(views, model, space, cameras, near)):
                found += [scores.whole.value["median_relative"], scores.whole.value["within_5_percent"]]
            rows.append(found)
            shown = [f"{v:.2%}" if i % 2 == 0 else f"{v:.1%}" for i, v in enumerate(found)]
            print(f"| {variant}, {how} | {' | '.join(shown)} |", flush=True)
    table = np.array(rows).argsort(axis=0).argsort(axis=0)
    as_it_is = np.array(rows)[::5].argsort(axis=0).argsort(axis=0)
    for label, ranks in (("all rows", table), ("the variants as they are", as_it_is)):
        for name, first in (("points", 2), ("neighbours", 4)):
            told = [np.corrcoef(ranks[:, i], ranks[:, first + i])[0, 1] for i in (0, 1)]
            print(f"{label}, {name}: rank correlation of medians {told[0]:.2f}, of shares {told[1]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "scene", "rank"))
    parser.add_argument("scene", nargs="?")
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--frames", type=int, default=24)
    args = parser.parse_args()
    if args.what == "speed":
        width, height = map(int, args.size.split("x"))
        return speed((width, height), args.frames)
    scenes = load_config(read_yaml(args.config))
    scene = scenes[args.scene]
    if args.what == "scene":
        return scene_times(scene, args.config, args.results)
    return rank(scene, scenes.results(scene.name, args.results))


if __name__ == "__main__":
    main()
