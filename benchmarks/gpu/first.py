#!/usr/bin/env python3
"""First contact with a GPU, in two calls of at most four and eight minutes; each finding is told when it is made.

    export PYTHONPATH=src
    python benchmarks/gpu/first.py --seconds 225 where limits kernels small tests            # to be stopped after 250 s
    python benchmarks/gpu/first.py --seconds 455 where capture train parts profile render    # after 480 s

From the repository's root, with torch, numpy and safetensors (``tests``: pytest too); no network. Between the
calls: think, and mend. A stage that fails says why and the next one runs; one that does not fit --seconds any more is
skipped. ``train`` to ``render`` work on what ``capture`` and ``train`` made in the same command. Where OUT is in the
environment, findings are also in $OUT/first.json and first.md, and the profile in $OUT/profile.txt. ``--small`` makes
everything tiny, to try the script itself on a CPU. docs/gpu.md has the figures to expect.
"""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from capture import SIZE, SMALL, make_data, place_for
from findings import Findings, Found, parse
from timing import compare_kernels, limits, step_findings, synchronise, triton, triton_choices
from torch.profiler import ProfilerActivity, profile
from training import Run, Trainer, options_of

from mixdepth.compute.device import training_device
from mixdepth.kernels import dispatch

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "triton", "numpy", "numba", "safetensors", "tensorboard", "pillow", "pytest", "PyYAML")
SHOWN = (
    "nvidia-smi -L",
    "nvidia-smi --query-gpu=driver_version,memory.total,clocks.max.sm --format=csv,noheader",
    f"df -h {tempfile.gettempdir()} /dev/shm .",
    "free -g",
)
CALLS = (
    *("cudaLaunchKernel", "cuLaunchKernelEx", "cudaMemcpyAsync", "cudaStreamSynchronize", "cudaDeviceSynchronize"),
    *("aten::nonzero", "aten::item"),
)
STAGES = {  # with the seconds that each needs at least
    "where": 0, "limits": 15, "kernels": 25, "small": 40, "tests": 30,
    "capture": 60, "train": 60, "parts": 25, "profile": 20, "render": 25,
}  # fmt: skip


class Contact:
    """The stages, and what one leaves for the next."""

    def __init__(self, args: argparse.Namespace, findings: Findings):
        self.args, self.findings, self.run = args, findings, None
        self.share = 0.2 if args.small else 1.0  # of the steps

    @cached_property
    def device(self) -> torch.device:
        """The GPU of this process; a CPU would take hours for what is not small."""
        return training_device("auto" if self.args.small else "cuda")

    def left(self) -> float:
        """Seconds."""
        return self.args.seconds - self.findings.seconds()

    def needed(self, stage: str, value: Any) -> Any:
        """``value``, which ``stage`` has made."""
        if not value:
            raise RuntimeError(f"this needs the stage {stage} before it, in the same command")
        return value

    def where(self) -> Found:
        """Costs nothing, and explains most failures."""
        yield "python", f"{platform.python_version()} {platform.machine()}, {os.cpu_count()} cores"
        for command in SHOWN:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                done = subprocess.run(command.split(), capture_output=True, text=True, timeout=20)
                yield command.split(" --")[0], done.stdout.strip()
        versions = {}
        for name in PACKAGES:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
        yield "versions", versions
        yield "numba is of use", dispatch.cpu is not None
        if torch.cuda.is_available():
            facts = torch.cuda.get_device_properties(0)
            yield "CUDA", f"{torch.version.cuda}, {facts.name}, {facts.total_memory / 1e9:.1f} GB, {facts.uuid}"
        yield "device", str(self.device)

    def limits(self) -> Found:
        """What this machine can do: the denominators of everything else."""
        return limits(self.device, self.args.small)

    def kernels(self) -> Found:
        """Each of Triton's kernels beside plain PyTorch."""
        return compare_kernels(self.device, self.args.small)

    def small(self) -> Found:
        """Every line of both trainings, of resuming and of rendering, in seconds: plain, with Triton, in bfloat16."""

        def learnt(name: str, on: bool, amp: bool) -> dict[str, Any]:
            run = Run(Path(folder), name, options_of(True, self.device, amp, self.share), on)
            with triton(on):
                list(run.train(run.static_trainer(run.videos()), "static", run.static_options.steps // 2))
            list(run.learn())  # the other half by a trainer of its own
            return dict(run.results())

        with tempfile.TemporaryDirectory() as folder:
            yield from make_data(Path(folder), SMALL, self.device)
            for on in triton_choices(self.device):
                for amp in triton_choices(self.device):
                    name = f"training{' (Triton)' if on else ''}{' (bfloat16)' if amp else ''}"
                    yield name, partial(learnt, name, on, amp)

    def tests(self) -> Found:
        """The project's own; in a TMPDIR of their own, because this process has the lock on the GPU."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/test_gpu.py"]
        with tempfile.TemporaryDirectory() as folder:
            env, limit = {**os.environ, "TMPDIR": folder}, max(self.left() - 10, 20)
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=limit)
        print(done.stdout[-6000:], file=sys.stderr, flush=True)
        if done.returncode:
            raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-1200:]}")
        yield "tests/unit/test_gpu.py", done.stdout.strip().splitlines()[-1]

    def capture(self) -> Found:
        """In memory, where it fits: 8 cameras of 300 frames are 9.9 GB; gone when this process ends."""
        size = SMALL if self.args.small else (self.args.cameras, *SIZE[1:])
        self.folder = tempfile.TemporaryDirectory(dir=place_for("mixdepth-first", size).parent)
        folder = Path(self.folder.name)
        yield from make_data(folder, size, self.device)
        self.run = Run(folder, "train", options_of(self.args.small, self.device, self.args.amp, self.share))

    def train(self) -> Found:
        """The preset T, as far as time allows; its trainers are kept."""
        yield from self.needed("capture", self.run).learn(self.loop)
        yield from self.run.results()

    def loop(self, trainer: Trainer, part: str) -> Found:
        """Train, static for a quarter of what time is left, dynamic for 0.45; milliseconds a step by tenths."""
        steps, tenths = trainer.options.steps, []
        tenth, limit = max(steps // 10, 1), max((0.25 if part == "static" else 0.45) * self.left(), 20)
        with self.run.clock(part):
            start = last = time.monotonic()
            for step in range(1, steps + 1):
                figures = trainer.step(step - 1)
                if step % tenth == 0:
                    told = ", ".join(f"{name} {float(value):.4g}" for name, value in figures.items())
                    now = time.monotonic()
                    tenths.append(1e3 * (now - last) / tenth)
                    print(f"{part} {step}/{steps}: {tenths[-1]:.2f} ms a step, {told}", file=sys.stderr, flush=True)
                    last = now
                if time.monotonic() - start > limit:
                    break
        if step < steps:
            yield f"{part} stopped", f"after {step} of {steps} steps, to leave time for what comes"
        yield f"{part}, s", self.run.seconds[part]
        yield f"{part}, ms a step by tenths", tenths

    def trainers(self) -> dict[str, Trainer]:
        """Those that ``train`` has made, by part."""
        return self.needed("train", self.run and self.run.trainers)

    def parts(self) -> Found:
        """A step of each kind by parts, and what it needs."""
        for part, trainer in self.trainers().items():
            yield from step_findings(part, trainer, 4 if self.args.small else 30)

    def profile(self) -> Found:
        """Kernels, launches and waits of three steps of each kind; the whole in $OUT/profile.txt."""
        on_gpu, texts = self.device.type == "cuda", []
        activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])
        for part, trainer in self.trainers().items():
            with profile(activities=activities) as recorded:
                for step in range(trainer.options.steps - 3, trainer.options.steps):
                    trainer.step(step)
                synchronise(self.device)
            found = recorded.key_averages()
            key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
            texts.append(f"{part}, 3 steps\n" + found.table(sort_by=key, row_limit=40, max_name_column_width=70))
            print(texts[-1][:3500], file=sys.stderr, flush=True)
            if self.findings.out:
                (self.findings.out / "profile.txt").write_text("\n\n".join(texts))
            counts = {event.key: event.count / 3 for event in found}
            yield f"{part}, calls per step", {name: counts.get(name, 0.0) for name in CALLS}

    def render(self) -> Found:
        """Single frames and part of a video of the saved model, without and with Triton."""
        return self.needed("train", self.run).speeds(64, 3)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=455, help="in all; stages that do not fit are skipped")
    args = parse(parser, STAGES, 8, arguments)
    findings = Findings("first")
    contact = Contact(args, findings)
    try:
        for stage in args.stages:
            if contact.left() < STAGES[stage]:
                findings.say(stage, "skipped", f"{contact.left():.0f} s are left, it needs {STAGES[stage]}")
            else:
                findings.run(stage, getattr(contact, stage))
    finally:
        failed = findings.finish()
    sys.exit(failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # with the table, and no capture left in memory
    main()
