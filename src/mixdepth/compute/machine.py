"""What there is of a machine: cores, memory, GPUs, limits, packages. Standard library only, for the doctor.

Everything that Linux says in files is looked up below ``root``, so that tests can say otherwise.
"""

import fcntl
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 30  # that another program may take to answer
GIB = 1 << 30


def host(root: Path = Path("/")) -> dict[str, Any]:
    """Machine, system, processor, cores and memory (GiB) that this process may use, and GPUs; None for what is not
    known, or not there."""
    total = memory(root)[0]
    return {
        "name": platform.node(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "cpu": _cpu(root),
        "cores": cores(root),
        "memory_gib": None if total is None else round(total / GIB, 1),
        "gpu": gpus(root) or None,
    }


def cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: those it is bound to, within its cgroup's quota."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        found = os.cpu_count() or 1
    for folder in _cgroups(root, "cpu"):
        old = [_word(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        for words in (_words(folder / "cpu.max"), old):
            if len(words) == 2 and all(map(_is_number, words)) and int(words[1]):
                found = min(found, max(1, round(int(words[0]) / int(words[1]))))
    return found


def memory(root: Path = Path("/")) -> tuple[int | None, int | None, str]:
    """Bytes of memory: (in all, free now, what limits it or "").

    A cgroup's limit (version 1 or 2; of a container, or of a job on a cluster) or that of the process's address space
    counts where it is lower than what the machine has. None where nothing tells.
    """
    total, free, limit = _installed(root)
    for folder in _cgroups(root, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            value = _word(folder / name)
            if _is_number(value) and (total is None or int(value) < total):
                total, limit = int(value), f"the limit of its cgroup, {folder / name}"
                free = total if free is None else min(free, total)
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if space != resource.RLIM_INFINITY and (total is None or space < total):
        total, free, limit = space, min(space, space if free is None else free), "the limit `ulimit -v`"
    return total, free, limit


def gpus(root: Path = Path("/")) -> list[str]:
    """The names of NVIDIA's GPUs, by their driver."""
    found = []
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        lines = _text(path).splitlines()
        found += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]
    if found:
        return found
    return (run("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or "").splitlines()


def open_files() -> int:
    """How many files a process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def nearest_folder(path: Path) -> Path:
    """``path`` itself or what is there of it."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def used(folder: Path) -> int:
    """Bytes of the files in a folder; none where it is not there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(place, name).lstat().st_size
            except OSError:  # removed meanwhile
                continue
    return total


def lock_error(folder: Path) -> str | None:
    """Why files in ``folder`` cannot be written or locked; None where they can."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror or str(error)
    return None


def installed(package: str) -> str | None:
    """The version of an installed package; None where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(*command: str) -> str | None:
    """What a program prints; None where it cannot be started, fails or does not end."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=LONGEST_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return f"macOS {platform.mac_ver()[0]}" if sys.platform == "darwin" else None


def _cpu(root: Path) -> str | None:
    """The processor's name, where the system tells it."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return run("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or None


def _installed(root: Path) -> tuple[int | None, int | None, str]:
    """Memory of the machine as the kernel says: bytes in all, bytes free, and "" for no limit."""
    lines = (line.split() for line in _text(root / "proc/meminfo").splitlines())
    values = {words[0]: 1024 * int(words[1]) for words in lines if len(words) > 1 and _is_number(words[1])}
    if "MemTotal:" in values:
        return values["MemTotal:"], values.get("MemAvailable:", values["MemTotal:"]), ""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None, ""
    except (ValueError, OSError):
        return None, None, ""


def _cgroups(root: Path, controller: str) -> list[Path]:
    """The folders of this process's cgroup and of those around it, of version 2 and of version 1."""
    folders = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, names, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not names:
            top = root / "sys/fs/cgroup"
        elif controller in names.split(","):
            top = root / "sys/fs/cgroup" / controller
        else:
            continue
        inner = top / path.lstrip("/")
        # In a container the path is that of the host, and the container's own limit lies at the top.
        folders += [folder for folder in [inner, *inner.parents] if folder == top or top in folder.parents]
    return folders


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _word(path: Path) -> str:
    return (_words(path) or [""])[0]


def _is_number(text: str) -> bool:
    return bool(text) and text.isdigit()
