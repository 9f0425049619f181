#!/usr/bin/env python3
"""Print one Markdown table of scores, times and memory from results/, and how fast this machine is.

.venv/bin/python benchmarks/figures.py [results]

A row per variant: seconds of training are those of the static model (where the variant uses it) plus those of the
variant itself, whose own static branch is in the latter; memory is the most that its training, rendering or scoring
took. The row "static" is the static model. The row "all jobs" adds up the seconds of every job of the scene.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixdepth.compute.machine import host
from mixdepth.record.provenance import commit, read_benchmarks, training_jobs
from mixdepth.results import STATIC, Results
from mixdepth.variants import TABLE

THREADS = 2  # as in the training settings
TITLES = (
    "scene",
    "variant",
    "PSNR, dB",
    "PSNR moving, dB",
    "SSIM",
    "depth median",
    "within 5 %",
    "training, s (static + own)",
    "peak memory, MB",
)

Times = dict[str, tuple[float, float]]  # job -> (seconds, peak memory in MB); 0 where Snakemake could not measure


def scene_rows(folder: Path) -> list[list[str]]:
    """The rows of one scene; none where nothing was scored."""
    results = Results(folder)
    jobs, rows = read_benchmarks(results.benchmark().parent), []
    times = {job["job"]: (job["seconds"] or 0.0, job["max_rss_mb"] or 0.0) for job in jobs}
    static = _read(results.metrics(STATIC))
    if static:
        mine = ["train_static", "static_depth", "static_metrics"]
        rows.append([folder.name, STATIC, *_scores(static), _seconds(times, ["train_static"]), _memory(times, mine)])
    for variant, learns in TABLE.items():
        metrics = _read(results.metrics(variant))
        if metrics:
            training = [job["job"] for job in training_jobs(jobs, variant)]
            if learns.needs_static:
                training.insert(0, "train_static")
            mine = [job for job in times if job in training or variant in job.split(".")[1:]]
            rows.append([folder.name, variant, *_scores(metrics), _seconds(times, training), _memory(times, mine)])
    if rows:
        total = f"{sum(seconds for seconds, _ in times.values()):.0f}" if times else "–"
        rows.append([folder.name, "all jobs", *["–"] * 5, total, _memory(times, times)])
    return rows


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _scores(metrics: dict[str, Any]) -> list[str]:
    """PSNR, moving PSNR, SSIM, depth median and share within 5 % as text; a dash for what is not known."""
    depth = metrics.get("depth") or {}
    median = _text(depth.get("median"), "{:.3f}")
    if metrics.get("depth_relative_median") is not None:
        median += f" ({100 * metrics['depth_relative_median']:.1f} %)"
    return [
        _text(metrics.get("psnr"), "{:.2f}"),
        _text(metrics.get("psnr_moving"), "{:.2f}"),
        _text(metrics.get("ssim"), "{:.3f}"),
        median,
        _text(depth.get("within_5_percent"), "{:.1%}").replace("%", " %"),
    ]


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _seconds(times: Times, jobs: list[str]) -> str:
    """The sum and, of several jobs, its parts; a dash where a job was not timed."""
    if any(job not in times for job in jobs):
        return "–"
    parts = [f"{times[job][0]:.0f}" for job in jobs]
    total = f"{sum(times[job][0] for job in jobs):.0f}"
    return total if len(parts) == 1 else f"{total} ({' + '.join(parts)})"


def _memory(times: Times, jobs: Iterable[str]) -> str:
    known = [times[job][1] for job in jobs if job in times]
    return f"{max(known):.0f}" if known and max(known) > 0 else "–"


def table(results: Path) -> str:
    """All scenes below ``results`` as a Markdown table."""
    rows = [row for folder in sorted(results.iterdir()) if folder.is_dir() for row in scene_rows(folder)]
    lines = [TITLES, ["---"] * len(TITLES), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sgemm_gflops(size: int = 2000, runs: int = 5) -> float:
    """Best of ``runs`` float32 products of two size x size matrices with torch in two threads, GFLOP/s."""
    import torch

    torch.set_num_threads(THREADS)
    a, b = torch.rand(size, size), torch.rand(size, size)
    a @ b  # the first call sets up the library
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def machine() -> str:
    """One line: processor, cores, memory, system, versions, and the speed that makes times comparable."""
    import torch

    found, code = host(), commit(Path(__file__).parent)
    version = f"commit {code['id'][:9]}{' with changes' if code['dirty'] else ''}" if code else "no git"
    return (
        f"{found['cpu']}, {found['cores']} cores, {found['memory_gib']} GiB, {found['distribution']}, torch "
        f"{torch.__version__}, {version}; sgemm 2000x2000 in {THREADS} threads: {sgemm_gflops():.0f} GFLOP/s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    chosen = parser.parse_args().results
    if not chosen.is_dir():
        raise SystemExit(f"{chosen}: no such folder; run benchmarks/run.sh first")
    print(table(chosen))
    print(f"\n{machine()}; load {os.getloadavg()[0]:.1f}")
