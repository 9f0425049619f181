"""`mixdepth view`: clouds lie where the depths say, and the server answers on this machine and stops when asked to."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from helpers.captures import capture
from helpers.commands import told
from helpers.place import NAMES, place_camera
from helpers.relief import FRAMES, rendered, tile, write_renders
from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.formats.colmap_files import read_points
from mixdepth.cli import parser as cli
from mixdepth.errors import UserError
from mixdepth.files.io import write_json
from mixdepth.viewer.rig import cloud, open_clouds

PATIENCE = 90.0  # seconds until the server must answer


def test_a_cloud_lies_where_the_depths_say() -> None:
    camera = place_camera(2)
    rgb, depth = rendered(2, 3)
    pixels = np.flatnonzero(tile(camera, 2))
    points, colours = cloud(camera, rgb[2], depth[2], pixels)
    # The tile is at z = 3.5, around (-0.1, 0.6), half a side of 0.25.
    assert points[:, 2] == pytest.approx(np.full(len(points), 3.5), abs=1e-4)
    assert np.abs(points[:, :2] - [-0.1, 0.6]).max() < 0.25
    assert (colours == (220, 30, 20)).all()


def test_clouds_of_all_cameras_meet_and_keep_the_stated_number(tmp_path: Path) -> None:
    folder = write_renders(tmp_path)
    clouds = open_clouds(folder / "colmap/renders", load_cameras(folder / "cameras.json"), points=4000)
    assert clouds.frames == FRAMES
    points, colours = clouds.at(3)
    assert points.shape == colours.shape == (4000, 3)
    red = (colours == (220, 30, 20)).all(axis=1)
    assert red.sum() > 20
    assert points[red, 2] == pytest.approx(np.full(red.sum(), 3.5), abs=1e-4)
    # Those that stand still are the same points in every frame.
    still = (points == clouds.at(4)[0]).all(axis=1)
    assert still.mean() > 0.9


def test_without_renders_there_are_no_clouds_and_strange_ones_are_told(tmp_path: Path) -> None:
    assert open_clouds(tmp_path, {}) is None
    folder = write_renders(tmp_path)
    cameras = load_cameras(folder / "cameras.json")
    with pytest.raises(UserError, match="no such camera"):
        open_clouds(folder / "colmap/renders", {name: cameras[name] for name in NAMES[1:]})


def test_points_are_read_from_colmaps_file_and_a_short_one_is_told(tmp_path: Path) -> None:
    record = (
        struct.pack("<Q3d3Bd", 7, 1.0, 2.0, 3.0, 9, 9, 9, 0.5) + struct.pack("<Q", 2) + struct.pack("<4I", 1, 0, 2, 5)
    )
    path = tmp_path / "points3D.bin"
    path.write_bytes(struct.pack("<Q", 2) + 2 * record)
    points, views = read_points(path)
    assert points.tolist() == [[1.0, 2.0, 3.0]] * 2
    assert views.tolist() == [2, 2]
    path.write_bytes(struct.pack("<Q", 2) + record + record[:-1])
    with pytest.raises(UserError, match="cut short"):
        read_points(path)


def prepared(folder: Path) -> Path:
    """A scene `x` of which nothing but scene.json is there; the folder of its results."""
    config = {"scenes": {"x": {"data": str(capture(folder / "data/x", cameras=4, photos=0))}}}
    results = folder / "results/x"
    write_json(results / "scene.json", cli.as_json(cli.load_config(config)["x"]))
    return results


def test_where_nothing_is_there_yet_the_command_that_makes_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    results = prepared(tmp_path)
    assert "results/x/cameras.json: not there yet; run `python -m mixdepth prepare` first" in told(capsys, "view")
    write_renders(results)
    assert "run `python -m mixdepth train none` first" in told(capsys, "view", "none")


def iter_until(lines: Iterable[str], end: str) -> Iterator[str]:
    """The lines up to the first that contains ``end``."""
    for line in lines:
        yield line
        if end in line:
            return


def processor_time(process: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_answers_at_its_address_rests_alone_and_an_interrupt_ends_it_with_130(tmp_path: Path) -> None:
    write_renders(prepared(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mixdepth", "view", "colmap", "--port", str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # What a shell starts in the background ignores SIGINT, and so would what this starts.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=tmp_path, text=True, preexec_fn=heed, **pipes) as server:
        try:
            said = list(iter_until(server.stdout, "stop with Ctrl-C)"))
            assert any("4 cameras, 0 points, 4 rendered views of colmap" in line for line in said)
            assert [line.split()[0] for line in said if f"127.0.0.1:{port}" in line] == [said[-1].split()[0]]
            address = said[-1].split()[0]
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=PATIENCE)
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                assert answer.status == 200
                assert b"<html" in answer.read()
            time.sleep(0.5)
            before = processor_time(server.pid)
            time.sleep(2.0)
            assert processor_time(server.pid) - before < 0.1  # half a second when it played to nobody
            server.send_signal(signal.SIGINT)
            _, complaints = server.communicate(timeout=PATIENCE)
        finally:
            server.kill()
    assert server.returncode == 130
    assert "Traceback" not in complaints
