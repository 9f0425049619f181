"""Pixels of undistorted images that have no source count nowhere: whatever stands there, results are the same."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.stages import work
from helpers.training import CAMERAS, DYNAMIC, QUIET, SPACE, STATIC, blinking, plane_depth
from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.lens import Lens, save_lenses
from mixdepth.cameras.space import choose_space
from mixdepth.errors import UserError
from mixdepth.evaluation.colour import score_colour
from mixdepth.evaluation.pictures import ssim
from mixdepth.evaluation.tasks import evaluate_variant
from mixdepth.files.io import read_json, read_npz, write_npz
from mixdepth.frames.masks import load_masks
from mixdepth.frames.motion import find_motion
from mixdepth.frames.tasks import motion, movement
from mixdepth.rendering.static_view import StaticView
from mixdepth.results import Store
from mixdepth.scene.scene import Scene
from mixdepth.train.agreement import confidence
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import MovingPixels, train_dynamic_field
from mixdepth.train.static import train_static_field
from mixdepth.train.tasks import extract_depth, train_dynamic, train_static
from mixdepth.train.video import Video

H, W = 16, 24
MASK = np.ones((H, W), bool)
MASK[:, :5] = False
MASKS = [MASK, None, MASK]
PINCUSHION = Lens("SIMPLE_RADIAL", W, H, (24.0, 12.0, 8.0, 0.5))
PLAIN = Lens("SIMPLE_PINHOLE", W, H, (24.0, 12.0, 8.0))


def spoilt(image: np.ndarray, mask: np.ndarray | None, value: float) -> np.ndarray:
    """``image`` [..., H, W(, 3)] with ``value`` where ``mask`` is false."""
    if mask is None:
        return image
    out = image.copy()
    where = (slice(None), ~mask) if image.ndim == 4 else ~mask
    out[where] = value
    return out


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_masks_are_the_lenses_doing_and_none_where_all_pixels_show_something(tmp_path, capsys):
    cameras = {name: Camera(W, H, 24.0, 24.0, 12.0, 8.0, np.eye(4)) for name in ("a", "b")}
    save_lenses(tmp_path / "lenses.json", {"cameras": {"a": PLAIN, "b": PINCUSHION}, "photos": {}})
    a, b = load_masks(tmp_path / "lenses.json", "cameras", cameras, ["a", "b"])
    assert a is None
    assert b.shape == (H, W)
    assert b[H // 2, W // 2]
    assert not b[0, 0]
    assert "b: " in capsys.readouterr().err


def test_without_masks_the_same_pixels_are_drawn_as_ever():
    data = ImageSet([v.plate for v in blinking()], CAMERAS, valid=[None] * 3)
    drawn = data.draw(50, torch.Generator().manual_seed(3))
    assert torch.equal(drawn, torch.randint(3 * H * W, (50,), generator=torch.Generator().manual_seed(3)))


def test_only_pixels_that_show_something_are_drawn():
    data = ImageSet([v.plate for v in blinking()], CAMERAS, valid=MASKS)
    drawn = data.draw(20000, torch.Generator().manual_seed(0)).unique()
    assert len(drawn) == H * W + 2 * MASK.sum()
    camera, uv = data.pixels(drawn)
    assert uv[camera != 1][:, 0].min() > 5
    assert uv[camera == 1][:, 0].min() < 1


def test_static_training_ignores_what_masked_pixels_show():
    depth = [(plane_depth(c), np.ones((H, W))) for c in CAMERAS]

    def trained(value: int, masks: list):
        images = [spoilt(v.plate, m, value) for v, m in zip(blinking(), MASKS, strict=True)]
        wrong = [(spoilt(d, m, 1 + value), c) for (d, c), m in zip(depth, MASKS, strict=True)]
        options = replace(STATIC, steps=20, tone=True, depth_weight=0.3)
        return train_static_field(ImageSet(images, CAMERAS, depth=wrong, valid=masks), None, SPACE, options, QUIET)

    assert same(trained(0, MASKS), trained(255, MASKS))
    assert not same(trained(0, [None] * 3), trained(255, [None] * 3))


def test_dynamic_training_ignores_what_masked_pixels_show():
    static = train_static_field(
        ImageSet([v.plate for v in blinking()], CAMERAS), None, SPACE, replace(STATIC, steps=20), QUIET
    )

    def trained(value: int, masks: list):
        videos = []
        for video, mask, used in zip(blinking(), MASKS, masks, strict=True):
            found = find_motion(video.rgb)
            parts, plate = spoilt(found.parts, mask, 0b111 if value else 0), spoilt(found.plate, mask, value)
            found = replace(found, parts=parts, plate=plate)
            videos.append(Video.of(video.camera, spoilt(video.rgb, mask, value), found, used))
        return train_dynamic_field(videos, static, SPACE, replace(DYNAMIC, steps=12), QUIET)

    assert same(trained(0, MASKS), trained(255, MASKS))
    assert not same(trained(0, [None] * 3), trained(255, [None] * 3))


def test_a_cameras_noise_is_that_of_the_pixels_that_show_something():
    """Black borders have no noise; were they counted, the noise of the rest would look like motion."""
    mask = np.arange(160) >= 64
    noise = np.random.default_rng(0).normal(0, 10, (12, 120, 160, 3))
    rgb = ((120 + noise).round() * mask[:, None]).astype(np.uint8)
    found = find_motion(rgb)
    assert found.noise == pytest.approx(10 / 255, rel=0.1)
    assert (found.parts > 0).mean() < 0.02


def test_a_camera_that_shows_nothing_has_no_say_in_the_hull_nor_in_confidence():
    everywhere = np.full((H, W), 0b11, np.uint32)
    videos = [
        Video.of(v.camera, v.rgb, replace(find_motion(v.rgb), parts=everywhere), m)
        for v, m in zip(blinking(), MASKS, strict=True)
    ]
    views = [StaticView(np.zeros((H, W, 3)), plane_depth(c).astype(np.float32), *np.ones((2, H, W))) for c in CAMERAS]
    pixels = MovingPixels(videos, [view.depth for view in views], np.arange(6))
    for mask, depth, moving in zip(MASKS, pixels.depths, pixels.during, strict=True):
        if mask is not None:
            assert (depth.numpy()[~mask] == 0).all(), "the hull sees only what lies in front of the static depth"
            assert not moving.numpy()[~mask].any()

    views = [replace(v, spread=np.zeros((H, W), np.float32)) for v in views]
    truth = [confidence(i, CAMERAS, views, MASKS) for i in range(3)]
    assert (truth[0][~MASK] == 0).all()
    wrong = [replace(v, depth=spoilt(v.depth, m, 9.0)) for v, m in zip(views, MASKS, strict=True)]
    np.testing.assert_array_equal(confidence(1, CAMERAS, wrong, MASKS), truth[1])
    assert (confidence(1, CAMERAS, wrong) < truth[1]).any()


def test_scores_count_pixels_that_show_something_only():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 200, (2, H, W, 3)).astype(np.uint8)
    render = np.clip(truth + rng.normal(0, 9, truth.shape), 0, 255).astype(np.uint8)
    moving = rng.random((2, H, W)) < 0.3
    scores = [
        score_colour(spoilt(render, MASK, value), truth, spoilt(moving[..., None], MASK, value)[..., 0], MASK).summary()
        for value in (0, 200)
    ]
    assert scores[0] == scores[1]
    inside = score_colour(render[:, :, 5:], truth[:, :, 5:], moving[:, :, 5:]).summary()
    assert scores[0] == pytest.approx(inside), "the same as scoring the valid part alone"
    assert ssim(render[0], truth[0], np.ones((H, W), bool)).value == pytest.approx(ssim(render[0], truth[0]).value)
    assert ssim(render[0], truth[0], np.zeros((H, W), bool)) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of a capture of four cameras, of which cam03 has no pose, and two photos, of which b has none."""
    names = ("cam00", "cam01", "cam02")
    save_cameras(tmp_path / "cameras.json", dict(zip(names, CAMERAS, strict=True)))
    save_cameras(tmp_path / "photos.json", {"a": CAMERAS[0]})
    save_lenses(
        tmp_path / "lenses.json",
        {"cameras": {name: PINCUSHION if name == "cam01" else PLAIN for name in names}, "photos": {"a": PINCUSHION}},
    )
    choose_space(CAMERAS, [(2.0, 7.0)] * 3).save(tmp_path / "space.json")
    for name, video in zip(names, blinking(), strict=True):
        (tmp_path / "frames" / name).mkdir(parents=True)
        np.save(tmp_path / "frames" / name / "rgb.npy", video.rgb)
        np.save(tmp_path / "frames" / name / "median.npy", video.plate)
        np.save(tmp_path / "frames" / name / "std.npy", video.rgb.std(axis=0).mean(-1).astype(np.float32) / 255)
        write_motion(tmp_path, name)
    empty = {"uv": np.zeros((0, 2)), "z": np.zeros(0), "sigma": np.zeros(0)}
    sparse = {"uv": np.array([[3.0, 4.0], [12.5, 8.5]]), "z": np.array([4.0, 4.0]), "sigma": np.array([0.1, 0.1])}
    for name in (*names, "cam03"):
        write_npz(tmp_path / "colmap_depth" / f"{name}.npz", empty if name == "cam03" else sparse)
    photos = {"names": np.array(["a", "b"]), "image": np.array([0, 0]), **sparse}
    write_npz(tmp_path / "colmap_depth" / "photos" / "points.npz", photos)
    write_npz(tmp_path / "static" / "set.npz", {name: blinking()[0].plate for name in ("a", "b")})
    return tmp_path


def write_motion(folder: Path, camera: str) -> None:
    """What the stage ``motion`` writes."""
    store = Store(folder / "frames" / camera)
    motion(scene(False), camera, rgb=store.rgb, output=store.motion, moving=store.moving)


def scene(photos: bool) -> Scene:
    cameras = ["cam00", "cam01", "cam02", "cam03"]
    section = {**asdict(replace(STATIC, steps=3, depth_weight=0.1))}
    more = {"static": section, "segment": None, "inherited_steps": 2, "inherited_rate": 0.3}
    dynamic = {**asdict(replace(DYNAMIC, steps=3)), **more}
    return Scene(
        name="tiny", data=Path(), cameras=dict.fromkeys(cameras, "x"), photos={"a": "a", "b": "b"} if photos else {},
        train_cameras=cameras, test_cameras=["cam01"], train_photos=["a", "b"] if photos else [], test_photos=[],
        variants=["none"], video_variant="none", video_camera="cam01",
        options={
            "static": section, "dynamic": dynamic, "truth": None, "frames": {"start": 0, "count": 6, "step": 1},
            "quality": "standard", "poses": {"source": "colmap"}, "lpips": {"alex": None, "vgg": None},
            "variant_options": {},
        },
    )  # fmt: skip


def test_images_without_a_pose_are_left_out_of_every_stage_and_named(folder, capsys):
    work(train_static, "train_static", scene(True), folder, folder / "runs/static", {})
    assert "photos without a pose, left out: b" in capsys.readouterr().err
    work(extract_depth, "static_depth", scene(True), folder)
    assert read_npz(folder / "static/depth/cam03.npz")["depth"].shape == (0, 0)
    trust = read_npz(folder / "static/depth/cam01.npz")["confidence"]
    mask = load_masks(folder / "lenses.json", "cameras", load_cameras(folder / "cameras.json"), ["cam01"])[0]
    assert (trust[~mask] == 0).all()
    work(movement, "movement", scene(True), folder)
    for variant in ("none", "colmap", "distilled", "inherited"):
        work(
            train_dynamic, "train_dynamic", scene(True), folder, variant, folder / "runs" / variant, {}, variant=variant
        )
        assert "cameras without a pose, left out: cam03" in capsys.readouterr().err
    save_cameras(folder / "photos.json", {})
    with pytest.raises(UserError, match="none of a, b has a pose"):
        work(train_static, "train_static", scene(True), folder, folder / "runs/static", {})


@pytest.mark.parametrize("variant", ["none", "inherited"])
def test_training_from_files_ignores_what_masked_pixels_show(folder, variant):
    work(train_static, "train_static", scene(True), folder, folder / "runs/static", {})
    work(extract_depth, "static_depth", scene(True), folder)
    models = []
    mask = load_masks(folder / "lenses.json", "cameras", load_cameras(folder / "cameras.json"), ["cam01"])[0]
    store = folder / "frames/cam01"
    for value in (0, 255):
        np.save(store / "rgb.npy", spoilt(np.load(store / "rgb.npy"), mask, value))
        write_motion(folder, "cam01")
        work(movement, "movement", scene(True), folder)
        work(
            train_dynamic, "train_dynamic", scene(True), folder, variant, folder / "runs" / variant, {}, variant=variant
        )
        models.append((folder / variant / "model.safetensors").read_bytes())
    assert models[0] == models[1]


def test_scores_from_files_ignore_what_masked_pixels_show(folder):
    renders, found = folder / "none/renders/cam01", []
    mask = load_masks(folder / "lenses.json", "cameras", load_cameras(folder / "cameras.json"), ["cam01"])[0]
    renders.mkdir(parents=True)
    rgb = np.load(folder / "frames/cam01/rgb.npy")
    np.save(renders / "depth.npy", np.ones(rgb.shape[:3], np.float32))
    for value in (0, 255):
        np.save(renders / "rgb.npy", spoilt(rgb, mask, value))
        work(evaluate_variant, "evaluate", scene(False), folder, "none", variant="none")
        found.append(read_json(folder / "none/metrics.json"))
    assert found[0] == found[1]
    assert found[0]["psnr"] == 100.0
