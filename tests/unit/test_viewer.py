"""viewer.html without a browser: what it stores comes back within the stated steps, and it keeps its budget."""

import base64
import json
import re
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers.captures import write_capture
from helpers.place import HEIGHT, WIDTH
from helpers.policies import check_policy
from helpers.relief import FRAMES, Place, rendered, write_renders
from helpers.stages import work
from helpers.workflow import plan
from mixdepth.cameras.camera import Camera
from mixdepth.errors import UserError
from mixdepth.files.io import write_npy
from mixdepth.scene.config import load_config
from mixdepth.viewer import page as viewer
from mixdepth.viewer.page import COLOUR_HOLD, DISPARITY_HOLD, LEVELS, View, write_viewer


def a_view(frames: int = FRAMES) -> View:
    rgb, depth = rendered(2, frames)
    camera = Camera(WIDTH, HEIGHT, 190.0, 190.0, WIDTH / 2, HEIGHT / 2, np.eye(4))
    return View("cam02", camera, rgb, depth, float(depth.min()), float(depth.max()))


def unpacked(lines: list[str], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """What the page makes of lines: colours [T, H, W, 3] uint8 and codes [T, H, W] uint16."""
    colours, codes = [], []
    planes, code = np.zeros((3, height, width), np.uint8), np.zeros((height, width), np.uint16)
    for line in lines:
        data = np.frombuffer(zlib.decompress(base64.b64decode(line)), np.uint8).reshape(5, height, width)
        planes = planes + np.cumsum(data[:3], axis=-1, dtype=np.uint8)
        code = code + np.cumsum(data[3].astype(np.uint16) | data[4].astype(np.uint16) << 8, axis=-1, dtype=np.uint16)
        green, red, blue = planes
        colours.append(np.stack([red + green, green, blue + green], axis=-1))
        codes.append(code)
    return np.stack(colours), np.stack(codes)


def page_data(path: Path) -> tuple[dict, list[list[str]]]:
    """What a page says about itself, and its lines by view."""
    text = path.read_text()
    about = json.loads(re.search(r'id="about">(.*?)</script>', text, re.S)[1])
    return about, [part.split() for part in re.findall(r'class="view">(.*?)</script>', text, re.S)]


def test_colours_and_depth_come_back_within_the_stated_steps() -> None:
    view = a_view()
    colours, codes = unpacked(list(viewer.encode(view, range(FRAMES))), WIDTH, HEIGHT)
    assert np.abs(colours.astype(int) - view.rgb).max() <= COLOUR_HOLD
    wanted = LEVELS * (1 / view.depth.astype(float) - 1 / view.far) / (1 / view.near - 1 / view.far)
    assert np.abs(codes - wanted).max() <= DISPARITY_HOLD + 0.51


def test_a_pixel_that_flickers_in_its_last_bit_stays_and_costs_nothing() -> None:
    view = a_view(2)
    flickers = View(
        view.name, view.camera, np.stack([view.rgb[0], view.rgb[0] ^ 1]), view.depth[[0, 0]], view.near, view.far
    )
    first, second = viewer.encode(flickers, range(2))
    assert len(second) < 300 < len(first)
    colours, _ = unpacked([first, second], WIDTH, HEIGHT)
    assert (colours[0] == colours[1]).all()


def test_slow_changes_are_not_swallowed() -> None:
    view = a_view(1)
    rgb = np.stack([np.clip(view.rgb[0].astype(int) + step, 0, 255).astype(np.uint8) for step in range(20)])
    slow = replace(view, rgb=rgb, depth=np.repeat(view.depth, 20, axis=0))
    colours, _ = unpacked(list(viewer.encode(slow, range(20))), WIDTH, HEIGHT)
    assert np.abs(colours.astype(int) - rgb).max() <= COLOUR_HOLD


def written(folder: Path, place: Place | None = None, **more: int) -> Path:
    """The page of the results in ``folder``."""
    work(partial(write_viewer, **more), "viewer", place or Place(), folder)
    return folder / "viewer.html"


def test_everything_is_in_the_page_where_it_fits(tmp_path: Path) -> None:
    about, lines = page_data(written(write_renders(tmp_path)))
    assert about["note"] == ""
    assert [view["name"] for view in about["views"]] == Place().viewer_cameras
    assert [len(part) for part in lines] == [FRAMES] * 3
    assert (about["frames"], about["fps"]) == (FRAMES, 12.0)
    colours, _ = unpacked(lines[0], WIDTH, HEIGHT)
    assert (colours[0] == rendered(2, 1)[0][0]).all()


def test_the_budget_is_kept_and_the_page_says_what_that_costs(tmp_path: Path) -> None:
    written(write_renders(tmp_path), budget=80_000)
    about, lines = page_data(tmp_path / "viewer.html")
    view = about["views"][0]
    assert sum(len(line) for part in lines for line in part) <= 80_000
    assert view["width"] < WIDTH
    assert f"scaled from {WIDTH}×{HEIGHT} to {view['width']}×{view['height']}" in about["note"]
    assert about["note"] in (tmp_path / "viewer.html").read_text().split("<script")[0]
    assert view["fx"] == pytest.approx(190 * view["width"] / WIDTH)


def test_long_captures_lose_frames_and_keep_their_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "MAX_FRAMES", 4)
    about, lines = page_data(written(write_renders(tmp_path)))
    assert (about["frames"], about["fps"], len(lines[0])) == (3, 6.0, 3)
    assert "every second frame" in about["note"]


def test_frames_of_any_number_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long capture must not fill the memory: only single frames are asked for."""

    class OneByOne(np.ndarray):
        def __getitem__(self, key: object) -> np.ndarray:
            assert isinstance(key, (int, np.integer))
            return np.asarray(self)[key]

    view = a_view()
    slow = replace(view, rgb=view.rgb.view(OneByOne), depth=view.depth.view(OneByOne))
    assert len(list(viewer.encode(slow, range(FRAMES)))) == FRAMES


def test_scaled_depth_is_never_a_mean_across_an_edge() -> None:
    view = viewer._scaled(a_view(), 0.37)
    _, codes = next(viewer.held(view, range(1)))
    there = viewer.quantised(view.depth[0], view.near, view.far)
    assert np.isin(codes, there).all()


def test_the_same_renders_make_the_same_bytes(tmp_path: Path) -> None:
    folder = write_renders(tmp_path)
    first = written(folder).read_bytes()
    assert written(folder).read_bytes() == first


def test_nothing_in_the_page_points_outside(tmp_path: Path) -> None:
    text = written(write_renders(tmp_path)).read_text()
    check_policy(text)
    assert re.findall(r"https?://", text) == []


def test_a_name_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    page = written(write_renders(tmp_path), Place(name="</script><b>"))
    assert "</script><b>" not in page.read_text()
    assert page_data(page)[0]["scene"] == "</script><b>"
    check_policy(page.read_text())


def test_renders_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    folder = write_renders(tmp_path)
    write_npy(folder / "colmap/renders/cam01/depth.npy", rendered(1, 2)[1])
    write_npy(folder / "colmap/renders/cam01/rgb.npy", rendered(1, 2)[0])
    with pytest.raises(UserError, match="numbers of frames differ"):
        written(folder)
    write_npy(folder / "colmap/renders/cam01/depth.npy", np.zeros((2, HEIGHT, WIDTH), np.float32))
    with pytest.raises(UserError, match=r"cam01/depth\.npy: depths from 0"):
        written(folder)


def test_the_rule_renders_the_video_camera_and_the_ends_of_the_rig(tmp_path: Path) -> None:
    jobs = plan(write_capture(tmp_path, photos=False), "results/x/viewer.html")
    (job,) = (job for job in jobs if job.rule == "viewer")
    assert {path for path in job.input if "renders" in path} == {
        f"results/x/colmap/renders/{camera}" for camera in ("cam00", "cam01", "cam03")
    }
    assert not [job.rule for job in jobs if job.rule in ("evaluate", "comparison", "report_html")]


def test_its_cameras_can_be_chosen_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    def chosen(**options: object) -> list[str]:
        write_capture(tmp_path, photos=False, **options)
        config = yaml.safe_load((tmp_path / "config.yaml").read_text())
        config["scenes"]["x"]["data"] = str(tmp_path / "data/x")
        return load_config(config)["x"].viewer_cameras

    assert chosen(video_camera="cam03") == ["cam03", "cam00", "cam02"]
    assert chosen(viewer_cameras=["cam02", "cam01"]) == ["cam02", "cam01"]
    with pytest.raises(UserError, match=r'viewer_cameras: "cam9" .*did you mean "cam0'):
        chosen(viewer_cameras=["cam9"])
