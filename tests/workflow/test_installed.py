"""The package as its users install it: a wheel, away from the checkout, with and without the extra `pipeline`."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.bare import ABSENT
from helpers.checkout import REPOSITORY
from helpers.tiny import tiny_config, write_config, write_tiny_capture

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
# An interpreter in which the extra `pipeline` is not installed.
BARE = (
    f"import sys; sys.modules.update(dict.fromkeys({(*ABSENT, 'tensorboard', 'numba')!r}));"
    " sys.argv[0] = 'mixdepth'; from mixdepth.__main__ import main; sys.exit(main())"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, as setuptools writes beside what it builds."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("src", "config", "workflow"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*PIP, "wheel", *offline, "--wheel-dir", str(folder), str(source)], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed, alone."""
    folder = tmp_path_factory.mktemp("place")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel)], check=True)
    return folder


def call(place: Path, folder: Path, *command: str, status: int = 0) -> str:
    """What a command says that finds the installed package first, and all others where this Python has them."""
    env = {**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True)
    told = done.stdout + done.stderr
    assert done.returncode == status, told
    assert "Traceback" not in told
    return told


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    """Links (the schema, the presets) are followed."""
    package = REPOSITORY / "src/mixdepth"
    files = {
        Path(folder, name).relative_to(package)
        for folder, _, names in os.walk(package, followlinks=True)
        for name in names
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {path: archive.read(path) for path in archive.namelist() if not re.match(r"[^/]*\.dist-info/", path)}
    assert set(packed) == {f"mixdepth/{name}" for name in files if name.suffix != ".pyc"}
    assert all(content == (package.parent / name).read_bytes() for name, content in packed.items())


@pytest.mark.slow
def test_the_command_goes_from_videos_to_scores_away_from_the_checkout(place: Path, tmp_path: Path) -> None:
    write_tiny_capture(tmp_path)
    write_config(tmp_path, tiny_config(preset="tiny", variants=["none"]))
    where = call(place, tmp_path, sys.executable, "-c", "import mixdepth; print(mixdepth.__file__)")
    assert where.strip() == str(place / "mixdepth/__init__.py")
    program = str(place / "bin/mixdepth")
    assert "x " in call(place, tmp_path, program, "doctor", "--config", "config.yaml")
    call(place, tmp_path, program, "--config", "config.yaml", "prepare")
    assert "run `mixdepth train none` first" in call(place, tmp_path, program, "render", "none", status=1)
    for command in ("train", "render", "evaluate"):
        call(place, tmp_path, program, command, "none")
    assert (tmp_path / "results/x/none/metrics.json").exists()
    # Without the extra: the prepared folder trains and renders, and what cannot be done says what it lacks.
    bare = [sys.executable, "-c", BARE]
    for command in ("train", "render"):
        call(place, tmp_path, *bare, command, "none", "--force")
    for command in (
        ["--config", "config.yaml", "prepare"],
        ["evaluate", "none", "--force"],
        ["export", "none", "--camera", "cam00", "--kind", "mp4"],
        ["export", "none", "--camera", "cam00", "--kind", "png"],
        ["view"],
    ):
        error = call(place, tmp_path, *bare, *command, status=1).splitlines()[-1]
        assert error.endswith("`pip install 'mixdepth[pipeline]'` adds all that it needs"), error
    told = call(place, tmp_path, sys.executable, "-S", "-c", BARE, "doctor", status=1)
    assert re.search(r"missing +packages .*pycolmap.*pip install 'mixdepth\[pipeline\]'", told), told
