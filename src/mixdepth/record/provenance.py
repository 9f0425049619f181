"""Where a scene's results come from: inputs, settings, versions, commit, host, time and memory of jobs; and outputs."""

import contextlib
import csv
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from mixdepth.files.io import write_json
from mixdepth.record.hashes import configuration, hashes, input_files, output_files, refuse_damaged
from mixdepth.scene.scene import Scene
from mixdepth.workflow.versions import STAGE_VERSIONS

PACKAGES = (
    "mixdepth",
    "torch",
    "numpy",
    "pycolmap",
    "snakemake",
    "av",
    "imageio-ffmpeg",
    "pillow",
    "scikit-image",
    "scipy",
    "torchmetrics",
    "flip-evaluator",
    "numba",
    "matplotlib",
    "safetensors",
)
GIB = 1 << 30


def write_provenance(scene: Scene, folder: Path, outputs: Iterable[str | Path], output: Path) -> None:
    """Write provenance.json with the keys ``scene``, ``data``, ``inputs``, ``settings``, ``stages``, ``versions``,
    ``commit``, ``host``, ``jobs``, ``total`` and ``outputs``.

    Args:
        scene: the scene.
        folder: its results; times and memory come from the files in ``benchmarks`` that Snakemake wrote.
        outputs: its files and folders of files to record, in the order in which they depend on each other.
        output: the provenance.json.

    Raises:
        UserError: an output is damaged, so that its hash would be that of nothing that was computed.
    """
    outputs = list(map(Path, outputs))
    for file in output_files(folder, outputs).values():
        made = "its folder" if file.parent in outputs else "it"
        refuse_damaged(file, f"Delete {made} and run the same command again.")
    jobs = read_benchmarks(folder / "benchmarks")
    write_json(
        output,
        {
            "scene": scene.name,
            "data": str(scene.data),
            "inputs": hashes(input_files(scene)),
            "settings": configuration(scene),
            **surroundings(),
            "jobs": jobs,
            "total": {
                "seconds": round(sum(job["seconds"] or 0.0 for job in jobs), 1),
                "max_rss_mb": max((job["max_rss_mb"] or 0.0 for job in jobs), default=None),
            },
            "outputs": hashes(output_files(folder, outputs)),
        },
    )


def surroundings() -> dict[str, Any]:
    """What computes here: ``stages`` (see :mod:`mixdepth.workflow.versions`), ``versions``, ``commit`` and ``host``."""
    return {
        "stages": STAGE_VERSIONS,
        "versions": versions(),
        "commit": commit(Path(__file__).parent),
        "host": host(),
    }


def read_benchmarks(folder: Path) -> list[dict[str, Any]]:
    """``{job, rule, seconds, max_rss_mb, cpu_seconds}`` of each benchmark file, in the order of writing.

    A value that Snakemake could not measure (a job that ended too soon) is None.
    """
    jobs = []
    for path in sorted(folder.glob("*.tsv"), key=lambda p: (p.stat().st_mtime, p.name)):
        with path.open(newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"), {})
        found = {"seconds": _number(row.get("s")), "max_rss_mb": _number(row.get("max_rss"))}
        jobs.append(
            {"job": path.stem, "rule": path.stem.split(".")[0], **found, "cpu_seconds": _number(row.get("cpu_time"))}
        )
    return jobs


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value == value and abs(value) != float("inf") else None


def versions() -> dict[str, str | None]:
    """Versions of Python, ffmpeg and the packages that matter; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    found["ffmpeg"] = None
    with contextlib.suppress(ImportError, RuntimeError, OSError):
        import imageio_ffmpeg

        found["ffmpeg"] = imageio_ffmpeg.get_ffmpeg_version()
    return found


def commit(folder: Path) -> dict[str, Any] | None:
    """``{id, dirty}`` of the git repository that holds ``folder``; None where there is none (or no git)."""
    identity = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not identity:
        return None
    # None: git could not say.
    changes = _output(["git", "-C", str(folder), "status", "--porcelain"])
    return {"id": identity, "dirty": None if changes is None else bool(changes)}


def host() -> dict[str, Any]:
    """Machine, system, processor, cores that this process may use, memory and GPU (None where there is none)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": platform.node(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "cpu": _cpu(),
        "cores": cores,
        "memory_gib": _memory(),
        "gpu": _gpu(),
    }


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return f"macOS {platform.mac_ver()[0]}" if sys.platform == "darwin" else None


def _cpu() -> str | None:
    """The processor's name, where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor() or None


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _gpu() -> list[str] | None:
    # nvidia-smi, not torch: loading torch takes seconds and memory.
    names = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return names.splitlines() if names else None


def _output(command: list[str]) -> str | None:
    """What ``command`` prints; None where it fails or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
