"""What a machine lacks: the doctor's checks. Standard library only."""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mixdepth.compute import machine
from mixdepth.compute.machine import installed
from mixdepth.words import counted

ROOT = Path(__file__).absolute().parents[3]
INSTALL = "make .venv/.installed"
OPEN_FILES = 1024
GB = 1e9
INSTALLED_BYTES = 8 * GB  # .venv with the CUDA build of torch


class Finding(NamedTuple):
    """One line of the answer."""

    name: str
    state: str  # ok, note (good to know), warning (something may go wrong), missing (nothing can run)
    found: str
    advice: str = ""  # what is needed, and what to do

    def line(self, width: int = 8) -> str:
        """The line, its name ``width`` characters wide."""
        return f"  {self.state:8}{self.name:{width}} {': '.join(filter(None, (self.found, self.advice)))}"


def check_python(root: Path = ROOT) -> Finding:
    """Whether it can make what `make` installs into; that it is new enough is known here."""
    found = f"{platform.python_version()} ({sys.executable})"
    if not (root / ".venv").exists() and not has_module("ensurepip"):
        advice = "its venv is not there, which `make` needs; on Debian and Ubuntu: apt-get install python3-venv"
        return Finding("Python", "missing", found, advice)
    return Finding("Python", "ok", found)


def check_packages(root: Path = ROOT, versions: Callable[[str], str | None] | None = None) -> Finding:
    """What is installed against the pins; away from a checkout, which has them, against the extra `pipeline`.

    Args:
        versions: package -> installed version or None, instead of what this Python has.
    """
    versions = versions or installed
    try:
        lines = (root / "requirements.txt").read_text().splitlines()
    except OSError:
        lacking = [name for name in _required() if versions(name) is None]
        if lacking:
            advice = "`pip install 'mixdepth[pipeline]'` adds them"
            return Finding("packages", "missing", ", ".join(lacking) + " are not there", advice)
        return Finding("packages", "note", f"not compared, as there is no {root / 'requirements.txt'}")
    pins = [line.split("==") for line in (line.split("#")[0].strip() for line in lines) if "==" in line]
    there = {name: versions(name) for name, _ in pins}
    lacking = [name for name, _ in pins if there[name] is None]
    # torch 2.13.0+cpu is torch 2.13.0.
    other = [f"{n} {has}, not {pin}" for n, pin in pins if (has := there[n]) and has.split("+")[0] != pin]
    if lacking:
        named = ", ".join(lacking[:4]) + (", ..." if len(lacking) > 4 else "")
        own = root / ".venv/bin/python"
        advice = f"`{INSTALL}` puts them into .venv"
        if own.exists() and Path(sys.prefix) != root / ".venv":
            advice = f"they are in .venv: {_shown(own)} -m mixdepth doctor"
        return Finding("packages", "missing", f"{len(lacking)} of {len(pins)} are not there ({named})", advice)
    if other:
        advice = f"tried with the pinned versions only; `{INSTALL}` installs them"
        return Finding("packages", "warning", "; ".join(other), advice)
    return Finding("packages", "ok", f"all {len(pins)} in the versions of requirements.txt")


def check_ffmpeg(find: Callable[[], str] | None = None) -> Finding:
    """Whether the wheel's ffmpeg runs, and whether another package took the place of ffmpeg-python.

    Args:
        find: function that gives the path of the program, instead of imageio-ffmpeg's own.
    """
    guilty = " and ".join(name for name in ("ffmpeg", "python-ffmpeg") if installed(name))
    mend = f"pip uninstall {guilty}; then pip install --force-reinstall --no-deps ffmpeg-python"
    if installed("ffmpeg-python") and not _is_ffmpeg_python():
        found = f"the module of ffmpeg-python is overwritten, by the package {guilty or '(which one?)'}"
        return Finding("ffmpeg", "missing", found, mend)
    find = find or _own_ffmpeg()
    if find is None:
        return Finding("ffmpeg", "missing", "not there", "it comes with the packages (imageio-ffmpeg)")
    try:
        program = find()
    except RuntimeError as error:
        return Finding("ffmpeg", "missing", str(error), "pip install --force-reinstall imageio-ffmpeg")
    told = machine.run(program, "-version")
    version = re.match(r"ffmpeg version (\S+)", told or "")
    if not version:
        advice = "pip install --force-reinstall imageio-ffmpeg; is its folder mounted noexec?"
        return Finding("ffmpeg", "missing", f"{program} does not run", advice)
    if guilty:
        return Finding("ffmpeg", "warning", f"the package {guilty} is there too and may break ffmpeg-python", mend)
    return Finding("ffmpeg", "ok", f"{version.group(1)} ({Path(program).name})")


def _required() -> list[str]:
    """The packages that the installed mixdepth and its extra `pipeline` ask for."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        asked = requires("mixdepth") or []
    except PackageNotFoundError:
        return []
    return [re.split(r"[^\w-]", line)[0] for line in asked if not re.search("extra == .dev", line)]


def _is_ffmpeg_python() -> bool:
    try:
        import ffmpeg
    except Exception:  # whatever a module of that name does
        return False
    return hasattr(ffmpeg, "probe")


def _own_ffmpeg() -> Callable[[], str] | None:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except Exception:
        return None
    return get_ffmpeg_exe


def check_gpu(gpus: list[str] | None = None, build: str | None = None) -> Finding:
    """Whether PyTorch's build fits the GPUs.

    Args:
        gpus: names, instead of those of this machine.
        build: "cpu", "cuda" or "none", instead of what is installed.
    """
    gpus = machine.gpus() if gpus is None else gpus
    build = build or torch_build()
    named = ", ".join(gpus)
    if gpus and build == "cpu":
        advice = "PyTorch is its CPU build and will not use it; https://pytorch.org names the index with CUDA builds"
        return Finding("GPU", "warning", named, advice)
    if gpus:
        return Finding("GPU", "ok", named, "used with `preset: T` (S, M, L) or `device: cuda`")
    if build == "cuda":
        return Finding("GPU", "ok", "no NVIDIA GPU, so the CPU (PyTorch's CUDA build does no harm)")
    return Finding("GPU", "ok", "no NVIDIA GPU, so the CPU")


def check_memory(root: Path = Path("/")) -> Finding:
    """How many cores and how much memory this process may use."""
    total, free, limit = machine.memory(root)
    named = counted(machine.cores(root), "core")
    if total is None:
        return Finding("memory", "note", f"{named}; nothing tells how much memory there is")
    found = f"{named}, {size_text(total)} of memory"
    if limit:
        found += f" ({limit})"
    elif free is not None:
        found += f" ({size_text(free)} free)"
    if total < 1.5 * GB:
        return Finding("memory", "warning", found, "even the demo needs 1 GB")
    return Finding("memory", "ok", found)


def check_disk(results: Path, free: float | None = None) -> Finding:
    """Free space, rights and locks where results go."""
    folder = machine.nearest_folder(results)
    free = shutil.disk_usage(folder).free if free is None else free
    found = f"{size_text(free)} free in {folder}"
    error = machine.lock_error(folder)
    if error:
        advice = "trainings need a lock of the system there; choose a folder of yours on a disk that has them"
        return Finding("disk", "missing", f"{folder}: no file can be made and locked ({error})", advice)
    if not installed("torch") and free < INSTALLED_BYTES:
        return Finding("disk", "warning", found, f"the installation takes up to {size_text(INSTALLED_BYTES)}")
    if free < GB:
        return Finding("disk", "warning", found, "even the demo needs 0.5 GB")
    return Finding("disk", "ok", found + ", locks work")


def check_files(limit: int | None = None) -> Finding:
    """How many files may be open at once."""
    limit = machine.open_files() if limit is None else limit
    if 0 <= limit < OPEN_FILES:
        advice = f"every camera's frames are a few open files; `ulimit -n {OPEN_FILES}` raises it"
        return Finding("files", "warning", f"{limit} may be open at once", advice)
    return Finding("files", "ok", "any number may be open at once" if limit < 0 else f"{limit} may be open at once")


def check_slurm(sbatch: str | None = None) -> Finding | None:
    """A note where there is a SLURM cluster: nothing on another machine."""
    if not (sbatch or shutil.which("sbatch")):
        return None
    if installed("snakemake-executor-plugin-slurm"):
        return Finding("SLURM", "ok", "sbatch and Snakemake's plugin are there", "docs/cluster.md")
    return Finding("SLURM", "note", "sbatch is there, Snakemake's plugin is not", "docs/cluster.md says how to use it")


def checks(results: Path) -> list[Finding]:
    """Everything about the machine, in the order in which it is told."""
    found = [check_python(), check_packages(), check_ffmpeg(), check_gpu(), check_memory(), check_disk(results)]
    return found + list(filter(None, [check_files(), check_slurm()]))


def _shown(path: Path) -> str:
    """A path as it is typed here."""
    try:
        return os.path.relpath(path)
    except ValueError:
        return str(path)


def torch_build() -> str:
    """ "cpu" or "cuda", or "none" where there is no PyTorch: without importing it, which takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return "none"
    try:
        text = (Path(spec.origin).parent / "version.py").read_text()
    except OSError:
        return "none"
    return "cuda" if re.search(r"(?m)^cuda\b.*= *['\"]", text) else "cpu"


def has_module(name: str) -> bool:
    """Whether a module can be imported; it is not."""
    return importlib.util.find_spec(name) is not None


def size_text(count: float) -> str:
    """Bytes in words."""
    return f"{count / GB:.1f} GB" if count >= 0.1 * GB else f"{count / 1e6:.0f} MB"
