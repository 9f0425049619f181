"""File systems that tests mount."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Something mounted at ``folder``; skips where that may not be done."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", *options, str(folder)]
    if not sys.platform.startswith("linux") or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs root on Linux to mount")
    try:
        yield
    finally:
        # Lazily: what jobs that failed there left to this process may hold its files open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
