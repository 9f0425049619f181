"""Scores are what they say: worked out by hand, and the same as the reference script's."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.checkout import REPOSITORY
from mixdepth.evaluation.align import align, umeyama
from mixdepth.evaluation.colour import score_colour
from mixdepth.evaluation.depth import depth_errors, median, relative_median
from mixdepth.evaluation.metrics import AffineFit, SquaredError, psnr
from mixdepth.evaluation.pictures import ssim

SCORE = Path(os.environ.get("MIXDEPTH_CHECKS", REPOSITORY.parent / "shared" / "checks")) / "score.py"


def test_psnr_by_hand():
    assert psnr(0.04, 4) == pytest.approx(20.0)
    assert psnr(0.0, 4) == 100.0
    assert psnr(0.0, 0) is None


def test_squared_error_pools_by_adding():
    # One pixel off by 51 levels (0.2), three pixels exact: mean square 0.04 / 4 = 0.01.
    a, b = SquaredError(), SquaredError()
    a.add(np.full((1, 3), 51**2))
    b.add(np.zeros((3, 3), int))
    assert (a + b).psnr == pytest.approx(20.0)


def test_moving_and_still_pixels_are_scored_apart():
    truth = np.zeros((2, 2, 3), np.uint8)
    render = truth.copy()
    render[0, 0] = 51
    mask = np.array([[True, False], [False, False]])
    scores = score_colour([render], [truth], [mask]).summary()
    assert scores["psnr_moving"] == pytest.approx(-20 * math.log10(0.2))
    assert scores["psnr_still"] == 100.0
    assert scores["psnr"] == pytest.approx(20.0)
    assert scores["ssim"] is None  # smaller than the window
    assert score_colour([render], [truth], [np.zeros_like(mask)]).summary()["psnr_moving"] is None


def test_affine_fit_finds_gain_and_offset_and_what_remains():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, 1000).astype(np.uint8)
    fit = AffineFit()
    fit.add(x[:500], 2 * x[:500] + 10)
    fit.add(x[500:], 2 * x[500:] + 10)
    assert fit.solve() == pytest.approx((2.0, 10 / 255, 0.0))
    noisy = np.clip(2 * x.astype(int) + rng.integers(-20, 20, 1000), 0, 255).astype(np.uint8)
    fit = AffineFit()
    fit.add(x, noisy)
    gain, offset = np.polyfit(x / 255, noisy / 255, 1)
    remains = ((gain * x / 255 + offset - noisy / 255) ** 2).sum()
    assert fit.solve() == pytest.approx((gain, offset, remains))
    flat = AffineFit()
    flat.add(np.full(4, 7, np.uint8), np.array([1, 1, 3, 3], np.uint8))
    assert flat.solve() == pytest.approx((0.0, 2 / 255, 4 / 255**2))


def test_ssim_is_one_for_identical_images():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert ssim(image, image).value == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 1001])
def test_median_is_exact_over_blocks(count: int):
    values = np.random.default_rng(count).gamma(0.3, size=count).astype(np.float32)
    values[: count // 3] = 0
    assert median(lambda: np.array_split(values, 4)) == np.median(values.astype(np.float64))
    assert median(lambda: []) is None


def test_depth_errors_by_hand():
    z, truth = np.array([1.0, 2.2, 3.0, 9.0, 9.0]), np.array([1.04, 2.0, 4.0, np.nan, 0.0])
    found = depth_errors(lambda: [(z[:2], truth[:2]), (z[2:], truth[2:])])
    assert found == pytest.approx(
        {
            "median": 0.2,
            "mae": 1.24 / 3,
            "abs_rel": (0.04 / 1.04 + 0.1 + 0.25) / 3,
            "rmse": math.sqrt((0.04**2 + 0.2**2 + 1) / 3),
            "within_5_percent": 1 / 3,
        }
    )
    assert relative_median(lambda: [(z, truth)]) == pytest.approx(0.1)
    assert depth_errors(lambda: [(z[3:], truth[3:])]) is None


def test_scores_agree_with_the_reference_script(tmp_path: Path):
    if not SCORE.exists():
        pytest.skip(f"{SCORE} is not here")
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 256, (3, 20, 24, 3)).astype(np.uint8)
    rgb = np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    true_depth = rng.uniform(1, 5, (1, 3, 20, 24)).astype(np.float16)
    depth = (true_depth[0] * rng.uniform(0.9, 1.1, (3, 20, 24)) / 2).astype(np.float32)
    moving = rng.random((1, 3, 20, 24)) < 0.2
    np.savez(tmp_path / "truth.npz", depth=true_depth, moving=moving)
    np.save(tmp_path / "rgb.npy", rgb)
    np.save(tmp_path / "depth.npy", depth)
    (tmp_path / "frames").mkdir()
    for index, image in enumerate(truth):
        Image.fromarray(image).save(tmp_path / "frames" / f"{index:04d}.png")
    command = [sys.executable, SCORE, tmp_path, tmp_path / "truth.npz", "--frames-dir", tmp_path / "frames"]
    done = subprocess.run([*map(str, command), "--scale", "2"], capture_output=True, text=True, check=True)
    wanted = json.loads(done.stdout)

    found = score_colour(rgb, truth, moving[0]).summary()
    for key in ("psnr", "psnr_moving", "psnr_still", "ssim"):
        assert found[key] == pytest.approx(wanted[key], rel=1e-9), key
    pairs = [(depth[i] * 2.0, true_depth[0, i]) for i in range(3)]
    chosen = [(z[m], t[m]) for (z, t), m in zip(pairs, moving[0], strict=True)]
    for key, blocks in (("depth", pairs), ("depth_moving", chosen)):
        errors = depth_errors(lambda blocks=blocks: blocks)
        del errors["rmse"]  # the script has none
        assert errors == pytest.approx(wanted[key], rel=1e-6)


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.linalg.det(q)


def poses(centres: np.ndarray) -> np.ndarray:
    found = np.tile(np.eye(4), (len(centres), 1, 1))
    found[:, :3, :3] = [rotation(i) for i in range(len(centres))]
    found[:, :3, 3] = centres
    return found


def moved(c2w: np.ndarray, scale: float, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    found = c2w.copy()
    found[:, :3, :3] = turn @ c2w[:, :3, :3]
    found[:, :3, 3] = scale * c2w[:, :3, 3] @ turn.T + shift
    return found


@pytest.mark.parametrize(
    "centres",
    [
        np.random.default_rng(0).normal(size=(5, 3)),
        np.random.default_rng(1).normal(size=(6, 3)) * [1, 1, 0],  # in a plane
        np.arange(4)[:, None] * np.array([[1.0, 2.0, 3.0]]),  # on a line
        np.array([[0.0, 0, 0], [1, 1, 1]]),
    ],
    ids=["space", "plane", "line", "two"],
)
def test_similarity_recovers_a_known_transform(centres: np.ndarray):
    source, turn, shift = poses(centres), rotation(9), np.array([1.0, -2, 3])
    found = align(source, moved(source, 2.5, turn, shift))
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.rotation, turn, atol=1e-9)
    np.testing.assert_allclose(found.translation, shift, atol=1e-9)
    np.testing.assert_allclose(found.apply(centres), 2.5 * centres @ turn.T + shift, atol=1e-9)


def test_one_camera_gives_its_pose_and_no_scale():
    source = poses(np.array([[1.0, 2, 3]]))
    found = align(source, moved(source, 1.0, rotation(3), np.ones(3)))
    assert found.scale == 1.0
    np.testing.assert_allclose(found.rotation, rotation(3), atol=1e-9)


def test_umeyama_never_mirrors():
    points = np.random.default_rng(2).normal(size=(6, 3))
    found = umeyama(points, points * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)
