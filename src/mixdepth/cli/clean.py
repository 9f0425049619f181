"""``make clean-scene``: remove one scene's results, and nothing else. Standard library only."""

import contextlib
import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from mixdepth.doctor.checks import size_text
from mixdepth.errors import ConfigurationError, UserError
from mixdepth.words import first_of

RESULTS = Path("results")


def main() -> int:
    """Remove the results of the scene that the environment's SCENE names, below the working directory."""
    try:
        print(clean_scene(os.environ.get("SCENE", "")))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def clean_scene(name: str) -> str:
    """Remove ``results/<name>``.

    Returns:
        what was done.

    Raises:
        ConfigurationError: ``name`` is no scene's, jobs of it run, or its results are elsewhere or may not be removed.
    """
    # A name, not a path: nothing outside of results/ may be removed.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ConfigurationError("Which scene? make clean-scene SCENE=demo")
    folder = RESULTS / name
    if folder.is_symlink():
        raise ConfigurationError(
            f"{folder}: a link to {folder.readlink()}, and nothing outside of {RESULTS}/ is removed here. Remove that"
            " folder yourself, and then the link"
        )
    if not folder.is_dir():
        return f"There is no {folder}."
    try:
        refuse_planned(folder, Path(".snakemake/locks"))
        with locked(folder):
            size = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
            shutil.rmtree(folder)
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {error.strerror}. Not all of {folder} is removed") from error
    return f"Removed {folder} ({size_text(size)})."


def refuse_planned(folder: Path, locks: Path) -> None:
    """Refuse where a Snakemake has locked files of ``folder``: that of each run has its own two files in ``locks``.

    Raises:
        ConfigurationError: one has.
    """
    below = f"{folder}/", f"{folder.absolute()}/"
    for path in sorted(locks.glob("*.lock")):
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            if any(line.startswith(below) for line in file):
                raise ConfigurationError(
                    f"{folder}: Snakemake works on it, says {path}. Wait for it or end it; where it was killed,"
                    " `.venv/bin/snakemake --unlock` comes first"
                )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Meanwhile no training of ``folder`` runs: each holds the lock of its session while it does.

    Raises:
        ConfigurationError: one runs.
    """
    with contextlib.ExitStack() as stack:
        running = []
        for path in sorted((folder / "runs").rglob("lock")):
            lock = stack.enter_context(path.open("r+"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running.append(f"{path.parent} (process {lock.read().strip() or 'unknown'})")
        if running:
            raise ConfigurationError(f"{folder}: is trained in {first_of(running)}. Wait for it, or end it")
        yield


if __name__ == "__main__":
    sys.exit(main())
