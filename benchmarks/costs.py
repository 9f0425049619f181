#!/usr/bin/env python3
"""What `doctor` predicts against what runs took: memory, time and disk of every rule, as Markdown.

    .venv/bin/python benchmarks/costs.py --watch results/demo & make demo; kill %1    # memory, while it runs
    .venv/bin/python benchmarks/costs.py demo
    .venv/bin/python benchmarks/costs.py --config config/arc8.yaml arc8

Seconds are Snakemake's (results/<scene>/benchmarks). So is memory where nothing watched; that counts the frames and
renders that a job maps, which the system takes back where it needs the room. `--watch` leaves them out, looks at what
jobs in this folder keep every 0.5 s, and ends with Ctrl-C or `kill`.
"""

import argparse
import csv
import json
import re
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path

from mixdepth.commands import SCHEMA
from mixdepth.config import load_config
from mixdepth.resources import MEMORY, cost, jobs, size_of
from mixdepth.schema import read_yaml

WATCHED = "watched.json"
INTERVAL = 0.5  # seconds
SHORT = 3.0  # seconds: of shorter jobs Snakemake's memory is too low, as it looks too rarely
NAMES = {"report": "report_html", "export": "export_renders"}  # of benchmark files -> of rules
# Rule -> what one job of it writes, below the results of the scene; one match per job (a file, or a folder).
OUTPUTS = {
    "reference": "reference/*",
    "frame_store": "frames/*",
    "structure_from_motion": "sfm",
    "triangulate": "sparse",
    "static_set": "static/set.npz",
    "train_static": "static/model.safetensors",
    "static_depth": "static/depth",
    "train_dynamic": "[!s]*/model.safetensors",
    "render": "*/renders/*",
    "render_path": "*/paths/*[!4]",
    "path_video": "*/paths/*.mp4",
    "contact_sheet": "contact_sheet.jpg",
    "video": "video.mp4",
    "comparison": "comparison.png",
    "report_html": "report.html",
    "viewer": "viewer.html",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scenes", nargs="*", metavar="SCENE")
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--watch", type=Path, metavar="RESULTS/SCENE")
    args = parser.parse_args()
    if args.watch:
        return watch(args.watch)
    scenes = load_config(read_yaml(args.config), SCHEMA)
    print("| scene | rule | jobs | memory, MB | measured | time, s | measured | disk, MB | measured |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in args.scenes:
        folder = args.results / name
        size = size_of(scenes[name], json.loads((folder / "capture.json").read_text()))
        memory, seconds = measured(folder / "benchmarks")
        total = [0.0] * 4
        for rule in MEMORY:
            if rule not in seconds:
                continue
            one, count = cost(rule, size), len(seconds[rule])
            took, written = sum(seconds[rule]) / count, disk(folder, rule)
            cells = [one.memory_mb, memory.get(rule), one.seconds, took, one.bytes / 1e6, written]
            print(f"| {name} | {rule} | {count} |", " | ".join(map(cell, cells)), "|")
            if rule in jobs(size):
                total = [a + b for a, b in zip(total, [one.seconds, took, one.bytes / 1e6, written or 0], strict=True)]
    return None


def measured(folder: Path) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Rule -> most memory, MB, and rule -> seconds of each of its jobs."""
    memory, seconds = {}, defaultdict(list)
    for path in sorted(folder.glob("*.tsv")):
        rule = path.name.split(".")[0]
        rule = NAMES.get(rule, rule)
        with path.open() as file:
            row = list(csv.DictReader(file, delimiter="\t"))[-1]
        seconds[rule].append(float(row["s"]))
        if float(row["s"]) >= SHORT and row["max_rss"] not in ("NA", "-"):
            memory[rule] = max(memory.get(rule, 0), float(row["max_rss"]))
    watched = folder / WATCHED
    return {**memory, **(json.loads(watched.read_text()) if watched.exists() else {})}, seconds


def disk(folder: Path, rule: str) -> float | None:
    """MB that one job of a rule wrote, of several the mean; None where that is next to nothing."""
    found = list(folder.glob(OUTPUTS[rule])) if rule in OUTPUTS else []
    found = [path for path in found if not path.name.startswith(".")]
    parts = [path.rglob("*") if path.is_dir() else [path] for path in found]
    return sum(part.stat().st_size for each in parts for part in each) / 1e6 / len(found) if found else None


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def watch(folder: Path) -> None:
    """Write the most memory of every rule to watched.json of ``folder``/benchmarks, whenever it grows."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    peaks: dict[str, float] = {}
    while True:
        before = dict(peaks)
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and (rule := running(process)):
                peaks[rule] = max(peaks.get(rule, 0), kept(process))
        if peaks != before and (folder / "benchmarks").is_dir():
            (folder / "benchmarks" / WATCHED).write_text(json.dumps(peaks, indent=1, sort_keys=True))
        time.sleep(INTERVAL)


def running(process: Path) -> str | None:
    """The rule whose script a process runs in this folder; None where it runs none."""
    try:
        if (process / "cwd").readlink() != Path.cwd():
            return None
        script = re.search(rb"/\.snakemake/scripts/tmp\w+\.(\w+)\.py", (process / "cmdline").read_bytes())
    except OSError:
        return None
    return NAMES.get(script[1].decode(), script[1].decode()) if script else None


def kept(process: Path) -> float:
    """MB that are in memory for a process, without the arrays that it maps."""
    total, counted = 0, True
    try:
        for line in (process / "smaps").read_text().splitlines():
            if re.match("[0-9a-f]+-[0-9a-f]+ ", line):
                counted = not line.endswith(".npy") and ".npy." not in line.rsplit("/", 1)[-1]
            elif line.startswith("Rss:") and counted:
                total += int(line.split()[1])
    except (OSError, ValueError):  # it has ended
        return 0
    return total / 1000


if __name__ == "__main__":
    main()
