"""Where a scene's results come from: inputs, settings, versions, commit, host, time and memory of jobs; and outputs."""

import contextlib
import csv
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixdepth.compute import machine
from mixdepth.files.io import write_json
from mixdepth.record.hashes import configuration, hashes, input_files, output_files, refuse_damaged
from mixdepth.results import Results
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


def write_provenance(scene: Scene, results: Results, *, recorded: Iterable[Path], output: Path) -> None:
    """Write provenance.json with the keys ``scene``, ``data``, ``inputs``, ``settings``, ``stages``, ``versions``,
    ``commit``, ``host``, ``jobs``, ``total`` and ``outputs``.

    Args:
        scene: the scene.
        results: its files; times and memory come from the benchmarks that Snakemake wrote.
        recorded: files and folders of files to record, in the order in which they depend on each other.

    Raises:
        UserError: an output is damaged, so that its hash would be that of nothing that was computed.
    """
    outputs, folder = list(recorded), results.folder
    for file in output_files(folder, outputs).values():
        made = "its folder" if file.parent in outputs else "it"
        refuse_damaged(file, f"Delete {made} and run the same command again.")
    jobs = read_benchmarks(results.benchmark().parent)
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
        "host": machine.host(),
    }


def read_benchmarks(folder: Path) -> list[dict[str, Any]]:
    """``{job, rule, seconds, max_rss_mb, cpu_seconds}`` of each benchmark file, in the order of writing; of repeated
    runs, of the last.

    A value that Snakemake could not measure (a job that ended too soon) is None.
    """
    jobs = []
    for path in sorted(folder.glob("*.tsv"), key=lambda p: (p.stat().st_mtime, p.name)):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        row = rows[-1] if rows else {}
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
    found = {"python": platform.python_version(), **{package: machine.installed(package) for package in PACKAGES}}
    found["ffmpeg"] = None
    with contextlib.suppress(ImportError, RuntimeError, OSError):
        import imageio_ffmpeg

        found["ffmpeg"] = imageio_ffmpeg.get_ffmpeg_version()
    return found


def commit(folder: Path) -> dict[str, Any] | None:
    """``{id, dirty}`` of the git repository that holds ``folder``; None where there is none (or no git)."""
    identity = machine.run("git", "-C", str(folder), "rev-parse", "HEAD")
    if not identity:
        return None
    # None: git could not say.
    changes = machine.run("git", "-C", str(folder), "status", "--porcelain")
    return {"id": identity, "dirty": None if changes is None else bool(changes)}
