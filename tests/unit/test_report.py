"""What people look at: the video, the comparison, the provenance and the report."""

import json
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from helpers.reported import (
    H,
    Page,
    T,
    W,
    read,
    report,
    score,
    scores,
    with_truth,
    write_scene,
    write_verification,
)
from helpers.stages import work
from mixdepth.exports.side_by_side import (
    colour_depth,
    compose_frames,
    depth_range,
    frame_rate,
    picture_size,
    write_scene_video,
)
from mixdepth.files.io import write_json
from mixdepth.record.provenance import commit, read_benchmarks, write_provenance
from mixdepth.report.comparison import write_comparison
from mixdepth.report.page import time_rows, write_report
from mixdepth.report.verdict import verdict
from mixdepth.results import Results
from mixdepth.scene.scene import Scene

BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return write_scene(tmp_path)


def test_video_has_every_frame_side_by_side(scene: Scene):
    folder = scene.data / "results"
    work(write_scene_video, "video", scene, folder)
    with av.open(str(folder / "video.mp4")) as container:
        frames = list(container.decode(video=0))
        assert float(container.streams.video[0].average_rate) == 30
    assert len(frames) == T
    width, height = picture_size(W, H, 3)
    assert height > 400
    assert 3 * width <= frames[0].width <= 3 * width + 12
    # The third picture is the camera's own video.
    shown = frames[1].to_ndarray(format="rgb24")[-height:, -width:]
    truth = np.load(folder / "frames" / "cam00" / "rgb.npy")[1]
    small = np.asarray(Image.fromarray(shown).resize((W, H), Image.Resampling.BOX))
    assert np.abs(small.astype(float) - truth).mean() < 25


def test_frames_without_truth_have_two_pictures():
    rgb, depth = np.zeros((2, H, W, 3), np.uint8), np.ones((2, H, W), np.float32)
    two = next(iter(compose_frames(rgb, depth, None)))
    three = next(iter(compose_frames(rgb, depth, rgb)))
    assert abs(two.shape[1] / picture_size(W, H, 2)[0] - 2) < 0.1
    assert abs(three.shape[1] / picture_size(W, H, 3)[0] - 3) < 0.1


@pytest.mark.parametrize(
    ("size", "shown"), [((160, 120), (640, 480)), ((320, 240), (640, 480)), ((1352, 1014), (1352, 1014))]
)
def test_pictures_are_enlarged_to_be_watchable(size: tuple[int, int], shown: tuple[int, int]):
    assert picture_size(*size, pictures=3) == shown
    assert 3 * picture_size(2704, 2028, 3)[0] <= 4096


def test_speed_is_the_video_s_own():
    assert frame_rate(30.0, 2, 100) == 15
    assert frame_rate(None, 1, 100) == 24
    assert frame_rate(None, 1, 24) == 12


def test_depth_colours_have_one_scale_for_the_whole_video():
    depth = np.stack([np.full((H, W), z, np.float32) for z in (1.0, 2.0, 4.0)])
    near, far = depth_range(depth)
    assert (near, far) == pytest.approx((1.0, 4.0))
    red, _, blue = (colour_depth(frame, near, far)[0, 0].astype(int) for frame in depth)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert colour_depth(np.array([[np.nan]]), near, far).tolist() == [[[128, 128, 128]]]


@pytest.mark.parametrize("true", [False, True], ids=["without truth", "with truth"])
def test_comparison_is_a_picture_of_sensible_size(scene: Scene, true: bool):
    scene = with_truth(scene) if true else scene
    folder = score(scene)
    work(write_comparison, "comparison", scene, folder)
    first = (folder / "comparison.png").read_bytes()
    with Image.open(folder / "comparison.png") as image:
        assert image.format == "PNG"
        assert 800 < image.width < 3000
        assert 800 < image.height < 3000
    work(write_comparison, "comparison", scene, folder)
    assert (folder / "comparison.png").read_bytes() == first


def test_provenance_has_versions_host_and_times(scene: Scene):
    folder = scene.data / "results"
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "probe.tsv").write_text(BENCHMARK + "0.2\t0:00:00\t-\t-\t-\t-\t-\t-\t0\tNA\n")
    (folder / "benchmarks" / "train_dynamic.none.tsv").write_text(
        BENCHMARK + "12.5\t0:00:12\t512.5\t1\t1\t1\t0\t0\t99\t11.5\n"
    )
    write_provenance(scene, Results(folder), recorded=[], output=folder / "provenance.json")
    found = json.loads((folder / "provenance.json").read_text())
    assert {"python", "torch", "numpy", "pycolmap", "snakemake", "ffmpeg"} <= found["versions"].keys()
    assert {"machine", "system", "cpu", "cores", "memory_gib", "gpu"} <= found["host"].keys()
    assert found["total"] == {"seconds": 12.7, "max_rss_mb": 512.5}
    jobs = {job["job"]: job for job in found["jobs"]}
    assert jobs["probe"]["max_rss_mb"] is None
    assert jobs["train_dynamic.none"]["rule"] == "train_dynamic"
    assert [row["name"] for row in time_rows(found["jobs"])][-1] == "train_dynamic (none)"
    assert read_benchmarks(folder / "nothing here") == []


def test_commit_tells_changes(tmp_path: Path):
    assert commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    clean = commit(tmp_path)
    assert clean is not None
    assert len(clean["id"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "new").touch()
    assert commit(tmp_path)["dirty"] is True


def test_report_is_complete_and_needs_nothing_else(scene: Scene):
    page = report(with_truth(scene))
    assert page.open == []
    wanted = ["verdict", "remarks", "remarks-title", "video", "comparison", "scores", "training", "capture", "rig-data"]
    assert page.sections == [*wanted, "geometry", "times", "configuration", "provenance"]
    assert page.links
    assert all(link.startswith(("data:", "#")) for link in page.links)
    # The two pictures of the slider are named when they are chosen.
    assert all(image["alt"] for image in page.images if image.get("class") not in ("over", "under"))
    assert {"video", "table", "caption", "main"} <= set(page.tags)
    assert "37" in page.text
    assert page.tags.count("script") == 2  # the page's own and its data; the setting that looks like one is shown
    assert "<script>alert(1)</script>" in page.text


def test_report_verdict_comes_from_the_scores(scene: Scene):
    # none is off by 40 levels, colmap by 10: 16.09 dB and 28.13 dB.
    page = report(with_truth(scene))
    assert "Depth supervision helped" in page.text
    assert "28.13 dB PSNR against 16.09 dB without depth (+12.04 dB)" in page.text


def test_report_without_truth_or_pictures(scene: Scene):
    folder = score(scene)
    write_report(scene, Results(folder), folder / "report.html")
    page = Page()
    page.feed((folder / "report.html").read_text())
    assert "there is no true depth" in page.text
    assert "Median depth error" not in page.text
    assert "No video was made" in page.text


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [
        ({"none": scores(20, 0.5), "colmap": scores(21, 0.4)}, "Depth supervision helped: on held-out camera cam00"),
        ({"none": scores(20, 0.5), "colmap": scores(19, 0.4)}, "improved the depth and worsened the picture"),
        ({"none": scores(20, 0.5), "colmap": scores(21, 0.7)}, "improved the picture and worsened the depth"),
        ({"none": scores(20, 0.5), "colmap": scores(20.05, 0.49)}, "made no difference"),
        ({"none": scores(20), "colmap": scores(19)}, "did harm"),
        ({"colmap": scores(19)}, "cannot be said: the variant without depth"),
        ({"none": scores(19)}, "cannot be said: a variant with depth"),
        # What the photos' colours bring is not what depth brings.
        ({"none": scores(20), "distilled": scores(21), "inherited": scores(25)}, "distilled reaches 21.00 dB"),
    ],
)
def test_verdict_says_what_the_numbers_say(metrics: dict, wanted: str):
    assert wanted in verdict(metrics)[0]


def test_verdict_says_where_a_variant_was_trained_as_another():
    replaced = scores(25)
    replaced["settings"]["trained_as"] = "colmap"
    said = verdict({"none": scores(20), "colmap": scores(21), "distilled": replaced})
    assert "colmap reaches 21.00 dB" in said[0]
    assert "distilled was trained as colmap" in said[-1]
    assert "25" not in " ".join(said)


def test_what_is_no_better_than_no_model_is_told_first_and_what_is_dull_last():
    trivial = {"median": {"psnr": 24.0, "psnr_moving": 9.0}, "nearest": {"psnr": 21.0, "psnr_moving": None}}
    found = verdict({"none": {**scores(20), "trivial": trivial}, "colmap": {**scores(23), "trivial": trivial}})
    assert found[0].startswith("none is worse than a picture that no model made: in all 20.00 dB against 24.00 dB")
    assert "21.00 dB of the nearest training camera's frames" in found[0]
    assert found[1].startswith("Depth supervision helped")
    assert found[-1].startswith("colmap is less sharp where nothing moves")


def test_the_report_has_the_trivial_pictures_and_warns_of_a_model_that_loses_to_them(scene: Scene):
    page = report(with_truth(scene))  # which says what moves: to frames of noise nothing does
    assert "Pictures that no model made" in page.text
    assert "the nearest training camera's frames" in page.text
    assert "Change over time where the video moves" in page.text
    # Noise: nothing but the frames themselves comes near, so `none`, off by 40 levels, wins.
    assert "No better than no model" not in page.text
    path = scene.data / "results/none/metrics.json"
    found = json.loads(path.read_text())
    write_json(path, {**found, "psnr": 3.0})
    write_report(scene, Results(path.parent.parent), path.parent.parent / "report.html")
    page = read(path.parent.parent / "report.html")
    assert "none is worse than a picture that no model made: in all 3.00 dB" in page.text
    assert "No better than no model, or standing still where the video moves: none." in page.text


def test_report_says_whether_the_cameras_can_be_trusted_and_the_videos_are_in_step(scene: Scene):
    folder = score(scene)
    write_verification(folder, "contradicted")
    write_report(scene, Results(folder), folder / "report.html")
    page = (folder / "report.html").read_text()
    verdict_part = page[page.index('id="verdict"') : page.index("<nav")]
    assert "contradict the pictures (score 0.31 of 1)" in verdict_part
    assert "went on all the same" in verdict_part
    for text in (
        "Image by image",
        "4 of 5",
        "photos/y.jpg",
        "up as configured",
        "+6.90",
        "Out of step",
        "&lt;b&gt;odd",
    ):
        assert text in page, text
    assert "<i>x</i>" not in page
    write_verification(folder, "trusted")
    write_report(scene, Results(folder), folder / "report.html")
    assert "The cameras can be trusted" in (folder / "report.html").read_text()
