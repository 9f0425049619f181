#!/usr/bin/env python3
"""What `doctor` predicts against what runs took: memory, time and disk of every rule, as Markdown.

    .venv/bin/python benchmarks/costs.py --watch results/demo & make demo; kill %1    # memory, while it runs
    .venv/bin/python benchmarks/costs.py demo
    .venv/bin/python benchmarks/costs.py --config config/config.yaml --config config/arc8.yaml demo arc8

Seconds are Snakemake's (results/<scene>/benchmarks). So is memory where nothing watched; that counts the frames and
renders that a job maps, which the system takes back where it needs the room. `--watch` leaves them out, looks at what
jobs in this folder keep every 0.5 s, and ends with Ctrl-C or `kill`.
"""

import argparse
import json
import os
import re
import signal
import sys
import time
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import NoReturn

from mixdepth.record.provenance import read_benchmarks
from mixdepth.results import Results
from mixdepth.scene.config import load_config
from mixdepth.scene.schema import read_yaml
from mixdepth.variants import VARIANTS
from mixdepth.workflow.costs import MEMORY, Size, cost, jobs, size_of
from mixdepth.workflow.stages import STAGES, flat

WATCHED = "watched.json"
INTERVAL = 0.5  # seconds
SHORT = 3.0  # seconds: of shorter jobs Snakemake's memory is too low, as it looks too rarely
LEAST = {"memory_mb": 0, "seconds": SHORT, "disk_mb": 0.1}  # what is worth a comparison
NAMES = {"report": "report_html", "export": "export_renders"}  # of benchmark files -> of rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scenes", nargs="*", metavar="SCENE")
    parser.add_argument("--config", type=Path, action="append", help="may be repeated (default: config/config.yaml)")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--watch", type=Path, metavar="RESULTS/SCENE")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep sizes and measurements, as JSON")
    args = parser.parse_args()
    if args.watch:
        watch(args.watch)
    raw = {"scenes": {}}
    for path in args.config or [Path("config/config.yaml")]:
        raw["scenes"].update(read_yaml(path)["scenes"])
    scenes = load_config(raw)
    found = {}
    for name in args.scenes:
        results = Results(args.results / name)
        size = size_of(scenes[name], json.loads(results.capture.read_text()))
        found[name] = {"size": size._asdict(), "rules": measured(results)}
    if args.keep:
        args.keep.write_text(json.dumps(found, indent=1) + "\n")
    print_table(found)


def print_table(found: dict[str, dict]) -> None:
    """Predicted over measured, of every rule (memory, time, disk) and of whole scenes."""
    print("| rule |", " | ".join(f"{name}: memory | time | disk" for name in found), "|")
    print("|---" * (1 + 3 * len(found)) + "|")
    for rule in MEMORY:
        cells = []
        for scene in found.values():
            there, said = scene["rules"].get(rule, {}), predicted(rule, scene)
            cells += [ratio(said[key], there.get(key), least) for key, least in LEAST.items()]
        if any(cells):
            print(f"| {rule} |", " | ".join(cells), "|")
    for name, scene in found.items():
        rules = {rule: one for rule, one in scene["rules"].items() if rule in jobs(Size(**scene["size"]))}
        pairs = [(predicted(rule, scene), one) for rule, one in rules.items()]
        sums = [sum(said[key] * one["jobs"] for said, one in pairs) for key in ("seconds", "disk_mb")]
        real = [sum(one.get(key, 0) * one["jobs"] for _, one in pairs) for key in ("seconds", "disk_mb")]
        most = [max(one.get("memory_mb", 0) for one in ones) for ones in zip(*pairs, strict=True)]
        print(
            f"\n{name}, predicted (measured): {sums[0]:.0f} s of all jobs ({real[0]:.0f}), {sums[1]:.0f} MB on disk"
            f" ({real[1]:.0f}), at most {most[0]:.0f} MB of memory ({most[1]:.0f})"
        )


def predicted(rule: str, scene: dict) -> dict[str, float]:
    one = cost(rule, Size(**scene["size"]))
    return {"memory_mb": one.memory_mb, "seconds": one.seconds, "disk_mb": one.bytes / 1e6}


def ratio(predicted: float, measured: float | None, least: float) -> str:
    """Predicted over measured; nothing where both are next to nothing or nobody measured."""
    if measured is None or max(predicted, measured) < least or not measured:
        return ""
    return f"{predicted / measured:.2f}"


def measured(results: Results) -> dict[str, dict[str, float]]:
    """Rule -> how many jobs there were, most memory of one, mean seconds, mean MB written."""
    found = defaultdict(lambda: {"jobs": 0, "seconds": 0.0})
    for job in read_benchmarks(results.benchmark().parent):
        one, seconds = found[NAMES.get(job["rule"], job["rule"])], job["seconds"] or 0.0
        one["jobs"] += 1
        one["seconds"] += seconds
        if seconds >= SHORT and job["max_rss_mb"] is not None:
            one["memory_mb"] = max(one.get("memory_mb", 0), job["max_rss_mb"])
    watched = results.benchmark().parent / WATCHED
    peaks = json.loads(watched.read_text()) if watched.exists() else {}
    for rule, one in found.items():
        one["seconds"] = round(one["seconds"] / one["jobs"], 2)
        one.update({"memory_mb": peaks[rule]} if rule in peaks else {})
        if (written := disk(results, rule)) is not None:
            one["disk_mb"] = round(written, 3)
    return dict(found)


def disk(results: Results, rule: str) -> float | None:
    """MB that one job of a rule wrote, of several the mean; None where there is nothing."""
    if rule not in STAGES:
        return None
    every = dict.fromkeys(STAGES[rule].wildcards, "*")
    each = [{**every, "variant": variant} for variant in VARIANTS] if "variant" in every else [every]
    jobs = written = 0
    for wildcards in each:
        patterns = [os.path.relpath(path, results.folder) for path in flat(STAGES[rule].makes(results, **wildcards))]
        found = [[path for path in results.folder.glob(one) if path.name[0] != "."] for one in patterns]
        jobs += len(found[0])
        parts = [path.rglob("*") if path.is_dir() else [path] for path in chain.from_iterable(found)]
        written += sum(part.stat().st_size for part in chain.from_iterable(parts))
    return written / 1e6 / jobs if jobs else None


def watch(folder: Path) -> NoReturn:
    """Write the most memory of every rule to watched.json of ``folder``/benchmarks, whenever it grows."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    peaks: dict[str, float] = {}
    benchmarks = Results(folder).benchmark().parent
    while True:
        before = dict(peaks)
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and (rule := running(process)):
                peaks[rule] = max(peaks.get(rule, 0), kept(process))
        if peaks != before and benchmarks.is_dir():
            (benchmarks / WATCHED).write_text(json.dumps(peaks, indent=1, sort_keys=True))
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
