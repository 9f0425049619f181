"""The ablation: its matrix, its statistics, its tables, figures and page."""

import csv
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers.browser import visit
from helpers.checkout import REPOSITORY
from helpers.policies import check_policy
from mixdepth.errors import UserError
from mixdepth.report.ablation import text
from mixdepth.report.ablation.page import write_ablation
from mixdepth.report.ablation.scores import Difference, differences, paired, read_runs, read_times, summary
from mixdepth.report.ablation.tables import FORMULA, latex, summary_rows, write_csv
from mixdepth.scene.ablation import spread
from mixdepth.scene.config import Scenes, load_config

NAMES = [f"cam{number:02d}" for number in range(1, 8)]


def configured(folder: Path, cameras: int = 5, photos: bool = True, **options: Any) -> Scenes:
    """Scene ``x`` of empty videos, the first held out, with these options."""
    for name in [f"videos/cam{i:02d}.mp4" for i in range(cameras)] + ["photos/a.jpg"] * photos:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return load_config({"scenes": {"x": {"data": str(folder), **options}}})


# The matrix


def test_cameras_chosen_by_number_are_spread_and_hold_each_other():
    assert spread(NAMES, 2) == ["cam01", "cam07"]
    assert spread(NAMES, 3) == ["cam01", "cam04", "cam07"]
    for count in range(1, 7):
        assert len(spread(NAMES, count)) == count
        assert set(spread(NAMES, count)) < set(spread(NAMES, count + 1))
    assert spread(reversed(NAMES), 3) == spread(NAMES, 3)


def test_the_matrix_is_sets_times_variants_times_seeds(tmp_path: Path):
    scenes = configured(tmp_path, ablation={"cameras": [2, 4, ["cam02", "cam03"]], "seeds": [0, 1]})
    runs = scenes.ablation("x").runs
    assert len(runs) == 3 * 4 * 2
    assert len({(run.folder, run.variant) for run in runs}) == len(runs)
    assert {tuple(run.cameras) for run in runs} == {
        ("cam01", "cam04"),
        ("cam02", "cam03"),
        ("cam01", "cam02", "cam03", "cam04"),
    }
    assert {run.nested for run in runs if run.cameras == ["cam02", "cam03"]} == {False}


def test_all_cameras_with_the_configured_seed_are_the_scene_itself(tmp_path: Path):
    scenes = configured(tmp_path, static={"seed": 5}, dynamic={"seed": 5}, ablation={"cameras": [4], "seeds": [4, 5]})
    assert {run.seed: run.folder for run in scenes.ablation("x").runs} == {4: "ablation/x.c4.s4", 5: "x"}


def test_a_variant_with_a_seed_of_its_own_is_not_the_scene_itself(tmp_path: Path):
    own = {"variant_options": {"colmap": {"seed": 3}}, "ablation": {"seeds": [0]}}
    scenes = configured(tmp_path, **own)
    (name,) = {run.folder for run in scenes.ablation("x").runs}
    assert name == "ablation/x.c4.s0"
    assert {scenes[name].dynamic_options(variant)["seed"] for variant in ("none", "colmap")} == {0}


def test_a_derived_scene_differs_in_training_cameras_and_seeds_alone(tmp_path: Path):
    scenes = configured(tmp_path, ablation={"cameras": [2], "seeds": [7]})
    base, derived = scenes["x"], scenes["ablation/x.c2.s7"]
    assert (derived.train_cameras, derived.test_cameras) == (["cam01", "cam04"], base.test_cameras)
    assert (derived.options["static"]["seed"], derived.options["dynamic"]["seed"]) == (7, 7)
    for section in ("frames", "scale", "poses", "world", "colmap", "space", "truth"):
        assert derived.options[section] == base.options[section]
    assert list(scenes) == ["x"]


def test_the_scene_itself_knows_nothing_of_its_ablation(tmp_path: Path):
    assert configured(tmp_path)["x"] == configured(tmp_path, ablation={"cameras": [2]})["x"]


def test_a_set_listed_as_its_number_would_choose_it_is_the_same_set(tmp_path: Path):
    scenes = configured(tmp_path, ablation={"cameras": [2, ["cam04", "cam01"]], "seeds": [0]})
    assert len(scenes.ablation("x").runs) == 4


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"ablation": {"cameras": [9]}}, ["scenes.x.ablation.cameras", "9 cameras", "4 train"]),
        ({"ablation": {"cameras": [["cam00"]]}}, ["scenes.x.ablation.cameras", '"cam00"', "cam01"]),
        ({"ablation": {"cameras": [["cam01", "cam9"]]}}, ["cam9", "cam04"]),
        ({"ablation": {}, "test_cameras": []}, ["scenes.x.ablation", "test_cameras"]),
        (
            {"ablation": {"variants": ["colmap"]}, "variants": ["none"]},
            ["scenes.x.ablation.variants", "colmap", "none"],
        ),
    ],
)
def test_a_matrix_that_cannot_be_is_refused(tmp_path: Path, options: dict, parts: list[str]):
    with pytest.raises(UserError) as error:
        configured(tmp_path, **options).ablation("x")
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_one_camera_without_photos_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no photos"):
        configured(tmp_path, photos=False, ablation={"cameras": [1]}).ablation("x")


def test_the_ablation_s_folder_is_no_name_for_a_scene(tmp_path: Path):
    with pytest.raises(UserError, match=r"scenes\.ablation"):
        load_config({"scenes": {"ablation": {"data": str(tmp_path)}}})


# Statistics, against numbers worked out by hand


def table(values: dict[tuple[str, int, str], list[float]], **more: Any) -> pd.DataFrame:
    """Runs of scene ``x``: (set, cameras, variant) -> PSNR by seed."""
    rows = [
        {
            "scene": "x",
            "set": s,
            "cameras": n,
            "variant": v,
            "seed": seed,
            "nested": True,
            "trained_as": v,
            "psnr": psnr,
        }
        for (s, n, v), psnrs in values.items()
        for seed, psnr in enumerate(psnrs)
    ]
    return pd.DataFrame(rows).assign(train_cameras="cam01", **more)


def test_spread_is_the_standard_deviation_of_a_sample():
    (row,) = summary(table({("c2", 2, "none"): [1.0, 2.0, 6.0]}), ["psnr"]).to_dict("records")
    assert (row["seeds"], row["psnr_mean"]) == (3, 3.0)
    assert row["psnr_std"] == pytest.approx(math.sqrt(7))  # (4 + 1 + 9) / 2
    (row,) = summary(table({("c2", 2, "none"): [1.0]}), ["psnr"]).to_dict("records")
    assert math.isnan(row["psnr_std"])


def test_differences_are_taken_seed_by_seed():
    # Seeds move both by 10; their difference is 1, 2 and 3.
    found = paired(pd.Series({0: 11.0, 1: 22.0, 2: 33.0}), pd.Series({0: 10.0, 1: 20.0, 2: 30.0, 3: 99.0}))
    assert (found.mean, found.std, found.seeds) == (2.0, 1.0, 3)
    # t(0.975, 2) = 4.303: the interval is 2 -+ 4.303 / sqrt(3) = 2 -+ 2.48, which holds zero.
    assert not found.shown


@pytest.mark.parametrize(
    ("mean", "std", "seeds", "shown"),
    [
        (2.5, 1.0, 3, True),  # 2.48
        (-2.5, 1.0, 3, True),
        (9.1, 1.0, 2, True),  # 12.706 / sqrt(2) = 8.98
        (8.9, 1.0, 2, False),
        (5.0, math.nan, 1, False),
        (0.0, 0.0, 3, False),
        (0.6, 1.0, 20, True),  # 2.262 / sqrt(20) = 0.506
    ],
)
def test_a_difference_is_shown_where_its_confidence_interval_leaves_zero_out(
    mean: float, std: float, seeds: int, shown: bool
):
    assert Difference(mean, std, seeds).shown == shown


def test_every_pair_of_variants_is_compared():
    runs = table({("c2", 2, v): [float(i), i + 1.0] for i, v in enumerate(("none", "colmap", "inherited"))})
    pairs = [tuple(row) for row in differences(runs, ["psnr"])[["variant", "against"]].itertuples(index=False)]
    assert pairs == [("colmap", "none"), ("inherited", "none"), ("inherited", "colmap")]


# Sentences


def test_the_text_says_what_depth_is_worth_and_how_many_cameras_it_saves():
    runs = table(
        {
            ("c2", 2, "none"): [20.0, 20.2, 20.4],
            ("c2", 2, "inherited"): [30.0, 30.1, 30.5],
            ("c3", 3, "none"): [25.0, 25.2, 25.4],
            ("c3", 3, "inherited"): [31.0, 31.1, 31.5],
            ("c4", 4, "none"): [31.0, 31.2, 31.4],
            ("c4", 4, "inherited"): [31.2, 31.1, 31.5],
        }
    )
    told = text.cameras_text(runs)
    # Differences 10, 9.9 and 10.1.
    assert "reaches 30.20 dB PSNR, none 20.20 dB (+10.00 ± 0.10 dB, paired over 3 seeds)." in told[0]
    assert "no difference that 3 seeds can show" in told[1]
    assert told[2] == (
        "To match inherited with 2 cameras (30.20 dB), none needs 4 (31.20 dB), by the means over the seeds."
    )
    few = runs[runs["cameras"] < 4]
    assert text.cameras_text(few)[2].endswith("none needs more than the 3 that were tried (25.20 dB).")


def test_one_seed_claims_nothing_about_chance():
    runs = table({("c2", 2, "none"): [20.0], ("c2", 2, "colmap"): [30.0]})
    assert "one seed, so chance is not known" in text.cameras_text(runs)[0]
    assert "cannot be told" in text.spread_text(runs)


def test_without_a_variant_without_depth_nothing_is_claimed():
    assert "cannot be said" in text.cameras_text(table({("c2", 2, "colmap"): [1.0, 2.0]}))[0]


def test_a_run_that_was_trained_as_another_variant_is_told():
    runs = table({("c2", 2, "none"): [20.0], ("c2", 2, "inherited"): [21.0]})
    runs.loc[runs["variant"] == "inherited", "trained_as"] = "colmap"
    assert "inherited was trained as colmap (seed 0)" in text.replaced_text(runs)[0]


# Tables


def test_bold_is_the_best_as_it_is_written():
    runs = table({("c2", 2, "none"): [20.001], ("c2", 2, "colmap"): [20.004], ("c2", 2, "inherited"): [19.0]})
    best = {row["variant"]: row["cells"][0]["best"] for row in summary_rows(runs, [text.PSNR])}
    assert best == {"none": True, "colmap": True, "inherited": False}


def test_latex_escapes_its_own_characters():
    assert latex(r"a_b 5 % & c$ \d {#} ~^") == (
        r"a\_b 5 \% \& c\$ \textbackslash{}d \{\#\} \textasciitilde{}\textasciicircum{}"
    )


# The whole report, from made-up results

SEEDS, VARIANTS, COUNTS = (0, 1), ("none", "inherited"), (2, 4)


def write_results(folder: Path, frames: bool, times: bool) -> tuple[Scenes, list[dict[str, Any]]]:
    """A scene ``a_b`` with made-up scores and without truth; its matrix."""
    (folder / "data/videos").mkdir(parents=True)
    for number in range(5):
        (folder / f"data/videos/cam{number:02d}.mp4").touch()
    (folder / "data/photos").mkdir()
    (folder / "data/photos/p.jpg").touch()
    options = {"variants": list(VARIANTS), "ablation": {"cameras": list(COUNTS), "seeds": list(SEEDS)}}
    scenes = load_config({"scenes": {"a_b": {"data": str(folder / "data"), **options}}})
    rows = [run.row() for run in scenes.ablation("a_b").runs]
    for row in rows:
        psnr = 20.0 + 2 * len(row["cameras"]) + 5 * (row["variant"] == "inherited") + 0.1 * row["seed"]
        by_frame = {"psnr": [psnr - 1, psnr, psnr + 1], "ssim": [0.9] * 3, "flip": [0.1] * 3, "depth_median": None}
        scores = {"psnr": psnr, "psnr_moving": psnr - 3, "ssim": 0.9, "depth": None, "reasons": {"depth": "no truth"}}
        scores["depth_points"] = {"median_relative": 0.01, "within_5_percent": 0.9, "points": 100}
        camera = {**scores, "frames": by_frame} if frames else scores
        settings = {"trained_as": row["variant"]}
        path = folder / "results" / row["folder"] / row["variant"] / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**scores, "cameras": {"cam00": camera}, "settings": settings}))
        if times:
            for job, seconds in ((f"train_dynamic.{row['variant']}", 20), ("train_static", 30)):
                file = folder / "results" / row["folder"] / "benchmarks" / f"{job}.tsv"
                file.parent.mkdir(exist_ok=True)
                file.write_text(f"s\tmax_rss\tcpu_time\n{seconds}\t500\t1\n")
    return scenes, rows


def report(folder: Path, frames: bool = True, times: bool = True) -> Path:
    scenes, rows = write_results(folder, frames, times)
    write_ablation(rows, {"a_b": scenes["a_b"]}, folder / "results", folder / "out")
    return folder / "out"


def test_scores_have_one_row_per_run(tmp_path: Path):
    found = pd.read_csv(report(tmp_path) / "scores.csv")
    assert len(found) == len(SEEDS) * len(VARIANTS) * len(COUNTS)
    row = found[(found["set"] == "c2") & (found["variant"] == "inherited") & (found["seed"] == 1)].iloc[0]
    assert (row["psnr"], row["depth_points_within_5_percent"]) == (pytest.approx(29.1), 0.9)
    assert row["train_cameras"] == "cam01 cam04"
    assert not {"seconds", "max_rss_mb"} & set(found)


def test_times_count_the_static_model_where_it_is_needed(tmp_path: Path):
    _, rows = write_results(tmp_path, frames=False, times=True)
    seconds = read_times(rows, tmp_path / "results").groupby("variant")["seconds"].unique()
    assert {variant: list(values) for variant, values in seconds.items()} == {"none": [20.0], "inherited": [50.0]}


def test_the_latex_table_is_balanced_and_has_nothing_raw(tmp_path: Path):
    found = (report(tmp_path) / "summary.tex").read_text()
    assert found.count("{") == found.count("}")
    assert found.count(r"\begin{tabular}") == found.count(r"\end{tabular}") == 1
    body = found.split(r"\midrule" + "\n")[-1].split(r"\bottomrule")[0]
    header = found.split(r"\toprule" + "\n")[-1].split("\n")[0]
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", found)[1]
    for line in [header, *body.strip().splitlines()]:
        assert line.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1, line
        assert not re.findall(r"(?<!\\)[%#_]", line), line
        assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0
    assert r"a\_b" in body
    assert r"$\mathbf{29.05} \pm 0.07$" in body  # 29.0 and 29.1
    assert "booktabs" not in found
    assert r"\providecommand{\toprule}{\hline}" in found


@pytest.mark.parametrize(
    "text", ["=1+1", "+1 cam01", "-1", "@SUM(A1)", "\tcam01", "\r=1", "-\r=1", "=cmd|' /C calc'!A0 cam01"]
)
def test_no_text_becomes_a_formula_and_numbers_stay_numbers(tmp_path: Path, text: str):
    path = tmp_path / "x.csv"
    numbers = {"psnr": [-1.5, math.nan], "seed": [-1, 2], "shown": [True, False], "of": [-1, None]}
    write_csv(pd.DataFrame({"cameras": [text, "cam01 = cam02"], **numbers, text: [0, 0]}), path)
    with path.open(newline="") as file:
        head, first, second = csv.reader(file)
    assert head == ["cameras", *numbers, "'" + text.replace("\r", " ")]
    assert first == [head[-1], "-1.5", "-1", "True", "-1", "0"]
    assert second == ["cam01 = cam02", "", "2", "False", "", "0"]


def test_every_table_is_written_so(tmp_path: Path):
    scenes, rows = write_results(tmp_path, frames=True, times=True)
    bad = [{**row, "cameras": ["=1+1", *row["cameras"][1:]], "label": "@SUM(A1)"} for row in rows]
    write_ablation(bad, {"a_b": scenes["a_b"]}, tmp_path / "results", tmp_path / "out")
    tables = sorted((tmp_path / "out").glob("*.csv"))
    assert [table.stem for table in tables] == ["differences", "scores", "summary", "times"]
    for table in tables:
        with table.open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert "'@SUM(A1)" in cells
        assert not [cell for cell in cells if cell.startswith(FORMULA) and not is_number(cell)]


def is_number(text: str) -> bool:
    return re.fullmatch(r"-?[\d.]+(e[+-]\d+)?", text) is not None


def test_a_browser_lets_nothing_but_the_page_s_own_style_in(tmp_path: Path, chromium: Any):
    with visit(chromium, report(tmp_path) / "report.html") as seen:
        assert seen.page.evaluate("getComputedStyle(document.querySelector('figure img')).maxWidth") == "960px"
        assert seen.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_the_page_needs_nothing_else_and_names_no_outside_address(tmp_path: Path):
    page = (report(tmp_path) / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert not re.findall(r"<script|@import|url\(", page)
    check_policy(page)
    pictures = re.findall(r"<img [^>]*>", page)
    assert len(pictures) == 3
    assert all(len(re.search(r'alt="([^"]*)"', picture)[1]) > 40 for picture in pictures)
    assert page.count("<th scope=") > 10
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    sections = set(re.findall(r'<section id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= sections


def test_what_cannot_be_drawn_is_left_out_with_the_reason(tmp_path: Path):
    output = report(tmp_path, frames=False, times=False)
    page = (output / "report.html").read_text()
    assert "hold no scores by frame" in page
    assert "No training was timed" in page
    assert "a_b has no true depth" in page
    assert page.count("<img ") == 1
    assert {path.name for path in (output / "figures").iterdir()} == {
        f"{name}.{suffix}" for name in ("cameras", "time", "frames") for suffix in ("svg", "pdf")
    }


def test_the_same_results_give_the_same_bytes(tmp_path: Path):
    def digests(folder: Path) -> dict[str, str]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    scenes, rows = write_results(tmp_path, frames=True, times=True)
    for name in ("one", "two"):
        write_ablation(rows, {"a_b": scenes["a_b"]}, tmp_path / "results", tmp_path / name)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_null_scores_stay_unknown(tmp_path: Path):
    _, rows = write_results(tmp_path, frames=False, times=False)
    path = tmp_path / "results" / rows[0]["folder"] / rows[0]["variant"] / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "psnr_moving": None}))
    runs = read_runs(rows, tmp_path / "results")
    assert np.isnan(runs["psnr_moving"][0])
    assert not runs["psnr_moving"][1:].isna().any()
    assert "depth_median" not in runs


def test_the_configured_ablations_are_valid():
    scenes = load_config(yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text()))
    planned = scenes.ablation("demo")
    assert len(planned.runs) == len(planned.seeds) * len(planned.variants) * 3
