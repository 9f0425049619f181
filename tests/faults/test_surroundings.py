"""What files and systems are unexpectedly: no file at all, bombs, somebody else's, read-only, without /proc."""

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.captures import write_capture
from helpers.mounts import mounted
from helpers.tiny import write_tiny_capture
from helpers.workflow import snakemake
from mixdepth.cameras.formats.calibration import read_calibration
from mixdepth.cameras.formats.colmap_files import read_colmap
from mixdepth.cameras.formats.metashape import read_metashape
from mixdepth.cameras.formats.realitycapture import read_realitycapture
from mixdepth.cli import parser as cli
from mixdepth.errors import ConfigurationError, DamagedFile, UserError
from mixdepth.evaluation.lpips import load_lpips
from mixdepth.fields.storage import load_model
from mixdepth.files import io
from mixdepth.files.certificate import digest
from mixdepth.files.images import encoded_exr, image_size, read_image
from mixdepth.files.io import disk_errors, read_json, read_npy, read_npz, reading, write_npz
from mixdepth.frames.decode import open_video


def opened(path: Path) -> None:
    with open_video(path):
        pass


READERS: list[Callable] = [
    *(opened, read_image, image_size, read_json, read_npy, read_npz, load_model, lambda path: load_lpips("alex", path)),
    *(read_calibration, read_metashape, read_realitycapture, digest),
]


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """A block that hangs fails."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_refused_at_once_by_whoever_would_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = Path("x.toml" if read is read_calibration else "x")
    make_irregular(path, kind)
    with at_once(), pytest.raises(UserError, match=rf"{path}: {kind}, expected a file"):
        read(path)


def make_irregular(path: Path, kind: str) -> None:
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))


@pytest.mark.parametrize("name", ["images.bin", "cameras.txt"])
def test_a_pipe_in_a_colmap_model_is_refused_at_once(tmp_path: Path, name: str) -> None:
    for other in ("cameras", "images", "points3D"):
        (tmp_path / f"{other}{Path(name).suffix}").touch()
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with at_once(), pytest.raises(UserError, match="no COLMAP model"):
        read_colmap(tmp_path)


@pytest.mark.parametrize("name", ["videos/cam00.mp4", "photos/cam01.png"])
def test_a_pipe_among_videos_or_photos_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    folder = write_capture(tmp_path)
    (folder / "data/x" / name).unlink()
    os.mkfifo(folder / "data/x" / name)
    done = snakemake(folder, "-n", "--configfile", str(folder / "config.yaml"), "--", "results/x/video.mp4")
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert f"data/x/{name}: a named pipe, expected a file" in told
    assert "Traceback" not in told


# Bombs


def png(path: Path, width: int, height: int) -> Path:
    """A PNG file of black, one bit a pixel, that says to be this large."""

    def block(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    lines = zlib.compress(bytes((1 + (width + 7) // 8) * height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + block(b"IHDR", header) + block(b"IDAT", lines) + block(b"IEND", b""))
    return path


@pytest.mark.filterwarnings("error")
def test_a_picture_of_a_phone_s_200_megapixels_is_read_and_one_above_300_is_not(tmp_path: Path) -> None:
    assert image_size(png(tmp_path / "phone.png", 16320, 12240), whole=True) == (16320, 12240)
    for read in (image_size, read_image):
        with pytest.raises(UserError, match=r"bomb\.png: 20001x15000 .* at most 300 million\. Make it smaller, as by"):
            read(png(tmp_path / "bomb.png", 20001, 15000))


def test_texts_of_a_png_file_that_unpack_to_any_amount_are_not_unpacked(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", 8, 8)
    content = b"a\0\0" + zlib.compress(bytes(100_000_000))
    text = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    path.write_bytes(path.read_bytes()[:33] + text + path.read_bytes()[33:])
    with pytest.raises(DamagedFile, match=r"a\.png: cannot be read as an image"):
        image_size(path)


def test_a_y4m_file_of_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cam00.y4m"
    for size in ("W100000 H100000", "W2147483647 H2", "W0 H0"):
        path.write_bytes(f"YUV4MPEG2 {size} F30:1 C420jpeg\nFRAME\n".encode() + bytes(100))
        with at_once(), pytest.raises(UserError, match=r"cam00\.y4m"), open_video(path) as (container, _):
            next(container.decode(video=0))


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """An npz file of a few MB that says to hold 5 GB of zeros, and would, if its reader went on to the end."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("z.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (5 * 10**9,)})
            file.write(bytes(1_000_000))
        archive.infolist()[0].file_size = 5 * 10**9
    return path


def test_an_archive_that_unpacks_to_more_than_4_gb_is_refused_by_its_header(tmp_path: Path, bomb: Path) -> None:
    with at_once(), pytest.raises(DamagedFile, match=r"a\.npz: 0 MB that unpack to 5\.0 GB, expected at most 4 GB"):
        read_npz(bomb)


def test_what_is_large_and_hardly_packed_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io, "LARGEST_UNPACKED", 1000)
    noise = np.random.default_rng(0).integers(0, 255, 5000).astype(np.uint8)
    write_npz(tmp_path / "a.npz", {"z": noise})
    assert len(read_npz(tmp_path / "a.npz")["z"]) == 5000
    write_npz(tmp_path / "a.npz", {"z": np.zeros(200_000)})
    with pytest.raises(DamagedFile, match="unpack"):
        read_npz(tmp_path / "a.npz")


def test_json_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(10**10)
    with at_once(), pytest.raises(DamagedFile, match=r"a\.json: .*it has 10000 MB, expected at most 200"):
        read_json(tmp_path / "a.json")


# Rights


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_may_not_be_written_or_read_is_told_with_its_name(tmp_path: Path, number: int) -> None:
    path = tmp_path / "space.json"
    for file in (str(tmp_path / "runs/lock"), None):
        with pytest.raises(ConfigurationError, match=f"{file or path}: {os.strerror(number)}"), disk_errors(path):
            raise OSError(number, os.strerror(number), file)


def test_a_file_that_this_user_may_not_read_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"a\.json: cannot be read \(not allowed\)"), reading(tmp_path / "a.json", ""):
        raise PermissionError(errno.EACCES, "not allowed")


@pytest.mark.slow
def test_results_that_may_only_be_read_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = write_tiny_capture(tmp_path)
    monkeypatch.chdir(folder)
    (folder / "results/x").mkdir(parents=True)
    with mounted(folder / "results", "--bind", "-o", "ro", str(folder / "results")):
        assert cli.main(["--config", "config.yaml", "prepare"]) == 1
    said = capsys.readouterr().err
    assert "mixdepth: error: results/x/" in said
    assert "Read-only file system" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("private", ["results", "config.yaml"])
def test_what_is_another_user_s_alone_is_told_in_one_line(tmp_path: Path, private: str) -> None:
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv, to take the right to read everything from a process")
    folder = write_capture(tmp_path)
    (folder / "results/x").mkdir(parents=True)
    (folder / private).chmod(0o700 if private == "results" else 0o600)
    os.chown(folder / private, 1000, 1000)
    right = "-dac_override,-dac_read_search"
    command = ["setpriv", f"--bounding-set={right}", f"--inh-caps={right}", sys.executable, "-m", "mixdepth"]
    done = subprocess.run(
        [*command, "--config", "config.yaml", "prepare"], cwd=folder, text=True, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert re.fullmatch(rf"mixdepth: error: {private}.*Permission denied.*\n", done.stderr), done.stderr


def test_without_proc_an_export_as_exr_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    depth = {"Z": np.ones((4, 4), np.float32)}
    assert encoded_exr(depth, {})[:4] == b"v/1\x01"
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: not str(path).startswith("/proc") and exists(path))
    with pytest.raises(ConfigurationError, match="by way of /proc, which is not there"):
        encoded_exr(depth, {})
