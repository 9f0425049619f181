"""What people look at: the video, the comparison, the provenance and the report."""

import json
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.lens import Lens, save_lenses
from mixdepth.evaluation.tasks import evaluate_variant
from mixdepth.exports.side_by_side import (
    colour_depth,
    compose_frames,
    depth_range,
    frame_rate,
    picture_size,
    write_video,
)
from mixdepth.files.io import write_json
from mixdepth.record.provenance import commit, read_benchmarks, write_provenance
from mixdepth.report.comparison import write_comparison
from mixdepth.report.page import time_rows, write_report
from mixdepth.report.verdict import verdict
from mixdepth.scene.scene import Scene

H, W, T = 18, 24, 4
CAMERAS = ("cam00", "cam01", "cam02")
BENCHMARK = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write_scene(tmp_path: Path) -> Scene:
    """A scene with the results of two variants, without a truth in use. Its settings hold text that looks like HTML."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "results"
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, 3] = np.eye(3)
    save_cameras(
        folder / "cameras.json", {n: Camera(W, H, 20, 20, W / 2, H / 2, p) for n, p in zip(CAMERAS, poses, strict=True)}
    )
    lens = Lens("PINHOLE", W, H, (20.0, 20.0, W / 2, H / 2))
    save_lenses(folder / "lenses.json", {"cameras": dict.fromkeys(CAMERAS, lens), "photos": {}})
    frames = rng.integers(0, 200, (T, H, W, 3)).astype(np.uint8)
    store = folder / "frames" / "cam00"
    store.mkdir(parents=True)
    np.save(store / "rgb.npy", frames)
    np.save(store / "median.npy", np.median(frames, axis=0).astype(np.uint8))
    np.save(store / "std.npy", (rng.random((H, W)) * 0.04).astype(np.float32))
    depth = rng.uniform(2, 4, (T, H, W)).astype(np.float32)
    for variant, error in (("none", 40), ("colmap", 10)):
        renders = folder / variant / "renders" / "cam00"
        renders.mkdir(parents=True)
        np.save(renders / "rgb.npy", frames + np.uint8(error))
        np.save(renders / "depth.npy", depth * np.float32(1 + error / 100))
    moving = np.zeros((3, T, H, W), bool)
    moving[:, 2, :5] = True
    np.savez(tmp_path / "truth.npz", depth=np.stack([depth] * 3), moving=moving, c2w_opencv=poses)
    entry = {"path": "x", "width": W, "height": H, "frames": T, "fps": 30.0}
    capture = {"cameras": dict.fromkeys(CAMERAS, entry), "photos": {}, "fps": 30.0, "notes": ["cam02 is <b>odd</b>."]}
    write_json(folder / "capture.json", capture)
    return Scene(
        name="tiny",
        data=tmp_path,
        cameras=dict.fromkeys(CAMERAS, "x"),
        photos={},
        train_cameras=["cam01", "cam02"],
        test_cameras=["cam00"],
        train_photos=[],
        test_photos=[],
        variants=["none", "colmap"],
        video_variant="colmap",
        video_camera="cam00",
        options={
            "truth": None,
            "lpips": {"alex": None, "vgg": None},
            "frames": {"start": 0, "count": None, "step": 1},
            "poses": {"source": "llff", "path": "<script>alert(1)</script>"},
        },
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return write_scene(tmp_path)


def with_truth(scene: Scene) -> Scene:
    return replace(scene, options={**scene.options, "truth": "truth.npz"})


def score(scene: Scene) -> Path:
    folder = scene.data / "results"
    for variant in scene.variants:
        evaluate_variant(scene, variant, folder, folder / variant / "metrics.json")
    return folder


def test_video_has_every_frame_side_by_side(scene: Scene):
    folder = scene.data / "results"
    write_video(scene, folder, folder / "video.mp4")
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
    write_comparison(scene, folder, folder / "comparison.png")
    first = (folder / "comparison.png").read_bytes()
    with Image.open(folder / "comparison.png") as image:
        assert image.format == "PNG"
        assert 800 < image.width < 3000
        assert 800 < image.height < 3000
    write_comparison(scene, folder, folder / "comparison.png")
    assert (folder / "comparison.png").read_bytes() == first


def test_provenance_has_versions_host_and_times(scene: Scene):
    folder = scene.data / "results"
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "probe.tsv").write_text(BENCHMARK + "0.2\t0:00:00\t-\t-\t-\t-\t-\t-\t0\tNA\n")
    (folder / "benchmarks" / "train_dynamic.none.tsv").write_text(
        BENCHMARK + "12.5\t0:00:12\t512.5\t1\t1\t1\t0\t0\t99\t11.5\n"
    )
    write_provenance(scene, folder, [], folder / "provenance.json")
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


class Page(HTMLParser):
    """Collects what the tests ask about and checks that elements are closed in order."""

    VOID = ("meta", "img", "link", "br", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.links: list[str] = []
        self.images: list[dict] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.sections += [values["id"]] if "id" in values else []
        self.links += [values[key] for key in ("href", "src", "poster") if key in values]
        self.images += [values] if tag == "img" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def write_everything(scene: Scene) -> Path:
    """The report of a scene with all there may be, and everything that it shows."""
    folder = score(scene)
    write_video(scene, folder, folder / "video.mp4")
    write_comparison(scene, folder, folder / "comparison.png")
    write_provenance(scene, folder, [], folder / "provenance.json")
    Image.new("RGB", (20, 10)).save(folder / "contact_sheet.jpg")
    (folder / "colmap_depth").mkdir(exist_ok=True)
    points = {"uv": np.ones((37, 2)), "z": np.full(37, 2.0), "sigma": np.full(37, 0.1)}
    np.savez(folder / "colmap_depth" / "cam01.npz", **points)
    for name in ("none/static", "none/dynamic", "static"):
        write_curves(folder / "runs" / name / "tensorboard")
    write_verification(folder, "trusted")
    write_report(scene, folder, folder / "report.html")
    return folder / "report.html"


def write_curves(folder: Path) -> None:
    """What a training of 60 steps leaves for TensorBoard."""
    with SummaryWriter(str(folder)) as writer:
        for step in range(0, 60, 20):
            writer.add_scalar("loss", 0.1 / (step + 1), step)
            writer.add_scalar("psnr_moving" if "dynamic" in str(folder) else "psnr", 20 + step / 10, step)


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


def report(scene: Scene) -> Page:
    return read(write_everything(scene))


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
    write_report(scene, folder, folder / "report.html")
    page = Page()
    page.feed((folder / "report.html").read_text())
    assert "there is no true depth" in page.text
    assert "Median depth error" not in page.text
    assert "No video was made" in page.text


def scores(psnr: float, depth: float | None = None) -> dict:
    errors = None if depth is None else {"median": depth}
    settings = {"test_cameras": ["cam00"]}
    return {"psnr": psnr, "psnr_moving": None, "depth": errors, "settings": settings}


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


def write_verification(folder: Path, verdict: str) -> None:
    report = {
        "source": "colmap",
        "verdict": verdict,
        "score": 0.31,
        "reason": "photos/<i>x</i>.jpg contradicts its pose.",
        "images": {"photos/<i>x</i>.jpg": {"score": 0.31, "reason": "3 of its 9 image pairs agree with its pose"}},
        "checks": [
            {"name": "joint", "value": 0.1, "limit": 0.15, "passed": False, "meaning": "share that agrees"},
            {"name": "prediction", "value": None, "limit": 0.003, "passed": True, "meaning": "distance"},
        ],
        "ladder": {
            "used": "configured",
            "rungs": [
                {
                    "name": "configured",
                    "registered": 4,
                    "of": 5,
                    "points": 90,
                    "error_px": 0.5,
                    "trusted": False,
                    "reason": "r",
                }
            ],
            "left_out": ["photos/y.jpg"],
        },
    }
    write_json(folder / "cameras_report.json", report)
    write_json(folder / "world.json", {"reason": "up as configured", "scale": 1.0})
    row = {"offset_frames": None, "confidence": 0.02, "method": "none", "configured": 0.0, "agrees": None}
    sync = {
        "reference": "cam00",
        "cameras": {"cam01": row, "cam02": {**row, "offset_frames": 6.9}},
        "notes": ["Out of step: cam02"],
    }
    write_json(folder / "sync.json", sync)


def test_report_says_whether_the_cameras_can_be_trusted_and_the_videos_are_in_step(scene: Scene):
    folder = score(scene)
    write_verification(folder, "contradicted")
    write_report(scene, folder, folder / "report.html")
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
    write_report(scene, folder, folder / "report.html")
    assert "The cameras can be trusted" in (folder / "report.html").read_text()
