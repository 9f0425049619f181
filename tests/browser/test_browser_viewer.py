"""viewer.html in a real Chromium: it opens from a file, shows what was rendered where it was, and can be moved in."""

import base64
import io
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.browser import DARK, PHONE, Visit, chromium, visit  # noqa: F401
from helpers.place import HEIGHT, WIDTH, place_camera
from helpers.relief import FRAMES, Place, rendered, write_renders
from helpers.stages import work
from mixdepth.cameras.camera import load_cameras, save_cameras
from mixdepth.files.io import write_npy
from mixdepth.viewer.page import write_viewer

PATIENCE = 60.0  # seconds until a page must be ready
SAME_SHAPE = {"viewport": {"width": 2 * WIDTH, "height": 2 * HEIGHT}}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_renders(tmp_path_factory.mktemp("viewer"))
    work(write_viewer, "viewer", Place(), folder)
    return folder / "viewer.html"


@pytest.fixture
def opened(chromium: Any, page_file: Path) -> Iterator[Visit]:  # noqa: F811
    """The page, with a canvas of exactly twice the size of the pictures."""
    with visit(chromium, page_file, **SAME_SHAPE) as seen:
        until(seen, "mixdepth.ready")
        bar = round(seen.page.locator("#bar").bounding_box()["height"])
        seen.page.set_viewport_size({"width": 2 * WIDTH, "height": 2 * HEIGHT + bar})
        until(seen, f"document.querySelector('canvas').clientHeight === {2 * HEIGHT}")
        yield seen


def until(seen: Visit, expression: str) -> None:
    """Wait; not by Playwright's way, which the page's policy forbids."""
    end = time.monotonic() + PATIENCE
    while not seen.page.evaluate(f"!!({expression})"):
        assert time.monotonic() < end, f"waited in vain for {expression}"
        time.sleep(0.02)


def picture(seen: Visit) -> np.ndarray:
    """What the canvas shows, [h, w, 3] float."""
    data = seen.page.evaluate("mixdepth.picture()").split(",")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), dtype=float)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one - other) ** 2)))


def enlarged(image: np.ndarray, size: tuple[int, int] = (2 * WIDTH, 2 * HEIGHT)) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), dtype=float)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_from_a_source_camera_the_picture_is_the_rendered_frame(opened: Visit, index: int) -> None:
    opened.page.evaluate(f"mixdepth.setCamera({index})")
    for frame in (0, FRAMES - 1):
        opened.page.evaluate(f"mixdepth.seek({frame})")
        rgb, _ = rendered(int(Place().viewer_cameras[index][3:]), FRAMES)
        assert psnr(picture(opened), enlarged(rgb[frame])) > 28


def test_from_another_camera_the_relief_is_what_that_camera_sees(opened: Visit) -> None:
    """cam00 is not in the page: the depths must put everything where it belongs."""
    opened.page.evaluate("mixdepth.seek(2)")
    opened.page.evaluate(f"mixdepth.setCamera({place_camera(0).c2w.tolist()})")
    rgb, _ = rendered(0, FRAMES)
    shown, wanted = picture(opened), enlarged(rgb[2])
    red = (wanted[..., 0] > 180) & (wanted[..., 1] < 70)
    found = (shown[..., 0] > 180) & (shown[..., 1] < 70)
    assert (red & found).sum() / (red | found).sum() > 0.85
    middle = np.s_[60:-60, 80:-80]
    assert psnr(shown[middle], wanted[middle]) > 18


def test_a_camera_whose_middle_is_not_the_pictures_is_drawn_as_it_is(chromium: Any, tmp_path: Path) -> None:  # noqa: F811
    folder = write_renders(tmp_path)
    rgb, depth = rendered(2)
    for name, array in (("rgb", rgb[:, :, 60:]), ("depth", depth[:, :, 60:])):
        write_npy(folder / f"colmap/renders/cam02/{name}.npy", np.ascontiguousarray(array))
    cameras = load_cameras(folder / "cameras.json")
    cameras["cam02"] = replace(cameras["cam02"], width=WIDTH - 60, cx=WIDTH / 2 - 60)
    save_cameras(folder / "cameras.json", cameras)
    work(write_viewer, "viewer", Place(), folder)
    with visit(chromium, folder / "viewer.html", viewport={"width": 2 * WIDTH, "height": 600}) as seen:
        until(seen, "mixdepth.ready")
        seen.page.evaluate("mixdepth.seek(0)")
        seen.page.evaluate("mixdepth.setCamera(0)")
        # The whole picture is as wide as the canvas, in its middle.
        shown, scale = picture(seen), 2 * WIDTH / (WIDTH - 60)
        top = round((shown.shape[0] - HEIGHT * scale) / 2)
        wanted = enlarged(rgb[0, :, 60:], (2 * WIDTH, round(HEIGHT * scale)))
        assert psnr(shown[top : top + len(wanted)], wanted) > 27


def test_turning_and_depth_change_the_picture_and_coming_back_restores_it(opened: Visit) -> None:
    page = opened.page
    page.evaluate("mixdepth.seek(0)")
    page.evaluate("mixdepth.setCamera(0)")
    before = picture(opened)
    assert before.std() > 20
    page.evaluate("mixdepth.setCamera(0, 0.15)")
    assert psnr(picture(opened), before) < 20
    page.evaluate("mixdepth.setCamera(0)")
    assert (picture(opened) == before).all()
    page.keyboard.press("z")
    assert psnr(picture(opened), before) < 15
    assert page.get_attribute("#depth", "aria-pressed") == "true"
    page.click("#depth")
    assert (picture(opened) == before).all()


def test_it_plays_and_pauses_and_the_slider_is_the_time(opened: Visit) -> None:
    page = opened.page
    assert page.evaluate("mixdepth.playing")
    seen = page.evaluate("mixdepth.frame")
    until(opened, f"mixdepth.frame !== {seen}")
    page.keyboard.press("Space")
    assert not page.evaluate("mixdepth.playing")
    assert page.get_attribute("#play", "aria-label") == "Play"
    page.evaluate("mixdepth.seek(0)")
    page.keyboard.press(".")
    assert page.evaluate("mixdepth.frame") == 1
    page.keyboard.press(",")
    page.keyboard.press(",")
    assert page.evaluate("mixdepth.frame") == FRAMES - 1
    page.focus("#time")
    page.keyboard.press("Home")
    assert page.evaluate("mixdepth.frame") == 0
    page.click("#play")
    assert page.evaluate("mixdepth.playing")


def test_mouse_wheel_and_keys_move_the_viewer(opened: Visit) -> None:
    page = opened.page
    camera = lambda: np.array(page.evaluate("mixdepth.camera"))  # noqa: E731
    home = camera()
    page.mouse.move(200, 50)
    page.mouse.down()
    page.mouse.move(240, 60, steps=3)
    page.mouse.up()
    turned = camera()
    assert np.abs(turned - home).max() > 0.05
    assert np.allclose(turned[:3, :3] @ turned[:3, :3].T, np.eye(3), atol=1e-6)

    def held(key: str) -> np.ndarray:
        """Hold a key until the camera moves; where it was before."""
        before, said = camera(), page.evaluate("JSON.stringify(mixdepth.camera)")
        page.keyboard.down(key)
        until(opened, f"JSON.stringify(mixdepth.camera) !== '{said}'")
        page.keyboard.up(key)
        return before

    page.mouse.wheel(0, -200)
    assert (camera()[:3, 3] != turned[:3, 3]).any()
    for key, axis, sign in (("w", 2, 1), ("s", 2, -1), ("d", 0, 1), ("a", 0, -1), ("q", 1, 1), ("e", 1, -1)):
        before = held(key)
        by = (camera()[:3, 3] - before[:3, 3]) @ before[:3, :3]
        assert np.argmax(np.abs(by)) == axis, key
        assert np.sign(by[axis]) == sign, key
    before = held("ArrowLeft")
    assert np.abs(camera()[:3, :3] - before[:3, :3]).max() > 1e-4
    page.keyboard.press("r")
    until(opened, f"Math.abs(mixdepth.camera[0][3] - {home[0, 3]}) < 1e-9")
    page.keyboard.press("3")
    until(opened, "mixdepth.strangeness === 0")
    page.mouse.dblclick(200, 50)
    until(opened, f"Math.abs(mixdepth.camera[0][3] - {home[0, 3]}) < 1e-9")


def test_the_page_warns_far_from_every_camera(opened: Visit) -> None:
    assert not opened.page.is_visible("#warning")
    opened.page.evaluate("mixdepth.setCamera(0, 1.2)")
    until(opened, "mixdepth.strangeness > 0.5")
    opened.page.wait_for_selector("#warning", state="visible")


def test_help_and_every_control_has_a_name(opened: Visit) -> None:
    page = opened.page
    page.keyboard.press("h")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    nameless = "e => !(e.ariaLabel || e.textContent.trim())"
    nameless = f"[...document.querySelectorAll('button, input, select, canvas')].filter({nameless}).length"
    assert page.evaluate(nameless) == 0
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("options", [{}, DARK], ids=["light", "dark"])
def test_texts_can_be_read(chromium: Any, page_file: Path, options: dict) -> None:  # noqa: F811
    with visit(chromium, page_file, **options) as seen:
        until(seen, "mixdepth.ready")
        ratio, text = seen.worst_contrast("h1, small, button, output, select")
        assert ratio >= 4.5, text


def test_on_a_phone_fingers_turn_and_pinch(chromium: Any, page_file: Path) -> None:  # noqa: F811
    with visit(chromium, page_file, **PHONE) as seen:
        until(seen, "mixdepth.ready")
        assert seen.overflow() == 0
        bar = seen.page.locator("#bar").bounding_box()
        assert bar["x"] >= 0
        assert bar["x"] + bar["width"] <= 390
        assert bar["height"] < 260
        camera = lambda: np.array(seen.page.evaluate("mixdepth.camera"))  # noqa: E731
        home = camera()
        session = seen.page.context.new_cdp_session(seen.page)

        def touch(kind: str, *points: tuple[int, int]) -> None:
            fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

        touch("touchStart", (150, 300))
        touch("touchMove", (210, 300))
        touch("touchEnd")
        turned = camera()
        assert np.abs(turned[:3, :3] - home[:3, :3]).max() > 0.02
        touch("touchStart", (150, 300), (200, 300))
        touch("touchMove", (100, 300), (250, 300))
        touch("touchEnd")
        assert (camera()[:3, 3] - turned[:3, 3]) @ turned[:3, 2] > 0.1
        seen.page.tap("#play")
        assert not seen.page.evaluate("mixdepth.playing")


def test_who_wants_less_motion_gets_a_page_that_stands_still(chromium: Any, page_file: Path) -> None:  # noqa: F811
    with visit(chromium, page_file, reduced_motion="reduce") as seen:
        until(seen, "mixdepth.ready")
        assert not seen.page.evaluate("mixdepth.playing")


def test_without_webgl_the_page_says_so(chromium: Any, page_file: Path, tmp_path: Path) -> None:  # noqa: F811
    text = page_file.read_text().replace('getContext("webgl2"', 'getContext("none"')
    # Its policy lets no other script in than its own.
    text = re.sub("script-src &#39;[^&]+&#39;", "script-src 'unsafe-inline'", text)
    (tmp_path / "viewer.html").write_text(text)
    with visit(chromium, tmp_path / "viewer.html") as seen:
        until(seen, "mixdepth.error")
        assert "WebGL2" in seen.page.inner_text("#message")
        assert seen.page.is_visible("#message")


def test_a_script_that_is_not_the_page_s_own_is_not_run(chromium: Any, page_file: Path, tmp_path: Path) -> None:  # noqa: F811
    text = page_file.read_text().replace("<script>", "<script>document.title = 'run'</script><script>", 1)
    (tmp_path / "viewer.html").write_text(text.replace("<canvas ", '<canvas onfocus="document.title = 1" autofocus '))
    with visit(chromium, tmp_path / "viewer.html") as seen:
        until(seen, "mixdepth.ready")
        assert "look around" in seen.page.title()
        assert len(seen.complaints) == 2
        assert all("Content Security Policy" in complaint for complaint in seen.complaints)
        seen.complaints.clear()


def test_a_damaged_page_says_so(chromium: Any, page_file: Path, tmp_path: Path) -> None:  # noqa: F811
    text = page_file.read_text()
    at = text.index('class="view">') + 200
    (tmp_path / "viewer.html").write_text(text[:at] + "AAAAAAAA" + text[at + 8 :])
    with visit(chromium, tmp_path / "viewer.html") as seen:
        until(seen, "mixdepth.error")
        assert "cannot be unpacked" in seen.page.inner_text("#message")
