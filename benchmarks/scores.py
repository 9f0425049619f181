#!/usr/bin/env python3
"""How long scores take, and whether depth scores without a truth rank depth as the truth does.

    .venv/bin/python benchmarks/scores.py speed [--size 320x240] [--frames 24]
    .venv/bin/python benchmarks/scores.py scene demo --config config/config.yaml
    .venv/bin/python benchmarks/scores.py rank demo --config config/config.yaml

speed: milliseconds of processor time per frame of each measure and of the library that it is held to, on noisy pictures
of random blocks, and how far the two are apart at most; then seconds of wall time per frame of all scores but LPIPS. In
one thread, as `evaluate` scores. LPIPS has random weights. scene: seconds of `evaluate` on a finished scene, variant by
variant, each in a process of its own, so that starting Python and importing count; with the processor's time, which
other programs change less. rank: each variant's depth, as it is and made worse in known ways, scored against the truth
and without it, and the rank correlation (Spearman's) between the two.
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

    pairs = noisy_pairs(*size)
    moving = np.arange(size[1])[:, None].repeat(size[0], axis=1) < size[1] // 4

    def scored(count: int, **more: object) -> None:
        chosen = [pairs[index % len(pairs)] for index in range(count)]
        score_colour(*zip(*chosen, strict=True), [moving] * count, **more)

    def timed(compare: Callable[..., object]) -> float:
        compare(*pairs[0], None)
        start = time.process_time()
        for pair in pairs:
            compare(*pair, None)
        return (time.process_time() - start) / len(pairs) * 1000

    torch.set_num_threads(1)
    print(f"| measure | ms per frame at {size[0]}x{size[1]} | its library | apart |\n|---|---|---|---|")
    print(f"| PSNR, affine, flicker | {timed(lambda *_: scored(8, measures={})) / 8:.1f} | | |")
    for name, theirs in LIBRARIES.items():
        ours = MEASURES[name].compare
        apart = max(abs(ours(*pair, None).value - theirs(*pair)) for pair in pairs)
        print(f"| {name} | {timed(ours):.1f} | {timed(lambda one, two, _: theirs(one, two)):.1f} | {apart:.0e} |")  # noqa: B023
    with tempfile.TemporaryDirectory() as folder:
        for name in ("alex", "vgg"):
            path = Path(folder) / f"{name}.safetensors"
            save_file(Lpips(name).state_dict(), path)
            print(f"| lpips_{name} | {timed(load_lpips(name, path).compare):.1f} | | |")
    start, before = time.perf_counter(), time.process_time()
    scored(frames, measures=MEASURES)
    wall, busy = ((now - then) / frames for now, then in ((time.perf_counter(), start), (time.process_time(), before)))
    print(f"\n{frames} frames, all but LPIPS: {wall:.3f} s of wall time each, {busy:.3f} s of the processor")


def noisy_pairs(width: int, height: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Eight renders and truths, [H, W, 3] uint8: random blocks with more noise and less."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))[:height, :width]
    noise = rng.normal(0, 1, (8, 2, height, width, 3)) * np.array([15, 5])[:, None, None, None]
    return [(pair[0], pair[1]) for pair in np.clip(blocks + noise, 0, 255).astype(np.uint8)]


def library_ssim(render: np.ndarray, truth: np.ndarray) -> float:
    from skimage.metrics import structural_similarity

    # Once for each data range, both of which are scored.
    ranges = [structural_similarity(render / 255, truth / 255, channel_axis=-1, data_range=r) for r in (1.0, 2.0)]
    return float(ranges[0])


def library_ms_ssim(render: np.ndarray, truth: np.ndarray) -> float:
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    pair = (torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None] for image in (render, truth))
    return float(multiscale_structural_similarity_index_measure(*pair, data_range=1.0))


def library_flip(render: np.ndarray, truth: np.ndarray) -> float:
    import flip_evaluator

    one, two = (image / np.float32(255) for image in (render, truth))
    found = flip_evaluator.evaluate(two, one, "LDR", applyMagma=False, computeMeanError=False)[0]
    return float(found.mean(dtype=np.float64))


LIBRARIES = {"ssim": library_ssim, "ms_ssim": library_ms_ssim, "flip": library_flip}


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
