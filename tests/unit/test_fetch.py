"""Fetching one file: whole or not at all, and never in the place of an original."""

import os
import shutil
from pathlib import Path

import pytest

from mixdepth.errors import UserError
from mixdepth.workflow import fetch as fetching
from mixdepth.workflow.fetch import fetch

NAME = "videos/cam00.mp4"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "copy").write_bytes(b"first")
    return tmp_path / "copy"


def left(data: Path) -> list[str]:
    return sorted(path.name for path in (data / NAME).parent.iterdir())


def test_what_was_fetched_is_replaced_by_what_is_newer(tmp_path: Path, copy: Path) -> None:
    for content in (b"first", b"second, longer"):
        copy.write_bytes(content)
        fetch(copy, tmp_path / "x", NAME)
        assert (tmp_path / "x" / NAME).read_bytes() == content
    assert left(tmp_path / "x") == ["cam00.mp4"]


@pytest.mark.parametrize("kind", ["other", "link", "lost link", "folder", "touched"])
def test_an_original_is_not_replaced(tmp_path: Path, copy: Path, kind: str) -> None:
    target, original = tmp_path / "x" / NAME, tmp_path / "original"
    target.parent.mkdir(parents=True)
    original.write_bytes(b"mine")
    if kind == "folder":
        target.mkdir()
    elif kind == "other":
        target.write_bytes(b"mine")
    elif kind == "touched":
        fetch(copy, tmp_path / "x", NAME)
        os.utime(target, ns=(1, 1))
        copy.write_bytes(b"newer")
    else:
        target.symlink_to(original if kind == "link" else "nowhere")
    before = os.lstat(target)
    with pytest.raises(UserError, match=rf"{target}: not from the store"):
        fetch(copy, tmp_path / "x", NAME)
    after = os.lstat(target)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert original.read_bytes() == b"mine"
    assert left(tmp_path / "x") == ["cam00.mp4"]


def test_an_original_of_the_same_content_stays_an_original(tmp_path: Path, copy: Path) -> None:
    target = tmp_path / "x" / NAME
    target.parent.mkdir(parents=True)
    target.write_bytes(b"first")
    dated = target.stat().st_mtime_ns
    fetch(copy, tmp_path / "x", NAME)
    assert target.stat().st_mtime_ns == dated
    copy.write_bytes(b"newer")
    with pytest.raises(UserError, match="not from the store"):
        fetch(copy, tmp_path / "x", NAME)


def test_what_is_not_whole_leaves_what_was_there(
    tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    fetch(copy, tmp_path / "x", NAME)
    copy.write_bytes(b"second")

    def cut(_: Path, part: Path) -> None:
        part.write_bytes(b"sec")

    monkeypatch.setattr(shutil, "copyfile", cut)
    assert fetching.main([str(copy), str(tmp_path / "x"), NAME]) == 1
    assert f"{NAME}: 3 bytes were written, expected 6" in capsys.readouterr().err
    assert (tmp_path / "x" / NAME).read_bytes() == b"first"
    assert left(tmp_path / "x") == ["cam00.mp4"]


@pytest.mark.parametrize("step", ["copyfile", "fsync", "unlink", "write_text", "rename"])
def test_after_a_kill_it_is_fetched_again(
    tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fetch(copy, tmp_path / "x", NAME)
    copy.write_bytes(b"second")

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr({"copyfile": shutil, "fsync": os}.get(step, Path), step, kill)
        with pytest.raises(KeyboardInterrupt):
            fetch(copy, tmp_path / "x", NAME)
    fetch(copy, tmp_path / "x", NAME)
    assert (tmp_path / "x" / NAME).read_bytes() == b"second"


def test_a_full_disk_is_told(tmp_path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"cam00\.mp4: cannot be written \(No space left on device\)"):
        fetch(copy, tmp_path / "x", NAME)
