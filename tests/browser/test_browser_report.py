"""The report in a real browser: it opens without complaint, asks for nothing, and what can be moved moves."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import DARK, PHONE, WITHOUT_SCRIPTS, eventually, visit
from helpers.reported import with_truth, write_everything, write_scene
from helpers.tiny import tiny_config, write_config, write_tiny_capture
from helpers.workflow import snakemake
from mixdepth.cli import parser as cli
from mixdepth.files.io import write_json

TEXTS = "p, li, dt, dd, th, td, caption, figcaption, small, summary, label, legend, a, h1, h2, h3, button, select, pre"
SHOTS = {"desktop": {}, "phone": PHONE, "dark": DARK, "dark phone": {**PHONE, **DARK}}


@pytest.fixture(scope="module")
def report(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a scene with two variants, a truth, a rig, curves and a video."""
    return write_everything(with_truth(write_scene(tmp_path_factory.mktemp("report"))))


@pytest.mark.parametrize("kind", SHOTS)
def test_the_page_opens_whole_fits_and_asks_for_nothing(chromium: Any, report: Path, tmp_path: Path, kind: str) -> None:
    with visit(chromium, report, **SHOTS[kind]) as seen:
        assert seen.requests == [report.as_uri()]
        assert seen.overflow() <= 0
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.alt)"
        assert seen.page.evaluate(broken) == []
        assert seen.worst_contrast(TEXTS) >= (4.5, "")
        seen.page.screenshot(path=str(tmp_path / "page.png"))
        assert (tmp_path / "page.png").stat().st_size > 10_000


def shown_share(page: Any) -> float:
    """Which part of the picture the left one takes, from how it is cut."""
    cut = re.search(
        r"inset\(0px ([\d.]+)%", page.evaluate("getComputedStyle(document.querySelector('.over')).clipPath")
    )
    return 100 - float(cut[1]) if cut else 100


def test_the_slider_moves_by_mouse_and_by_keyboard(chromium: Any, report: Path) -> None:
    with visit(chromium, report) as seen:
        page = seen.page
        stage = page.locator(".stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        assert shown_share(page) == 50
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 40, steps=4)
        page.mouse.up()
        assert 78 <= shown_share(page) <= 82
        before = shown_share(page)
        page.keyboard.press("ArrowLeft")
        assert shown_share(page) == before - 1
        page.keyboard.press("Home")
        assert shown_share(page) == 0
        assert "100 % colmap" in page.get_by_role("slider").get_attribute("aria-valuetext")


def test_the_slider_moves_by_touch(chromium: Any, report: Path) -> None:
    with visit(chromium, report, **PHONE) as seen:
        stage = seen.page.locator(".stage")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        seen.page.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + 60)
        assert 22 <= shown_share(seen.page) <= 28


def test_everything_that_was_rendered_can_be_laid_over_the_truth(chromium: Any, report: Path) -> None:
    with visit(chromium, report) as seen:
        page = seen.page
        names = lambda: (page.locator(".at-left").inner_text(), page.locator(".at-right").inner_text())  # noqa: E731
        picture = lambda side: page.locator(f".{side}").get_attribute("src")  # noqa: E731
        assert names() == ("none", "colmap")
        page.locator(".choose-left").select_option("truth")
        assert names() == ("truth", "colmap")
        before = picture("over")
        page.locator("fieldset").get_by_text("Depth", exact=True).click()
        assert picture("over") != before
        assert "The true depth" in page.locator(".said").inner_text()
        assert page.locator(".scale[data-kind=depth]").is_visible()
        # Of the truth there is no depth error: a variant takes its place.
        page.locator("fieldset").get_by_text("Depth error").click()
        assert names() == ("none", "colmap")
        page.locator("fieldset").get_by_text("Colour", exact=True).click()
        before = picture("under")
        page.locator("fieldset").get_by_text("first (0)").click()
        assert picture("under") != before
        assert picture("under").startswith("data:image/webp")


def test_the_keyboard_reaches_the_slider_and_the_rig(chromium: Any, report: Path) -> None:
    with visit(chromium, report) as seen:
        reached = set()
        for _ in range(60):
            seen.page.keyboard.press("Tab")
            reached.add(seen.page.evaluate("document.activeElement.type || document.activeElement.localName"))
        assert {"range", "canvas", "radio", "select-one", "video", "summary", "a"} <= reached


def test_the_video_plays(chromium: Any, report: Path) -> None:
    with visit(chromium, report) as seen:
        seen.page.evaluate("document.querySelector('video').play()")
        eventually(lambda: seen.page.evaluate("document.querySelector('video').currentTime") > 0.05)
        assert seen.page.evaluate("document.querySelector('video').videoWidth") > 100


def test_the_rig_turns(chromium: Any, report: Path) -> None:
    with visit(chromium, report) as seen:
        page, canvas = seen.page, seen.page.locator(".rig canvas")
        canvas.scroll_into_view_if_needed()
        view = lambda: canvas.get_attribute("data-view")  # noqa: E731
        first, picture = view(), canvas.screenshot()
        assert page.locator(".rig .still").is_hidden()
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 320, box["y"] + 130, steps=4)
        page.mouse.up()
        eventually(lambda: view() != first)
        assert canvas.screenshot() != picture
        for act in (lambda: canvas.press("ArrowLeft"), lambda: canvas.press("+"), page.get_by_label("Nearer").click):
            before = view()
            act()
            eventually(lambda before=before: view() != before)
        page.get_by_role("button", name="Reset").click()
        eventually(lambda: view() == first)


def test_without_scripts_nothing_is_hidden(chromium: Any, report: Path) -> None:
    with visit(chromium, report, **WITHOUT_SCRIPTS) as seen:
        assert seen.page.locator(".compare").is_hidden()
        assert seen.page.locator(".gallery img").first.is_visible()
        assert seen.page.locator(".rig .still").is_visible()
        assert seen.page.locator(".rig canvas").is_hidden()
        assert seen.page.locator("video").is_visible()
        assert "Depth supervision helped" in seen.page.locator("#verdict").inner_text()


def test_on_paper_it_is_black_on_white_even_from_a_dark_screen(chromium: Any, report: Path) -> None:
    with visit(chromium, report, **DARK) as seen:
        seen.page.emulate_media(media="print")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert seen.page.locator(".rig .still").is_visible()
        assert seen.page.locator(".rig canvas").is_hidden()
        assert len(seen.page.pdf()) > 20_000


def test_hostile_names_and_notes_are_text(chromium: Any, tmp_path: Path) -> None:
    """The policy of the page would stop a script; here nothing may even become an element."""
    bad = '"></script><script>document.title="broken"</script><img src=x onerror=alert(1)>'
    scene = with_truth(write_scene(tmp_path))
    folder = tmp_path / "results"
    for name, value in (("capture.json", ["notes"]), ("cameras.json", [])):
        found = json.loads((folder / name).read_text())
        if value:
            found["notes"] = [bad]
        else:
            found[bad] = found["cam02"]
        write_json(folder / name, found)
    camera = bad.replace("/", "")
    cameras = dict.fromkeys(("cam00", "cam01", camera), "x")  # as many as the truth has
    scene = replace(scene, name=bad, cameras=cameras, train_cameras=["cam01", camera])
    page = write_everything(scene)
    with visit(chromium, page) as seen:
        assert "broken" in seen.page.title()  # as text: the name is part of the title
        assert seen.page.title().endswith(": did depth help?")
        assert seen.page.locator("img[src=x]").count() == 0
        assert seen.page.locator("script").count() == 2
        assert bad in seen.page.locator("#remarks").inner_text()


# Snakemake's own report, of a real run

CAPTIONS = {
    "Comparison of the variants": "Every variant from",
    "Every camera at a glance": "do they show the same thing at the same time",
    "Report: did depth help?": "one page that needs nothing else",
    "Video": "Rendered colour and depth",
}


@pytest.fixture(scope="module")
def workflow_report(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny scene that was run to its report, with Snakemake's report of it as HTML and as ZIP."""
    folder = write_tiny_capture(tmp_path_factory.mktemp("workflow"))
    write_config(folder, tiny_config(variants=["none"]))
    # The command line does in one process what takes a start of Python for each of the rules.
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for arguments in (["--config", "config.yaml", "prepare"], ["train", "none"], ["render", "none"]):
            assert cli.main(arguments) == 0
    targets = [
        "results/x/report.html",
        "results/x/video.mp4",
        "results/x/comparison.png",
        "results/x/contact_sheet.jpg",
    ]
    for arguments in ([], ["--report", "all.html"], ["--report", "all.zip"]):
        done = snakemake(folder, *arguments, "--configfile", str(folder / "config.yaml"), "--", *targets)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_snakemakes_report_shows_every_result_with_its_caption(chromium: Any, workflow_report: Path) -> None:
    with visit(chromium, workflow_report / "all.html", viewport={"width": 1280, "height": 900}) as seen:
        page = seen.page
        assert "begin with its report" in page.inner_text("body")
        page.get_by_text("Results", exact=True).first.click()
        assert [row.strip() for row in page.locator("tbody tr").all_inner_texts()] == list(CAPTIONS)
        for name, caption in CAPTIONS.items():
            page.locator("tr", has_text=name).locator("[iconname=information-circle]").click()
            page.get_by_text(caption).wait_for()
            page.get_by_text("x", exact=True).first.click()
        page.locator("tr", has_text="Comparison").locator("[iconname=eye]").click()
        page.locator("img[src^='data:image/png']").wait_for()


@pytest.mark.slow
def test_snakemakes_report_as_zip_opens_from_its_folder(chromium: Any, workflow_report: Path) -> None:
    with zipfile.ZipFile(workflow_report / "all.zip") as archive:
        archive.extractall(workflow_report / "unpacked")
    (start,) = (workflow_report / "unpacked").glob("*/report.html")
    with visit(chromium, start, viewport={"width": 1280, "height": 900}) as seen:
        page = seen.page
        page.get_by_text("Results", exact=True).first.click()
        page.locator("tr", has_text="Report").locator("[iconname=eye]").click()
        assert page.frame_locator("iframe").locator("h1").inner_text() == "x: did depth help?"


@pytest.mark.slow
def test_the_report_of_a_real_run_with_one_variant_opens(chromium: Any, workflow_report: Path) -> None:
    with visit(chromium, workflow_report / "results/x/report.html") as seen:
        assert "cannot be said" in seen.page.locator("#verdict").inner_text()
        assert seen.page.locator("#training svg").count() == 4
        assert seen.page.locator(".at-left").inner_text() == "truth"
