#!/usr/bin/env python3
"""Train and render a capture as large as N3DV's on a GPU: quality, seconds, and how far from the machine's limits.

    PYTHONPATH=src python benchmarks/gpu/run.py                    everything
    PYTHONPATH=src python benchmarks/gpu/run.py data train         stages that share a folder (--folder)
    PYTHONPATH=src python benchmarks/gpu/run.py --small            everything, tiny: a minute on a CPU

Needs torch, numpy and safetensors, no network, and 26 GB of memory or disk for the capture, which it makes
itself: 20 cameras (--cameras) x 300 frames of 1352 x 1014 pixels, ray traced, with exact depth. Stages: ``data`` makes
it; ``train`` trains with sparse depth and scores a held-out camera; ``steps`` measures the machine, compares kernels,
and times a step by parts; ``render`` times rendering; ``long`` trains with five times the steps. After --minutes a
training stops with a checkpoint, anything else at once; the same command goes on. A stage that fails is told, and the
next one runs. One table of all stages done so far ends every run; where OUT is in the environment it is also written
there. docs/gpu.md has the figures to expect; on a machine that is new, ``first.py`` comes first.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from capture import SIZE, SMALL, make_data, place_for
from findings import Findings, Found, parse
from timing import compare_kernels, limits, step_findings
from training import Run, options_of

from mixdepth.compute.device import training_device
from mixdepth.errors import Interrupted

STAGES = ("data", "train", "steps", "render", "long")


@contextmanager
def limited(minutes: float) -> Iterator[None]:
    """End by SIGTERM after ``minutes``: a training notes it and writes a checkpoint, anything else is left at once."""

    def stop(*_: Any) -> None:
        raise Interrupted(f"time is up after {minutes:g} minutes; the same command goes on")

    before = signal.signal(signal.SIGTERM, stop)
    over = threading.Event()

    def watch() -> None:
        wait = 60 * minutes
        while not over.wait(wait):
            os.kill(os.getpid(), signal.SIGTERM)
            wait = 10  # a training that was at its last step has ended instead

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGTERM, before)


def learn(run: Run) -> Found:
    """Train both branches, and score them."""
    yield from run.learn()
    yield from run.results()


def time_steps(run: Run, small: bool) -> Found:
    """The machine's limits, kernels, and the last steps of both trainings by parts; trains first if need be."""
    yield from limits(run.device, small)
    yield from compare_kernels(run.device, small)
    if "dynamic" not in run.trainers:
        for _ in run.learn():
            pass
    for part, trainer in run.trainers.items():
        yield from step_findings(part, trainer, 4 if small else 40)


def goals(found: dict[str, dict[str, Any]]) -> dict[tuple[str, str], str]:
    """What the figures should reach, by stage and name."""
    wanted = {("train", "s in all"): "300"}
    if "PSNR, dB" in found.get("long", {}):
        wanted["train", "PSNR, dB"] = f"{found['long']['PSNR, dB'] - 0.3:.2f}"
    wanted |= {("render", name): "30" for name in found.get("render", {}) if "frames/s" in name}
    return wanted | {("steps", name): "1e-4" for name in found.get("steps", {}) if "differences" in name}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="for the capture and what is learnt; without, one in memory or /tmp"
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--triton", action="store_true", help="train with Triton's kernels")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which it stops")
    args = parse(parser, STAGES, SIZE[0], arguments)
    size = SMALL if args.small else (args.cameras, *SIZE[1:])
    folder = args.folder or place_for(f"mixdepth-gpu-{'small' if args.small else size[0]}", size)
    folder.mkdir(parents=True, exist_ok=True)
    findings = Findings("gpu", folder / "results.json")
    stopped = None
    try:
        with limited(args.minutes):
            device = training_device(args.device)
            options = options_of(args.small, device, args.amp)
            longer = options_of(args.small, device, args.amp, 5)

            @lru_cache(1)  # what one training holds is let go before the next
            def run(name: str) -> Run:
                return Run(folder, name, longer if name == "long" else options, args.triton)

            threads = f"CPU, {options[0].threads} threads"
            name = torch.cuda.get_device_name() if device.type == "cuda" else threads
            findings.say("machine", "name", f"{name}, torch {torch.__version__}")
            stages = {
                "data": lambda: make_data(folder, size, device),
                "train": lambda: learn(run("train")),
                "steps": lambda: time_steps(run("train"), args.small),
                "render": lambda: run("train").speeds(SIZE[1], 8),
                "long": lambda: learn(run("long")),
            }
            for stage in args.stages:
                findings.run(stage, stages[stage])
    except Interrupted as error:
        stopped = str(error)
    finally:
        failed = findings.finish(goals(findings.found))
    sys.exit(failed or stopped)


if __name__ == "__main__":
    main()
