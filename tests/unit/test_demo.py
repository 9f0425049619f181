"""The demo capture: frozen pixel by pixel, consistent with its truth, and laid out like a user's capture."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from PIL import Image

from helpers.checkout import REPOSITORY
from helpers.jobs import render_nothing
from helpers.workflow import other_workflow, snakemake
from mixdepth import demo
from mixdepth.demo import capture
from mixdepth.demo.capture import FILES, write_video
from mixdepth.demo.scene import movers
from mixdepth.errors import ConfigurationError

FROZEN = "5b54b1ef30f7e99b1902a239581aa149c22e4d5b9758ba8995ec021e702c8fc6"
FROZEN_TRUTH = "f61ab2014f8eeb6aba443cd33cb9a71b63496c3e1aaf1563f254814010f00c3a"

FRAMES_SEEN = {"cam01": range(demo.FRAMES), "cam03": (0, 12, 23)}
LOOKS = [  # mean red, green, blue and the standard deviation of all
    [161.113, 137.049, 111.907, 57.37],
    [161.575, 136.505, 112.718, 59.037],
    [165.857, 141.276, 116.655, 56.643],
]
DEPTHS = [[3.00009, 3.37464, 5.80355, 8.14442, 8.6291], [3.168, 3.49539, 6.44789, 8.01248, 8.19127]]


@pytest.fixture(scope="module")
def shots() -> dict[str, demo.Shot]:
    """Two cameras with a wide baseline, full size."""
    return {name: demo.Shot(demo.VIDEO_CAMERAS[name]) for name in ("cam01", "cam03")}


@pytest.fixture(scope="module")
def videos(shots: dict[str, demo.Shot]) -> dict[str, dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """All frames of the one, three of the other: picture, depth, moving by frame number."""
    return {name: {frame: shots[name].frame(movers(frame)) for frame in seen} for name, seen in FRAMES_SEEN.items()}


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return demo.render_photo("photo03.jpg")


def test_the_capture_looks_as_it_did(videos: dict, photo: np.ndarray) -> None:
    """Says how a picture changed when the frozen hash does not hold; tolerant, so that it can be read."""
    pictures = [videos["cam01"][0][0], videos["cam03"][12][0], photo]
    found = [[*picture.mean((0, 1)), picture.std()] for picture in pictures]
    np.testing.assert_allclose(found, LOOKS, atol=0.02)
    depths = [np.quantile(videos[name][12][1], (0.01, 0.1, 0.5, 0.9, 0.99)) for name in videos]
    np.testing.assert_allclose(depths, DEPTHS, rtol=1e-4)


def test_the_capture_is_frozen(videos: dict, photo: np.ndarray) -> None:
    """Scores stay comparable only as long as every pixel stays. Change the hash and every published figure is void."""
    arrays = [photo]
    for frames in videos.values():
        for picture, depth, moving in (frames[0], frames[12], frames[23]):
            arrays += [picture, depth.astype(np.float16), moving]
    assert demo.digest(arrays) == FROZEN


def test_depth_of_one_camera_is_depth_of_another(videos: dict) -> None:
    """A point seen at ``depth`` by one camera lies at the other camera's depth, unless something hides it there."""
    one, other = demo.VIDEO_CAMERAS["cam01"], demo.VIDEO_CAMERAS["cam03"]
    for frame in (0, 12):
        depth, depth_other = videos["cam01"][frame][1], videos["cam03"][frame][1]
        y, x = np.mgrid[0 : one.height, 0 : one.width]
        points = one.unproject(np.stack([x + 0.5, y + 0.5], axis=-1).reshape(-1, 2), depth.reshape(-1))
        uv, z = other.project(points)
        inside = (uv > 1).all(axis=1) & (uv < [other.width - 1, other.height - 1]).all(axis=1)
        there = depth_other[uv[inside, 1].astype(int), uv[inside, 0].astype(int)]
        relative = z[inside] / there - 1
        assert inside.mean() > 0.6
        assert np.median(np.abs(relative)) < 2e-3
        assert (relative > -0.03).mean() > 0.98, "points lie in front of what the other camera sees"
        assert (np.abs(relative) < 0.03).mean() > 0.75, "more is hidden than the furniture can hide"


def test_what_moves_is_a_small_part_that_keeps_moving(videos: dict) -> None:
    moving = np.stack([frame[2] for frame in videos["cam01"].values()])
    assert 0.04 < moving.mean() < 0.06
    assert moving.mean((1, 2)).min() > 0.02
    assert moving.mean((1, 2)).max() < 0.08
    assert moving.mean(0).max() <= 0.4


def test_what_moves_is_in_front_and_still_pixels_keep_their_depth(shots: dict, videos: dict) -> None:
    for name, frames in videos.items():
        still = shots[name].still_depth()
        for _, depth, moving in frames.values():
            assert (depth[moving] < still[moving]).all()
            np.testing.assert_array_equal(depth[~moving], still[~moving])


def test_still_things_hide_what_moves(videos: dict) -> None:
    """Two balls alone cover about the same area in every frame; here furniture hides up to half of it."""
    area = np.array([frame[2].sum() for frame in videos["cam01"].values()])
    assert area.min() < 0.7 * area.max()


def test_no_photo_is_taken_from_the_held_out_camera() -> None:
    held_out = demo.VIDEO_CAMERAS["cam00"].centre
    assert min(np.linalg.norm(camera.centre - held_out) for camera in demo.PHOTO_CAMERAS.values()) > 0.4


def test_a_video_keeps_its_colours_and_its_bytes(tmp_path: Path, videos: dict) -> None:
    pictures = np.stack([frame[0] for frame in videos["cam01"].values()])
    for name in ("first.mp4", "second.mp4"):
        write_video(tmp_path / name, pictures)
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()
    error = decoded(tmp_path / "first.mp4") - pictures.astype(float)
    assert np.abs(error).mean() < 2
    assert np.abs(error.mean((0, 1, 2))).max() < 0.3


def test_an_ffmpeg_that_cannot_write_the_videos_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    with pytest.raises(ConfigurationError, match=r"cam00\.mp4: ffmpeg could not write the video.*`mixdepth doctor`"):
        write_video(tmp_path / "cam00.mp4", np.zeros((2, 8, 8, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def decoded(path: Path) -> np.ndarray:
    """All frames [T, H, W, 3] uint8, converted with rounding: ffmpeg's fast way darkens by one to two levels."""
    rounding = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    with av.open(str(path)) as file:
        return np.stack(
            [frame.reformat(format="rgb24", interpolation=rounding).to_ndarray() for frame in file.decode(video=0)]
        )


MINE = "videos/cam00.mp4"


def files(folder: Path) -> dict[str, bytes]:
    """What is in ``folder`` without certificates."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A demo of noise, which takes no minutes."""
    render_nothing(monkeypatch)
    demo.make_demo(tmp_path / "demo")
    return tmp_path / "demo"


def test_the_demo_replaces_its_own_files(made: Path) -> None:
    before = files(made)
    (made / MINE).unlink()
    demo.make_demo(made)
    assert files(made) == before
    assert {*before} == {*FILES}
    assert [path.name for path in made.parent.iterdir()] == ["demo"]


@pytest.mark.parametrize("kind", ["another", "changed", "link", "lost", "folder"])
def test_the_demo_never_replaces_a_file_of_a_user(made: Path, kind: str) -> None:
    own = made / MINE
    if kind == "changed":
        own.write_bytes(own.read_bytes() + b"mine")  # the demo's certificate is still beside it
    elif kind == "folder":
        own.unlink()
        (own / "frames").mkdir(parents=True)
    else:
        for path in own.parent.glob("*cam00*"):
            path.unlink()
        if kind == "another":
            own.write_bytes(b"mine")
        else:
            own.symlink_to(made / ("truth.npz" if kind == "link" else "gone"))
    (made / "photos/photo05.jpg").unlink()
    before = files(made)
    with pytest.raises(ConfigurationError, match=rf"{own}: not as the demo wrote it"):
        demo.make_demo(made)
    assert files(made) == before
    assert own.is_symlink() == (kind in ("link", "lost"))


def test_a_file_that_comes_while_the_demo_is_made_is_kept(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render = capture.write_films

    def copying(*given: object) -> None:
        render(*given)
        (made / MINE).write_bytes(b"mine")

    monkeypatch.setattr(capture, "write_films", copying)
    with pytest.raises(ConfigurationError, match=MINE):
        demo.make_demo(made)
    assert (made / MINE).read_bytes() == b"mine"


@pytest.mark.parametrize("moved", range(0, 36, 5))
def test_a_killed_demo_is_taken_for_the_demo_s(made: Path, monkeypatch: pytest.MonkeyPatch, moved: int) -> None:
    before = files(made)
    for path in filter(Path.is_file, made.rglob("*")):
        path.unlink()
    replace, left = Path.replace, [moved]

    def killed(path: Path, target: Path) -> Path:
        left[0] -= target.is_relative_to(made)
        if left[0] < 0:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        demo.make_demo(made)
    left[0] = 1000
    demo.make_demo(made)
    assert files(made) == before


def test_a_run_that_would_replace_a_file_of_a_user_is_refused_before_it_starts(tmp_path: Path) -> None:
    own = tmp_path / "data/demo" / MINE
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    dated = own.stat().st_mtime_ns
    done = snakemake(
        tmp_path, "--configfile", str(REPOSITORY / "config/config.yaml"), "--", "results/demo/capture.json"
    )
    assert done.returncode != 0
    assert f"data/demo/{MINE}: not as the demo wrote it" in done.stdout + done.stderr
    assert "rule demo_capture:" not in done.stdout + done.stderr
    assert (own.read_bytes(), own.stat().st_mtime_ns) == (b"mine", dated)
    assert files(tmp_path / "data") == {f"demo/{MINE}": b"mine"}


def test_so_is_one_of_another_workflow_when_it_comes_to_the_demo(tmp_path: Path) -> None:
    """Snakemake asks a module nothing when it starts."""
    own = tmp_path / "data/demo" / MINE
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    (tmp_path / "config.yaml").write_text((REPOSITORY / "config/config.yaml").read_text())
    done = other_workflow(tmp_path, str(REPOSITORY / "workflow/Snakefile"), "--", "made/results/demo/capture.json")
    assert done.returncode != 0
    assert f"data/demo/{MINE}: not as the demo wrote it" in done.stdout + done.stderr
    assert files(tmp_path / "data") == {f"demo/{MINE}": b"mine"}


@pytest.mark.slow
def test_make_demo_writes_a_capture_like_a_users(tmp_path: Path) -> None:
    demo.make_demo(tmp_path)
    written = sorted(files(tmp_path))
    assert written == [*(f"photos/{name}" for name in demo.PHOTO_FILES), "truth.npz"] + [
        f"videos/{name}.mp4" for name in demo.CAMERA_NAMES
    ]
    with np.load(tmp_path / "truth.npz", allow_pickle=False) as file:
        truth = {key: file[key] for key in file.files}
    shapes = {key: (value.dtype.name, value.shape) for key, value in truth.items()}
    assert shapes == {
        "depth": ("float16", (5, 24, 240, 320)),
        "moving": ("bool", (5, 24, 240, 320)),
        "static_depth": ("float32", (5, 240, 320)),
        "c2w_opencv": ("float64", (5, 4, 4)),
        "focal": ("float64", ()),
    }
    assert demo.digest([truth[key] for key in shapes]) == FROZEN_TRUTH
    for name in demo.PHOTO_FILES:
        with Image.open(tmp_path / "photos" / name) as image:
            assert image.size == (320, 240)
    for name in demo.CAMERA_NAMES:
        assert decoded(tmp_path / "videos" / f"{name}.mp4").shape == (24, 240, 320, 3)
