"""provenance.json knows what results were made from and what they are; `verify` says what differs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from helpers.captures import capture
from helpers.workflow import Job
from mixdepth.cli import parser as cli
from mixdepth.files.certificate import certify, measured
from mixdepth.files.io import write_json
from mixdepth.record.hashes import input_files
from mixdepth.record.provenance import write_provenance
from mixdepth.results import Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.workflow import stages
from mixdepth.workflow.graph import flat
from mixdepth.workflow.made import made_from

CONFIG = "config.yaml"
STORES = [f"frames/{camera}/{name}.npy" for camera in ("cam00", "cam01", "cam02") for name in ("rgb", "median", "std")]


def configure(**options: object) -> Scene:
    """The scene x of the current folder, with these options."""
    config = {"scenes": {"x": {"data": "data/x", **options}}}
    Path(CONFIG).write_text(yaml.safe_dump(config))
    return load_config(config)["x"]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """results/x of the current folder: a few files, and their record."""
    monkeypatch.chdir(tmp_path)
    for path in sorted(capture(tmp_path / "data/x", photos=1).rglob("*.*")):
        path.write_text(path.name)
    folder = Path("results/x")
    for name in ("space.json", "none/metrics.json"):
        write_json(folder / name, {"value": 1})
    for name in ("none/renders/cam00/rgb.npy", "static/set.npz", *map(str, STORES)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"rgb")
    record(configure(), folder)
    return folder


def record(scene: Scene, folder: Path) -> None:
    """Certify what is there as if the rules had made it, and record it."""
    results = Results(folder)
    for job in stages.jobs(scene):
        made = replace(scene, options=job.stage.settings(scene, **job.wildcards))
        reads, makes = job.reads(results, scene), job.makes(results)
        certify(flat(makes), made_from(job.stage, made, reads, makes))
    outputs = [folder / name for name in ("space.json", *STORES, "static/set.npz", "none/renders/cam00")]
    outputs.append(folder / "none/metrics.json")
    write_provenance(scene, results, recorded=outputs, output=results.provenance)


def verify(capsys: pytest.CaptureFixture, *arguments: str | Path, status: int) -> str:
    """What ``verify`` says."""
    capsys.readouterr()
    assert cli.main(["verify", *map(str, arguments)]) == status
    return capsys.readouterr().out


def change(file: Path, **values: dict) -> None:
    """Change parts of a record."""
    found = json.loads(file.read_text())
    for key, value in values.items():
        found[key] = {**found[key], **value}
    write_json(file, found)


def test_the_record_has_every_input_setting_and_output(results: Path) -> None:
    found = json.loads((results / "provenance.json").read_text())
    assert set(found["inputs"]) == {"videos/cam00.mp4", "videos/cam01.mp4", "videos/cam02.mp4", "photos/photo00.jpg"}
    # sha256sum of "cam00.mp4"
    digest = "74af28986d7cb15b603a4ce6bf9829601a225cbc874343e529e37cc542f8557c"
    assert found["inputs"]["videos/cam00.mp4"] == {"bytes": 9, "sha256": digest}
    last = ["static/set.npz", "none/renders/cam00/rgb.npy", "none/metrics.json"]
    assert list(found["outputs"]) == ["space.json", *STORES, *last]
    assert found["uncertified"] == []
    assert found["settings"]["dynamic"]["static"]["threads"] > 0
    assert found["settings"]["test_cameras"] == ["cam00"]
    assert found["stages"]["dynamic"] > 0


def test_files_that_the_configuration_names_are_inputs(results: Path) -> None:
    Path("data/x/poses").mkdir()
    for name in ("cameras.bin", "images.bin", "notes.md"):
        Path("data/x/poses", name).touch()
    options = {"poses": {"source": "model", "path": "poses"}, "truth": "truth.npz", "lpips": {"alex": "w.safetensors"}}
    scene = configure(**options, train_cameras=["cam01"])
    found = input_files(scene)
    assert set(found) - {f"videos/cam0{i}.mp4" for i in range(2)} == {
        *("poses/cameras.bin", "poses/images.bin", "truth.npz", "w.safetensors", "photos/photo00.jpg")
    }
    assert "videos/cam02.mp4" not in found, "it is left alone"
    known = {"poses": {"source": "colmap", "intrinsics": "lenses.toml"}}
    assert "lenses.toml" in input_files(configure(**known))
    assert found["truth.npz"] == Path("data/x/truth.npz")


def test_results_that_are_as_recorded_pass(results: Path, capsys: pytest.CaptureFixture) -> None:
    said = verify(capsys, results, "--config", CONFIG, status=0)
    assert said.splitlines()[-1] == "The same."
    assert "inputs: the same (4 files)" in said
    assert "settings: the same" in said
    assert "--config FILE" in verify(capsys, results, status=0), "settings are not compared, and that is told"


def test_what_a_scene_shares_with_another_is_recorded_and_found_again(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Results("results/ablation/x.c1", results)
    write_json(own.model("none"), {"value": 1})
    write_json(own.cameras, {"value": 1})
    write_provenance(configure(), own, recorded=[own.cameras, own.model("none")], output=own.provenance)
    monkeypatch.chdir(tmp_path / "data")
    folder = tmp_path / own.folder
    said = verify(capsys, folder, status=0)
    assert "outputs: the same (2 files)" in said
    assert "certificates: 2 outputs without" in said
    write_json(tmp_path / own.cameras, {"value": 2})
    assert "\n    ../../x/cameras.json (same size)" in verify(capsys, folder, status=1)


def test_what_differs_is_named(results: Path, capsys: pytest.CaptureFixture) -> None:
    Path("data/x/videos/cam01.mp4").write_text("other")
    said = verify(capsys, results, "--config", CONFIG, status=1)
    assert "inputs: 1 of 4 differs\n    videos/cam01.mp4 (9 bytes, now 5 bytes)" in said
    assert "other inputs (videos/cam01.mp4)" in said
    assert "outputs: the same (13 files)" in said
    Path("data/x/videos/cam01.mp4").unlink()
    assert "videos/cam01.mp4 is not there" in verify(capsys, results, status=1)


def test_a_changed_setting_is_named_with_both_values(results: Path, capsys: pytest.CaptureFixture) -> None:
    configure(dynamic={"static": {"steps": 13}}, photos="none", variant_options={"none": {"seed": 1}})
    said = verify(capsys, results, "--config", CONFIG, status=1)
    assert "variant_options.none.seed: not there, now 1" in said
    assert "variant_options: " not in said
    assert "dynamic.static.steps: " in said
    assert ", now 13" in said
    assert 'photos: "photos", now "none"' in said
    assert "other settings (" in said


def test_an_output_made_anew_is_told_from_a_damaged_and_a_missing_one(
    results: Path, capsys: pytest.CaptureFixture
) -> None:
    write_json(results / "space.json", {"value": 2})
    said = verify(capsys, results, status=1)
    assert "Not the outputs that were recorded, from space.json on: made anew or changed since" in said
    certify([results / "space.json"], {})
    (results / "space.json").write_text('{"value": 3}')
    said = verify(capsys, results, status=1)
    assert "space.json (16 bytes, now 12 bytes), damaged" in said
    assert "Damaged: space.json. Delete" in said
    (results / "none/renders/cam00/rgb.npy").unlink()
    assert "none/renders/cam00/rgb.npy is not there" in verify(capsys, results, status=1)


def test_two_records_tell_why_numbers_differ(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = tmp_path / "theirs.json"
    other.write_bytes((results / "provenance.json").read_bytes())
    assert verify(capsys, results, "--against", other, status=0).splitlines()[-1] == "The same."
    change(other, versions={"torch": "2.12.1"}, host={"name": "elsewhere"})
    said = verify(capsys, results, "--against", other, status=0)
    assert said.splitlines()[-1].startswith("The same inputs, settings and outputs. Made anew with other torch,")
    assert "elsewhere" not in said
    change(other, outputs={"none/metrics.json": {"bytes": 15, "sha256": "0" * 64}})
    said = verify(capsys, results, "--against", other, status=1)
    assert said.splitlines()[-1] == "Other outputs from none/metrics.json on: same inputs and settings, other torch."
    change(other, settings={"scale": 0.5}, host={"cpu": "another"})
    said = verify(capsys, results, "--against", other, status=1)
    assert said.endswith("on: same inputs, other settings (scale), other torch, another processor or GPU.\n")


def test_programs_get_every_difference(results: Path, capsys: pytest.CaptureFixture) -> None:
    write_json(results / "space.json", {"value": 20})
    found = json.loads(verify(capsys, results, "--json", status=1))
    assert found["same"] is False
    assert "--config FILE" in found["settings"], "not compared"
    (only,) = (one for one in found["differences"] if one["part"] == "outputs")
    assert only["name"] == "space.json"
    assert only["now"]["bytes"] == only["before"]["bytes"] + 1


def test_a_folder_without_a_usable_record_is_told_in_one_line(results: Path, capsys: pytest.CaptureFixture) -> None:
    for content, part in (
        ('{"scene": "x"}', "older mixdepth"),
        ("[", "damaged"),
        (None, "makes a record"),
    ):
        path = results / "provenance.json"
        path.unlink() if content is None else path.write_text(content)
        capsys.readouterr()
        assert cli.main(["verify", str(results)]) == 1
        said = capsys.readouterr().err
        assert said.startswith("mixdepth: error: results/x/provenance.json: ")
        assert part in said
        assert said.count("\n") == 1


def test_only_files_are_read_whatever_a_record_names(results: Path, capsys: pytest.CaptureFixture) -> None:
    nothing = {"bytes": 0, "sha256": "0" * 64}
    change(results / "provenance.json", outputs=dict.fromkeys(("/dev/zero", "none", "a\0b", "x" * 300), nothing))
    change(results / "provenance.json", settings={"\x1b[2J": 1})
    said = verify(capsys, results, "--config", CONFIG, status=1)
    assert said.count("is not there") == 4
    assert "\\x1b[2J" in said, "escaped"
    assert "\x1b" not in said


def test_verifying_needs_neither_torch_nor_what_reads_captures(results: Path) -> None:
    absent = ("torch", "pycolmap", "snakemake", "PIL", "av", "matplotlib", "yaml", "jsonschema")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); from mixdepth.cli.parser import main;"
    command = [sys.executable, "-c", f"{code} sys.exit(main(['verify', 'results/x']))"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_whatever_is_made_anew_the_record_is(jobs: list[Job]) -> None:
    """Every file behind a scene's targets is an input of its record, so the record is never older than a result."""
    (provenance,) = (job for job in jobs if job.rule == "provenance")
    made = {path for job in jobs if job.rule not in ("provenance", "report_html", "all") for path in job.output}
    assert made - provenance.input == set()
    assert provenance.input - made == set()


def test_other_files_of_a_folder_of_images_are_no_inputs(results: Path) -> None:
    for name in ("1.png", "2.png", ".3.png", "notes.txt"):
        (Path("data/x/videos/cam09") / name).parent.mkdir(exist_ok=True)
        (Path("data/x/videos/cam09") / name).touch()
    scene = configure()
    inside = {name for name in input_files(scene) if "cam09" in name}
    assert inside == {"videos/cam09"}
    before = measured(Path("data/x/videos/cam09"))
    Path("data/x/videos/cam09/notes.txt").write_text("more")
    assert measured(Path("data/x/videos/cam09")) == before
    Path("data/x/videos/cam09/2.png").write_text("more")
    assert measured(Path("data/x/videos/cam09")) != before
    assert "photos/photo00.jpg" not in input_files(replace(scene, train_photos=[], test_photos=[]))
