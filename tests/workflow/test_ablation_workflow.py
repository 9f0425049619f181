"""The ablation's jobs: what derived scenes make themselves, what they share, and that nothing held out trains."""

import os
from pathlib import Path

import pytest

from helpers.captures import write_capture
from helpers.tiny import tiny_config, write_config, write_tiny_capture
from helpers.workflow import Job, behind, plan, snakemake

REPORT = "results/ablation/report.html"
ABLATION = {"cameras": [2, 3], "seeds": [0, 1], "variants": ["none", "distilled", "inherited"]}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Everything of a capture with given poses, photos, and three cameras that train."""
    return plan(write_capture(tmp_path_factory.mktemp("x"), ablation=ABLATION, test_cameras=["cam00"]), REPORT)


def models(jobs: list[Job]) -> dict[str, set[str]]:
    """By model file, everything that it is made from."""
    paths = [path for job in jobs for path in job.output if path.endswith("model.safetensors")]
    return {path.removeprefix("results/"): behind(jobs, path) for path in paths}


def test_every_cell_of_the_matrix_is_trained_once(jobs: list[Job]) -> None:
    cells = ("x", "ablation/x.c3.s1", "ablation/x.c2.s0", "ablation/x.c2.s1")
    names = ("static", *ABLATION["variants"])
    assert set(models(jobs)) == {f"{cell}/{name}/model.safetensors" for cell in cells for name in names}


def test_nothing_is_decoded_or_placed_for_a_derived_scene(jobs: list[Job]) -> None:
    base_alone = {"probe", "sync", "reference", "frame_store", "cameras", "structure_from_motion", "verify_held_out"}
    made = {job.rule for job in jobs for path in job.output if path.startswith("results/ablation/x.")}
    assert not made & base_alone
    assert len([job for job in jobs if job.rule == "frame_store"]) == 4
    # Sparse depth once per set of cameras: of the scene itself, and of two cameras.
    assert len([job for job in jobs if job.rule == "triangulate"]) == 2
    # Photos train in every set.
    assert len([job for job in jobs if job.rule == "static_set"]) == 1


def test_colmap_finds_the_poses_once(tmp_path: Path) -> None:
    jobs = plan(write_capture(tmp_path, source="colmap", ablation=ABLATION), REPORT)
    assert len([job for job in jobs if job.rule == "structure_from_motion"]) == 1


@pytest.mark.parametrize("source", ["llff", "colmap"])
@pytest.mark.parametrize("photos", [True, False], ids=["photos", "no photos"])
def test_nothing_that_trains_sees_a_camera_of_no_set_of_it(tmp_path: Path, source: str, photos: bool) -> None:
    folder = write_capture(tmp_path, source=source, photos=photos, variants=ABLATION["variants"], ablation=ABLATION)
    found = plan(folder, REPORT)
    # COLMAP finds the poses of all cameras together, and looks at their images for nothing else.
    followed = [Job(job.rule, set() if job.rule == "structure_from_motion" else job.input, job.output) for job in found]
    for model, sources in models(followed).items():
        videos = {path for path in sources if "/photos/" not in path}  # photos train in every set
        outside = ["cam00"] + ["cam02"] * ("x.c2" in model)
        assert not [path for path in videos for name in outside if name in path], model
        assert [path for path in videos if "cam01" in path and "/videos/" in path], model
        assert not [path for path in sources if "truth" in path or "cam00" in path], model


def test_a_set_s_sparse_depth_comes_from_its_own_cameras(jobs: list[Job]) -> None:
    sources = behind(jobs, "results/ablation/x.c2/colmap_depth")
    assert "results/x/reference/cam03" in sources
    assert not [path for path in sources if "cam00" in path or ("cam02" in path and "/photos/" not in path)]


def test_touching_a_held_out_video_retrains_nothing(jobs: list[Job]) -> None:
    for model, sources in models(jobs).items():
        assert "data/x/videos/cam00.mp4" not in sources, model


def test_a_dry_run_without_the_key_says_what_to_do(tmp_path: Path) -> None:
    write_capture(tmp_path, ablation=None)
    done = snakemake(tmp_path, "-n", "--configfile", str(tmp_path / "config.yaml"), "--", REPORT)
    assert done.returncode != 0
    assert "scenes.<name>.ablation" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_mistake_in_the_matrix_is_told_before_anything_starts(tmp_path: Path) -> None:
    write_capture(tmp_path, ablation={"cameras": [9]})
    done = snakemake(tmp_path, "-n", "--configfile", str(tmp_path / "config.yaml"), "--", REPORT)
    assert done.returncode != 0
    assert "9 cameras are asked for" in done.stdout + done.stderr
    # Whoever asks for another result is left alone.
    assert plan(tmp_path, "results/x/video.mp4")


# Real runs, on a capture of seconds


def make(folder: Path, ablation: dict | None, *targets: str, dry: bool = False) -> list[str]:
    """Run (or plan) targets with this ablation of scene ``x``; the jobs as "rule: first output"."""
    config = tiny_config(variants=["none", "inherited"], **({"ablation": ablation} if ablation else {}))
    write_config(folder, config)
    arguments = ["-n"] if dry else []
    done = snakemake(folder, *arguments, "--configfile", str(folder / "config.yaml"), "--", *(targets or [REPORT]))
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    blocks = told.replace("\nlocalrule ", "\nrule ").split("\nrule ")[1:]
    return [f"{block.split(':')[0]}: {block.split('output: ')[1].split()[0].rstrip(',')}" for block in blocks]


@pytest.mark.slow
def test_the_whole_ablation_is_made_kept_and_extended(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path)
    matrix = {"cameras": [1, 2], "seeds": [0]}
    make(tmp_path, None, "results/x/none/metrics.json", "results/x/inherited/metrics.json")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results/x").rglob("*") if path.is_file()}
    jobs = make(tmp_path, matrix)
    # All cameras with the configured seed are the scene itself: it is there already, and is left as it is.
    assert not [job for job in jobs if "results/x/" in job and "sync" not in job]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    output = tmp_path / "results" / "ablation"
    assert {path.name for path in output.iterdir() if path.is_file() and path.name[0] != "."} == {
        "report.html", "scores.csv", "summary.csv", "summary.tex", "differences.csv", "times.csv",
    }  # fmt: skip
    assert len((output / "scores.csv").read_text().splitlines()) == 1 + 4
    assert len((output / "times.csv").read_text().splitlines()) == 1 + 4

    # What is shared is the configured scene's, or that of the set of cameras.
    made = {path.name for path in (output / "x.c1.s0").iterdir() if not path.name.startswith(".")}
    assert made == {"none", "inherited", "static", "runs", "logs", "benchmarks"}

    assert make(tmp_path, matrix, dry=True) == []
    # A second seed trains its own runs alone; without the key nothing of the scene looks changed.
    added = make(tmp_path, {**matrix, "seeds": [0, 1]}, dry=True)
    trained = [job for job in added if job.startswith("train_")]
    assert len(trained) == 2 * 3
    assert all(".s1/" in job for job in trained)
    assert not [job for job in added if job.startswith(("triangulate", "frame_store", "reference"))]
    targets = ["results/x/none/metrics.json", "results/x/inherited/model.safetensors"]
    assert make(tmp_path, None, *targets, dry=True) == []
    # A touched training video redoes the derived scenes that it trains, a held-out one none.
    os.utime(tmp_path / "data/x/videos/cam00.mp4")
    assert not [job for job in make(tmp_path, matrix, dry=True) if job.startswith("train_")]
    os.utime(tmp_path / "data/x/videos/cam01.mp4")
    assert [job for job in make(tmp_path, matrix, dry=True) if job.startswith("train_") and "x.c1.s0" in job]
