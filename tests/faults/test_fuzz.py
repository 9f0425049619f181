"""Broken files of every kind that is read, by tests/fuzz: 200 here, 10,000 there; and what these have found."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from helpers.checkout import REPOSITORY
from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.formats.calibration import read_calibration
from mixdepth.cameras.space import Space
from mixdepth.errors import LONGEST, UserError
from mixdepth.files.images import read_image
from mixdepth.files.io import read_json, read_npy, read_npz, write_npz
from mixdepth.files.shapes import mismatch
from mixdepth.scene.capture import find_photos, find_videos
from mixdepth.scene.config import Scenes, load_config
from mixdepth.scene.schema import read_yaml

PER_READER = 11


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    folder = REPOSITORY / "tests/fuzz"
    spec = importlib.util.spec_from_file_location("fuzz_run", folder / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    sys.modules["fuzz_run"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(folder))


def test_a_broken_file_ends_in_a_right_result_or_a_clear_error(fuzz: ModuleType) -> None:
    from parsers import PARSERS

    report = fuzz.run([parser.name for parser in PARSERS], seed=2, count=PER_READER)
    assert report.failures == []
    assert report.right + report.errors == PER_READER * len(PARSERS) >= 200
    assert min(report.right, report.errors) > 20
    assert report.slowest < fuzz.SECONDS
    assert report.memory < fuzz.BYTES


def test_the_fuzzer_notices_a_hang_a_crash_a_write_a_program_and_an_unclear_error(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import parsers

    def write_outside(folder: Path) -> None:
        (tmp_path / "fuzz-wrote-this").write_text("")

    def complain(folder: Path) -> None:
        raise UserError("something is wrong somewhere")

    sys.addaudithook(fuzz.watch)
    for read, told in (
        (write_outside, "fuzz-wrote-this"),
        (complain, "not a clear error"),
        (lambda _: 1 / 0, "Zero"),
        (lambda _: subprocess.run(["true"], check=True), "subprocess.Popen"),
    ):
        broken = parsers.Parser("x", lambda folder, rng: None, read)
        monkeypatch.setattr(parsers, "PARSERS", (broken,))
        result = fuzz.case("x", 0, 0)
        assert result["outcome"] == "failure"
        assert told in result["message"]
    # A child that says nothing is not waited for.
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE, bufsize=0) as process:
        assert fuzz.answer(process.stdout, 0.1) == b""
        process.kill()


# JSON


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "recursion"),
        ('{"a": 1, "a": 2}', 'the key "a" is there twice'),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ("[]", "a list"),
        ("", "Expecting value"),
        ("\ufeff{}", "BOM"),
    ],
)
def test_json_that_no_stage_writes_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "world.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"world\.json: cannot be read .*{told}"):
        read_json(path)


@pytest.mark.parametrize(
    ("value", "shape", "told"),
    [
        ({"a": 1}, {"a": float}, ""),
        ({"a": 1, "b": 2}, {"a": (float, None)}, ""),
        ({"a": None}, {"a": (float, None)}, ""),
        ({"x": [1, 2]}, {str: [float] * 2}, ""),
        ({"x": []}, {str: [float]}, ""),
        ({}, {"a": float}, "it has no a"),
        ({"a": True}, {"a": float}, "a is 'True', expected a finite number"),
        ({"a": float("nan")}, {"a": float}, "a is 'nan', expected a finite number"),
        ({"a": 10**400}, {"a": float}, "a finite number"),
        ({"a": 1.5}, {"a": int}, "a is '1.5', expected a whole number"),
        ({"x": [1, 2, 3]}, {str: [float] * 2}, "x has 3 entries, expected 2"),
        ({"x": {"y": ["z"]}}, {str: {"y": [float]}}, "x.y[0] is 'z', expected a finite number"),
        ({"x": 1}, {"x": [float]}, "x is '1', expected a list"),
        ({"x": 1}, {"x": {}}, "x is '1', expected an object"),
    ],
)
def test_a_json_file_is_held_against_its_shape(value: object, shape: object, told: str) -> None:
    found = mismatch(value, shape)
    assert told in found
    assert bool(found) == bool(told)


def test_a_camera_of_impossible_size_or_a_space_of_no_kind_is_refused(tmp_path: Path) -> None:
    camera = {"width": 10**9, "height": 4, "fx": 1, "fy": 1, "cx": 1, "cy": 1, "c2w": np.eye(4).tolist()}
    (tmp_path / "cameras.json").write_text(json.dumps({"cam00": camera}))
    with pytest.raises(UserError, match=r"cameras\.json: camera cam00: 1000000000x4"):
        load_cameras(tmp_path / "cameras.json")
    space = Space("bounded", "", 1.0, 2.0, np.eye(4).tolist(), [0.0] * 3, [1.0] * 3)
    for key, value in (("kind", "flat"), ("near", 3.0), ("reference_near", 1.0), ("low", [2.0] * 3)):
        (tmp_path / "space.json").write_text(json.dumps({**asdict(space), key: value}))
        with pytest.raises(UserError, match=r"space\.json: .*expected"):
            Space.load(tmp_path / "space.json")


# Arrays and images


def lying_npy(shape: str, descr: str = "'<f8'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(-1, 17)", "(" * 300 + ")" * 300, "17"])
def test_an_npy_header_that_lies_costs_nothing_and_is_refused(tmp_path: Path, shape: str) -> None:
    (tmp_path / "a.npy").write_bytes(lying_npy(shape))
    with pytest.raises(UserError, match=r"a\.npy: cannot be read as a NumPy array"):
        read_npy(tmp_path / "a.npy")


def test_an_npy_file_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(lying_npy("(1,)", "'|O'"))
    with pytest.raises(UserError, match=r"a\.npy: cannot be read"):
        read_npy(tmp_path / "a.npy")


def test_an_npz_file_without_what_the_stage_writes_is_refused(tmp_path: Path) -> None:
    path, shapes = tmp_path / "a.npz", {"uv": ("f", "N", 2), "z": ("f", "N")}
    sound = {"uv": np.zeros((3, 2)), "z": np.ones(3)}
    write_npz(path, sound)
    assert read_npz(path, **shapes).keys() == sound.keys()
    for wrong, told in (
        ({"uv": sound["uv"]}, "it has no z"),
        ({**sound, "z": np.ones(4)}, r"z is float64 \[4\], expected f \[3\]"),
        ({**sound, "uv": np.zeros((3, 3))}, r"uv is float64 \[3, 3\], expected f \[3, 2\]"),
        ({**sound, "z": np.array([1, 2, 3])}, r"z is int64 \[3\], expected f \[3\]"),
        ({**sound, "z": np.array([1, np.nan, 2])}, "z is not finite"),
        ({**sound, "z": np.ones((3, 1))}, r"z is float64 \[3, 1\], expected f \[3\]"),
    ):
        write_npz(path, wrong)
        with pytest.raises(UserError, match=rf"a\.npz: cannot be read as npz file, it is damaged \({told}\)"):
            read_npz(path, **shapes)


def test_an_image_that_asks_for_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")

    def load(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(UserError, match=r"a\.png: cannot be read as an image"):
        read_image(tmp_path / "a.png")


# Configuration and calibration


def refused(folder: Path, text: str) -> str:
    (folder / "config.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        load_config(read_yaml(folder / "config.yaml"))["x"]
    return str(raised.value)


def test_yaml_aliases_that_repeat_each_other_cost_nothing(tmp_path: Path) -> None:
    laughs = ["l0: &l0 [lol]"] + [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert "aliases" in refused(tmp_path, "\n".join(laughs))
    assert "aliases" in refused(tmp_path, "scenes: &a {x: *a}")
    assert "aliases" in refused(tmp_path, "scenes: &a [*a]")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("scenes: !!python/object/apply:os.system ['touch x']", "could not determine a constructor"),
        ("scenes: {x: {data: a}}\nscenes: {y: {data: a}}", 'the key "scenes" is there twice'),
        ("[" * 100_000, "not a YAML file"),
        (f"scenes: {{x: {{data: {'a' * 5000}, cameras: null}}}}", "scenes.x"),
    ],
)
def test_yaml_that_is_no_configuration_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in refused(tmp_path, text)


@pytest.mark.parametrize("name", ["../../x", "/x", ".x", "-rf", "a\nb", "a\0b", "\u202eabc", "", "{x}"])
def test_a_camera_or_photo_cannot_be_written_outside_the_results(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="Rename it"):
        find_videos(tmp_path, "videos", {name: "a.mp4", "cam01": "b.mp4"})
    assert find_videos(tmp_path, "videos", {"카메라 (b) @x": "a.mp4"})
    if "/" not in name and name:
        with pytest.raises(UserError, match="Rename it"):
            find_photos(tmp_path, "photos", [f"{name}.jpg"], [])


def test_a_calibration_with_a_key_of_many_parts_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("a." * 1_000_000 + "a = 1")
    with pytest.raises(UserError, match=r"c\.toml: not a TOML file \(a line of"):
        read_calibration(tmp_path / "c.toml")


# Messages


def test_an_error_can_always_be_printed_and_read() -> None:
    told = str(UserError("a\x1b[2J\udcff\u202e한국어\nb"))
    assert told == "a\\x1b[2J\\udcff\\u202e한국어\nb"
    told.encode()
    long = str(UserError("x" * 1_000_000 + "what to do"))
    assert len(long) < LONGEST + 20
    assert long.endswith("what to do")


def test_a_long_name_that_is_not_known_does_not_hang() -> None:
    with pytest.raises(UserError, match="no scene"):
        Scenes({"x" * 90: {}}, {})["y" * 1_000_000]
