"""Damage to the files between two stages: whoever reads one refuses it, with the command that makes it anew."""

import errno
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_cli import finished  # noqa: F401 (a fixture)

from mixdepth import cli
from mixdepth.errors import UserError
from mixdepth.io import new_npy, read_json, read_npy, seal, write_json, write_npy

SPARSE = ["sparse/cameras.bin", "sparse/images.bin", "sparse/points3D.bin"]
DEPTH = ["colmap_depth/cam01.npz", "bounds.json"]
# File between two stages: the command that reads it, and which of that command's outputs must be gone first.
READERS: dict[str, tuple[list[str], list[str]]] = {
    "capture.json": (["prepare"], ["cameras.json"]),
    "reference/cam01/frame_0002.png": (["prepare"], ["cameras_report.json"]),
    "reference/cam02/moving.png": (["prepare"], DEPTH),
    "photos.json": (["prepare"], ["cameras_report.json"]),
    "world.json": (["prepare"], DEPTH),
    **dict.fromkeys(["cameras_report.json", *SPARSE], (["prepare"], DEPTH)),
    "bounds.json": (["prepare"], ["space.json"]),
    "static/set.npz": (["train", "static"], []),
    "colmap_depth/photos.npz": (["train", "static"], []),
    **dict.fromkeys(["cameras.json", "lenses.json", "space.json"], (["train", "none"], [])),
    **{f"frames/cam01/{name}.npy": (["train", "none"], []) for name in ("rgb", "median", "std")},
    "colmap_depth/cam01.npz": (["train", "colmap"], []),
    "static/depth/cam02.npz": (["train", "distilled"], []),
    "static/model.safetensors": (["train", "inherited"], []),
    "none/model.safetensors": (["render", "none"], []),
    **{f"none/renders/cam00/{name}.npy": (["evaluate", "none"], []) for name in ("rgb", "depth")},
    "held_out_depth/cam00.npz": (["evaluate", "none"], []),
    "scene.json": (["train", "none"], []),
}


def truncated(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def flipped(data: bytes) -> bytes:
    """One bit of a byte in the last third, so that headers stay and only a value changes; in text, of a digit."""
    place = len(data) * 3 // 4
    if data[:1] == b"{":
        place = next(i for i in (*range(place, len(data)), *range(place)) if 48 <= data[i] < 56)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def zeroed(data: bytes) -> bytes:
    """A block of zeros, as of a disk that lost power: where the file has no zeros anyway."""
    start = next((i for i in range(len(data) // 2, len(data)) if data[i]), 0)
    return data[:start] + b"\0" * len(data[start:])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [truncated, flipped, zeroed])
def test_whoever_reads_a_damaged_file_refuses_it_and_says_what_to_do(
    finished: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    results = Path("results/x")
    for name, (command, gone) in READERS.items():
        path, kept = results / name, {output: (results / output).read_bytes() for output in gone}
        data = path.read_bytes()
        assert damage(data) != data, name
        path.write_bytes(damage(data))
        for output in gone:
            (results / output).unlink()
        capsys.readouterr()
        options = ["--config", "config.yaml", "prepare"] if command == ["prepare"] else [*command, "--force"]
        status = cli.main(options)
        said = capsys.readouterr().err
        assert status == 1, f"{damage.__name__} {name} was used"
        assert str(path) in said or (name in SPARSE and str(path.parent) in said), said
        assert "Delete" in said or "delete" in said, said
        assert "Traceback" not in said
        path.write_bytes(data)
        for output, content in kept.items():
            (results / output).write_bytes(content)


# What no later stage of this scene (its cameras are given) learns from: reports, scores, what other programs read.
NOBODY = {"metrics.json", "sync.json", "held_out_report.json", "poses_bounds.npy"}
NOBODY |= {"median.png", "rigs.bin", "frames.bin"}


@pytest.mark.slow
def test_every_file_that_a_stage_leaves_to_another_is_in_the_test_above(finished: Path) -> None:  # noqa: F811
    results = finished / "results/x"
    files = {str(p.relative_to(results)) for p in results.rglob("*") if p.is_file() and p.suffix != ".crc32"}
    assert set(READERS) <= files
    # One camera, frame and variant stands for all.
    kinds = {re.sub(r"cam\d+", "cam", re.sub(r"^(colmap|distilled|inherited)/", "none/", name)) for name in files}
    tested = {re.sub(r"cam\d+", "cam", name) for name in READERS}
    others = {kind for kind in kinds - tested if not kind.startswith("runs/") and "/frame_" not in kind}
    assert {Path(kind).name for kind in others} <= NOBODY, others


def test_a_seal_finds_one_flipped_bit_and_says_how_to_keep_a_change(tmp_path: Path) -> None:
    write_npy(tmp_path / "a.npy", np.arange(1000))
    with new_npy(tmp_path / "b.npy", (10, 10), np.float32) as array:
        array[:] = 1
    write_json(tmp_path / "c.json", {"value": 12345})
    for name, read in (("a.npy", read_npy), ("b.npy", read_npy), ("c.json", read_json)):
        path = tmp_path / name
        read(path)
        data = path.read_bytes()
        path.write_bytes(flipped(data))
        with pytest.raises(UserError, match=rf"{name}: .*not as it was written.* on purpose, delete .*\.{name}\.crc32"):
            read(path)
        (tmp_path / f".{name}.crc32").unlink()
        read(path)


def test_a_seal_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="no space left on the device"):
        seal(tmp_path / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "a.json") == {}


def test_a_file_that_is_written_again_has_the_new_seal_and_the_users_own_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("{}")
    read_json(path)
    for value in (1, 2):
        write_json(path, {"value": value})
        assert read_json(path) == {"value": value}
    data = path.read_bytes()
    assert (tmp_path / ".c.json.crc32").read_text() == f"{len(data)} {zlib.crc32(data):08x}\n"
