"""Pictures that no model made have the scores that one works out by hand; a model that is worse than them, or stands
still where the video moves, is told, and one that is not is not."""

import math
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.looking import look_at
from mixdepth.cameras.camera import Camera
from mixdepth.errors import UserError
from mixdepth.evaluation.colour import score_colour
from mixdepth.evaluation.shortcomings import shortcomings
from mixdepth.evaluation.trivial import Trivial, background, changes, nearest_camera, score_trivial
from mixdepth.evaluation.view import View
from mixdepth.frames.store import FrameStore, TemporalStd

H, W, T = 24, 32, 12
BLOCK = np.s_[4:10, 6:12]  # moves: 36 of 768 pixels
SHARE = 36 / 768


def video(textured: bool = True) -> np.ndarray:
    """A wall before which a block is at 60 and at 160 levels in turns, [T, H, W, 3] uint8."""
    wall = np.random.default_rng(0).integers(80, 140, (H, W, 3)) if textured else np.full((H, W, 3), 110)
    frames = np.tile(wall.astype(np.uint8), (T, 1, 1, 1))
    frames[::2, *BLOCK], frames[1::2, *BLOCK] = 60, 160
    return frames


def view(render: np.ndarray, truth: np.ndarray, **more: Any) -> View:
    """A held-out camera whose frames are ``truth``."""
    spread = TemporalStd(truth.shape[1:])
    for frame in truth:
        spread.add(frame)
    store = FrameStore(truth, np.median(truth, axis=0).astype(np.uint8), spread.value().mean(axis=-1))
    return View("cam00", render, np.ones(render.shape[:3], np.float32), store, None, range(len(truth)), 1.0, **more)


def scored(seen: View, nearest: np.ndarray, folder: Path) -> Trivial:
    np.save(folder / "rgb.npy", nearest)
    return score_trivial(seen, folder / "rgb.npy")


def decibels(*errors: tuple[float, float]) -> float:
    """PSNR of (share of the pixels, error in levels)."""
    return -10 * math.log10(sum(share * (error / 255) ** 2 for share, error in errors))


def metrics(seen: View, nearest: np.ndarray, folder: Path, **settings: Any) -> dict[str, Any]:
    """What metrics.json says of one camera."""
    colour = score_colour(seen.rgb, seen.store.rgb, seen.moving(), seen.valid, {}).summary()
    return {**colour, **scored(seen, nearest, folder).summary(), "cameras": {}, "settings": settings}


def told(found: dict[str, Any]) -> str:
    return "\n".join(f"{'serious' if one.serious else 'mild'}: {one.text}" for one in shortcomings("none", found))


def test_each_picture_has_the_score_worked_out_by_hand(tmp_path: Path) -> None:
    truth = video(textured=False)
    found = scored(view(truth, truth), truth + np.uint8(10), tmp_path).summary()["trivial"]
    # The block is 50 off its mean and its median, 110, which is the wall's colour too.
    assert found["constant"] == pytest.approx(
        {"psnr": decibels((SHARE, 50)), "psnr_moving": decibels((1, 50)), "psnr_still": 100.0}
    )
    assert found["median"] == found["constant"]
    assert found["nearest"] == pytest.approx(dict.fromkeys(("psnr", "psnr_moving", "psnr_still"), decibels((1, 10))))
    lighter = np.where(np.arange(W)[:, None] < W // 2, truth, truth + np.uint8(20))  # a wall of two colours, mean 120
    found = scored(view(lighter, lighter), truth, tmp_path).summary()["trivial"]
    assert found["constant"]["psnr_still"] == pytest.approx(decibels((1, 10)))
    assert found["median"]["psnr_still"] == 100.0
    right = 0.5 / (1 - SHARE)  # share of the right half in what stands still
    assert found["nearest"]["psnr_still"] == pytest.approx(decibels((right, 20)))


def test_a_nearest_camera_of_another_size_is_resized(tmp_path: Path) -> None:
    truth = video()
    large = truth.repeat(2, axis=1).repeat(2, axis=2)
    found = scored(view(truth, truth), large, tmp_path).summary()["trivial"]["nearest"]
    assert found == dict.fromkeys(("psnr", "psnr_moving", "psnr_still"), 100.0)
    with pytest.raises(UserError, match="expected 12 frames"):
        scored(view(truth, truth), truth[1:], tmp_path)


def test_what_has_no_source_counts_nowhere(tmp_path: Path) -> None:
    truth = video(textured=False)
    valid = np.ones((H, W), bool)
    valid[:, 20:] = False
    spoilt = np.where(valid[..., None], truth, np.uint8(255))
    found = scored(view(truth, spoilt, valid=valid), truth, tmp_path).summary()["trivial"]
    assert found["constant"]["psnr"] == pytest.approx(decibels((36 / valid.sum(), 50)))
    assert found["nearest"]["psnr"] == 100.0
    assert background(view(truth, spoilt, valid=valid)) == {"colour": [110, 110, 110], "share": 1.0}


def test_cameras_are_pooled_over_their_pixels(tmp_path: Path) -> None:
    truth = video(textured=False)
    parts = [scored(view(truth, truth), truth + np.uint8(error), tmp_path) for error in (10, 20)]
    found = reduce(add, parts).summary()
    assert found["trivial"]["nearest"]["psnr"] == pytest.approx(decibels((0.5, 10), (0.5, 20)))
    assert found["change"] == parts[0].summary()["change"]


def test_the_nearest_camera_looks_the_same_way_where_one_does() -> None:
    def camera(x: float, z: float = 0.0, at: tuple[float, ...] = (0, 0, 4)) -> Camera:
        return look_at([x, 0, z], list(at), width=24, height=16, focal=24.0)

    ahead = camera(1, at=(1, 0, 4))  # its direction is the very same
    rig = {"own": camera(0), "far": ahead, "near": camera(0.5), "back": camera(0.1, 0, at=(0, 0, -9))}
    assert nearest_camera("own", rig, ["far", "near", "back"]) == "near"
    assert nearest_camera("own", rig, ["far", "back", "not placed"]) == "far"
    ring = {"own": camera(0), "side": camera(4, 4.1), "opposite": camera(0.1, 8)}
    assert nearest_camera("own", ring, ["opposite", "side"]) == "side", "none looks the same way: the least different"


def test_change_is_the_deviation_where_the_video_moves() -> None:
    truth = video()
    assert {name: mean.value for name, mean in changes(view(truth, truth)).items()} == pytest.approx(
        {"render": 50 / 255, "video": 50 / 255}, abs=1e-4
    )
    still = np.tile(truth[:1], (T, 1, 1, 1))
    assert changes(view(still, truth))["render"].value == 0
    assert changes(view(truth, still))["video"].value is None, "nothing moves"
    there = np.ones((H, W), bool)
    there[4:7] = False
    assert changes(view(truth, truth, valid=there))["video"].count == 18, "half of the block shows nothing"
    half = still.copy()
    half[::2, *BLOCK], half[1::2, *BLOCK] = 85, 135
    assert changes(view(half, truth))["render"].value == pytest.approx(25 / 255, abs=1e-4)


def disturbed(how: str) -> np.ndarray:
    truth = video().astype(np.float64)
    if how == "black frame":
        truth[5] = 0
    if how == "flicker":
        truth *= np.where(np.arange(T) % 3 == 0, 0.8, 1.0)[:, None, None, None]
    if how == "grain":
        truth += np.random.default_rng(1).normal(0, 10, truth.shape)
    return truth.round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("how", ["black frame", "flicker", "grain"])
def test_light_and_noise_do_not_pass_for_motion(how: str) -> None:
    truth, calm = disturbed(how), video()
    found = changes(view(calm, truth))
    assert found["video"].value == pytest.approx(50 / 255, rel=0.15)
    assert found["video"].count == pytest.approx(36, abs=8), "the block alone moves"
    assert found["render"].value > 0.8 * found["video"].value


def test_a_render_that_flickers_and_else_stands_still_does_not_move() -> None:
    still = np.tile(video()[:1], (T, 1, 1, 1))
    lamp = np.where(np.arange(T) % 3 == 0, 0.8, 1.0)[:, None, None, None]
    assert changes(view((still * lamp).round().astype(np.uint8), video()))["render"].value < 0.005


def test_noise_is_taken_out_of_the_video_s_change() -> None:
    calm = video(textured=False)
    calm[::2, *BLOCK], calm[1::2, *BLOCK] = 95, 125
    noisy = (calm + np.random.default_rng(2).normal(0, 12, calm.shape)).round().astype(np.uint8)
    found = changes(view(calm, noisy))["video"]
    assert found.value == pytest.approx(15 / 255, rel=0.12)
    assert np.hypot(15, 12) > 1.25 * 15, "what it would be with the noise"


def test_a_model_that_is_worse_than_the_camera_s_median_is_told(tmp_path: Path) -> None:
    truth = video()
    # A grey cloud before everything, that does not move.
    cloud = np.full_like(truth, 30)
    said = told(metrics(view(cloud, truth), truth[::-1], tmp_path))
    assert "serious: none is worse than a picture that no model made: in all" in said
    assert f"{decibels((1, 50)):.2f} dB of the held-out camera's own median" in said
    assert "on what moves" in said
    assert "none hardly changes where the video does: its temporal standard deviation there is 0.000" in said
    assert "the video's 0.196" in said


def test_a_model_that_moves_well_is_not_told(tmp_path: Path) -> None:
    truth = video()
    noisy = (truth + np.random.default_rng(0).integers(-3, 4, truth.shape)).astype(np.uint8)
    found = metrics(view(noisy, truth), truth[::-1], tmp_path)
    assert found["psnr_moving"] > 30
    # The video has no noise, so that its own median is perfect where nothing moves; that alone is nothing serious.
    assert "serious" not in told(found)
    found["trivial"]["median"]["psnr"] = found["psnr"] - 1
    assert told(found) == ""


def test_less_sharp_than_the_own_median_where_nothing_moves_is_no_more_than_that() -> None:
    found = {"psnr": 31.0, "psnr_moving": 27.0, "cameras": {}, "settings": {}}
    found["trivial"] = {"median": {"psnr": 35.123, "psnr_moving": 15.0}, "nearest": {"psnr": 20.0, "psnr_moving": None}}
    (one,) = shortcomings("colmap", found)
    assert not one.serious
    assert "less sharp where nothing moves" in one.text
    assert "in all 31.00 dB against 35.12 dB" in one.text
    found["trivial"]["nearest"]["psnr"] = 31.5
    (one,) = shortcomings("colmap", found)
    assert one.serious, "nor is the nearest camera's picture"


def test_equal_as_they_are_shown_is_not_worse() -> None:
    found = {"psnr": 20.001, "psnr_moving": None, "cameras": {}, "settings": {}}
    found["trivial"] = {"constant": {"psnr": 20.004, "psnr_moving": 3.0}}
    assert shortcomings("none", found) == []


def test_a_single_camera_is_told_where_all_together_are_in_order() -> None:
    bad = {"psnr": 10.0, "psnr_moving": 10.0, "trivial": {"constant": {"psnr": 12.0, "psnr_moving": 9.0}}}
    good = {**bad, "psnr": 30.0}
    found = {**good, "cameras": {"cam00": good, "cam01": bad}, "settings": {}}
    (one,) = shortcomings("none", found)
    assert one.text.startswith("On cam01 alone none is worse")
    assert "in all 10.00 dB against 12.00 dB of one colour all over" in one.text
    dull = {**good, "trivial": {"median": {"psnr": 31.0, "psnr_moving": 9.0}}}
    assert shortcomings("none", {**good, "cameras": {"cam00": dull}, "settings": {}}) == []


def test_scores_of_earlier_versions_say_nothing() -> None:
    assert shortcomings("none", {"psnr": 3.0, "psnr_moving": None, "cameras": {"cam00": {"psnr": 3.0}}}) == []


HULL = {"moving_share": {"a": 0.2, "b": 0.1}, "explained": {"a": 0.9, "b": 0.9}}


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, "none shows in the files"),
        ({"hull": HULL}, "none shows in the files"),
        ({"hull": {**HULL, "moving_share": {"a": 0.0, "b": 0.0}}}, "nothing counts as moving in the training cameras"),
        ({"hull": {**HULL, "explained": {"a": 0.0, "b": 0.0}}}, "the motion hull is empty"),
        # (0.2 * 0.1 + 0.1 * 0.4) / 0.3
        (
            {"hull": {**HULL, "explained": {"a": 0.1, "b": 0.4}}},
            "explains 20 % of the pixels that move (a 10 %, b 40 %)",
        ),
        ({"hull": {"moving_share": {"a": 0.2, "b": 0.0}, "explained": {"a": 0.3, "b": None}}}, "explains 30 %"),
        (
            {"background": {"cam00": {"colour": [2, 3, 2], "share": 0.93}}},
            "93 % of cam00's median has the colour 2, 3, 2",
        ),
        ({"training_psnr": 11.42}, "not even the training cameras' pictures are reproduced (11.4 dB on what moves)"),
        ({"training_psnr": 25.0}, "none shows in the files"),
        ({"background": {"cam00": {"colour": [2, 3, 2], "share": 0.4}}}, "none shows in the files"),
    ],
)
def test_the_likely_reason_is_told(settings: dict[str, Any], wanted: str) -> None:
    found = {"psnr": 10.0, "psnr_moving": None, "cameras": {}, "settings": settings}
    found["trivial"] = {"constant": {"psnr": 12.0, "psnr_moving": None}}
    (one,) = shortcomings("none", found)
    assert "Likely reason: " in one.text
    assert wanted in one.text


def test_another_exposure_is_a_likely_reason() -> None:
    found = {"psnr": 10.0, "psnr_affine": 16.0, "psnr_moving": None, "cameras": {}, "settings": {}}
    found["trivial"] = {"constant": {"psnr": 12.0, "psnr_moving": None}}
    assert "a colour fit gains 6.0 dB" in shortcomings("none", found)[0].text


def test_a_black_background_is_known_by_its_median() -> None:
    truth = video(textured=False)
    dark = truth - np.uint8(108)
    dark[:, *BLOCK] = truth[:, *BLOCK]
    found = background(view(dark, dark))
    assert found["colour"] == [2, 2, 2]
    assert found["share"] == pytest.approx(1 - SHARE)
    assert background(replace(view(dark, dark), valid=np.zeros((H, W), bool)))["share"] == 0
