"""The graph of jobs, read from dry runs on captures that are names only, and the rules themselves."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from rattler import MatchSpec

from helpers.captures import write_capture
from helpers.checkout import REPOSITORY, program
from helpers.workflow import Job, behind, pixels_are_read, plan, snakemake, surroundings

RULE_FILES = sorted((REPOSITORY / "rules").glob("*.smk"))
SCRIPTS = sorted((REPOSITORY / "workflow" / "scripts").glob("*.py"))


def trained(jobs: list[Job]) -> dict[str, set[str]]:
    """By model file, everything that it is made from."""
    models = [path for job in jobs for path in job.output if path.endswith("model.safetensors")]
    return {path.removeprefix("results/x/"): behind(jobs, path) for path in models}


def test_all_variants_and_the_static_model_are_trained(jobs: list[Job]) -> None:
    variants = {f"{variant}/model.safetensors" for variant in ("none", "colmap", "distilled", "inherited")}
    assert set(trained(jobs)) == {"static/model.safetensors", *variants}


@pytest.mark.parametrize("variant", ["none", "colmap"])
def test_none_and_colmap_never_see_the_static_stage(jobs: list[Job], variant: str) -> None:
    assert not [path for path in trained(jobs)[f"{variant}/model.safetensors"] if "/static/" in path]
    assert not [path for path in behind(jobs, f"results/x/{variant}/metrics.json") if "/static/" in path]


def test_each_variant_is_given_its_own_depth(jobs: list[Job]) -> None:
    given = {next(iter(job.output)).split("/")[2]: job.input for job in jobs if job.rule == "train_dynamic"}
    sparse, distilled = {"results/x/colmap_depth"}, {"results/x/static/depth"}
    model = {"results/x/static/model.safetensors"}
    everything = sparse | distilled | model
    assert given["none"] & everything == set()
    assert given["colmap"] & everything == sparse
    # Sparse depth takes the place of distilled depth that cannot be trusted.
    assert given["distilled"] & everything == distilled | sparse
    assert given["inherited"] & everything == distilled | sparse | model


def test_nothing_that_trains_sees_the_held_out_camera(jobs: list[Job]) -> None:
    for model, sources in trained(jobs).items():
        assert not [path for path in sources if "cam00" in path], model
        assert [path for path in sources if "cam01" in path], model


def test_scores_may_see_the_cameras_that_train(jobs: list[Job]) -> None:
    """The nearest one's frames are compared with; which it is, a job alone can know."""
    (evaluate,) = (job for job in jobs if job.output == {"results/x/none/metrics.json"})
    assert {f"results/x/frames/cam{i:02d}/rgb.npy" for i in range(4)} <= evaluate.input
    assert "results/x/frames/cam01/motion.npz" not in evaluate.input


def test_points_that_held_out_cameras_see_are_for_scores_only(jobs: list[Job]) -> None:
    points = "results/x/held_out_depth"
    assert {job.rule for job in jobs if points in job.input} == {"evaluate", "provenance"}, "the second hashes it"
    sources = behind(jobs, points)
    assert {f"results/x/reference/cam{i:02d}" for i in range(4)} <= sources, "held-out and training images make them"
    for model, others in trained(jobs).items():
        assert points not in others, model


def test_colmap_may_use_the_held_out_camera_for_poses_only(tmp_path: Path) -> None:
    jobs = plan(write_capture(tmp_path, source="colmap"), "results/x/inherited/model.safetensors")
    users = {
        job.rule
        for job in jobs
        if any("cam00" in path and ("/videos/" not in path or pixels_are_read(job, path)) for path in job.input)
    }
    assert users == {"reference", "structure_from_motion"}


def test_held_out_photos_do_not_train(tmp_path: Path) -> None:
    photos = ["cam01.png", "cam02.png"]
    folder = write_capture(tmp_path, source="colmap", test_photos_every=2, photo_files=photos)
    jobs = plan(folder, "results/x/static/metrics.json")
    held_out = "data/x/photos/cam01.png"
    users = {job.rule for job in jobs if held_out in job.input}
    assert users == {"cameras", "structure_from_motion", "static_test_set"}
    (metrics,) = (job for job in jobs if job.rule == "static_metrics")
    assert "results/x/static/test_set.npz" in metrics.input


def test_a_held_out_camera_has_no_static_depth(tmp_path: Path) -> None:
    write_capture(tmp_path)
    target = "results/x/static/depth/cam00.npz"
    done = snakemake(tmp_path, "-n", "--configfile", str(tmp_path / "config.yaml"), "--", target)
    assert done.returncode != 0
    assert "No rule to produce" in done.stdout + done.stderr


def test_only_scores_and_their_picture_read_the_truth(jobs: list[Job]) -> None:
    readers = {job.rule for job in jobs if any("truth" in path for path in job.input)}
    assert readers == {"evaluate", "static_metrics", "comparison", "report_html"}


def test_a_camera_that_neither_trains_nor_is_held_out_is_left_alone(tmp_path: Path) -> None:
    write_capture(tmp_path, train_cameras=["cam01", "cam02"])
    jobs = plan(tmp_path, "results/x/report.html", "results/x/video.mp4")
    assert not [job.rule for job in jobs if any("cam03" in path for path in job.input | job.output)]


def test_without_photos_the_static_model_learns_from_the_training_videos(tmp_path: Path) -> None:
    jobs = plan(write_capture(tmp_path, photos=False), "results/x/distilled/model.safetensors")
    (static_set,) = (job for job in jobs if job.rule == "static_set")
    cameras = {Path(path).parent.name for path in static_set.input if "/frames/" in path}
    assert cameras == {"cam01", "cam02", "cam03"}


def test_the_video_needs_one_variant_only(tmp_path: Path) -> None:
    jobs = plan(write_capture(tmp_path, photos=False), "results/x/video.mp4")
    assert [job.output for job in jobs if job.rule == "train_dynamic"] == [{"results/x/colmap/model.safetensors"}]
    assert not [job.rule for job in jobs if job.rule in ("train_static", "comparison", "report_html")]


@pytest.mark.parametrize(("segment", "count"), [(300, 370), (None, 1)])
def test_an_hour_of_video_has_a_job_for_each_of_its_segments(tmp_path: Path, segment: int | None, count: int) -> None:
    hour = program("benchmarks/planning.py").HOUR
    jobs = plan(tmp_path, program("benchmarks/planning.py").make(tmp_path, **hour, segment=segment))
    names = ("static", *range(count)) if count > 1 else ()
    parts = {f"results/x/none/segments/{name}.safetensors" for name in names}
    assert {path for job in jobs for path in job.output if "/segments/" in path} == parts
    (joined,) = (job for job in jobs if job.rule == "train_dynamic")
    assert {path for path in joined.input if "/segments/" in path} == parts
    assert Counter(job.rule for job in jobs)["train_branch"] == (count > 1)
    assert len(jobs) == len(parts) + 68  # one more of the parts is the static branch


def test_a_folder_of_frames_is_watched_frame_by_frame(tmp_path: Path) -> None:
    write_capture(tmp_path)
    shutil.rmtree(tmp_path / "data/x/videos")
    for camera in ("1", "2", "3"):
        for frame in ("000.jpg", "001.jpg"):
            path = tmp_path / "data/x/videos" / camera / frame
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for changed, other in (("000.jpg", "001.jpg"), ("001.jpg", "000.jpg")):
        os.utime(tmp_path / "data/x/videos/2" / changed, (2e9 - 7e8, 2e9 - 7e8))
        os.utime(tmp_path / "data/x/videos/2" / other, (1e9, 1e9))
        jobs = plan(tmp_path, "results/x/frames/cam02/rgb.npy")
        (store,) = (job for job in jobs if job.rule == "frame_store")
        # The one that was changed last. Of the others the folder counts, for the numbers in it.
        own = {f"data/x/videos/2/{changed}"}
        assert {path for path in store.input if "videos" in path} == own | {"data/x/videos/1", "data/x/videos/3"}


def test_the_demo_runs_where_no_other_capture_is(tmp_path: Path) -> None:
    # The demo makes its own data; the second file names a capture that this folder does not have.
    files = [str(REPOSITORY / "config" / name) for name in ("config.yaml", "fern.yaml")]
    targets = [f"results/demo/{name}" for name in ("video.mp4", "comparison.png", "report.html")]
    done = snakemake(tmp_path, "-n", "--configfile", *files, "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule demo_capture" in done.stdout + done.stderr


def test_the_demo_rule_names_the_files_that_the_demo_makes() -> None:
    from mixdepth.demo import CAMERA_NAMES, PHOTO_FILES

    scene = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())["scenes"]["demo"]
    assert scene["cameras"] == {name: f"videos/{name}.mp4" for name in CAMERA_NAMES}
    assert scene["photo_files"] == list(PHOTO_FILES)


# Errors before anything runs


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"frames": {"strat": 1}}, ["scenes.x.frames.strat", 'did you mean "start"']),
        ({"test_cameras": ["cam9"]}, ["scenes.x.test_cameras", '"cam9"', "cam00, cam01, cam02, cam03"]),
        ({"data": "elsewhere"}, ["scenes.x.data", "elsewhere"]),
    ],
)
def test_a_mistake_in_the_configuration_is_told_without_a_traceback(
    tmp_path: Path, options: dict, parts: list[str]
) -> None:
    write_capture(tmp_path, **options)
    done = snakemake(tmp_path, "-n", "--configfile", str(tmp_path / "config.yaml"), "--", "results/x/video.mp4")
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert all(part in told for part in parts), told
    assert "Traceback" not in told


def test_weights_that_are_not_there_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    write_capture(tmp_path, lpips={"alex": "weights/alex.safetensors"})
    config = ("--configfile", str(tmp_path / "config.yaml"), "--", "results/x/none/metrics.json")
    done = snakemake(tmp_path, "-n", *config)
    assert done.returncode != 0
    assert "scenes.x.lpips.alex: weights/alex.safetensors not found" in done.stdout + done.stderr
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/alex.safetensors").touch()
    (evaluate,) = (job for job in plan(tmp_path, config[-1]) if job.rule == "evaluate")
    assert "weights/alex.safetensors" in evaluate.input


def test_a_scene_of_another_file_says_so(tmp_path: Path) -> None:
    write_capture(tmp_path)
    done = snakemake(tmp_path, "-n", "--configfile", str(tmp_path / "config.yaml"), "--", "results/y/video.mp4")
    assert done.returncode != 0
    assert 'no scene "y"' in done.stdout + done.stderr


# The rules


def rules() -> dict[str, str]:
    """The text of every rule that runs something, by name."""
    found = {}
    for path in RULE_FILES:
        for block in re.split(r"(?m)^(?= *rule\b.*:$)", path.read_text())[1:]:
            # Up to the rule's last directive: comments that follow belong to the next rule.
            found[f"{path.name}: {block.split(':')[0].strip()} {len(found)}"] = block
    return found


@pytest.mark.parametrize("name", rules())
def test_every_rule_says_what_it_needs_and_leaves_a_log(name: str) -> None:
    for directive in ("log", "benchmark", "threads", "resources", "conda", "script", "params"):
        assert re.search(rf"(?m)^ +{directive}:", rules()[name]), directive
    # What these hold is tested in tests/unit/test_sections.py.
    assert re.search(r"\*\*(at\.resources|unsized\()", rules()[name])
    assert re.search(r"\*\*at\.params|version=STAGE_VERSIONS\[", rules()[name])


@pytest.mark.parametrize("path", sorted((REPOSITORY / "profiles").glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_every_rule_that_a_profile_names_exists(path: Path) -> None:
    known = {name.split(": rule ")[1].split()[0] for name in rules()}
    profile = yaml.safe_load(path.read_text())
    groups = [entry.split("=") for entry in profile.get("groups", [])]
    assert {rule for rule, _ in groups} <= known
    assert {entry.split("=")[0] for entry in profile.get("group-components", [])} <= {group for _, group in groups}
    for key in ("set-resources", "set-threads"):
        assert {str(entry).split(":")[0] for entry in profile.get(key, [])} <= known


def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    write_capture(tmp_path)
    done = snakemake(tmp_path, "--lint", "--configfile", str(tmp_path / "config.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_starts_from_where_the_catalogue_of_workflows_looks_too(tmp_path: Path) -> None:
    write_capture(tmp_path)
    target, place = "results/x/video.mp4", ["--directory", str(tmp_path), "-n", "--cores", "2"]
    jobs = []
    for snakefile in ("Snakefile", "workflow/Snakefile"):
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / snakefile), *place]
        command += ["--quiet", "rules", "--configfile", str(tmp_path / "config.yaml"), "--", target]
        done = subprocess.run(command, cwd=tmp_path, env=surroundings(tmp_path), text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        jobs.append(re.findall(r"(?m)^(\w+) +(\d+)$", done.stdout + done.stderr))
    assert jobs[0] == jobs[1]
    assert ("train_dynamic", "1") in jobs[0]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_thin_and_each_is_used(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    assert "def main(smk" in text
    # Snakemake puts a preamble before it, which makes it a syntax error.
    assert "from __future__" not in text
    assert any(f"scripts/{path.name}" in rules.read_text() for rules in RULE_FILES)


# Environments


def pins(lines: list[str], separator: str) -> dict[str, str]:
    parts = (line.split("#")[0].strip().split(separator) for line in lines)
    return {part[0].lower(): part[1] for part in parts if len(part) == 2}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_environments_agree_with_the_requirements(path: Path) -> None:
    required = pins((REPOSITORY / "requirements.txt").read_text().splitlines(), "==")
    required["pytorch"] = required["torch"]
    environment = yaml.safe_load(path.read_text())
    listed = [line for line in environment["dependencies"] if isinstance(line, str) and line != "pip"]
    given = pins(listed, "=")
    for by_pip in (line["pip"] for line in environment["dependencies"] if isinstance(line, dict)):
        listed += by_pip
        given |= pins(by_pip, "==")
    assert len(given) == len(listed)
    assert given.pop("python") == "3.11"
    assert given == {name: required.get(name) for name in given}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_understands_every_line_of_the_environments(path: Path) -> None:
    """By the parser of conda's own successor; whether a channel has the versions is another question."""
    environment = yaml.safe_load(path.read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    for line in environment["dependencies"]:
        if isinstance(line, dict):
            assert all(re.fullmatch(r"[\w.-]+==[\d.]+", one) for one in line["pip"]), line
            continue
        spec = MatchSpec(line)
        assert spec.name.as_package_name().normalized == line.split("=")[0]
        assert line == "pip" or str(spec.version) == f"{line.split('=')[1]}.*", "pinned"
        assert spec.build is None
        assert spec.channel is None


def test_constraints_agree_with_the_requirements() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    assert not [line for line in lines if "://" in line or "@" in line or "+" in line.split("#")[0]]
    every = pins(lines, "==")
    for name in ("requirements.txt", "requirements-dev.txt"):
        direct = pins((REPOSITORY / name).read_text().splitlines(), "==")
        assert direct == {package: every.get(package) for package in direct}
