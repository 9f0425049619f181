#!/usr/bin/env python3
"""What each piece of depth supervision brings: every row with several seeds, mean and spread over them.

    .venv/bin/python benchmarks/ablation.py arc8_3 demo         # hours; the same command goes on after an interrupt
    .venv/bin/python benchmarks/ablation.py --threads 1 arc8    # beside another such process: more rows per hour
    .venv/bin/python benchmarks/ablation.py --table             # only prints what is there

Inputs are those of results/<scene> (make them with snakemake first; --results for another folder), as in train.py.
Rows differ in settings of `dynamic`, so the static model of a seed is trained once. Every training has the
steps below, half of the defaults, so that all fits into an hour or two on two cores. Records go to
benchmarks/out/ablation.jsonl (--records); remove it after a change of the code. Those of docs/ablation.md are in
docs/ablation.jsonl.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml
from train import OUT, ROOT, changed, prepare, run

from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.variants import VARIANTS

SEEDS = (0, 1, 2)
STEPS = {"static.steps": 750, "dynamic.static.steps": 750, "dynamic.steps": 300, "dynamic.inherited_steps": 75}
FILES = {"arc8": "arc8", "arc8_3": "arc8", "demo": "config", "basketball": "panoptic"}
STATIC = "dynamic.static."
LOSSES = [
    [f"{STATIC}depth_loss=mse"],
    [f"{STATIC}depth_loss=kl", f"{STATIC}depth_weight=0.01"],  # at 0.05, as the others, it is worse
    [f"{STATIC}depth_loss=ranking"],
]
GUIDED = [f"{STATIC}guided_samples=16"]
ROWS: list[tuple[str, list[str]]] = [
    *((variant, []) for variant in VARIANTS),
    ("inherited", ["dynamic.inherited_steps=0"]),
    *((variant, change) for variant in ("distilled", "colmap") for change in (*LOSSES, GUIDED)),
    ("distilled", [f"{STATIC}depth_sigma=0.003"]),
    ("inherited", ["dynamic.surface_weight=0"]),
]
# What only a real capture can show: motion maps and cameras that differ.
REAL = [("colmap", [change]) for change in ("dynamic.hull_vote=1.0", f"{STATIC}tone=false")]


def rows(scene: str) -> list[tuple[str, list[str]]]:
    """Variants and changed settings that are measured on a scene."""
    return ROWS + (REAL if scene == "basketball" else [])


FIGURES = {
    "PSNR": lambda r: r["psnr"],
    "moving": lambda r: r.get("psnr_moving"),
    "SSIM": lambda r: r["ssim"],
    "depth median": lambda r: (r.get("depth") or {}).get("median"),
    "depth mean": lambda r: (r.get("depth") or {}).get("mae"),
    "mover's depth": lambda r: (r.get("depth_moving") or {}).get("median"),
}


def read(path: Path) -> list[dict]:
    """What has been measured so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measure(scene: Scene, seed: int, results: Path, threads: int, records: Path) -> None:
    """Train and score the rows of one seed that are missing."""
    have = [(r["scene"], r["variant"], r["set"], r["seed"]) for r in read(records)]
    missing = [(v, c) for v, c in rows(scene.name) if v in scene.variants and (scene.name, v, c, seed) not in have]
    if not missing:
        return
    work, done = prepare(results / scene.name, OUT / "ablation" / scene.name), {}
    own = {**STEPS, "static.seed": seed, "dynamic.seed": seed, "static.threads": threads, "dynamic.threads": threads}
    for variant, change in missing:
        options = changed(scene.options, [*(f"{key}={value}" for key, value in own.items()), *change])
        options["dynamic"] = replace(scene, options=options).dynamic_options(variant)
        scores = run(replace(scene, options=options), variant, work, done)
        kept = {key: value for key, value in scores.items() if key not in ("cameras", "settings")}
        with records.open("a") as file:
            record = {"scene": scene.name, "variant": variant, "set": change, "seed": seed, **kept}
            file.write(json.dumps(record) + "\n")


def table(found: list[dict]) -> Iterator[str]:
    """Mean, and half the distance from the smallest to the largest, over the seeds."""
    yield "| scene | variant | changed | seeds | " + " | ".join(FIGURES) + " |"
    yield "|---" * (4 + len(FIGURES)) + "|"
    for scene in FILES:
        # Records may be of settings that are not there any more.
        seen = {(r["variant"], *r["set"]) for r in found if r["scene"] == scene}
        for variant, *change in sorted(seen, key=lambda row: (VARIANTS.index(row[0]), len(row), row)):
            mine = [r for r in found if (r["scene"], r["variant"], r["set"]) == (scene, variant, change)]
            cells = []
            for figure in FIGURES.values():
                values = [figure(r) for r in mine if figure(r) is not None]
                spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.4g}{spread}" if values else "–")
            label = " ".join(change).replace("dynamic.", "") or "as configured"
            yield f"| {scene} | {variant} | {label} | {len(mine)} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", choices=[*FILES, []])
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--records", type=Path, default=OUT / "ablation.jsonl")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    if not args.table:
        config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        for file in {FILES[name] for name in args.scenes} - {"config"}:
            config["scenes"] |= yaml.safe_load((ROOT / f"config/{file}.yaml").read_text())["scenes"]
        scenes = load_config(config)
        for seed in args.seeds:
            for name in args.scenes:
                measure(scenes[name], seed, args.results, args.threads, args.records)
    print("\n".join(table(read(args.records))))


if __name__ == "__main__":
    main()
