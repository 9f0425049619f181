"""The documentation says what is true: files exist, examples are valid, messages are real, figures are filled in."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import mixdepth
from helpers.checkout import REPOSITORY, program
from mixdepth.results import Results
from mixdepth.scene.config import SCHEMA, load_config
from mixdepth.workflow.graph import flat
from mixdepth.workflow.stages import STAGES

README = (REPOSITORY / "README.md").read_text()
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]

# Messages in the README's table that are not ours.
OF_OTHERS = ("No such file or directory: 'results/...'", "Directory cannot be locked")
# A number without one of these in its description has no unit. The last are numbers without a dimension.
UNITS = (
    "pixels",
    "degrees",
    "world units",
    "colours in 0..1",
    "factor",
    "weight",
    "rate",
    "share",
    "same",
    "threshold",
    "seconds",
    "frames",
)


def section(title: str) -> str:
    """The text of one section of the README."""
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


# README


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_nothing_is_left_to_do(path: Path) -> None:
    assert "TODO" not in path.read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_linked_file_exists(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_named_test_exists(path: Path) -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", path.read_text())
    assert [name for file, name in named if f"def {name}(" not in (REPOSITORY / file).read_text()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_named_file_of_the_repository_exists(path: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "", path.read_text())  # links have a test of their own
    top = "benchmarks|config|docs|envs|profiles|rules|src|tests|workflow"
    named = set(re.findall(rf"(?<![\w/])(?:{top})/[\w./*-]*\w", text)) - {"config/kitchen.yaml"}  # the user's own
    assert [name for name in sorted(named) if not list(REPOSITORY.glob(name))] == []


def test_every_make_target_and_configuration_file_is_real() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in set(re.findall(r"(?m)(?:`|^    )make ([a-z-]+)", README)):
        assert re.search(rf"(?m)^{target}:", makefile), target
    scenes = {}
    for path in (REPOSITORY / "config").glob("*.yaml"):
        scenes |= yaml.safe_load(path.read_text())["scenes"]
    for scene in set(re.findall(r"results/(\w+)/", README)) - {"kitchen", "ablation"}:
        assert scene in scenes, scene


def test_the_example_of_an_own_capture_is_valid_and_needs_no_more(tmp_path: Path, monkeypatch: Any) -> None:
    example = re.search(r"```yaml\n(.*?)```", section("Your own capture"), re.S)[1]
    for name in ("videos/cam00.mp4", "videos/cam01.mp4", "videos/cam02.mp4", "photos/a.jpg"):
        path = tmp_path / "captures" / "kitchen" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "mixdepth").mkdir()
    monkeypatch.chdir(tmp_path / "mixdepth")
    scene = load_config(yaml.safe_load("\n".join(line[3:] for line in example.splitlines())))["kitchen"]
    assert scene.test_cameras == ["cam00"]
    assert scene.video_variant == "inherited"


def test_every_message_in_the_table_of_mistakes_can_appear() -> None:
    sources = [*(REPOSITORY / "src").rglob("*.py"), REPOSITORY / "Makefile"]
    text = "\n".join(path.read_text() for path in sources)
    messages = re.findall(r"(?m)^\| `(.+?)` \|", section("When something goes wrong"))
    assert len(messages) > 5
    assert [message for message in messages if message not in text and message not in OF_OTHERS] == []


def test_every_result_that_the_readme_lists_is_made_by_a_rule() -> None:
    wildcards = {key: f"<{key}>" for stage in STAGES.values() for key in stage.wildcards}
    made = set()
    for stage in STAGES.values():
        for path in flat(stage.makes(Results("results/<scene>"), **{key: wildcards[key] for key in stage.wildcards})):
            made |= {str(path), *map(str, path.parents)}
    listed = re.findall(r"(?m)^\| (`.+?`) \|", section("What comes out"))
    names = [name.rstrip("/") for cell in listed for name in re.findall(r"`([^`]+)`", cell)]
    assert len(names) > 8
    assert [name for name in names if not any(path.endswith(f"/{name}") for path in made)] == []


# Architecture


def test_the_table_of_settings_is_that_of_the_rules() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    table = page.split("| rule | settings | version |")[1].split("\n\n")[0]
    versions = {}
    for line in table.splitlines()[2:]:
        names, _, version = (cell.strip() for cell in line.strip("|").split("|"))
        versions |= dict.fromkeys(names.split(", "), version)
    assert versions == {name: stage.version for name, stage in STAGES.items()} | {"ablation_report": "ablation"}


def test_every_module_that_a_page_names_exists() -> None:
    for page in PAGES:
        for name in re.findall(r"`(mixdepth/[\w/]+(?:\.py|/))`", page.read_text()):
            assert (REPOSITORY / "src" / name).exists(), f"{page.name}: {name}"


# Configuration


def scalars(schema: Any, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every key of the schema with its rule."""
    for key, rule in schema.get("properties", {}).items():
        yield f"{path}{key}", rule
        yield from scalars(rule, f"{path}{key}.")


def keys() -> dict[str, dict]:
    parts = yaml.safe_load(SCHEMA.read_text())["$defs"]
    return {key: rule for name, part in parts.items() for key, rule in scalars(part, f"{name}.")}


@pytest.mark.parametrize("key", keys())
def test_every_key_has_a_meaning_a_valid_default_and_where_it_is_a_measure_a_unit(key: str) -> None:
    rule = keys()[key]
    if rule.get("partial"):  # overrides of another section
        return
    assert rule.get("description"), key
    needless = ("scene.data", "scene.world.baseline.cameras", "scene.world.baseline.distance")  # no default makes sense
    assert key in needless or "default" in rule or rule.get("from") == "quality", key
    if "default" in rule and "$ref" not in rule:
        jsonschema.Draft202012Validator(rule).validate(rule["default"])
    if "number" in rule.get("type", []):
        assert any(unit in rule["description"].lower() for unit in UNITS), key


def test_the_page_of_the_configuration_is_up_to_date() -> None:
    maker = program("docs/make_configuration.py")
    page = maker.page(yaml.safe_load(SCHEMA.read_text()), maker.read_presets())
    assert (REPOSITORY / "docs" / "configuration.md").read_text() == page, "run docs/make_configuration.py"


# Dependencies, citation, changelog


def test_every_direct_dependency_has_its_line() -> None:
    page = (REPOSITORY / "docs" / "dependencies.md").read_text()
    listed = set(re.findall(r"(?m)^\| ([\w-]+) \|", page)) - {"package"}
    required = set()
    for name in ("requirements.txt", "requirements-dev.txt", ".ci/requirements-triton.txt"):
        required |= set(re.findall(r"(?m)^([\w-]+)==", (REPOSITORY / name).read_text()))
    assert listed == required


def test_the_citation_is_complete_and_of_this_version() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "version", "license"} <= citation.keys()
    assert str(citation["version"]) == mixdepth.__version__
    assert all({"type", "title", "authors", "year"} <= reference.keys() for reference in citation["references"])


def test_the_changelog_knows_this_version() -> None:
    assert mixdepth.__version__ in (REPOSITORY / "CHANGELOG.md").read_text()


def test_what_others_start_with_is_local_and_of_the_supported_pythons() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    (job,) = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())["jobs"].values()
    assert job["steps"][-1]["run"] == ".ci/run"
    classified = re.findall(
        r'"Programming Language :: Python :: ([\d.]+)"', (REPOSITORY / "pyproject.toml").read_text()
    )
    assert job["strategy"]["matrix"]["python"] == classified


# Benchmarks


def fake_results(folder: Path) -> Path:
    """Scores and times of a scene with two variants and a static model; another scene has nothing yet."""

    def write(name: str, text: str) -> None:
        path = folder / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    depth = {"median": 0.0312, "mae": 0.1, "abs_rel": 0.01, "within_5_percent": 0.954}
    scores = {"psnr": 27.834, "psnr_moving": 21.18, "ssim": 0.9123, "depth": depth}
    write("inherited/metrics.json", json.dumps(scores))
    write("none/metrics.json", json.dumps({**scores, "psnr_moving": None, "depth": None}))
    write(
        "static/metrics.json", json.dumps({"psnr": None, "ssim": None, "depth": depth, "depth_relative_median": 0.012})
    )
    for job, seconds, memory in (
        ("train_static", "50.8", "400.2"),
        ("train_dynamic.inherited", "80.4", "900"),
        ("train_dynamic.none", "130", "800"),
        ("render.inherited.cam00", "20", "1000"),
        ("probe", "NA", "NA"),
    ):
        write(f"benchmarks/{job}.tsv", f"s\th:m:s\tmax_rss\n{seconds}\t0:00:00\t{memory}\n")
    (folder / "later" / "benchmarks").mkdir(parents=True)
    return folder


def test_the_table_of_figures_is_made_from_scores_and_times(tmp_path: Path) -> None:
    lines = program("benchmarks/figures.py").table(fake_results(tmp_path)).splitlines()
    assert lines[2:] == [
        "| toy | static | – | – | – | 0.031 (1.2 %) | 95.4 % | 51 | 400 |",
        "| toy | none | 27.83 | – | 0.912 | – | – | 130 | 800 |",
        "| toy | inherited | 27.83 | 21.18 | 0.912 | 0.031 | 95.4 % | 131 (51 + 80) | 1000 |",
        "| toy | all jobs | – | – | – | – | – | 281 | 1000 |",
    ]
    assert {line.count("|") for line in lines} == {10}


def test_what_was_not_timed_has_a_dash(tmp_path: Path) -> None:
    (fake_results(tmp_path) / "toy" / "benchmarks" / "train_static.tsv").unlink()
    assert "| toy | inherited | 27.83 | 21.18 | 0.912 | 0.031 | 95.4 % | – | 1000 |" in program(
        "benchmarks/figures.py"
    ).table(tmp_path)


def test_the_speed_of_the_machine_is_a_positive_number() -> None:
    assert program("benchmarks/figures.py").sgemm_gflops(size=64, runs=2) > 0


def test_the_benchmarks_ask_for_scenes_that_are_configured() -> None:
    script = (REPOSITORY / "benchmarks" / "run.sh").read_text()
    for file, scene in re.findall(r"--configfile (config/\w+\.yaml) -- results/(\w+)/", script):
        assert scene in yaml.safe_load((REPOSITORY / file).read_text())["scenes"]
    removed = re.search(r"scenes=\((.*)\)", script)[1].split()
    assert set(re.findall(r"results/(\w+)/", script)) <= set(removed)
