"""Exports are read back with other programs' readers and hold what was rendered, where it was rendered from."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import OpenEXR
import pytest
from PIL import Image

from helpers.camera_paths import FRAMES, lay_out
from helpers.looking import INWARD
from helpers.stages import work
from mixdepth.cameras.formats.camera_path import read_camera_path
from mixdepth.cameras.formats.transforms import read_transforms
from mixdepth.cameras.space import Space, choose_space
from mixdepth.errors import UserError
from mixdepth.exports import images
from mixdepth.exports.kinds import KINDS
from mixdepth.exports.points import far_depth
from mixdepth.exports.source import Source, open_source
from mixdepth.exports.tasks import export_renders
from mixdepth.files.io import atomic_folder, disk_errors
from mixdepth.frames.encode import write_video
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.tasks import render_camera, render_path
from mixdepth.results import Results
from mixdepth.scene.scene import Scene


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Path]:
    """A scene with renders of a camera and of a path."""
    folder = tmp_path_factory.mktemp("exports")
    scene = lay_out(folder, [[0, FRAMES]], tour={"kind": "move", "frames": 3, "width": 31, "fps": 10.0})
    scene = replace(scene, options={**scene.options, "exports": {"points": None}})
    work(render_camera, "render", scene, folder, "none", "cam00", variant="none", camera="cam00")
    work(render_path, "render_path", scene, folder, "none", "tour", variant="none", path="tour")
    # Colours and depths that a model without training does not have.
    for name in ("renders/cam00", "paths/tour"):
        generator = np.random.default_rng(0)
        rgb, depth = (np.load(folder / f"none/{name}/{part}.npy", mmap_mode="r+") for part in ("rgb", "depth"))
        rgb[:] = generator.integers(0, 256, rgb.shape)
        depth[:] = generator.uniform(2, 8, depth.shape)
        depth[:, :2] = Space.load(folder / "space.json").far  # the sky
    return scene, folder


def files(folder: Path, source: str) -> dict[str, Path]:
    """What an export reads; ``source`` as "renders/cam00"."""
    results = Results(folder)
    return {
        "renders": folder / "none" / source,
        "cameras": results.cameras,
        "space": results.space,
        "capture": results.capture,
    }


def opened(place: tuple[Scene, Path], source: str) -> Source:
    scene, folder = place
    read = files(folder, source)
    return open_source(scene, read.pop("renders"), **read)


def exported(place: tuple[Scene, Path], source: str, kind: str) -> Path:
    scene, folder = place
    output = folder / f"none/exports/{source}/{kind}"
    export_renders(scene, kind, **files(folder, source), output=output)
    return output


def renders(place: tuple[Scene, Path], source: str) -> tuple[np.ndarray, np.ndarray]:
    rgb, depth = (np.load(place[1] / "none" / source / f"{name}.npy") for name in ("rgb", "depth"))
    return rgb, depth


@pytest.mark.parametrize("source", ["renders/cam00", "paths/tour"])
def test_png_holds_the_very_pixels(place, source: str):
    rgb, _ = renders(place, source)
    files = sorted(exported(place, source, "png").iterdir())
    assert [file.name for file in files] == [f"{k:05d}.png" for k in range(len(rgb))]
    for file, expected in zip(files, rgb, strict=True):
        assert (np.asarray(Image.open(file)) == expected).all()


def test_exr_holds_linear_light_as_half_floats_and_depth_as_floats(place):
    rgb, depth = renders(place, "paths/tour")
    files = sorted(exported(place, "paths/tour", "exr").iterdir())
    for index, file in enumerate(files):
        with OpenEXR.File(str(file), separate_channels=True) as opened:
            channels, header = dict(opened.channels()), dict(opened.header())
        assert set(channels) == {"R", "G", "B", "Z"}
        for k, name in enumerate("RGB"):
            pixels = channels[name].pixels
            assert pixels.dtype == np.float16
            value = rgb[index, ..., k] / 255
            linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
            assert np.abs(pixels - linear).max() < 5e-4
        assert channels["Z"].pixels.dtype == np.float32
        assert (channels["Z"].pixels == depth[index]).all()
        assert header["colorSpace"].startswith("linear, BT.709 primaries")
        assert header["chromaticities"][:2] == pytest.approx((0.64, 0.33))
    levels = images.linear_light()
    assert (levels[[0, 255]] == [0, 1]).all()
    assert (np.diff(levels) > 0).all(), "every level of the renders can be told again"


def test_depth_comes_back_from_exr_exactly_and_from_png_within_a_level(place):
    _, depth = renders(place, "renders/cam00")
    for index, file in enumerate(sorted(exported(place, "renders/cam00", "depth_exr").iterdir())):
        with OpenEXR.File(str(file), separate_channels=True) as opened:
            assert set(opened.channels()) == {"Z"}
            assert (opened.channels()["Z"].pixels == depth[index]).all()
    folder = exported(place, "renders/cam00", "depth_png")
    said = json.loads((folder / "depth.json").read_text())
    assert (said["near"], said["far"]) == (depth.min(), depth.max())
    files = sorted(folder.glob("*.png"))
    assert len(files) == len(depth)
    for file, expected in zip(files, depth, strict=True):
        levels = np.asarray(Image.open(file))
        assert levels.dtype == np.uint16
        assert np.abs(levels * said["units_per_level"] - expected).max() <= said["units_per_level"]
    assert max(np.asarray(Image.open(file)).max() for file in files) == 65535, "the whole range is used"


def read_ply(path: Path) -> np.ndarray:
    head, data = path.read_bytes().split(b"end_header\n", 1)
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    kinds = {"float": "<f4", "double": "<f8", "uchar": "u1"}
    rows = [line.split() for line in lines if line.startswith("property")]
    (count,) = (int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    found = np.frombuffer(data, np.dtype([(row[2], kinds[row[1]]) for row in rows]))
    assert len(found) == count
    return found


@pytest.mark.parametrize("source", ["renders/cam00", "paths/tour"])
def test_points_project_onto_their_own_pixels_with_their_colours_and_depths(place, source: str):
    rgb, depth = renders(place, source)
    cameras = opened(place, source).cameras
    for index, file in enumerate(sorted(exported(place, source, "ply").iterdir())):
        points = read_ply(file)
        uv, z = cameras[index].project(np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64))
        x, y = np.floor(uv).astype(int).T
        assert np.abs(uv - np.floor(uv) - 0.5).max() < 1e-3, "the centres of pixels"
        assert np.abs(z / depth[index, y, x] - 1).max() < 1e-5
        colours = np.stack([points[name] for name in ("red", "green", "blue")], axis=1)
        assert (colours == rgb[index, y, x]).all()
        seen = np.zeros(depth[index].shape, bool)
        seen[y, x] = True
        assert seen[2:].all()
        assert not seen[:2].any(), "the background has no points"


def test_far_from_the_origin_points_and_cameras_have_the_coordinates_of_the_poses(place, tmp_path):
    """At four thousand kilometres a float holds half a metre."""
    (scene, folder), offset = place, np.array([448262.0, 120.0, 4512345.0])
    replace(Space.load(folder / "space.json"), origin=offset.tolist()).save(tmp_path / "space.json")
    read = {**files(folder, "renders/cam00"), "space": tmp_path / "space.json"}
    for kind in ("ply", "cameras"):
        export_renders(scene, kind, **read, output=tmp_path / kind)
    near = read_ply(exported(place, "renders/cam00", "ply") / "00002.ply")
    far = read_ply(tmp_path / "ply/00002.ply")
    for index, axis in enumerate("xyz"):
        assert far[axis].dtype == "f8"
        np.testing.assert_allclose(far[axis] - offset[index], near[axis], rtol=0, atol=1e-5)
    matrices = [
        np.array(json.loads((where / "transforms.json").read_text())["frames"][0]["transform_matrix"])
        for where in (tmp_path / "cameras", exported(place, "renders/cam00", "cameras"))
    ]
    np.testing.assert_allclose(matrices[0][:3, 3] - offset, matrices[1][:3, 3], rtol=0, atol=1e-8)


def test_point_clouds_can_be_thinned_out(place):
    scene, folder = place
    scene = replace(scene, options={**scene.options, "exports": {"points": 20}})
    export_renders(scene, "ply", **files(folder, "renders/cam00"), output=folder / "thin")
    whole = read_ply(exported(place, "renders/cam00", "ply") / "00002.ply")
    thin = read_ply(folder / "thin/00002.ply")
    assert len(thin) == 20
    assert set(thin.tolist()) <= set(whole.tolist())


def test_the_far_end_of_a_ray_is_where_rendering_has_it():
    for kind in ("bounded", "unbounded"):
        space = choose_space(INWARD, [(2.0, 6.0)] * len(INWARD), kind)
        where = SpaceMap(space)
        camera = INWARD[2].resized(16, 12)
        uv = pixel_grid(camera)
        _, far = where.depth_range(*CameraBatch([camera]).rays(np.zeros(len(uv)), uv))
        near = where.depth_range(*CameraBatch([camera]).rays(np.zeros(len(uv)), uv))[0]
        hit = (far > 1.001 * near).numpy()
        assert hit.any()
        assert far_depth(camera, space)[hit] == pytest.approx(far.numpy()[hit], rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "pixels", "profile"), [("mp4", "yuv420p", "High"), ("mp4_10bit", "yuv420p10le", "High 10")]
)
def test_a_video_has_its_frames_size_speed_pixel_format_and_colours(place, kind: str, pixels: str, profile: str):
    file = exported(place, "paths/tour", kind) / "tour.mp4"
    with av.open(str(file)) as opened:
        stream = opened.streams.video[0]
        frames = list(opened.decode(stream))
        context = stream.codec_context
        assert context.name == "h264"
        assert context.profile == profile
        assert {frame.format.name for frame in frames} == {pixels}
        assert len(frames) == 3
        assert (context.width, context.height) == (32, 24), "an odd width is made even"
        assert stream.average_rate == 10
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)


@pytest.mark.parametrize("bits", [8, 10])
def test_colours_come_back_from_a_video(tmp_path: Path, bits: int):
    """Patches of plain colours, which no chroma subsampling changes; 10 bits round off less."""
    levels = np.random.default_rng(1).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    picture = levels.repeat(16, axis=0).repeat(16, axis=1)
    write_video([picture] * 4, tmp_path / "a.mp4", 10, bits)
    with av.open(str(tmp_path / "a.mp4")) as opened:
        frame = next(opened.decode(video=0))
    y, u, v = (plane_of(frame, k).astype(float) / 2 ** (bits - 8) for k in range(3))
    y, u, v = (y[8::16, 8::16] - 16) / 219, (u[4::8, 4::8] - 128) / 224, (v[4::8, 4::8] - 128) / 224
    red, blue = y + 1.5748 * v, y + 1.8556 * u  # BT.709
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    off = np.abs(np.stack([red, green, blue], axis=-1) * 255 - levels)
    assert off.max() < (4 if bits == 8 else 3)
    assert off.mean() < (1.2 if bits == 8 else 0.6)


def plane_of(frame: av.VideoFrame, index: int) -> np.ndarray:
    plane = frame.planes[index]
    kind = np.uint16 if frame.format.name.endswith("10le") else np.uint8
    rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
    return rows[:, : plane.width]


def test_cameras_of_a_path_are_read_by_nerfstudios_readers(place):
    folder = exported(place, "paths/tour", "cameras")
    source = opened(place, "paths/tour")
    posed = read_transforms(folder / "transforms.json")
    assert [name for name, _ in posed] == [f"../png/{k:05d}.png" for k in range(3)]
    for (_, found), camera in zip(posed, source.cameras, strict=True):
        assert np.abs(found.c2w - camera.c2w).max() < 1e-12
        assert found.lens.focal == (camera.fx, camera.fy)
        assert found.lens.principal_point == (camera.cx, camera.cy)
    cameras, times, fps = read_camera_path(folder / "camera_path.json")
    assert fps == 10
    assert times.tolist() == source.times.tolist()
    assert np.abs(cameras[1].c2w - source.cameras[1].c2w).max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_renders_give_the_same_bytes(place, kind: str):
    first = {p.name: p.read_bytes() for p in exported(place, "paths/tour", kind).iterdir()}
    assert {p.name: p.read_bytes() for p in exported(place, "paths/tour", kind).iterdir()} == first


# Mistakes


def test_mistakes_are_told(place, tmp_path: Path):
    scene, folder = place
    with pytest.raises(UserError, match='no export of the kind "pngg"; did you mean "png"'):
        export_renders(scene, "pngg", **files(folder, "renders/cam00"), output=tmp_path / "a")
    with pytest.raises(UserError, match="file not found"):
        export_renders(scene, "png", **files(folder, "renders/cam01"), output=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_an_export_that_fails_leaves_what_was_there(place, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/old").touch()

    def fail() -> None:
        with atomic_folder(tmp_path / "a") as made:
            (made / "new").touch()
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="no space left on the device"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["old"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("kind", ["exr", "depth_exr", "png", "depth_png", "ply"])
def test_a_full_disk_is_told(place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    @contextlib.contextmanager
    def full(path: Path) -> Iterator[Path]:
        (path / f"00003.{kind.split('_')[-1]}").symlink_to("/dev/full")
        with disk_errors(path):
            yield path

    monkeypatch.setattr("mixdepth.exports.tasks.atomic_folder", full)
    with pytest.raises(UserError, match="no space left on the device"):
        export_renders(place[0], kind, **files(place[1], "renders/cam00"), output=tmp_path)


def test_memory_does_not_grow_with_the_number_of_frames(place, tmp_path: Path):
    """Every writer takes frame after frame: none asks for the whole array."""
    scene, folder = place
    source = opened(place, "renders/cam00")

    class Frames:
        """Frames of an array that can only be had one at a time."""

        def __init__(self, array: np.ndarray):
            self.array, self.shape = array, array.shape

        def __len__(self) -> int:
            return len(self.array)

        def __iter__(self):
            return iter(self.array)

    lone = replace(source, rgb=Frames(source.rgb), depth=Frames(source.depth))
    for kind in KINDS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mixdepth.exports.tasks.open_source", lambda *_, **__: lone)
            export_renders(scene, kind, **files(folder, "renders/cam00"), output=tmp_path / kind)
        assert list((tmp_path / kind).iterdir())
