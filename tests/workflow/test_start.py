"""What is told before anything starts: `device: cuda` without a GPU, where trainings would run here, and odd paths."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.captures import capture, write_capture
from helpers.tiny import tiny_config, write_config, write_tiny_capture
from helpers.workflow import plan, snakemake, surroundings, workflow
from mixdepth.cli import parser as cli
from mixdepth.compute import device
from mixdepth.errors import ConfigurationError
from mixdepth.scene.config import load_config
from mixdepth.workflow.start import refuse_unquoted_names, unplaced_trainings

TOLD = "device: cuda is configured, but "
BOTH = "scenes.x.dynamic.device (from the preset S), scenes.x.static.device (from the preset S): "


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # for other processes
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: False)


def run(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    return snakemake(folder, "--configfile", str(folder / "config.yaml"), "--", *targets)


@pytest.mark.parametrize(
    ("target", "keys"),
    [
        ("results/x/video.mp4", BOTH),
        ("results/ablation/x.c2.s0/none/model.safetensors", "scenes.x.dynamic.device (from the preset S): "),
    ],
)
def test_a_run_that_would_train_without_its_gpu_is_refused_before_its_first_job(
    tmp_path: Path, target: str, keys: str
) -> None:
    ablation = {"cameras": [2], "variants": ["none"], "seeds": [0]}
    write_capture(tmp_path, preset="S", ablation=ablation)
    done = run(tmp_path, target)
    assert done.returncode != 0
    assert f"\n{keys}{TOLD}" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "results").exists()


def test_a_dry_run_says_what_would_be_made(tmp_path: Path) -> None:
    jobs = plan(write_capture(tmp_path, preset="S"), "results/x/video.mp4")
    assert {"train_static", "train_dynamic"} <= {job.rule for job in jobs}


@pytest.mark.slow
def test_what_needs_no_training_is_made_without_the_gpu(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path)
    write_config(tmp_path, tiny_config(preset="S", static={"device": "cuda"}))
    done = run(tmp_path, "results/x/contact_sheet.jpg", "results/x/cameras.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "results/x/contact_sheet.jpg").exists()


@pytest.mark.parametrize(
    ("preset", "changed", "told"),
    [
        ("S", {}, BOTH + TOLD),
        ("tiny", {}, ""),
        ("S", {"local_exec": False}, ""),  # a cluster
        ("S", {"touch": True}, ""),
        ("S", {"deployment_settings": SimpleNamespace(deployment_method={"conda"})}, ""),
    ],
)
def test_only_trainings_on_this_machine_and_with_this_pytorch_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, changed: dict, told: str
) -> None:
    scenes = load_config({"scenes": {"x": {"data": str(capture(tmp_path)), "preset": preset}}})
    jobs = [
        SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards=SimpleNamespace(scene="x", get=wildcards.get))
        for rule, wildcards in (("train_static", {}), ("train_dynamic", {"variant": "none"}), ("render", {}))
    ]
    usual = {"local_exec": True, "touch": False, "deployment_settings": SimpleNamespace(deployment_method=set())}
    workflow = SimpleNamespace(**{**usual, **changed}, dag=SimpleNamespace(needrun_jobs=lambda: jobs))
    if not told:
        monkeypatch.setitem(sys.modules, "mixdepth.compute.device", None)  # PyTorch is not even loaded
    found = unplaced_trainings(workflow, scenes, {})
    assert found[: len(told)] == told
    assert bool(found) == bool(told)


def test_prepare_goes_on_without_the_gpu_and_says_so_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The videos are empty, which ends it."""
    monkeypatch.chdir(tmp_path)
    capture(tmp_path / "data/x")
    write_config(tmp_path, {"scenes": {"x": {"data": "data/x", "preset": "S"}}})
    assert cli.main(["--config", "config.yaml", "prepare"]) == 1
    warning, *more = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"mixdepth: warning: to be trained on another machine: {BOTH}{TOLD}")
    assert "results/x/capture.json: being made" in more
    assert cli.main(["--config", "config.yaml", "train", "none"]) == 1
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "it's", "(copy)", "Ünï"])
def test_a_checkout_whose_path_a_shell_would_take_apart_is_refused_before_anything_starts(
    tmp_path: Path, name: str
) -> None:
    """Its .venv is in it, so that Python's path has the same characters."""
    write_capture(tmp_path)
    python = tmp_path / name / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    command = [str(python), *workflow(tmp_path)[1:], "-n", "--configfile", str(tmp_path / "config.yaml"), "--"]
    seen = {**surroundings(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([*command, "results/x/video.mp4"], cwd=tmp_path, env=seen, text=True, capture_output=True)
    told = done.stdout + done.stderr
    assert (done.returncode == 0) == (name == "Ünï"), told
    assert name == "Ünï" or "in the path of Python" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("target", ["results/x/video.mp4", "results/ablation/report.html"])
def test_a_key_that_is_there_twice_is_refused_under_snakemake_too(tmp_path: Path, target: str) -> None:
    write_capture(tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text("scenes:\n  x:\n    data: data/x\n    scale: 0.25\n    scale: 1.0\n")
    done = snakemake(tmp_path, "-n", "--configfile", str(config), "--", target)
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert f'{config}: not a YAML file: the key "scale" is there twice' in told
    assert "line 3" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", ["$(touch ran)", "it's", 'a"b', "a`b`"])
def test_a_folder_that_a_cluster_s_shells_would_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    odd = tmp_path / name
    odd.mkdir()
    jobs = []
    dag = SimpleNamespace(needrun_jobs=lambda: jobs)
    here = SimpleNamespace(local_exec=False, configfiles=["config.yaml"], main_snakefile="/workflow/Snakefile", dag=dag)
    monkeypatch.chdir(tmp_path)
    refuse_unquoted_names(here)
    with pytest.raises(ConfigurationError, match="expected no quote, dollar"):
        refuse_unquoted_names(SimpleNamespace(**vars(here) | {"configfiles": [str(odd / "config.yaml")]}))
    jobs.append(SimpleNamespace(input=[f"{name}/videos/cam00.mp4"], wildcards_dict={"camera": "cam00"}))
    with pytest.raises(ConfigurationError, match="by a link"):
        refuse_unquoted_names(here)
    jobs[0].wildcards_dict["camera"] = "c, d"
    with pytest.raises(ConfigurationError, match="c, d: found a comma"):
        refuse_unquoted_names(here)
    jobs.clear()
    monkeypatch.chdir(odd)
    with pytest.raises(ConfigurationError, match="Rename the folder"):
        refuse_unquoted_names(here)
    refuse_unquoted_names(SimpleNamespace(**vars(here) | {"local_exec": True}))
