"""Captures from and results to a store, through a Snakemake storage plugin; the store here is a folder."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.checkout import REPOSITORY

pytestmark = [
    pytest.mark.skipif(find_spec("snakemake_storage_plugin_fs") is None, reason="needs snakemake-storage-plugin-fs"),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="needs rsync, with which that plugin copies"),
]
CAPTURE = {"videos/cam00.mp4": b"0", "videos/the 2nd's $HOME 카메라.mp4": b"1", "poses_bounds.npy": b"2"}


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def snakemake(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "workflow/storage.smk")]
    command += ["--directory", str(folder), "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    put(tmp_path / "store/capture", CAPTURE)
    (tmp_path / "store/capture.txt").write_text("".join(f"{name}\n" for name in CAPTURE))
    return tmp_path / "store"


def test_a_capture_is_fetched_and_only_what_changes_is_fetched_again(tmp_path: Path, store: Path) -> None:
    fetch = ("--config", f"store={store}", "scene=x", "--", "fetch")
    code, told = snakemake(tmp_path, *fetch)
    assert code == 0, told
    assert contents(tmp_path / "data/x") == CAPTURE
    assert "Nothing to be done" in snakemake(tmp_path, *fetch)[1]
    changed = CAPTURE | {"poses_bounds.npy": b"changed"}
    put(store / "capture", {"poses_bounds.npy": b"changed"})
    code, told = snakemake(tmp_path, *fetch)
    assert (code, told.count("rule fetch_file")) == (0, 1), told
    assert contents(tmp_path / "data/x") == changed


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "videos/../../evil"])
def test_a_list_that_names_files_elsewhere_is_refused(tmp_path: Path, store: Path, name: str) -> None:
    (store / "capture.txt").write_text(f"{name}\n")
    code, told = snakemake(tmp_path, "--config", f"store={store}", "scene=x", "--", "fetch")
    assert code != 0
    assert f"capture.txt: '{name}' is no file inside the capture's folder" in told
    assert not (tmp_path / "data").exists()


def test_what_is_worth_keeping_is_published(tmp_path: Path, store: Path) -> None:
    kept = {"video.mp4": b"v", "none/metrics.json": b"{}", "none/model.safetensors": b"m"}
    put(tmp_path / "results/x", kept | {"frames/cam00/rgb.npy": b"large", "none/.model.safetensors.made.json": b"{}"})
    code, told = snakemake(tmp_path, "--config", f"store={store}", "scene=x", "--", "publish")
    assert code == 0, told
    assert contents(store / "results") == kept


def test_mistakes_are_told_in_a_sentence(tmp_path: Path, store: Path) -> None:
    code, told = snakemake(tmp_path, "--", "fetch")
    assert code != 0
    assert "say where and what: --config store=" in told
    code, told = snakemake(tmp_path, "--config", f"store={store}", "scene=x", "--", "publish")
    assert code != 0
    assert "there is nothing in results/x to publish" in told
