#!/usr/bin/env python3
"""Train variants on captures that are prepared, with changed settings, and print their scores and times.

    .venv/bin/python benchmarks/train.py --config config/arc8.yaml arc8_3 inherited none --set dynamic.steps=600

Cameras, frames and depths are taken from results/<scene> (make them with snakemake first; --results for another
folder); models go to benchmarks/out/train. Seconds are of the training alone: static model (where the variant needs
it) + the variant's own. Every row is also appended to benchmarks/out/train.jsonl.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch
import yaml

from mixdepth.evaluation.tasks import evaluate_static, evaluate_variant
from mixdepth.rendering.tasks import render_camera
from mixdepth.results import STATIC, Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.train.tasks import extract_depth, train_branch, train_dynamic, train_segment, train_static
from mixdepth.variants import TABLE, VARIANTS
from mixdepth.workflow.stages import PARTS, STAGES, Job

ROOT = Path(__file__).parent.parent
OUT = ROOT / "benchmarks/out"


def gflops() -> float:
    """sgemm of 2000x2000 matrices in PyTorch's threads, GFLOP/s: how fast this machine is."""
    a = torch.rand(2000, 2000)
    best = min(_seconds(lambda: a @ a)[0] for _ in range(5))
    return 2 * 2000**3 / best / 1e9


def _seconds(function: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def changed(options: dict, settings: list[str]) -> dict:
    """``options`` with ``section.key=value`` applied; values are YAML."""
    options = json.loads(json.dumps(options))
    for setting in settings:
        path, _, value = setting.partition("=")
        *sections, key = path.split(".")
        place = options
        for section in sections:
            place = place[section]
        if key not in place:
            sys.exit(f"--set {setting}: there is no such setting")
        place[key] = yaml.safe_load(value)
    return options


def prepare(prepared: Path, work: Path) -> Results:
    """Empty results below ``work``, which share all that is prepared with a scene's."""
    shutil.rmtree(work, ignore_errors=True)
    return Results(work, capture=prepared, rig=prepared)


def _did(function: Callable, stage: str, scene: Scene, results: Results, *args: Any, **wildcards: str) -> float:
    """Seconds in which ``function`` did the work of one stage."""
    job = Job.of(stage, **wildcards)
    return _seconds(lambda: function(scene, *args, **job.read(results, scene), **job.makes(results)))[0]


def run(scene: Scene, variant: str, results: Results, done: dict[str, float]) -> dict[str, Any]:
    """Train, render and score one variant, or the static model; ``done`` remembers what the latter took."""
    needs_static = variant == STATIC or TABLE[variant].needs_static
    if needs_static and STATIC not in done:
        done[STATIC] = _did(train_static, "train_static", scene, results, results.run(STATIC), {})
        if scene.cameras:
            _did(extract_depth, "static_depth", scene, results)
    static = done[STATIC] if needs_static else 0.0
    if variant == STATIC:
        _did(evaluate_static, "static_metrics", scene, results)
        return {**json.loads(results.metrics(STATIC).read_text()), "own": 0.0, "static": static}
    own, place = 0.0, results.run(variant)
    for part in STAGES["train_dynamic"].reads(results, scene, variant=variant).get(PARTS, []):
        if part == results.branch(variant):
            own += _did(train_branch, "train_branch", scene, results, variant, place, {}, variant=variant)
        else:
            args = scene, results, variant, int(part.stem), place, {}
            own += _did(train_segment, "train_segment", *args, variant=variant, segment=part.stem)
    own += _did(train_dynamic, "train_dynamic", scene, results, variant, place, {}, variant=variant)
    render = 0.0
    for camera in scene.test_cameras:
        render += _did(render_camera, "render", scene, results, variant, camera, variant=variant, camera=camera)
    _did(evaluate_variant, "evaluate", scene, results, variant, variant=variant)
    scores = json.loads(results.metrics(variant).read_text())
    return {**scores, "own": own, "static": static, "render": render}


def row(name: str, variant: str, label: str, seed: int, scores: dict[str, Any]) -> str:
    def shown(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    depth, moving = scores.get("depth") or {}, scores.get("depth_moving") or {}
    cells = [name, variant, label, str(seed), shown(scores["psnr"], 2)]
    cells += [shown(scores.get(f"psnr_{key}"), 2) for key in ("moving", "still", "affine")]
    cells += [shown(scores["ssim"], 3), shown(depth.get("median"), 4)]
    cells += [shown(100 * depth["within_5_percent"], 1) if depth else "–", shown(moving.get("median"), 4)]
    cells += [f"{scores['static']:.0f} + {scores['own']:.0f}", f"{scores.get('render', 0):.0f}"]
    return "| " + " | ".join(cells) + " |"


TITLES = (
    "scene, variant, settings, seed, PSNR, moving, still, affine, SSIM, depth median, within 5 %, mover's depth, "
    "train s, render s"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("variants", nargs="+", choices=[STATIC, *VARIANTS])
    parser.add_argument("--config", type=Path, help="a dataset's file, as snakemake's --configfile")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--set", nargs="*", action="extend", default=[], metavar="section.key=value")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    args = parser.parse_args()
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    if args.config:
        config["scenes"] |= yaml.safe_load(args.config.read_text())["scenes"]
    scene = load_config(config)[args.scene]
    OUT.mkdir(exist_ok=True)
    rows = []
    speed = gflops()
    for seed in args.seeds:
        results = prepare(args.results / args.scene, OUT / "train" / args.scene)
        seeded = [f"static.seed={seed}", f"dynamic.seed={seed}"]
        trained = replace(scene, options=changed(scene.options, [*args.set, *seeded]))
        done: dict[str, float] = {}
        for variant in args.variants:
            own = {**trained.options, "dynamic": trained.dynamic_options(variant)}
            scores = run(replace(trained, options=own), variant, results, done)
            label = " ".join(args.set) or "as configured"
            rows.append(row(args.scene, variant, label, seed, scores))
            record = {"scene": args.scene, "variant": variant, "set": args.set, "seed": seed, "gflops": speed, **scores}
            with (OUT / "train.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
    titles = TITLES.split(", ")
    print(f"sgemm: {speed:.0f} GFLOP/s in {torch.get_num_threads()} threads before, {gflops():.0f} after\n")
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
