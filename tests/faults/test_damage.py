"""Damage to the files between two stages: whoever reads one refuses it, and says what to delete to have it anew."""

import contextlib
import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.jobs import Made, PlannedJob
from helpers.tiny import write_tiny_capture
from mixdepth.cli import parser as cli
from mixdepth.errors import UserError
from mixdepth.files.certificate import certificate_of, certify
from mixdepth.files.io import new_npy, read_json, read_npy, write_json, write_npy

# What is made for people and other programs: no script reads it here. (Patterns of kinds, see `kind`.)
NOBODY = (
    "results/ablation/(report.html|.*[.](csv|tex|svg|pdf))",
    "S/export/.*",
    "S/V/exports/.*",
    "S/V/paths/spiral.mp4",
    "S/(report|viewer).html",
    "data/demo/truth.npz",  # for scores of the demo, which train too long for here; test_fuzz.py damages such files
)
# Script: what its rule asks for and it does not read, and why.
UNREAD = {
    "contact_sheet.py": "S/capture.json",  # asked for so that it is there first, as in evaluate.py
    "evaluate.py": "S/(capture|held_out_report).json",
    "structure_from_motion.py": r"S/reference/cam/(unsure|moving_\d+).png",  # nor masks of moments not looked at
    "triangulate.py": "S/reference/cam/moving.png",  # movers give points too
    "verify_held_out.py": r"S/reference/cam/(plate|moving|moving_\d+|unsure).png",  # a moment of the video alone
    "held_out_points.py": r"S/reference/cam/(plate|moving_\d+|unsure).png",
    "train_static.py": "S/(cameras.json|colmap_depth/cam.npz)",  # where it learns from videos, for want of photos
    "train_dynamic.py": "S/colmap_depth/photos/points.npz",  # the photos' part of a folder
    "static_metrics.py": "S/(cameras.json|static/depth/cam.npz)",  # where there is a truth
    "comparison.py": "S/(cameras|static/metrics).json",  # the first where there is a truth
    "path_video.py": "S/V/paths/spiral/cameras.json",
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


def kinds(jobs: list[PlannedJob]) -> dict[Path, dict[str, list[Path]]]:
    """The files of every output, by kind: one camera, frame, photo, variant and scene stands for all."""
    found: dict[Path, dict[str, list[Path]]] = {}
    for output in (output for job in jobs for output in job.outputs):
        found[output] = {}
        inside = sorted(p for p in output.rglob("*") if p.is_file()) if output.is_dir() else [output]
        for path in (p for p in inside if not p.name.endswith(".made.json")):
            name = re.sub(r"(cam|photo)\d+", r"\1", str(path))
            name = re.sub(r"^results/(ablation/x[^/]*|x|y|demo)/", "S/", name)
            name = re.sub(r"frame_\d+", "frame_N", re.sub(r"^S/(none|inherited)/", "S/V/", name))
            name = re.sub(r"segments/\d+", "segments/N", name)
            found[output].setdefault(name, []).append(path)
    return found


@contextlib.contextmanager
def damaged(paths: list[Path], damage: Callable[[bytes], bytes]) -> Iterator[None]:
    data = {path: path.read_bytes() for path in paths}
    for path in paths:
        assert damage(data[path]) != data[path], path
        path.write_bytes(damage(data[path]))
    yield
    for path in paths:
        path.write_bytes(data[path])


@contextlib.contextmanager
def outputs_kept(job: PlannedJob, folder: Path) -> Iterator[None]:
    """What the job has made, with the certificates, is there again afterwards."""
    files = [p for path in job.outputs for p in (path, certificate_of(path)) if p.exists()]
    for number, path in enumerate(files):
        path.rename(folder / str(number))
    yield
    job.make_room()
    for number, path in enumerate(files):
        (folder / str(number)).replace(path)


def refuses(
    job: PlannedJob, paths: list[Path], damage: Callable[[bytes], bytes], folder: Path, capfd: pytest.CaptureFixture
) -> bool:
    """Whether a job does not run where these files are damaged; that it then says what to do."""
    with damaged(paths, damage), outputs_kept(job, folder):
        capfd.readouterr()
        if job.run():
            return False
    said = capfd.readouterr().err
    assert said.count("mixdepth: error") == 1, said
    assert any(str(place) in said for path in paths for place in (path, path.parent)), f"{paths}: {said}"
    assert "elete" in said, said
    assert "Traceback" not in said, said
    return True


def readers(jobs: list[PlannedJob], folder: Path, capfd: pytest.CaptureFixture) -> dict[tuple[str, str], bool]:
    """Whether one of a script's jobs refuses the damaged files of a kind that its rule asks for, by kind and script."""
    outputs, found = kinds(jobs), {}
    for reader in jobs:
        asked: dict[str, list[Path]] = {}
        for path in map(Path, reader.smk.input):
            for name, paths in outputs.get(path, {}).items():
                asked.setdefault(name, []).extend(paths)
        for name, paths in asked.items():
            if not found.get((name, reader.script)):
                first = not any(refused for (other, _), refused in found.items() if other == name)
                found[name, reader.script] = refuses(reader, paths, flipped, folder, capfd)
                for damage in (truncated, zeroed) if first and found[name, reader.script] else ():
                    assert refuses(reader, paths, damage, folder, capfd), f"{reader.rule} uses {paths}"
    return found


@pytest.mark.slow
def test_whoever_reads_a_damaged_output_of_a_rule_refuses_it_and_says_what_to_do(
    made: Made, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Every output of every rule, and every script whose rule asks for it."""
    made.copy(tmp_path)
    (tmp_path / "kept").mkdir()
    with contextlib.chdir(tmp_path):
        found = readers(made.jobs, tmp_path / "kept", capfd)
        made_here = {name for output in kinds(made.jobs).values() for name in output}
    read = {name for (name, _), refused in found.items() if refused}
    assert [name for name in made_here - read if not re.fullmatch("|".join(NOBODY), name)] == []
    used = {key for key, refused in found.items() if not refused}
    unread = sorted(key for key in used if not re.fullmatch(UNREAD.get(key[1], ""), key[0]))
    assert not unread, f"asked for, and not read: {unread}"
    assert {script for _, script in used} == set(UNREAD), "a reason for nothing"


@pytest.mark.slow
def test_the_command_line_refuses_a_damaged_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(write_tiny_capture(tmp_path))
    assert cli.main(["--config", "config.yaml", "prepare"]) == 0
    for name in ("scene.json", "frames/cam01/rgb.npy"):
        with damaged([Path("results/x") / name], flipped):
            capsys.readouterr()
            assert cli.main(["train", "none"]) == 1
        said = capsys.readouterr().err
        assert f"mixdepth: error: results/x/{name}: " in said
        assert "elete" in said
        assert "Traceback" not in said


def test_a_checksum_finds_one_flipped_bit_and_says_how_to_keep_a_change(tmp_path: Path) -> None:
    write_npy(tmp_path / "a.npy", np.arange(1000))
    with new_npy(tmp_path / "b.npy", (10, 10), np.float32) as array:
        array[:] = 1
    write_json(tmp_path / "c.json", {"value": 12345})
    for name, read in (("a.npy", read_npy), ("b.npy", read_npy), ("c.json", read_json)):
        path = tmp_path / name
        certify([path], {})
        read(path)
        data = path.read_bytes()
        path.write_bytes(flipped(data))
        with pytest.raises(
            UserError, match=rf"{name}: .*not as it was written.* on purpose, delete .*\.{name}\.made\.json"
        ):
            read(path)
        certificate_of(path).unlink()
        read(path)


def test_a_certificate_that_cannot_be_written_whole_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, text: str) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left on device"):
        certify([tmp_path / "a.json"], {})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "a.json") == {}


def test_a_file_that_is_written_again_has_no_old_certificate_and_the_users_own_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("{}")
    read_json(path)
    for value in (1, 2):
        write_json(path, {"value": value})
        assert read_json(path) == {"value": value}
        certify([path], {})
    found = json.loads(certificate_of(path).read_text())["files"][""]
    data = path.read_bytes()
    assert found == {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "date": path.stat().st_mtime_ns,
    }
