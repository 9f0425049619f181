"""The parts of the report: what it warns of, its tables, charts, pictures and rig, and how large it may be."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from helpers.reported import read, score, scores, with_truth, write_everything, write_scene, write_verification
from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.files.io import write_json, write_npz
from mixdepth.report import page as page_module
from mixdepth.report.chart import HEIGHT, WIDTH, Line, line_chart, sync_chart
from mixdepth.report.curves import frame_charts, scalars, training_charts
from mixdepth.report.geometry import geometry
from mixdepth.report.page import write_report
from mixdepth.report.pictures import compared_pictures
from mixdepth.report.remarks import remarks
from mixdepth.report.rig import MAX_POINTS, project, rig
from mixdepth.report.scores import reasons, score_tables
from mixdepth.report.verdict import tiles
from mixdepth.results import Results
from mixdepth.scene.scene import Scene

# What to look at


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return write_scene(tmp_path)


def said(scene: Scene, **changes: dict[str, Any]) -> str:
    """Every remark on a scene whose variants' scores are ``changes``, each with what to do."""
    own = {"psnr": 25.0, "psnr_affine": 25.0, "cameras": {"cam00": {"psnr": 25.0}}, "settings": {}}
    metrics = {name: {**own, **change} for name, change in (changes or {"none": {}, "colmap": {}}).items()}
    results = Results(scene.data / "results")
    found = remarks(scene, results, metrics, geometry(results))
    assert all(remark.todo for remark in found if remark.text not in geometry(results)["capture"]["notes"])
    return "\n".join(f"{remark.label}: {remark.text} {remark.todo}" for remark in found)


def test_what_is_in_order_is_not_warned_of(scene: Scene) -> None:
    lines = said(scene).splitlines()
    assert {line.split(":")[0] for line in lines} == {"Note"}
    assert len([line for line in lines if "One run per variant" in line]) == 1


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"none": {"psnr": 9.0}}, "Serious: Very low PSNR: none 9.0 dB"),
        ({"none": {"cameras": {}}}, "Held out, but without a score: cam00"),
        ({"none": {"cameras": {"cam00": {"psnr": None}}}}, "Held out, but without a score: cam00"),
        ({"distilled": {"settings": {"trained_as": "colmap"}}}, "distilled was trained as colmap"),
        ({"none": {"psnr_affine": 28.0}}, "exposure or white balance differs"),
        ({"none": {"depth_consistency": {"within_5_percent": 0.2}}}, "rarely agree within 5 %: none 20 %"),
    ],
)
def test_scores_that_should_not_be_relied_on_are_warned_of(scene: Scene, changes: dict, wanted: str) -> None:
    assert wanted not in said(scene)
    assert wanted in said(scene, **changes)


def test_cameras_and_videos_that_should_not_be_relied_on_are_warned_of(scene: Scene) -> None:
    folder = scene.data / "results"
    write_verification(folder, "contradicted")
    assert said(scene).splitlines()[0].startswith("Serious: The cameras contradict the pictures")
    assert "COLMAP could not place photos/y.jpg" in said(scene)
    write_verification(folder, "unproven")
    assert "Look at it: The cameras could not be verified" in said(scene)
    sync = json.loads((folder / "sync.json").read_text())
    sync["cameras"]["cam02"] |= {"confidence": 0.9, "agrees": False}
    write_json(folder / "sync.json", sync)
    assert "The videos seem to be out of step: cam02 against cam00" in said(scene)


def test_holes_of_the_static_part_and_few_points_are_warned_of(scene: Scene) -> None:
    folder = scene.data / "results"
    confidence = np.zeros((18, 24), np.float32)
    confidence[:, :6] = 0.9
    write_npz(folder / "static/depth/cam01.npz", {"depth": confidence, "confidence": confidence})
    write_npz(folder / "static/depth/cam02.npz", {"depth": confidence, "confidence": confidence + 0.9})
    write_npz(folder / "colmap_depth/cam01.npz", {"z": np.ones(7)})
    assert "holes: in 1 of 2 training cameras" in said(scene)
    assert "(least in cam01, 25%)" in said(scene)
    assert "Few sparse points: cam01 7" in said(scene)


def test_missing_files_are_named_with_the_command_that_makes_them(scene: Scene) -> None:
    assert "results/tiny/video.mp4" in said(scene)
    (scene.data / "results/video.mp4").touch()
    assert "results/tiny/video.mp4" not in said(scene)


def test_a_video_of_a_camera_that_trains_is_no_test(scene: Scene) -> None:
    assert "cam01, which trains" in said(replace(scene, video_camera="cam01"))


def test_the_tiles_say_by_how_much_and_whether_the_geometry_is_sound(scene: Scene) -> None:
    folder = scene.data / "results"
    write_verification(folder, "trusted")
    found = tiles(
        {"none": scores(20, 0.5), "colmap": scores(19, 0.4), "inherited": scores(30)}, geometry(Results(folder))
    )
    assert [tile["value"] for tile in found] == ["−1.00 dB", "−20 %", "trusted", "not known"]
    replaced = scores(25)
    replaced["settings"]["trained_as"] = "none"
    assert tiles({"none": scores(20), "distilled": replaced}, dict.fromkeys(("verified", "held_out", "sync"))) == []


# Tables


def test_scores_are_shown_where_any_variant_has_them_and_ties_are_both_best() -> None:
    rows = {
        "none": {"psnr": 24.301, "flip": 0.2, "depth": {"median": 0.1}, "lpips_alex": None, "flicker": 1.5},
        "colmap": {
            "psnr": 24.304,
            "flip": None,
            "depth": None,
            "depth_points": {"points": 40, "median_relative": 0.02},
        },
    }
    tables = score_tables(rows)
    columns = [column["title"] for table in tables for column in table["columns"]]
    assert columns == [
        "PSNR, dB",
        "FLIP",
        "Flicker against the truth's",
        "Median depth error",
        "Relative error at sparse points, median",
        "Sparse points",
    ]
    assert all(row["cells"][0] == {"text": "24.30", "best": True} for row in tables[0]["rows"])
    assert [cell["text"] for cell in tables[1]["rows"][1]["cells"]] == ["–", "–"]


def test_a_column_has_the_same_decimals_all_the_way_down() -> None:
    rows = {name: {"depth": {"median": value}} for name, value in (("none", 0.0697), ("colmap", 1.5), ("x", 0.031934))}
    (table,) = score_tables(rows)
    assert [row["cells"][0]["text"] for row in table["rows"]] == ["0.0697", "1.5000", "0.0319"]


def test_reasons_for_missing_scores_are_told_once() -> None:
    metrics = {"none": {"reasons": {"ms_ssim": "too small"}}, "colmap": {"reasons": {"ms_ssim": "too small", "x": "y"}}}
    assert reasons(metrics) == [
        {"score": "ms_ssim", "why": "too small", "whose": ""},
        {"score": "x", "why": "y", "whose": "colmap"},
    ]
    assert reasons({"none": {}}) == []


# Charts


def elements(svg: str, kind: str, within: str = "") -> list[ElementTree.Element]:
    """Elements of a drawing, of all groups or of those whose class begins with ``within``."""
    groups = [g for g in ElementTree.fromstring(svg).iter("g") if g.get("class", "").startswith(within)]
    return list(dict.fromkeys(element for group in groups for element in group.iter(kind)))


def texts(svg: str, within: str = "") -> list[str]:
    return [element.text for element in elements(svg, "text", within)]


def places(path: ElementTree.Element) -> np.ndarray:
    """The points [N, 2] of a path, x to the right, y down."""
    return np.array(re.findall(r"-?[\d.]+", path.get("d")), float).reshape(-1, 2)


def test_a_chart_keeps_within_its_area_and_its_labels_apart() -> None:
    lines = [Line(name, "none", [0, 1, 2], [1, 2, 3.001 + i / 1000]) for i, name in enumerate("abcd")]
    lines.append(Line("gaps", "static", [0, 1, 2], [float("nan"), 1.5, float("inf")]))
    chart = line_chart("t", "step", "dB", lines)
    assert texts(chart["svg"], "legend") == ["a", "b", "c", "d", "gaps"]
    heights = [float(text.get("y")) for text in elements(chart["svg"], "text", "legend")]
    assert min(np.diff(heights)) >= 12
    for element in elements(chart["svg"], "path"):
        assert (places(element) >= 0).all()
        assert (places(element) <= (WIDTH, HEIGHT)).all()
    drawn = [elements(chart["svg"], "path", f"line-{style}") for style in ("none", "static")]
    assert [len(paths) for paths in drawn] == [4 + 4, 1 + 1]  # each again in the legend
    assert len(places(drawn[1][0])) == 1
    assert not elements(chart["svg"], "style")
    assert "style=" not in chart["svg"]  # the page's policy forbids them
    assert "a from 1 to 3" in ElementTree.fromstring(chart["svg"]).get("aria-label")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[5.0], [0.0101, 0.0102], [1e-4, 1e3], [7, 7, 7]])
def test_axes_enclose_the_values_with_a_few_round_numbers(values: list[float], log: bool) -> None:
    chart = line_chart("t", "x", "y", [Line("a", "none", range(len(values)), values)], log)
    ticks = [float(text.replace("−", "-")) for text in texts(chart["svg"], "ytick")]
    assert 2 <= len(ticks) <= 11
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= min(values) * 1.001
    assert ticks[-1] >= max(values) * 0.999


def test_long_curves_are_thinned_to_means() -> None:
    chart = line_chart("t", "x", "y", [Line("a", "none", range(9600), [1.0, 3.0] * 4800)])
    drawn = places(elements(chart["svg"], "path", "line-none")[0])
    assert len(drawn) < 500
    assert np.ptp(drawn[:, 1]) == 0  # all 2, whatever the jitter of the values


def test_curves_of_segments_follow_on_and_missing_ones_are_left_out(scene: Scene) -> None:
    runs = scene.data / "results" / "runs"
    for index in range(2):
        with SummaryWriter(str(runs / "none" / "dynamic" / str(index) / "tensorboard")) as writer:
            for step in (0, 20, 39):
                writer.add_scalar("psnr_moving", 20 + index, step)
    found = scalars([runs / "none/dynamic/0/tensorboard", runs / "none/dynamic/1/tensorboard", runs / "nothing"])
    assert found["psnr_moving"] == ([0, 20, 39, 40, 60, 79], [20, 20, 20, 21, 21, 21])
    (chart,) = training_charts(scene, Results(scene.data / "results"))
    assert texts(chart["svg"], "legend") == ["none"]


def test_scores_from_frame_to_frame_are_drawn_where_there_are_any() -> None:
    own = {"frames": {"psnr": [20.0, None, 22.0], "flip": [None, None, None], "depth_median": None}}
    settings = {"frames": {"start": 10, "count": 3, "step": 5}}
    metrics = {
        "none": {"cameras": {"cam00": own}, "settings": settings},
        "colmap": {"cameras": {"cam00": {"psnr": 1.0}}, "settings": {}},
    }
    (chart,) = frame_charts(metrics)
    assert chart["title"] == "PSNR, cam00"
    assert texts(chart["svg"], "legend") == ["none"]
    assert texts(chart["svg"], "xtick")[0] == "10"


def test_offsets_are_drawn_where_they_were_estimated(scene: Scene) -> None:
    write_verification(scene.data / "results", "trusted")
    svg = sync_chart(geometry(Results(scene.data / "results"))["sync"])
    assert texts(svg, "ytick") == ["cam01", "cam02"]
    assert texts(svg, "axes").count("no estimate") == 1
    (dot,), boxes = (elements(svg, "path", name) for name in ("dot", "ring"))
    assert places(dot).min(axis=0)[0] > places(boxes[1]).max(axis=0)[0]  # 6.9 frames: out of its box
    assert places(dot)[0, 1] == pytest.approx(places(boxes[1])[:, 1].mean(), abs=5)  # on its row
    assert sync_chart(None) is None


def test_names_in_a_drawing_stay_text() -> None:
    name = '</svg><b id="$x$">'
    svg = sync_chart({"cameras": {name: {"offset_frames": 0.0, "configured": None}}})
    assert texts(svg, "ytick") == [name]


# Pictures


def test_pictures_of_all_variants_share_frames_and_scales(scene: Scene) -> None:
    score(with_truth(scene))
    found = compared_pictures(with_truth(scene), Results(scene.data / "results"))
    assert found["subjects"] == ["truth", "none", "colmap"]
    assert [frame["label"].split()[0] for frame in found["frames"]] == ["first", "most", "last"]
    kinds = {kind["key"]: kind["scale"] for kind in found["kinds"]}
    assert list(kinds) == ["colour", "depth", "colour-error", "depth-error", "motion"]
    assert kinds["colour-error"]["high"] == "0.2"
    shown = [(p.frame, p.kind, p.subject) for p in found["pictures"]]
    assert len(set(shown)) == len(shown) == 3 * (3 + 3 + 3 + 2) + 3
    (worse,) = (p for p in found["pictures"] if (p.frame, p.kind, p.subject) == (3, "depth-error", "none"))
    assert "mean 0.4" in worse.alt


def test_without_a_truth_there_is_no_depth_error_and_no_true_depth(scene: Scene) -> None:
    found = compared_pictures(scene, Results(scene.data / "results"))
    assert "depth-error" not in {kind["key"] for kind in found["kinds"]}
    assert "truth" not in {p.subject for p in found["pictures"] if p.kind == "depth"}


def test_what_was_not_rendered_is_not_compared(scene: Scene) -> None:
    folder = scene.data / "results"
    (folder / "none/renders/cam00/rgb.npy").unlink()
    assert compared_pictures(scene, Results(folder))["subjects"] == ["truth", "colmap"]
    (folder / "colmap/renders/cam00/rgb.npy").unlink()
    assert compared_pictures(scene, Results(folder)) is None


# The rig


def test_the_rig_has_every_camera_in_its_role_and_points_in_their_colours(scene: Scene) -> None:
    folder = scene.data / "results"
    cameras = load_cameras(folder / "cameras.json")
    save_cameras(folder / "photos.json", {"a": cameras["cam01"], "b": cameras["cam02"]})
    median = np.zeros((18, 24, 3), np.uint8)
    median[4, 3] = (1, 128, 255)
    np.save(folder / "frames/cam01/median.npy", median)
    write_npz(folder / "colmap_depth/cam01.npz", {"uv": np.array([[3.2, 4.9]]), "z": np.array([3.0])})
    found = rig(replace(scene, test_photos=["b"]), Results(folder))
    roles = {camera["name"]: camera["role"] for camera in found["cameras"]}
    assert roles == {"cam00": "test", "cam01": "train", "cam02": "train", "a": "photo", "b": "test-photo"}
    assert found["points"]["colours"] == ["0180ff"]
    assert set(found["roles"]) == {"test", "train", "photo", "test-photo"}


def test_many_points_are_thinned_and_stray_ones_do_not_shrink_the_rest(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    count = 3 * MAX_POINTS
    z = np.where(rng.random(count) < 0.005, 1e4, rng.uniform(3, 5, count))
    uv = rng.uniform((0, 0), (24, 18), (count, 2))
    write_npz(scene.data / "results/colmap_depth/cam01.npz", {"uv": uv, "z": z})
    found = rig(scene, Results(scene.data / "results"))
    points = np.array(found["points"]["at"])
    assert len(points) == MAX_POINTS
    seen = project(points)
    assert np.mean(np.ptp(seen[np.abs(seen).max(axis=1) < 1.2], axis=0) > 0.8) == 1


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["level", "looking down", "looking up"])
def test_any_rig_can_be_drawn(scene: Scene, axis: int) -> None:
    turned = np.roll(np.eye(3), axis, axis=1)
    poses = {f"cam{i:02d}": np.block([[turned, np.array([[i], [0], [0]])], [np.zeros((1, 3)), 1]]) for i in range(3)}
    cameras = {name: Camera(24, 18, 20, 20, 12, 9, pose.astype(float)) for name, pose in poses.items()}
    save_cameras(scene.data / "results/cameras.json", cameras)
    found = rig(scene, Results(scene.data / "results"))
    places = np.array([camera["at"] for camera in found["cameras"]])
    assert np.isfinite(places).all()
    assert np.abs(project(places.reshape(-1, 3))).max() < 2


def test_a_single_camera_can_be_drawn_and_none_is_left_out(scene: Scene) -> None:
    cameras = load_cameras(scene.data / "results/cameras.json")
    save_cameras(scene.data / "results/cameras.json", {"cam00": cameras["cam00"]})
    assert np.isfinite(rig(scene, Results(scene.data / "results"))["cameras"][0]["at"]).all()
    save_cameras(scene.data / "results/cameras.json", {})
    assert rig(scene, Results(scene.data / "results")) is None


# The page as a whole


def test_the_page_keeps_within_its_budget_and_names_what_does_not_fit(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "MAX_BYTES", 20_000)
    page = write_everything(with_truth(scene))
    assert "too large to be part of this page: open video.mp4 beside it" in read(page).text.replace("\n", " ")
    assert page.stat().st_size < 20_000 + 150_000  # what is not pictures


def test_the_same_results_make_the_same_bytes(scene: Scene) -> None:
    page = write_everything(with_truth(scene))
    first = page.read_bytes()
    write_report(with_truth(scene), Results(page.parent), page)
    assert page.read_bytes() == first


def test_pages_and_videos_beside_the_report_are_linked_where_they_exist(scene: Scene) -> None:
    folder = score(scene)
    write_report(scene, Results(folder), folder / "report.html")
    assert "Beside this page" not in read(folder / "report.html").text
    (folder / "viewer.html").touch()
    (folder / "colmap" / "paths").mkdir()
    (folder / "colmap" / "paths" / "spiral.mp4").touch()
    write_report(scene, Results(folder), folder / "report.html")
    links = set(read(folder / "report.html").links)
    assert {"viewer.html", "colmap/paths/spiral.mp4"} <= links
    assert "../ablation/report.html" not in links
    (folder.parent / "ablation").mkdir()
    (folder.parent / "ablation" / "report.html").touch()
    write_report(scene, Results(folder), folder / "report.html")
    assert set(read(folder / "report.html").links) == links | {"../ablation/report.html"}


def test_every_score_of_the_contract_reaches_the_page(scene: Scene) -> None:
    folder = score(scene)
    errors = {"median": 0.1, "mae": 0.1, "abs_rel": 0.1, "rmse": 0.25, "within_5_percent": 0.5}
    for variant in scene.variants:
        found = json.loads((folder / variant / "metrics.json").read_text())
        found |= dict.fromkeys(("ssim_moving", "ms_ssim", "dssim_1", "dssim_2", "flip", "lpips_vgg", "flicker"), 0.5)
        found |= {"depth": errors, "depth_still": errors, "reasons": {"lpips_alex": "no weights were given"}}
        found["depth_points"] = {"median_relative": 0.02, "within_5_percent": 0.9, "points": 321}
        found["depth_consistency"] = {"median_relative": 0.03, "within_5_percent": 0.8, "pixels": 1000}
        found["cameras"]["cam00"]["frames"] = {"psnr": [20, 21, 22, 23], "ssim": [1] * 4, "flip": None}
        write_json(folder / variant / "metrics.json", found)
    write_report(scene, Results(folder), folder / "report.html")
    text = read(folder / "report.html").text
    for wanted in (
        "MS-SSIM",
        "data range 2",
        "FLIP",
        "LPIPS (VGG)",
        "Flicker",
        "Root mean square",
        "321",
        "no weights",
    ):
        assert wanted in text, wanted
    assert "LPIPS (Alex)" not in text
    assert "PSNR, cam00" in text
