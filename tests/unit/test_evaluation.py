"""metrics.json: its keys, pooling over cameras by hand, null where nothing counts, and the truth's fit."""

import json
import math
import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.stages import work
from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.lens import Lens, save_lenses
from mixdepth.errors import UserError
from mixdepth.evaluation.tasks import evaluate_static, evaluate_variant
from mixdepth.evaluation.truth import nearest_pixels
from mixdepth.fields.storage import save_model
from mixdepth.files.certificate import certify
from mixdepth.scene.scene import Scene

H, W, T = 8, 10, 3
CAMERAS = ("cam00", "cam01", "cam02", "cam03")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Four cameras, of which cam00 and cam01 are held out; frames 1, 3 and 5 of the videos; a truth twice as large."""
    c2w = {name: np.eye(4) for name in CAMERAS}
    for name, centre in zip(CAMERAS, [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], strict=True):
        c2w[name][:3, 3] = centre
    folder = tmp_path / "results"
    save_cameras(folder / "cameras.json", {name: Camera(W, H, 9, 9, 5, 4, pose) for name, pose in c2w.items()})
    lens = Lens("PINHOLE", W, H, (9.0, 9.0, 5.0, 4.0))
    save_lenses(folder / "lenses.json", {"cameras": dict.fromkeys(CAMERAS, lens), "photos": dict.fromkeys("ab", lens)})
    for index, name in enumerate(("cam00", "cam01")):
        store, renders = folder / "frames" / name, folder / "none" / "renders" / name
        store.mkdir(parents=True)
        renders.mkdir(parents=True)
        truth = np.full((T, H, W, 3), 100, np.uint8)
        std = np.zeros((H, W), np.float32)
        std[:, : W // 2] = 0.03
        np.save(store / "rgb.npy", truth)
        np.save(store / "median.npy", truth[0])
        np.save(store / "std.npy", std)
        rgb = truth.copy()
        rgb[:, :, : W // 2] += 51
        np.save(renders / "rgb.npy", rgb)
        np.save(renders / "depth.npy", np.full((T, H, W), 2 + index, np.float32))
    for name, level in (("cam02", 110), ("cam03", 120)):
        (folder / "frames" / name).mkdir()
        np.save(folder / "frames" / name / "rgb.npy", np.full((T, H, W, 3), level, np.uint8))
    pose = np.stack(list(c2w.values()))
    pose[:, :3, 3] *= 2
    moving = np.zeros((4, 6, H, W), bool)
    moving[:, 1::2, 0] = True
    depth = np.full((4, 6, H, W), 5, np.float16)
    depth[:, ::2] = 1000  # frames that are not chosen
    still = np.full((4, H, W), 4, np.float32)
    np.savez(tmp_path / "truth.npz", depth=depth, moving=moving, c2w_opencv=pose, static_depth=still)
    return Scene(
        name="tiny",
        data=tmp_path,
        cameras=dict.fromkeys(CAMERAS, "x"),
        photos={},
        train_cameras=["cam02", "cam03"],
        test_cameras=["cam00", "cam01"],
        train_photos=[],
        test_photos=[],
        variants=["none"],
        video_variant="none",
        video_camera="cam00",
        options={
            "truth": None,
            "frames": {"start": 1, "count": T, "step": 2},
            "poses": {"source": "colmap"},
            "lpips": {"alex": None, "vgg": None},
        },
    )


def with_truth(scene: Scene) -> Scene:
    return replace(scene, options={**scene.options, "truth": "truth.npz"})


def evaluated(scene: Scene) -> dict:
    folder = scene.data / "results"
    work(evaluate_variant, "evaluate", scene, folder, "none", variant="none")
    return json.loads((folder / "none" / "metrics.json").read_text())


def test_pools_two_cameras_by_squared_error(scene: Scene):
    found = evaluated(scene)
    # Both are off by 51 levels, 0.2, in the left half, which moves.
    assert found["psnr_moving"] == pytest.approx(-20 * math.log10(0.2))
    assert found["psnr"] == pytest.approx(-10 * math.log10(0.04 / 2))
    assert found["psnr_still"] == 100.0
    assert found["cameras"]["cam00"]["psnr"] == pytest.approx(found["psnr"])
    renders = scene.data / "results" / "none" / "renders" / "cam01"
    np.save(renders / "rgb.npy", np.full((T, H, W, 3), 100, np.uint8))
    found = evaluated(scene)
    assert found["cameras"]["cam01"]["psnr"] == 100.0
    assert found["psnr"] == pytest.approx(-10 * math.log10(0.04 / 4))  # not the mean of the two
    ssims = [found["cameras"][name]["ssim"] for name in ("cam00", "cam01")]
    assert found["ssim"] == pytest.approx(np.mean(ssims))


def test_keys_and_settings(scene: Scene):
    found = evaluated(with_truth(scene))
    keys = ["psnr", "psnr_moving", "psnr_still", "psnr_affine", "ssim", "ssim_moving", "ssim_still", "ms_ssim"]
    keys += ["dssim_1", "dssim_2", "flip", "flip_moving", "flip_still", "lpips_alex", "lpips_vgg", "flicker"]
    keys += [
        "depth",
        "depth_moving",
        "depth_still",
        "depth_points",
        "depth_consistency",
        "trivial",
        "change",
        "reasons",
    ]
    assert list(found) == [*keys, "cameras", "settings"]
    assert list(found["cameras"]["cam01"]) == [*keys, "frames"]
    for key in ("depth", "depth_moving", "depth_still"):
        assert list(found[key]) == ["median", "mae", "abs_rel", "rmse", "within_5_percent"]
    frames = found["cameras"]["cam01"]["frames"]
    assert list(frames) == ["psnr", "ssim", "flip", "depth_median"]
    assert {len(values) for values in frames.values()} == {T}
    settings = found["settings"]
    assert settings["variant"] == "none"
    assert settings["test_cameras"] == ["cam00", "cam01"]
    assert settings["train_cameras"] == ["cam02", "cam03"]
    assert settings["frames"] == {"start": 1, "count": 3, "step": 2}
    assert settings["resolution"] == {"cam00": [W, H], "cam01": [W, H]}
    assert settings["neighbours"]["cam00"] == ["cam01", "cam02"]
    assert settings["hull"] is None
    assert settings["options"]["truth"] == "truth.npz"
    definitions = settings["metrics"]
    parts = ("_moving", "_still", "_alex", "_vgg")
    assert {re.sub("|".join(parts), "", key) for key in keys[:-1]} == set(definitions) - {"moving, still"}


def test_a_model_is_not_scored_on_a_camera_that_it_has_learnt_from_and_its_own_settings_are_recorded(
    scene: Scene,
) -> None:
    """The roles of the moment may be others than those of the training: a file that came and went in between."""
    folder = scene.data / "results"
    model = folder / "none" / "model.safetensors"
    save_model(model, {"cameras": ["cam01", "cam02"]})
    with pytest.raises(UserError, match=r"model\.safetensors: it was trained on cam01, which is held out now"):
        work(evaluate_variant, "evaluate", scene, folder, "none", variant="none")
    model.unlink()
    model.write_bytes(b"whatever is no model")
    made = {"stage": "train_dynamic", "version": 1, "mixdepth": "0", "sources": {}, "inputs": {}}
    certify([model], {**made, "settings": {"dynamic": {"steps": 7}}, "roles": {"train_cameras": ["cam03"]}})
    work(evaluate_variant, "evaluate", scene, folder, "none", variant="none")
    settings = json.loads((folder / "none/metrics.json").read_text())["settings"]
    assert settings["train_cameras"] == ["cam03"]
    assert settings["options"]["dynamic"] == {"steps": 7}
    assert settings["options"]["frames"] == scene.options["frames"]


def test_a_model_that_is_worse_than_trivial_pictures_is_told_and_a_good_one_is_not(
    scene: Scene, capsys: pytest.CaptureFixture[str]
):
    found = evaluated(scene)
    # The videos are 100 all over, the training cameras' 110 and 120; the renders are off by 51 in one half.
    assert found["trivial"]["median"] == found["trivial"]["constant"] == {
        "psnr": 100.0, "psnr_moving": 100.0, "psnr_still": 100.0
    }  # fmt: skip
    assert found["settings"]["nearest"] == {"cam00": "cam02", "cam01": "cam02"}
    assert found["trivial"]["nearest"]["psnr"] == pytest.approx(-20 * math.log10(10 / 255))
    assert found["cameras"]["cam01"]["trivial"] == found["trivial"]
    said = capsys.readouterr().err
    assert "warning: tiny: none is worse than a picture that no model made: in all 16.99 dB against 100.00 dB" in said
    assert "a plain background (100 % of cam00's median has the colour 100, 100, 100)" in said
    for name in ("cam00", "cam01"):
        np.save(scene.data / "results/none/renders" / name / "rgb.npy", np.full((T, H, W, 3), 100, np.uint8))
    evaluated(scene)
    assert "warning" not in capsys.readouterr().err


def test_every_null_has_its_reason(scene: Scene):
    for chosen in (scene, with_truth(scene)):
        found = evaluated(chosen)
        for scores in (found, *found["cameras"].values()):
            nulls = {key for key, value in scores.items() if value is None}
            assert set(scores["reasons"]) == nulls
    assert found["reasons"]["ms_ssim"] == "needs at least 176 pixels in width and height; the picture has 10x8"
    assert found["reasons"]["lpips_vgg"] == "no weights given (lpips.vgg in the configuration)"
    assert "held_out_depth/cam00.npz is not there" in found["cameras"]["cam00"]["reasons"]["depth_points"]
    assert found["reasons"]["depth_consistency"] == "there is no model to render neighbours with"


def test_the_parts_of_depth_make_up_the_whole(scene: Scene):
    found = evaluated(with_truth(scene))
    share = 1 / H  # the first row moves
    for key in ("mae", "within_5_percent"):
        whole = share * found["depth_moving"][key] + (1 - share) * found["depth_still"][key]
        assert found["depth"][key] == pytest.approx(whole)


def test_depth_by_frame_is_the_frame_s_own(scene: Scene):
    renders = scene.data / "results" / "none" / "renders" / "cam00"
    depth = np.load(renders / "depth.npy")
    depth[1] = 2.5  # twice that is the truth's 5
    np.save(renders / "depth.npy", depth)
    found = evaluated(with_truth(scene))["cameras"]["cam00"]["frames"]["depth_median"]
    assert found == pytest.approx([1, 0, 1])


def test_depth_is_null_without_truth_and_scaled_with_one(scene: Scene):
    found = evaluated(scene)
    assert found["depth"] is None
    assert found["depth_moving"] is None
    found = evaluated(with_truth(scene))
    # The truth's world is twice ours: depths 2 and 3 are 4 and 6, the truth is 5 in the chosen frames.
    assert found["settings"]["depth_scale"] == pytest.approx(2.0)
    assert found["depth"]["mae"] == pytest.approx(1.0)
    assert found["depth"]["abs_rel"] == pytest.approx(0.2)
    # Only the first row moves, and half of it is off.
    assert found["psnr_moving"] == pytest.approx(-10 * math.log10(0.04 / 2))


def test_a_mask_without_pixels_is_null(scene: Scene):
    store = scene.data / "results" / "frames"
    for name in scene.test_cameras:
        np.save(store / name / "std.npy", np.zeros((H, W), np.float32))
    found = evaluated(scene)
    assert found["psnr_moving"] is None
    assert found["psnr_still"] == found["psnr"]


def test_same_files_give_the_same_bytes(scene: Scene):
    path = scene.data / "results" / "none" / "metrics.json"
    evaluated(with_truth(scene))
    first = path.read_bytes()
    evaluated(with_truth(scene))
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": np.ones((3, 6, H, W)), "moving": np.ones((3, 6, H, W), bool)}, "3 cameras; the capture has 4"),
        ({"depth": np.ones((4, 4, H, W)), "moving": np.ones((4, 4, H, W), bool)}, "4 frames, 6 expected"),
        ({"depth": np.ones((4, 6, H, 2 * W)), "moving": np.ones((4, 6, H, 2 * W), bool)}, "20x8 pixels"),
        ({"moving": np.ones((4, 6, H, W + 1), bool)}, "but moving is"),
        ({"c2w_opencv": np.ones((4, 3))}, "c2w_opencv is of shape"),
    ],
    ids=["cameras", "frames", "shape", "moving", "poses"],
)
def test_a_truth_that_does_not_fit_is_refused(scene: Scene, change: dict, message: str):
    arrays = dict(np.load(scene.data / "truth.npz"))
    np.savez(scene.data / "truth.npz", **{**arrays, **change})
    with pytest.raises(UserError, match=message):
        evaluated(with_truth(scene))


def test_truth_of_another_size_is_sampled_at_pixel_centres():
    large = np.arange(12 * 16).reshape(12, 16)
    np.testing.assert_array_equal(large[nearest_pixels((12, 16), (3, 4), "x")], large[2::4, 2::4])
    np.testing.assert_array_equal(large[nearest_pixels((12, 16), (24, 32), "x")], large.repeat(2, 0).repeat(2, 1))


def test_static_scores_depth_against_the_still_truth(scene: Scene):
    folder = scene.data / "results"
    (folder / "static" / "depth").mkdir(parents=True)
    for name, z in (("cam02", 2.0), ("cam03", 2.2)):
        depth = np.full((H, W), z, np.float32)
        depth[0, 0] = np.nan
        np.savez(folder / "static" / "depth" / f"{name}.npz", depth=depth, confidence=np.ones((H, W), np.float32))
    work(evaluate_static, "static_metrics", with_truth(scene), folder)
    found = json.loads((folder / "static" / "metrics.json").read_text())
    assert found["cameras"]["cam02"]["depth"]["mae"] == pytest.approx(0.0, abs=1e-6)
    assert found["cameras"]["cam03"]["depth_relative_median"] == pytest.approx(0.1)
    assert found["depth"]["mae"] == pytest.approx(0.2)
    assert found["depth_known"] == pytest.approx(1 - 1 / (H * W))
    assert found["psnr"] is None
    work(evaluate_static, "static_metrics", scene, folder)
    found = json.loads((folder / "static" / "metrics.json").read_text())
    assert found["depth"] is None
    assert found["depth_relative_median"] is None


def test_static_scores_held_out_photos(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    folder = scene.data / "results"
    (folder / "static").mkdir()
    photos = {"a": np.full((H, W, 3), 50, np.uint8), "b": np.full((H, W, 3), 60, np.uint8)}
    np.savez(folder / "static" / "test_set.npz", **photos)
    fake = types.ModuleType("mixdepth.rendering.tasks")
    errors = {"a": 51, "b": 0}
    fake.render_photos = lambda scene, **files: {
        stem: (photos[stem] + np.uint8(errors[stem]), np.ones((H, W))) for stem in photos
    }
    monkeypatch.setitem(sys.modules, "mixdepth.rendering.tasks", fake)
    save_cameras(folder / "photos.json", dict.fromkeys("ab", Camera(W, H, 9, 9, 5, 4, np.eye(4))))
    only_photos = replace(
        scene, cameras={}, train_cameras=[], test_cameras=[], train_photos=["c"], test_photos=["a", "b"]
    )
    work(evaluate_static, "static_metrics", only_photos, folder)
    found = json.loads((folder / "static" / "metrics.json").read_text())
    assert found["photos"]["a"]["psnr"] == pytest.approx(-20 * math.log10(0.2))
    assert found["psnr"] == pytest.approx(-10 * math.log10(0.02))
    assert found["psnr_mean"] == pytest.approx((found["photos"]["a"]["psnr"] + 100) / 2)
    assert found["depth"] is None
