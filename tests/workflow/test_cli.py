"""The command line does what the rules do, keeps what is finished, and tells mistakes in one line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import yaml

from helpers.bare import ABSENT
from helpers.captures import capture
from helpers.commands import run, told
from helpers.tiny import tiny_config, write_config, write_tiny_capture
from helpers.workflow import plan, snakemake
from mixdepth.cli import parser as cli
from mixdepth.cli.commands import as_json
from mixdepth.errors import Interrupted
from mixdepth.fields.storage import load_model
from mixdepth.files.io import read_npz, write_json, write_npz
from mixdepth.results import Results
from mixdepth.workflow.graph import flat
from mixdepth.workflow.stages import taught

MODEL = Path("none/model.safetensors")


# Real runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny scene on which every command has been run once, by the command line alone. Tests leave it as it is."""
    folder = write_tiny_capture(tmp_path_factory.mktemp("cli"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("--config", "config.yaml", "prepare")
        for model in cli.MODELS:
            run("train", model)
        for variant in ("none", "inherited"):
            run("render", variant)
            run("evaluate", variant)
        run("evaluate", "static")
    return folder


@pytest.mark.slow
def test_for_snakemake_nothing_is_left_to_do(finished: Path) -> None:
    models = [f"results/x/{model}/model.safetensors" for model in cli.MODELS]
    scores = [f"results/x/{model}/metrics.json" for model in ("static", "none", "inherited")]
    assert plan(finished, *models, *scores, "results/x/sync.json") == []


@pytest.mark.slow
def test_rules_and_command_line_make_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Both can be used in turn: the rules train one variant on what the command line has prepared."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    results = tmp_path / "results/x"
    shutil.rmtree(results / "none")
    shutil.rmtree(results / "runs")
    target = "results/x/none/metrics.json"
    assert [job.rule for job in plan(tmp_path, target)] == ["train_dynamic", "render", "evaluate"]
    done = snakemake(tmp_path, "--configfile", str(tmp_path / "config.yaml"), "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (MODEL, "none/renders/cam00/rgb.npy", "none/renders/cam00/depth.npy", "none/metrics.json"):
        assert (results / name).read_bytes() == (finished / "results/x" / name).read_bytes(), name


@pytest.mark.slow
def test_a_bare_node_trains_and_renders_from_scene_json(finished: Path, tmp_path: Path) -> None:
    """Neither the capture nor the configuration is there, nor what reads them. (TensorBoard needs Pillow.)"""
    shutil.copytree(finished / "results", tmp_path / "results")
    absent = [name for name in ABSENT if name != "PIL"]
    for command in (["train", "none"], ["render", "none"]):
        code = (
            f"import sys; sys.modules.update(dict.fromkeys({absent!r})); from mixdepth.cli.parser import main;"
            f" sys.exit(main([*{command!r}, '--force']))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for name in (MODEL, "none/renders/cam00/rgb.npy"):
        assert (tmp_path / "results/x" / name).read_bytes() == (finished / "results/x" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("points", [True, False], ids=["as colmap", "as none"])
def test_depth_without_confidence_is_not_learnt_from_and_that_is_told(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, points: bool
) -> None:
    """`distilled` and `inherited` are then `colmap`, or `none` where there are no points: the same tensors."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    results = Path("results/x")
    for changed in results.rglob(".*.made.json"):  # on purpose
        changed.unlink()
    for path in (results / "static/depth").iterdir():
        part = read_npz(path)
        write_npz(path, {**part, "confidence": 0.2 * np.ones_like(part["confidence"])})
    if not points:
        for path in (results / "colmap_depth").rglob("*.npz"):
            write_npz(path, {key: value[:0] for key, value in read_npz(path).items()})
    other = "colmap" if points else "none"
    expected = safetensors.numpy.load_file(results / other / "model.safetensors")
    for variant in ("distilled", "inherited"):
        capsys.readouterr()
        run("train", variant, "--force")
        assert "0% of the pixels of the static model's depth maps can be trusted" in capsys.readouterr().err
        found = safetensors.numpy.load_file(results / variant / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all((found[key] == expected[key]).all() for key in found), variant
        assert load_model(results / variant / "model.safetensors")[0]["trained_as"] == other
    run("render", "inherited", "--force")
    run("evaluate", "inherited", "--force")
    assert json.loads((results / "inherited/metrics.json").read_text())["settings"]["trained_as"] == other


@pytest.mark.slow
def test_what_was_made_otherwise_than_is_configured_is_refused_and_said(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    options = tiny_config()["scenes"]["x"]
    write_config(tmp_path, tiny_config(dynamic={**options["dynamic"], "steps": 13}))
    scores = Path("results/x/none/metrics.json").read_bytes()
    for command, mend in (
        ("train none", "--force makes it anew"),
        ("evaluate none", "--force makes it anew"),
        ("render none", "train none --force"),
        ("render none --force", "train none --force"),
        ("evaluate none --force", "train none --force"),
    ):
        said = told(capsys, "--config", "config.yaml", *command.split())
        assert "made with other settings (dynamic.steps 12, now 13)" in said
        assert mend in said
    assert Path("results/x/none/metrics.json").read_bytes() == scores
    run("--config", "config.yaml", "train", "none", "--force")
    assert cli.main(["--config", "config.yaml", "render", "none"]) == 1
    assert "made from another results/x/none/model.safetensors" in capsys.readouterr().err
    run("--config", "config.yaml", "render", "none", "--force")
    run("--config", "config.yaml", "evaluate", "none", "--force")
    settings = json.loads(Path("results/x/none/metrics.json").read_text())["settings"]
    assert settings["options"]["dynamic"]["steps"] == 13


@pytest.mark.slow
def test_what_exists_is_kept_and_told_unless_forced(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*") if path.is_file()}
    capsys.readouterr()
    for command in ("prepare --config config.yaml", "train static", "render none", "evaluate none"):
        run(*command.split())
    said = capsys.readouterr().err
    lines = said.splitlines()
    # What falls short is told whenever one asks for the scores: twelve steps teach nothing.
    told = [line for line in lines if line.startswith("warning: x: none is worse than a picture that no model made")]
    assert len(told) == 1
    assert said.count("exists, skipped") == sum(not line.startswith("warning: x: none") for line in lines) > 15
    changed = {path for path, time in files.items() if path.stat().st_mtime_ns != time}
    assert changed == {Path("results/x/scene.json"), Path("results/x/.scene.json.made.json")}
    run("render", "none", "--camera", "cam01", "--force")
    assert "results/x/none/renders/cam01: being made" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_prepared_with_other_settings_is_refused(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, tiny_config(frames={"count": 3}, scale=0.5))
    for command in ("prepare", "train", "render", "evaluate"):
        arguments = [command, "none"] if command != "prepare" else [command]
        message = told(capsys, "--config", "config.yaml", *arguments)
        assert re.search(r"made with other settings \((frames.count null, now 3|scale 1.0, now 0.5)", message)
        assert "--force" in message
    write_config(tmp_path, tiny_config(variant_options={"none": {"steps": 13}}))
    run("prepare", "--config", "config.yaml")
    options = json.loads(Path("results/x/scene.json").read_text())["options"]
    assert options["variant_options"] == {"none": {"steps": 13}}, "training may change; prepare passes it on"


# Mistakes


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scene.json of a scene `x`, and nothing else of it; the folder of its results, below the current folder."""
    return prepared_scene(tmp_path, monkeypatch, "x")


def prepared_scene(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **files: int) -> Path:
    monkeypatch.chdir(folder)
    config = {"scenes": {name: {"data": str(capture(folder / f"data/{name}", **files))}}}
    scene = cli.load_config(config)[name]
    write_json(Path("results") / name / "scene.json", as_json(scene))
    return Path("results") / name


def test_the_scene_comes_back_from_json_as_it_was(prepared: Path) -> None:
    args = cli.argparse.Namespace(run=cli.train, results=Path("results"), scene=None)
    config = {"scenes": {"x": {"data": str(Path.cwd() / "data/x")}}}
    assert cli._prepared(args) == cli.load_config(config)["x"]


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("train none", ["results/x/frames/cam01/rgb.npy", "prepare` first"]),
        ("train static", ["results/x/static/set.npz", "prepare` first"]),
        ("render none", ["results/x/none/model.safetensors", "train none` first"]),
        ("render none --camera cam9", ['"cam9"', 'did you mean "cam', "cam00, cam01, cam02"]),
        ("evaluate none", ["results/x/none/model.safetensors", "train none` first"]),
        ("evaluate static", ["results/x/static/model.safetensors", "train static` first"]),
        ("prepare", ["--config"]),
        ("train none --scene y", ['no scene "y"', "there are x"]),
        ("train none --results elsewhere", ["elsewhere", "no scene is prepared", "prepare` first"]),
        ("prepare --config absent.yaml", ["absent.yaml", "not found"]),
        ("prepare --config odd.yaml", ["odd.yaml", "not a YAML file"]),
        ("prepare --config two.yaml", ["which scene", "--scene", "a, b"]),
        ("prepare --config two.yaml --scene c", ['no scene "c"', "a, b"]),
        ("prepare --config two.yaml --scene a", ["scenes.a.data", "nowhere"]),
    ],
)
def test_a_mistake_is_told_in_one_line_with_what_to_do(
    prepared: Path, capsys: pytest.CaptureFixture, command: str, parts: list[str]
) -> None:
    Path("odd.yaml").write_text("scenes: [")
    Path("two.yaml").write_text(yaml.safe_dump({"scenes": {name: {"data": "nowhere"} for name in "ab"}}))
    if command == "render none --camera cam9":
        (prepared / MODEL).parent.mkdir()
        (prepared / MODEL).touch()
    message = told(capsys, *command.split())
    assert message.startswith("mixdepth: error: ")
    assert all(part in message for part in parts), message


def test_the_depth_of_the_static_model_is_asked_for(prepared: Path, capsys: pytest.CaptureFixture) -> None:
    scene, results = (
        cli._prepared(cli.argparse.Namespace(run=None, results=Path("results"), scene=None)),
        Results(prepared),
    )
    for path in flat(taught(results, scene)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_json(results.movement, {"across": 1.0, "runs": [[4, 0.1]], "pixels": 1e3, "frames": 4})
    assert "static/depth: not there yet; run `python -m mixdepth train static`" in told(capsys, "train", "distilled")
    assert "static/model.safetensors: not there yet" in told(capsys, "train", "inherited")
    assert "colmap_depth: not there yet; run `python -m mixdepth prepare`" in told(capsys, "train", "colmap")


def test_a_model_that_is_there_is_kept_where_what_it_was_made_from_is_not(
    prepared: Path, capsys: pytest.CaptureFixture
) -> None:
    """As on a machine that was given the models alone: for want of its segments nothing is trained again."""
    results = Results(prepared)
    write_json(results.movement, {"across": 1.0, "runs": [[50, 0.1]], "pixels": 1e3, "frames": 100})
    results.model("none").parent.mkdir()
    results.model("none").touch()
    assert cli.main(["train", "none"]) == 0
    assert "results/x/none/model.safetensors: exists, skipped" in capsys.readouterr().err
    assert cli.main(["train", "none", "--force"]) == 1
    assert "frames/cam01/rgb.npy: not there yet" in capsys.readouterr().err


def test_a_scene_of_photos_has_no_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    prepared_scene(tmp_path, monkeypatch, "fern", cameras=0, photos=9)
    for command in ("train", "render", "evaluate"):
        assert "photos only" in told(capsys, command, "none")


def outside(values: dict, key: str, name: str) -> dict:
    """The scene of ``values`` with a camera, photo or camera path of this name; or itself, or one of its roles."""
    if key in ("cameras", "photos"):
        return {**values, key: {**values[key], name: "x"}}
    if key == "paths":
        return {**values, "options": {**values["options"], "paths": {name: values["options"]["paths"]["spiral"]}}}
    return {**values, key: name if isinstance(values[key], str) else [name]}


@pytest.mark.parametrize("name", ["../../../../victim", "/tmp/victim", "a/b", ".git", "a\n", ""])
@pytest.mark.parametrize(
    "key",
    [
        *("name", "cameras", "photos", "paths", "test_cameras", "train_cameras", "viewer_cameras", "video_camera"),
        *("test_photos", "train_photos", "variants", "video_variant"),
    ],
)
def test_no_name_of_a_received_scene_leads_out_of_its_folder(
    prepared: Path, capsys: pytest.CaptureFixture, key: str, name: str
) -> None:
    write_json(prepared / "scene.json", outside(json.loads((prepared / "scene.json").read_text()), key, name))
    assert "scene.json: not a scene of this version" in told(capsys, "render", "none")


@pytest.mark.parametrize("camera", ["../../../../../pics", "../pics"])
def test_a_received_scene_takes_no_folder_of_the_user(
    prepared: Path, capsys: pytest.CaptureFixture, camera: str
) -> None:
    mine = (prepared / "none/exports" / camera / "png/holiday.txt").resolve()
    mine.parent.mkdir(parents=True)
    mine.touch()
    values = json.loads((prepared / "scene.json").read_text())
    for key in ("cameras", "test_cameras"):
        values = outside(values, key, camera)
    write_json(prepared / "scene.json", values)
    assert "no name of" in told(capsys, "export", "none", "--camera", camera, "--kind", "png", "--force")
    assert mine.exists()


@pytest.mark.parametrize("options", [{"scale": 7}, {"sclae": 1}, {"truth": 3}, {"dynamic": {"seed": "../x"}}])
def test_the_settings_of_a_received_scene_are_held_to_the_schema(
    prepared: Path, capsys: pytest.CaptureFixture, options: dict
) -> None:
    values = json.loads((prepared / "scene.json").read_text())
    write_json(prepared / "scene.json", {**values, "options": {**values["options"], **options}})
    capsys.readouterr()
    assert cli.main(["train", "none"]) == 1
    assert "scene.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("evaluate none", {"truth": "/etc/passwd"}),
        ("evaluate static", {"lpips": {"alex": "/etc/passwd"}}),
        ("render none --path spiral", {"paths": {"spiral": {"kind": "file", "file": "/etc/passwd"}}}),
    ],
)
def test_a_received_scene_has_nothing_read_that_lies_elsewhere(
    prepared: Path, capsys: pytest.CaptureFixture, command: str, options: dict
) -> None:
    scene = {"data": str(prepared.parent.parent / "data/x"), **options}
    write_json(prepared / "scene.json", as_json(cli.load_config({"scenes": {"x": scene}})["x"]))
    assert "names /etc/passwd, which is outside" in told(capsys, *command.split())


def test_a_link_out_of_received_results_is_refused_and_one_within_is_not(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (prepared / "frames").mkdir()
    (prepared / "none").symlink_to("frames")
    assert "prepare` first" in told(capsys, "train", "none")
    (prepared / "static").symlink_to(tmp_path)
    assert f"results/x/static is a link to {tmp_path}, outside" in told(capsys, "train", "none")


def test_a_damaged_scene_json_is_named(prepared: Path, capsys: pytest.CaptureFixture) -> None:
    write_json(prepared / "scene.json", {"name": "x", "data": "d"})
    assert "scene.json: not a scene of this version" in told(capsys, "train", "none")


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("trian none", "train"),
        ("train distiled", "distilled"),
        ("render inherit", "inherited"),
        ("evaluate sttic", "static"),
    ],
)
def test_what_may_have_been_meant_is_suggested(capsys: pytest.CaptureFixture, command: str, meant: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(command.split())
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("mixdepth: error: ")
    assert f'did you mean "{meant}"?' in message


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), Interrupted("none x: stopped by SIGINT; the same command goes on")]
)
def test_an_interrupt_is_no_error_and_leaves_130(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, error: BaseException
) -> None:
    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr(cli.Job, "make", stop)
    assert "the same command goes on" in told(capsys, "train", "none", status=130)


def test_help_explains_every_command_and_the_options_may_stand_anywhere(capsys: pytest.CaptureFixture) -> None:
    commands = ("prepare", "train", "render", "export", "evaluate", "view", "verify")
    for arguments in (["--help"], *([command, "--help"] for command in commands)):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
        assert "--config FILE" in capsys.readouterr().out
    message = told(capsys, "--results", "a", "train", "none")
    assert message == told(capsys, "train", "none", "--results", "a")
