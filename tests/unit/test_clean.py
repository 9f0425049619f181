"""`make clean-scene` removes one scene's results: nothing else, nothing that is in use, and it runs nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.checkout import REPOSITORY
from mixdepth.cli.clean import clean_scene
from mixdepth.errors import UserError

PATIENCE = 60.0  # seconds

SLOW = """
rule slow:
    output: "results/x/a"
    shell: "touch begun; sleep 100"
"""


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-f", str(REPOSITORY / "Makefile"), f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment})


def scene(folder: Path, name: str = "x") -> Path:
    results = folder / "results" / name
    (results / "runs/none/dynamic").mkdir(parents=True)
    (results / "frames.npy").write_bytes(bytes(200_000))
    (results / "runs/none/dynamic/lock").write_text("1")
    return results


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_scene_goes_and_the_others_stay(checkout: Path) -> None:
    gone, stays = scene(checkout), scene(checkout, "y")
    done = make(checkout, "clean-scene", "SCENE=x")
    assert (done.returncode, done.stdout) == (0, "Removed results/x (0 MB).\n")
    assert not gone.exists()
    assert (stays / "frames.npy").exists()
    assert make(checkout, "clean-scene", "SCENE=x").stdout == "There is no results/x.\n"


@pytest.mark.parametrize("target", ["clean-scene", "doctor"])
@pytest.mark.parametrize(
    "name",
    [
        "$(touch ran)",
        "$$(touch ran)",
        "$(shell touch ran)",
        'x"; touch ran; echo "',
        "x'; touch ran; echo '",
        "`touch ran`",
        "x\ntouch ran",
        "../x",
        "a/../../x",
        ".",
        "",
    ],
)
def test_a_name_is_only_a_name(checkout: Path, target: str, name: str) -> None:
    scene(checkout)
    before = sorted(checkout.rglob("*"))
    for done in (make(checkout, target, f"SCENE={name}"), make(checkout, target, SCENE=name)):
        assert target == "doctor" or (done.returncode and "Which scene?" in done.stderr)
        assert sorted(checkout.rglob("*")) == before


def test_what_is_asked_of_the_doctor_is_words(checkout: Path) -> None:
    make(checkout, "doctor", "ARGS=--cameras 4; touch ran $(touch ran) `touch ran` $(shell touch ran)")
    assert list(checkout.iterdir()) == []


def test_a_link_is_named_and_what_it_leads_to_stays(checkout: Path) -> None:
    elsewhere = scene(checkout / "big")
    (checkout / "results").mkdir()
    (checkout / "results/x").symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"results/x: a link to {elsewhere}"):
        clean_scene("x")
    assert (elsewhere / "frames.npy").exists()
    assert (checkout / "results/x").is_symlink()


def test_links_within_are_not_followed(checkout: Path) -> None:
    results, kept = scene(checkout), checkout / "kept"
    kept.mkdir()
    (kept / "video").touch()
    (results / "link").symlink_to(kept)
    clean_scene("x")
    assert (kept / "video").exists()


def test_a_training_keeps_its_scene(checkout: Path) -> None:
    results = scene(checkout)
    hold = "from fcntl import *; import sys; f = open(sys.argv[1]); flock(f, LOCK_EX); print(1, flush=True); input()"
    command = [sys.executable, "-c", hold, str(results / "runs/none/dynamic/lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as trainer:
        trainer.stdout.readline()
        with pytest.raises(UserError, match=r"trained in results/x/runs/none/dynamic \(process 1\)"):
            clean_scene("x")
        assert (results / "frames.npy").exists()
        trainer.communicate("\n")
    clean_scene("x")
    assert not results.exists()


def test_a_snakemake_keeps_its_scene_until_it_ends_or_is_unlocked(checkout: Path) -> None:
    results, other = scene(checkout), scene(checkout, "x2")
    (checkout / "Snakefile").write_text(SLOW)
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    with subprocess.Popen([*snakemake, "results/x/a"], **quiet) as running:
        try:
            end = time.monotonic() + PATIENCE
            while not (checkout / "begun").exists():
                assert time.monotonic() < end
                time.sleep(0.1)
            with pytest.raises(UserError, match="results/x: Snakemake works on it"):
                clean_scene("x")
            clean_scene("x2")
        finally:
            os.killpg(running.pid, signal.SIGKILL)
    assert results.exists()
    assert not other.exists()
    with pytest.raises(UserError, match="--unlock"):
        clean_scene("x")
    subprocess.run([*snakemake, "--unlock"], check=True, **quiet)
    clean_scene("x")
    assert not results.exists()


def test_what_may_not_be_removed_is_one_line(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene(checkout)

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", "results/x/frames.npy")

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(UserError, match=r"results/x/frames\.npy: Permission denied"):
        clean_scene("x")
