"""`mixdepth view`: it shows models from where one looks, clouds lie where the depths say, and the server answers on
this machine and stops when asked to."""

import math
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from helpers.camera_paths import lay_out, rig, settings
from helpers.captures import capture
from helpers.commands import told
from helpers.live import Page, page_at
from helpers.looking import FORWARD
from helpers.place import NAMES, place_camera
from helpers.relief import FRAMES, rendered, tile, write_renders
from mixdepth import kernels
from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.formats.colmap_files import read_points
from mixdepth.cli import parser as cli
from mixdepth.cli.commands import as_json
from mixdepth.errors import UserError
from mixdepth.files.io import write_json
from mixdepth.rendering import progressive
from mixdepth.rendering.paths import Clock, make_path
from mixdepth.rendering.progressive import Model, View
from mixdepth.rendering.tasks import render_path
from mixdepth.results import Results
from mixdepth.viewer import live, screen
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
    write_json(results / "scene.json", as_json(cli.load_config(config)["x"]))
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


# Models, from where one looks.

WHOLE = 16 * 12  # pixels of a picture


class Opened:
    """A live view of models without training, driven by hand, with a page that looks at it."""

    def __init__(self, folder: Path, page: Page, view: live.Live, traced: list[int]):
        self.folder, self.page, self.view, self.traced = folder, page, view, traced
        self.camera = load_cameras(folder / "cameras.json")["cam00"]
        self.told = 0

    def wait(self, there: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not there():
            assert time.monotonic() < end
            time.sleep(0.01)

    def look(self, camera: Camera, **other: object) -> None:
        """Have the page look from somewhere, and wait until the server knows."""
        self.told += 1
        self.page.look(camera, far=self.told, **other)
        clients = self.view.server.get_clients
        self.wait(lambda: any(client.camera.far == self.told for client in clients().values()))

    def set(self, label: str, value: float) -> None:
        """Have the page move a control, and wait until the server knows: what is sent last arrives last."""
        self.page.set(label, value)
        speed = self.view.controls.speed
        wanted = 61 - speed.value
        self.page.set("Frames per second", wanted)
        self.wait(lambda: speed.value == wanted)

    def steps(self, count: int) -> int:
        """Go on for so many steps; how many pictures the page was sent."""
        before = len(self.page.pictures)
        for _ in range(count):
            self.view.step()
            self.page.read(0.03)
        return len(self.page.pictures) - before

    def finish(self) -> int:
        """Go on until there is nothing to do."""
        return self.steps(2 * len(screen_parts(self.view)) + 12)


def screen_parts(view: live.Live) -> list:
    """The parts that the pictures of one window are made in."""
    return [part for one in view.screen.views for _, parts in one.steps for part in parts]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    traced, trace = [], progressive.trace

    def counting(*given: object) -> object:
        traced.append(len(given[4]))  # their pixels
        return trace(*given)

    monkeypatch.setattr(progressive, "trace", counting)
    monkeypatch.setattr(progressive, "ON_CPU", 60 * 20)  # of 20 samples a ray: 60 rays at once
    monkeypatch.setattr(progressive, "FIRST", 0.0)  # begin as coarsely as can be
    for name in ("ALONE", "IDLE"):
        monkeypatch.setattr(live, name, 0.001)
    scene = lay_out(tmp_path, [[0, 5], [3, 8]])
    (tmp_path / "colmap").mkdir()
    (tmp_path / "colmap/model.safetensors").write_bytes((tmp_path / "none/model.safetensors").read_bytes())
    with kernels.uncompiled():
        view, address = live.open_view(scene, "none", Results(tmp_path), 18800)
        try:
            with page_at(address) as page:
                page.read()
                del traced[:]
                yield Opened(tmp_path, page, view, traced)
        finally:
            view.server.stop()


def test_a_model_is_shown_sharper_and_sharper_as_it_renders(opened: Opened) -> None:
    opened.look(opened.camera)
    assert opened.finish() == 3
    assert sum(opened.traced) == WHOLE
    (client,) = opened.view.server.get_clients().values()
    camera = screen.seen_from(client.camera, 12)
    assert np.abs(camera.c2w - opened.camera.c2w).max() < 1e-12
    model = Model(opened.folder / "none/model.safetensors", opened.folder / "space.json")
    *_, sharp = View(model, camera).pictures(0)
    assert opened.page.newest.shape == (12, 16, 3)
    assert np.abs(opened.page.newest.astype(int) - sharp.rgb).mean() < 4  # JPEG
    assert opened.finish() == 0


def test_nothing_is_rendered_while_nobody_looks(opened: Opened) -> None:
    for _ in range(20):
        opened.view.step()
    assert opened.traced == []  # the page has not said where it is
    opened.look(opened.camera)
    opened.view.step()
    begun = sum(opened.traced)
    assert 0 < begun < WHOLE
    opened.page.wire.close()
    opened.wait(lambda: not opened.view.server.get_clients())
    for _ in range(20):
        opened.view.step()
    assert sum(opened.traced) == begun


def test_who_moves_is_shown_the_new_place_before_the_old_one_is_sharp(opened: Opened) -> None:
    opened.look(opened.camera)
    while not opened.steps(1):
        pass
    begun = sum(opened.traced)
    assert begun < WHOLE / 2
    opened.look(replace(opened.camera, c2w=load_cameras(opened.folder / "cameras.json")["cam03"].c2w))
    assert opened.finish() == 3
    assert sum(opened.traced) == begun + WHOLE


def test_who_moves_all_the_time_sees_something_too(opened: Opened) -> None:
    shown = 0
    for index in range(12):
        opened.look(replace(opened.camera, c2w=opened.camera.c2w + 0.01 * index * np.eye(4)[:, 3:] @ np.eye(4)[3:]))
        shown += opened.steps(1)
    assert shown >= 3


def test_another_time_and_depth_of_the_same_place_trace_nothing_again(opened: Opened) -> None:
    opened.look(opened.camera)
    opened.finish()
    before = opened.page.newest
    opened.set("Frame", 2)
    assert opened.finish() == 1
    assert sum(opened.traced) == WHOLE
    opened.set("Depth", True)
    assert opened.finish() == 1
    assert sum(opened.traced) == WHOLE
    opened.set("Depth", False)
    opened.set("Frame", 0)
    assert opened.finish() == 1
    assert (opened.page.newest == before).all()


def test_variants_are_side_by_side_and_without_any_there_is_no_picture(opened: Opened) -> None:
    opened.view.lines = 40
    opened.look(opened.camera.resized(60, 40))
    opened.finish()
    opened.set("colmap", True)
    opened.finish()
    both = opened.page.newest.astype(int)
    assert both.shape == (40, 60, 3)
    assert np.abs(both[20:, :30] - both[20:, 30:]).mean() < 4  # below the names: the same model twice
    before = sum(opened.traced)
    opened.set("none", False)
    opened.set("colmap", False)
    assert opened.finish() == 0
    assert sum(opened.traced) == before


def test_time_plays_on_and_pictures_become_sharper_meanwhile(opened: Opened) -> None:
    opened.look(opened.camera)
    opened.set("Play", True)
    frames = set()
    for _ in range(80):
        opened.steps(1)
        frames.add(opened.view.frame)
    assert len(frames) == 8
    assert sum(opened.traced) >= WHOLE


@pytest.mark.parametrize(
    "sent",
    [
        {"wxyz": [0, 0, 0, 0]},
        {"wxyz": [math.nan, 0, 0, 0]},
        {"wxyz": [1e300, 1e300, 1e300, 1e300]},
        {"position": [0, 0, math.inf]},
        {"position": [1e30, -1e30, 0]},
        {"fov": math.nan},
        {"fov": 0.0},
        {"fov": 1e9},
        {"image_width": 0, "image_height": 0},
        {"image_width": 2**60},
        {"image_height": 2**60, "image_width": 2**60},
        {"image_height": -5},
    ],
)
def test_whatever_a_page_says_of_its_camera_the_view_goes_on_within_bounds(opened: Opened, sent: dict) -> None:
    opened.look(opened.camera, **sent)
    opened.finish()
    assert sum(opened.traced) <= 12 * 12 * 8
    if opened.page.pictures:
        assert opened.page.newest.shape[0] <= 12
    opened.look(opened.camera)
    assert opened.finish() == 3


def test_values_of_controls_beyond_their_ends_do_not_stop_it(opened: Opened) -> None:
    opened.look(opened.camera)
    for value in (-1e300, 1e300, 2.5):
        for label in ("Frame", "Depth", "none", "Point size", "Show them"):
            opened.set(label, value)
        opened.steps(3)
        assert 0 <= opened.view.frame < 8


def test_a_model_that_cannot_be_read_is_told_and_the_view_goes_on(opened: Opened) -> None:
    opened.look(opened.camera)
    (opened.folder / "colmap/model.safetensors").write_bytes(b"none")
    opened.set("colmap", True)
    assert opened.finish() == 0
    assert any("colmap/model.safetensors" in text for text in opened.page.notes)
    opened.set("colmap", False)
    assert opened.finish() == 3


def test_a_recorded_path_is_played_by_paths(opened: Opened) -> None:
    second = load_cameras(opened.folder / "cameras.json")["cam03"]
    for camera, frame in ((opened.camera, 1), (second, 7)):
        opened.look(camera)
        opened.set("Frame", frame)
        opened.page.set("Add this view", True)
        opened.wait(lambda: opened.view.controls.clicks)
        opened.finish()
    opened.page.set("Write", True)
    opened.wait(lambda: opened.view.controls.clicks)
    opened.finish()
    (file,) = (opened.folder / "recorded").iterdir()
    path = make_path(settings(kind="file", file=file.name), rig(FORWARD), Clock(8, 12.0), file)
    assert path.fps == 12
    assert len(path.cameras) == 25
    for found, wanted, time_ in ((path.cameras[0], opened.camera, 1), (path.cameras[-1], second, 7)):
        assert found.c2w == pytest.approx(wanted.c2w, abs=1e-9)
        assert found.fy == pytest.approx(wanted.fy)
        assert (found.width, found.height) == (16, 12)
        assert time_ in path.times
    assert path.times == pytest.approx(np.linspace(1, 7, 25))
    scene = lay_out(opened.folder, [[0, 5], [3, 8]], mine={"kind": "file", "file": str(file)})
    files = {name: opened.folder / f"{name}.json" for name in ("cameras", "space", "capture")}
    model = opened.folder / "none/model.safetensors"
    render_path(scene, "none", "mine", model=model, output=opened.folder / "path", **files)
    assert np.load(opened.folder / "path/rgb.npy").shape == (25, 12, 16, 3)


def test_one_view_is_no_path(opened: Opened) -> None:
    opened.look(opened.camera)
    for label in ("Add this view", "Write"):
        opened.page.set(label, True)
        opened.wait(lambda: opened.view.controls.clicks)
        opened.finish()
    assert opened.view.controls.told.content == "A path takes two views"
    assert not (opened.folder / "recorded").exists()
