"""What jobs ask a cluster for, and what a scene is said to cost, from its size."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from helpers.captures import write_capture
from helpers.checkout import REPOSITORY
from helpers.tiny import write_tiny_capture
from helpers.workflow import snakemake
from mixdepth.scene.config import load_config
from mixdepth.workflow import stages
from mixdepth.workflow.costs import (
    BYTES,
    COMPUTE,
    MEMORY,
    RESUMES,
    SECONDS,
    SNAKEMAKE_MB,
    UNKNOWN,
    Size,
    cost,
    jobs,
    memory_mb,
    minutes,
    scene_cost,
    size_of,
)
from mixdepth.workflow.sections import Sections
from mixdepth.workflow.stages import STAGES

DEMO = Size(
    cameras=5,
    frames=24,
    width=320,
    height=240,
    photos=12,
    photo_width=320,
    photo_height=240,
    variants=4,
    static=True,
    static_section={"steps": 900},
    dynamic_section={"steps": 500, "static": {"steps": 600}},
)
# What benchmarks/costs.py --keep has kept: memory, seconds and disk of every rule.
MEASURED = json.loads((REPOSITORY / "tests/reference/costs.json").read_text())
LARGE = Size(frames=300, width=1352, height=1014, colmap=False)


def rules() -> dict[str, str]:
    """The text of every rule, with what it asks of its stage before it."""
    found = {}
    for path in sorted((REPOSITORY / "rules").glob("*.smk")):
        text = path.read_text()
        kinds = "(?:rule|checkpoint)"
        parts = re.findall(rf"^(?:at = rule_of.*\n(?:#.*\n|\n)*)?^{kinds} \w+:\n(?:(?: .*)?\n)*", text, re.M)
        assert len(parts) == len(re.findall(rf"^{kinds}\b", text, re.M)), path
        found |= {re.search(rf"^{kinds} (\w+):", part, re.M)[1]: part for part in parts}
    return found


def test_every_rule_has_costs_and_nothing_else_has() -> None:
    assert set(MEMORY) == set(SECONDS) == set(rules())
    assert set(BYTES) <= set(MEMORY)
    assert set(jobs(DEMO)) | set(jobs(LARGE)) <= set(MEMORY)


@pytest.mark.parametrize("rule", sorted(MEMORY))
def test_every_rule_asks_by_its_own_costs(rule: str) -> None:
    text = rules()[rule]
    assert text.count("resources:") == text.count("threads:") == 1
    if rule in STAGES:
        assert re.match(rf'at = rule_of\("{rule}"[,)]', text)
        assert "    resources:\n        **at.resources,\n" in text
        assert "    threads: at.threads\n" in text
    else:
        assert f'    resources:\n        **unsized("{rule}"),\n' in text
        assert "    threads: 1\n" in text


def test_what_runs_in_the_threads_of_the_options_is_known() -> None:
    sections = {name: Sections(name, {}, "x") for name in STAGES}
    asking = {name for name, own in sections.items() if callable(own.threads)}
    gpu = {name for name, own in sections.items() if "gpu" in own.resources}
    models = {"train_static", "static_depth", "static_metrics", "train_dynamic", "render", "evaluate", "render_path"}
    assert set(COMPUTE) == asking == gpu == models | {"train_branch", "train_segment"}


@pytest.mark.parametrize("options", [{}, {"poses": {"source": "colmap"}}, {"photos": False}, {"test_cameras": []}])
def test_the_jobs_of_a_size_are_those_of_the_scene(tmp_path: Path, options: dict) -> None:
    write_capture(tmp_path, **options)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["scenes"]["x"]["data"] = str(tmp_path / "data/x")
    scene = load_config(config)["x"]
    image = {"width": 320, "height": 240, "frames": 24}
    capture = {"cameras": dict.fromkeys(scene.used_cameras, image), "photos": dict.fromkeys(scene.photos, image)}
    assert jobs(size_of(scene, capture)) == Counter(job.stage.name for job in stages.jobs(scene))


def test_a_scene_of_photos_has_the_jobs_of_the_static_model_alone() -> None:
    size = Size(cameras=0, held_out=0, width=0, height=0, photos=12, variants=0, static=True)
    assert scene_cost(size, 2).seconds > cost("train_static", size).seconds > 0
    found = jobs(size)
    assert {"train_static", "static_test_set", "static_metrics"} <= set(found)
    assert set(found.values()) == {1}
    assert not {"static_depth", "train_dynamic", "render", "video", "report_html", "provenance"} & set(found)


@pytest.mark.parametrize("rule", sorted(MEMORY))
def test_every_rule_asks_for_more_at_each_retry(rule: str) -> None:
    for size in (DEMO, LARGE, UNKNOWN):
        assert memory_mb(rule, size, 3) == 2 * memory_mb(rule, size, 2) == 4 * memory_mb(rule, size)
        assert memory_mb(rule, size, 9) == memory_mb(rule, size, 3)
        # A training goes on where it was: a longer limit might be more than a partition allows.
        assert minutes(rule, size, 2) == minutes(rule, size) * (1 if rule in RESUMES else 2)


@pytest.mark.parametrize("field", ["cameras", "frames", "width", "height", "photos", "photo_width", "variants"])
def test_a_larger_scene_never_costs_less(field: str) -> None:
    for size in (
        DEMO._replace(segments=1),  # of more than one train_dynamic joins what others train
        LARGE._replace(photos=10, photo_width=1000, photo_height=1000, dynamic_section={"segment": None}),
    ):
        larger = size._replace(**{field: 3 * getattr(size, field)})
        for rule in MEMORY:
            assert all(a <= b for a, b in zip(cost(rule, size), cost(rule, larger), strict=True)), rule
        assert all(a <= b for a, b in zip(scene_cost(size, 2), scene_cost(larger, 2), strict=True))
        assert scene_cost(larger, 2).seconds > scene_cost(size, 2).seconds


@pytest.mark.parametrize("scene", MEASURED)
@pytest.mark.parametrize("rule", sorted(MEMORY))
def test_predictions_fit_what_was_measured(scene: str, rule: str) -> None:
    there, said = MEASURED[scene]["rules"].get(rule, {}), cost(rule, Size(**MEASURED[scene]["size"]))
    if there.get("memory_mb", 0) > 50:
        assert 0.85 <= said.memory_mb / there["memory_mb"] <= 1.75
    if there.get("disk_mb", 0) > 1:
        assert 0.5 <= said.bytes / 1e6 / there["disk_mb"] <= 2
    # Of the others the machine was busy.
    if scene == "demo" and there.get("seconds", 0) > 3:
        assert 0.6 <= said.seconds / there["seconds"] <= 1.7


def test_the_known_peak_of_a_large_training_fits_with_room_and_little_waste() -> None:
    """5.5 GB of anonymous memory (docs/benchmarks.md) and 0.2 GB of libraries."""
    for rule, size in (("train_dynamic", LARGE._replace(segments=1)), ("train_segment", LARGE)):
        assert 1 <= cost(rule, size).memory_mb / 5700 <= 1.1
    for rule, size in (("train_dynamic", DEMO), ("train_segment", LARGE)):
        peak = cost(rule, size).memory_mb
        assert 1.3 * peak <= memory_mb(rule, size) - SNAKEMAKE_MB <= 1.9 * peak


def test_a_longer_capture_has_more_segments_of_the_same_cost_and_one_job_that_joins_them() -> None:
    short, long = LARGE._replace(cameras=7), LARGE._replace(cameras=7, frames=1200)
    assert cost("train_segment", long) == cost("train_segment", short)
    assert cost("train_branch", long) == cost("train_branch", short)
    assert jobs(long)["train_segment"] > 3 * jobs(short)["train_segment"] > 3
    assert jobs(long)["train_branch"] == jobs(long)["train_dynamic"] == 2
    joining, training = cost("train_dynamic", long), cost("train_dynamic", long._replace(segments=1))
    assert joining.memory_mb < training.memory_mb / 2
    assert joining.seconds < training.seconds / 2
    one = jobs(long._replace(segments=1))
    assert one["train_dynamic"] == 2
    assert not {"train_branch", "train_segment"} & set(one)


def test_a_job_that_joins_segments_asks_for_what_that_takes(tmp_path: Path) -> None:
    write_capture(tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["scenes"]["x"] |= {"data": str(tmp_path / "data/x"), "dynamic": {"device": "cuda"}}
    at, of = Sections("train_dynamic", load_config(config), "x"), SimpleNamespace(scene="x", variant="none")
    joins = {"parts": ["static", "0", "1"]}
    asked = [{key: one(of, given, 1) for key, one in at.resources.items() if key != "gpu"} for given in ({}, joins)]
    assert asked[1]["mem_mb"] < asked[0]["mem_mb"] / 2
    assert (at.resources["gpu"](of, {}), at.resources["gpu"](of, joins)) == (1, 0)


def test_the_arithmetic_needs_the_standard_library_only() -> None:
    code = (
        "import mixdepth.workflow.costs as r, sys; print(r.scene_cost(r.Size(), 2)); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(REPOSITORY / "src")}, check=True)


@pytest.mark.slow
def test_jobs_behind_probe_ask_by_the_size_that_it_found_and_asking_otherwise_redoes_nothing(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path)
    arguments = ("--configfile", "config.yaml", "--", "results/x/contact_sheet.jpg")
    done = snakemake(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = dict(re.findall(r"rule (\w+):\n(?:    .*\n)*?    resources: .*?\bmem_mb=(\d+)", done.stdout + done.stderr))
    assert int(asked["probe"]) == memory_mb("probe", UNKNOWN)
    tiny = Size(cameras=3, frames=4, width=48, height=36)
    assert int(asked["contact_sheet"]) == memory_mb("contact_sheet", tiny) < memory_mb("contact_sheet", UNKNOWN)
    again = snakemake(tmp_path, "-n", "--set-resources", "contact_sheet:mem_mb=9999", *arguments)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_page_says_what_the_model_of_costs_does_about_an_hour_of_video() -> None:
    section = {"segment": 300, "device": "cuda"}
    hour = Size(frames=108_000, width=1352, height=1014, variants=1, dynamic_section=section)
    each = {rule: (count, cost(rule, hour)) for rule, count in jobs(hour).items()}
    hours = {True: 0.0, False: 0.0}  # on a GPU, and elsewhere
    for rule, (count, one) in each.items():
        hours[rule in COMPUTE] += count * one.seconds / 3600
    disk = sum(count * one.bytes for count, one in each.values()) / 1e12
    memory = max(one.memory_mb for _, one in each.values()) / 1e3
    total = sum(count for count, _ in each.values())
    page = (REPOSITORY / "docs/cluster.md").read_text()
    told = f"| {total} | {memory:.1f} GB | | {hours[True]:.0f} on a GPU, {hours[False]:.0f} without | {disk:.1f} TB |"
    assert f"| all jobs to the report {told}" in page
    for rule in ("frame_store", "motion", "train_segment"):
        count, one = each[rule]
        assert f"(`{rule}`) | {count} | {one.memory_mb / 1e3:.1f} GB |" in page
        assert f"| {count * one.seconds / 3600:.0f} |" in page
