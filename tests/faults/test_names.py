"""Names of files that shells, formats and the pipeline's own files trip over: they work, or are refused where the
capture is looked at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.captures import capture, write_capture
from helpers.tiny import ANY_FOLDER, STRANGE, tiny_capture_of, write_config
from helpers.workflow import plan, snakemake
from mixdepth.errors import CaptureError, ConfigurationError
from mixdepth.files.io import read_npz, write_npz
from mixdepth.results import Results, depth_file, photo_depth_file
from mixdepth.scene.capture import find_photos, find_videos
from mixdepth.scene.config import load_config
from mixdepth.workflow import stages
from mixdepth.workflow.graph import flat

# As arguments of NumPy's savez, and results, are called.
OWN = ("allow_pickle", "file", "photos")


@pytest.mark.slow
def test_strange_names_work_from_videos_to_report_and_reach_no_shell(tmp_path: Path) -> None:
    options = {"variants": ["none"], "video_variant": "none"}
    strange = tiny_capture_of(STRANGE, tmp_path / ANY_FOLDER, **options)
    targets = ["results/x/video.mp4", "results/x/report.html", "results/x/contact_sheet.jpg"]
    done = snakemake(strange, "--configfile", str(strange / "config.yaml"), "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((strange / target).stat().st_size for target in targets)
    assert (strange / "results/x/none/renders" / STRANGE[0] / "rgb.npy").exists()
    assert not list(strange.parent.rglob("ran"))
    page = (strange / "results/x/report.html").read_text()
    assert "카메라 하나" in page


@pytest.mark.slow
def test_names_of_the_pipelines_own_are_names_like_others_from_videos_to_scores(tmp_path: Path) -> None:
    folder = tiny_capture_of(OWN, tmp_path)
    done = snakemake(folder, "--configfile", str(folder / "config.yaml"), "--", "results/x/report.html")
    assert done.returncode == 0, done.stdout + done.stderr
    results = Results(folder / "results/x")
    assert read_npz(results.static_set).keys() == {"file", "photos"}
    assert read_npz(photo_depth_file(results.colmap_depth))["names"].tolist() == ["file", "photos"]
    assert read_npz(depth_file(results.colmap_depth, "photos")).keys() == {"uv", "z", "sigma"}


def test_a_camera_called_photos_is_planned_as_any_other(tmp_path: Path) -> None:
    write_capture(tmp_path, cameras={name: f"videos/cam{i:02d}.mp4" for i, name in enumerate((*OWN, "x"))})
    jobs = plan(tmp_path, "results/x/report.html")
    made = {path for job in jobs for path in job.output}
    assert {f"results/x/frames/{name}/rgb.npy" for name in OWN} <= made
    assert len(made) == sum(len(job.output) for job in jobs)


def test_no_name_of_a_camera_makes_a_file_that_is_another_of_the_pipelines(tmp_path: Path) -> None:
    # Every word in the names of results, with and without what they end in.
    words = {part for path in every_file(["cam00", "cam01"], tmp_path) for part in path.relative_to(tmp_path).parts}
    names = sorted(words | {Path(word).stem for word in words} | {*OWN, "a", "a.npy", "a.npz", "points"})
    names = [name for name in names if name[0] != "."]
    paths = every_file(names, tmp_path)
    assert len(paths) == len(set(paths))
    assert not set(paths) & {folder for path in paths for folder in path.parents}


def every_file(names: Sequence[str], folder: Path) -> list[Path]:
    """What is made of a capture whose cameras and photos have these names, folders by what is in them, with logs."""
    data = capture(folder / "data", cameras=0, photos=2)
    cameras = {name: f"videos/{name}.mp4" for name in names}
    options = {"data": str(data), "cameras": cameras, "poses": {"source": "llff"}, "train_cameras": names[1:]}
    one, results = load_config({"scenes": {"x": options}})["x"], Results(folder)
    inside = {
        results.colmap_depth: [
            *(depth_file(results.colmap_depth, n) for n in one.train_cameras),
            photo_depth_file(results.colmap_depth),
        ],
        results.static_depth: [depth_file(results.static_depth, n) for n in one.train_cameras],
        results.held_out_depth: [depth_file(results.held_out_depth, n) for n in one.test_cameras],
    }
    jobs = list(stages.jobs(one))
    made = [path for job in jobs for path in flat(job.makes(results))]
    logs = [results.log(job.stage.name, *job.wildcards.values()) for job in jobs]
    return [file for path in made + logs for file in inside.get(path, [path])]


@pytest.mark.parametrize("names", [("a", "a.npy"), ("file", "allow_pickle"), ("path", "self", "카메라 하나")])
def test_an_npz_file_holds_arrays_of_any_name(tmp_path: Path, names: Sequence[str]) -> None:
    arrays = {name: np.full(3, i) for i, name in enumerate(names)}
    write_npz(tmp_path / "set.npz", arrays)
    found = read_npz(tmp_path / "set.npz")
    assert {name: array.tolist() for name, array in found.items()} == {n: [i] * 3 for i, n in enumerate(names)}


def test_an_npz_file_has_the_bytes_that_numpy_writes(tmp_path: Path) -> None:
    arrays = {"names": np.array(["a", "bc"]), "uv": np.random.default_rng(0).random((50, 2)), "none": np.zeros((0, 2))}
    write_npz(tmp_path / "ours.npz", arrays)
    np.savez_compressed(tmp_path / "theirs.npz", allow_pickle=False, **arrays)
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "theirs.npz").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        *("-rf", ".hidden", " a", "a\nb", "a\n", "{camera}", "a\x1b[2Jb", "a/b", "a*", "100%", "a'b", 'a"b', "a\\b"),
        *("$(touch ran)", "`touch ran`", "a; touch ran", "a|b", "a&b", "a>b", "a#b", "a!b", "~a", "a?", "[a]"),
    ],
)
def test_a_name_that_cannot_be_that_of_results_is_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    folder = write_capture(tmp_path, cameras={name: "videos/cam00.mp4", "cam01": "videos/cam01.mp4"})
    done = snakemake(folder, "-n", "--configfile", str(folder / "config.yaml"), "--", "results/x/video.mp4")
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "Rename it, or say `cameras: {another_name: videos/cam00.mp4}`" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", ["cam01", "카메라 하나", "b (2) @x+1", "_a", "1,5=e - f_.g", "Ünï"])
def test_a_name_of_letters_and_harmless_signs_is_a_camera_s(tmp_path: Path, name: str) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / f"videos/{name}.mp4").touch()
    assert list(find_videos(tmp_path, "videos", None)) == [name]


@pytest.mark.parametrize("name", ["a'b", "$(touch ran)", "a`b`", "a;b"])
def test_a_photo_s_name_is_held_to_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / f"photos/{name}.jpg").touch()
    with pytest.raises(CaptureError, match="Rename it"):
        find_photos(tmp_path, "photos", None, [])


@pytest.mark.parametrize("name", ["../x", "a b", "카메라", "-x", "a\nb", "x\n", "x;y"])
def test_a_scene_that_cannot_be_the_name_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_capture(tmp_path)
    write_config(folder, {"scenes": {name: {"data": "data/x"}}})
    done = snakemake(folder, "-n", "--configfile", str(folder / "config.yaml"), "--", "results/x/video.mp4")
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "not a name" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "options",
    [{"paths": {"slow\n": {}}}, {"preset": "S\n"}, {"frames": {"offsets": {"cam00": "0.25 s\n"}}}],
    ids=["path", "preset", "time"],
)
def test_a_new_line_at_the_end_of_a_name_is_no_part_of_it(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ConfigurationError, match="is not valid"):
        load_config({"scenes": {"x": {"data": str(capture(tmp_path)), **options}}})
