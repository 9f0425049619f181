"""Names of files that shells and formats trip over: they work, or are refused where the capture is looked at."""

from pathlib import Path

import pytest

from helpers.captures import write_capture
from helpers.tiny import tiny_config, write_config, write_tiny_capture
from helpers.workflow import snakemake
from mixdepth.files.io import read_npy, write_npy

# In the order of the tiny capture's cameras: Korean, blanks, quotes, what shells run, what formats and globs replace.
NAMES = ("카메라 하나", "b 'q' \"d\" $(touch ran) `touch ran`; touch ran", "%s %(x)s 100% *? [a] # & | > ran\\")


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """The tiny capture in a folder with a strange name, with strange names for its cameras and photos."""
    folder = write_tiny_capture(tmp_path / "폴더 'x' $(touch ran)")
    data = folder / "data/x"
    for number, name in enumerate(NAMES):
        (data / f"videos/cam{number:02d}.mp4").rename(data / f"videos/{name}.mp4")
        if number:
            (data / f"photos/cam{number:02d}.png").rename(data / f"photos/{name}.png")
    rows = read_npy(data / "poses_bounds.npy").copy()
    write_npy(data / "poses_bounds.npy", rows[sorted(range(len(NAMES)), key=NAMES.__getitem__)])
    options = {"test_cameras": [NAMES[0]], "variants": ["none"], "video_variant": "none"}
    write_config(folder, tiny_config(**options))
    return folder


@pytest.mark.slow
def test_strange_names_work_from_videos_to_report_and_reach_no_shell(strange: Path) -> None:
    targets = ["results/x/video.mp4", "results/x/report.html", "results/x/contact_sheet.jpg"]
    done = snakemake(strange, "--configfile", str(strange / "config.yaml"), "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((strange / target).stat().st_size for target in targets)
    assert (strange / "results/x/none/renders" / NAMES[0] / "rgb.npy").exists()
    assert not list(strange.parent.rglob("ran"))
    page = (strange / "results/x/report.html").read_text()
    assert "카메라 하나" in page


@pytest.mark.parametrize("name", ["-rf", ".hidden", "a\nb", "{camera}", "a\x1b[2Jb"])
def test_a_name_that_cannot_be_that_of_results_is_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    folder = write_capture(tmp_path, cameras={name: "videos/cam00.mp4", "cam01": "videos/cam01.mp4"})
    done = snakemake(folder, "-n", "--configfile", str(folder / "config.yaml"), "--", "results/x/video.mp4")
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "Rename it" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", ["../x", "a b", "카메라", "-x", "a\nb", "x;y"])
def test_a_scene_that_cannot_be_the_name_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_capture(tmp_path)
    write_config(folder, {"scenes": {name: {"data": "data/x"}}})
    done = snakemake(folder, "-n", "--configfile", str(folder / "config.yaml"), "--", "results/x/video.mp4")
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "not a name" in told
    assert "Traceback" not in told
