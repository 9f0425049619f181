"""Where a scene's results come from: inputs, settings, versions, commit, host, time and memory of jobs; and outputs."""

import contextlib
import csv
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mixdepth.compute import machine
from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.files.certificate import entry_of
from mixdepth.files.io import refuse_damaged, write_json
from mixdepth.record.hashes import configuration, hashes, known, output_files
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.workflow import stages
from mixdepth.workflow.graph import flat
from mixdepth.workflow.made import outdated
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
    "numba",
    "matplotlib",
    "safetensors",
)


def write_provenance(scene: Scene, results: Results, *, recorded: Iterable[Path], output: Path) -> None:
    """Write provenance.json with the keys ``scene``, ``data``, ``inputs``, ``settings``, ``stages``, ``versions``,
    ``commit``, ``host``, ``jobs``, ``total``, ``outputs``, ``made_by`` and ``uncertified``. Inputs and outputs are what
    the certificates say, and the settings those that are in them: where they are not, nothing is recorded.

    Args:
        scene: the scene.
        results: its files; times and memory come from the benchmarks that Snakemake wrote.
        recorded: files and folders of files to record, in the order in which they depend on each other.

    Raises:
        UserError: an output is damaged, so that its hash would be that of nothing that was computed; or it was made
            from something else than there is now.
    """
    paths, folder = list(recorded), results.folder
    refuse_outdated(scene, results, set(paths))
    outputs = output_files(folder, paths)
    for file in outputs.values():
        made = "its folder" if file.parent in paths else "it"
        refuse_damaged(file, f"Delete {made} and run the same command again.")
    certificates = {name: entry_of(file.resolve()) for name, file in outputs.items()}
    entries = {name: known(found[2]["files"][found[1]]) for name, found in certificates.items() if found}
    without = [name for name in outputs if name not in entries]
    hashed = entries | hashes({name: outputs[name] for name in without})
    certified = [found[2] for found in certificates.values() if found and "stage" in found[2]]
    jobs = read_benchmarks(results.benchmark().parent)
    write_json(
        output,
        {
            "scene": scene.name,
            "data": str(scene.data),
            "inputs": _sources(certified),
            "settings": configuration(scene),
            **surroundings(),
            "jobs": jobs,
            "total": {
                "seconds": round(sum(job["seconds"] or 0.0 for job in jobs), 1),
                "max_rss_mb": max((job["max_rss_mb"] or 0.0 for job in jobs), default=None),
            },
            "outputs": {name: hashed[name] for name in outputs},
            "made_by": sorted({one["mixdepth"] for one in certified}),
            "uncertified": without,
        },
    )


def refuse_outdated(scene: Scene, results: Results, recorded: set[Path]) -> None:
    """Refuse what was made from something else than there is now. What a derived scene shares with others is made as
    these are planned, and is left to them.

    Raises:
        DamagedFile: the first that was.
    """
    for job in stages.jobs(scene):
        made = flat(job.makes(results))
        own = made[0].is_relative_to(results.folder)
        if own and recorded & set(made) and (reason := outdated(job, scene, results)):
            raise DamagedFile(
                f"{made[0]}: {reason}, so there is nothing to record. Run the same command again without"
                f" --rerun-triggers, or with --forcerun {job.stage.name}"
            )


def _sources(certificates: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The files of the capture that all of these name, sorted.

    Raises:
        CaptureError: two of them name another one.
    """
    found: dict[str, Any] = {}
    for certificate in certificates:
        for name, entry in certificate["sources"].items():
            if found.setdefault(name, known(entry)) != known(entry):
                raise CaptureError(f"{name}: it changed between two jobs. Run the same command again")
    return dict(sorted(found.items()))


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


def training_jobs(jobs: Iterable[Mapping[str, Any]], variant: str) -> list[Mapping[str, Any]]:
    """Those of :func:`read_benchmarks` that trained a variant: one, or one for each of its parts."""
    return [job for job in jobs if job["rule"] in stages.TRAININGS and job["job"].split(".")[1:2] == [variant]]


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
