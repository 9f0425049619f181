"""Colour scores are those of the libraries that define them, on what they are said to be taken of."""

import flip_evaluator
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
)
from torchmetrics.functional.image import (
    peak_signal_noise_ratio as tm_psnr,
)

from mixdepth.evaluation import separable
from mixdepth.evaluation.colour import ColourScore, score_colour
from mixdepth.evaluation.pictures import MEASURES, flip, ms_ssim, ssim

CLOSE = 1e-4


def pictures(kind: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A render and its truth, [H, W, 3] uint8: noise; blocks of pure colours; smooth shades; or shaded surfaces with an
    edge, a texture and a shifted copy."""
    rng = np.random.default_rng(height)
    if kind == "noise":
        return tuple(rng.integers(0, 256, (2, height, width, 3)).astype(np.uint8))
    if kind == "pure":
        blocks = rng.integers(0, 2, (2, height // 9 + 1, width // 9 + 1, 3)).repeat(9, axis=1).repeat(9, axis=2)
        return tuple(blocks[:, :height, :width].astype(np.uint8) * 255)
    v, u = np.mgrid[:height, :width] / max(height, width)
    if kind == "smooth":
        shades = (np.stack([u * v, u, v * (1 - u)], axis=-1) ** power for power in (1.1, 1))
        return tuple((255 * shade).round().astype(np.uint8) for shade in shades)

    def drawn(shift: float) -> np.ndarray:
        shade = 0.3 + 0.4 * v + 0.1 * np.sin(40 * (u + shift)) * np.sin(30 * v)
        board = (abs(u + shift - 0.4) < 0.15) & (abs(v - 0.4) < 0.2)
        return np.stack([np.where(board, c, shade * (1 - 0.2 * i)) for i, c in enumerate((0.8, 0.2, 0.3))], axis=-1)

    render = drawn(0.004) * 0.97 + rng.normal(0, 0.01, (height, width, 3))
    return tuple((np.clip(image, 0, 1) * 255).round().astype(np.uint8) for image in (render, drawn(0)))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None]


def scored(render: np.ndarray, truth: np.ndarray, moving: np.ndarray | None = None, **more: object) -> ColourScore:
    mask = np.zeros(truth.shape[:2], bool) if moving is None else moving
    return score_colour([render], [truth], [mask], measures=MEASURES, **more)


@pytest.mark.parametrize("kind", ["noise", "surfaces", "smooth", "pure"])
@pytest.mark.parametrize("size", [(176, 180), (240, 320), (201, 333)], ids=lambda size: f"{size[1]}x{size[0]}")
def test_every_score_is_that_of_its_reference_library(kind: str, size: tuple[int, int]) -> None:
    render, truth = pictures(kind, *size)
    found = scored(render, truth).summary()
    one, two = render / 255.0, truth / 255.0
    similar = [structural_similarity(one, two, channel_axis=-1, data_range=r) for r in (1.0, 2.0)]
    expected = {
        "psnr": peak_signal_noise_ratio(two, one, data_range=1.0),
        "ssim": similar[0],
        "dssim_1": (1 - similar[0]) / 2,
        "dssim_2": (1 - similar[1]) / 2,
        "ms_ssim": float(multiscale_structural_similarity_index_measure(tensor(render), tensor(truth), data_range=1.0)),
        "flip": flip_evaluator.evaluate(two.astype(np.float32), one.astype(np.float32), "LDR")[1],
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=CLOSE)
    assert found["psnr"] == pytest.approx(float(tm_psnr(tensor(render), tensor(truth), data_range=1.0)), abs=CLOSE)
    assert abs(found["dssim_1"] - found["dssim_2"]) > 10 * CLOSE, "the two conventions differ"


@pytest.mark.parametrize("kind", ["noise", "surfaces", "smooth", "pure"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (20, 22), (7, 7), (64, 9), (71, 30), (135, 7)], ids=str)
def test_every_pixel_of_small_pictures_is_that_of_the_library(kind: str, size: tuple[int, int]) -> None:
    render, truth = pictures(kind, *size)
    one, two = tensor(render), tensor(truth)
    first, second = (np.ascontiguousarray(image[0].permute(1, 2, 0)) for image in (one, two))
    expected = flip_evaluator.evaluate(second, first, "LDR", applyMagma=False, computeMeanError=False)[0][..., 0]
    found = flip(render, truth)
    # Where colours all but agree, FLIP's powers make the last digits of single precision, theirs and ours, visible.
    np.testing.assert_allclose(found.map, expected, atol=10 * CLOSE)
    assert found.value == pytest.approx(expected.mean(dtype=np.float64), abs=CLOSE / 10)
    if min(size) < 7:
        return
    for data_range, name in ((1.0, "ssim"), (2.0, "ssim_range_2")):
        mean, values = structural_similarity(
            render / 255.0, truth / 255.0, channel_axis=-1, data_range=data_range, full=True
        )
        found = ssim(render, truth)
        assert {"ssim": found.value, **found.more}[name] == pytest.approx(mean, abs=1e-9)
        if name == "ssim":
            np.testing.assert_allclose(found.map[found.counted], values.mean(axis=-1)[found.counted], atol=1e-9)
            assert found.counted.sum() == (size[0] - 6) * (size[1] - 6)


@pytest.mark.parametrize("kind", ["noise", "surfaces", "smooth", "pure"])
def test_a_picture_is_exactly_like_itself(kind: str) -> None:
    _, truth = pictures(kind, 177, 211)
    found = scored(truth, truth).summary()
    assert (found["ssim"], found["dssim_2"], found["ms_ssim"], found["flip"]) == (1, 0, 1, 0)
    assert flip(truth, truth).map.max() == 0


def test_a_negative_is_not_alike() -> None:
    _, truth = pictures("noise", 180, 190)
    negative = 255 - truth
    theirs = multiscale_structural_similarity_index_measure(tensor(negative), tensor(truth), data_range=1.0)
    assert ms_ssim(negative, truth).value == float(theirs) == 0
    assert ssim(negative, truth).value < -0.5


def test_scores_depend_neither_on_the_threads_nor_on_the_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    render, truth = pictures("surfaces", 181, 333)
    threads, found = torch.get_num_threads(), []
    try:
        for count, strip in ((1, 64), (2, 64), (3, 1), (2, 1000)):
            torch.set_num_threads(count)
            monkeypatch.setattr(separable, "STRIP", strip)
            found.append(scored(render, truth).summary())
    finally:
        torch.set_num_threads(threads)
    assert found == found[:1] * 4


def test_moving_and_still_parts_are_means_of_the_map_over_their_pixels() -> None:
    render, truth = pictures("surfaces", 40, 60)
    moving = np.random.default_rng(0).random((40, 60)) < 0.3
    score = scored(render, truth, moving)
    found = score.summary()
    values = structural_similarity(render / 255.0, truth / 255.0, channel_axis=-1, data_range=1.0, full=True)[1]
    inside = np.zeros_like(moving)
    inside[3:-3, 3:-3] = True
    assert found["ssim_moving"] == pytest.approx(values[inside & moving].mean())
    assert found["ssim_still"] == pytest.approx(values[inside & ~moving].mean())
    share = (inside & moving).sum() / inside.sum()
    assert found["ssim"] == pytest.approx(share * found["ssim_moving"] + (1 - share) * found["ssim_still"])
    share = moving.mean()
    assert found["flip"] == pytest.approx(share * found["flip_moving"] + (1 - share) * found["flip_still"])
    # Pooled over frames: a second frame in which everything moves only adds to the moving part.
    both = score_colour([render] * 2, [truth] * 2, [moving, np.ones_like(moving)], measures=MEASURES).summary()
    assert both["flip_still"] == pytest.approx(found["flip_still"])
    whole = flip(render, truth).map
    assert both["flip_moving"] == pytest.approx((whole[moving].sum() + whole.sum()) / (moving.sum() + whole.size))


def test_what_is_not_valid_reaches_no_score() -> None:
    render, truth = pictures("surfaces", 180, 200)
    valid = np.ones((180, 200), bool)
    valid[:, :12] = False
    spoilt = np.where(valid[..., None], render, 255 - truth)
    whole, found = (scored(image, truth, valid=valid).summary() for image in (render, spoilt))
    assert found == whole
    inside = scored(render[:, 12:], truth[:, 12:]).summary()
    for key in ("psnr", "ssim", "dssim_2"):  # these look no further than a window of valid pixels
        assert found[key] == pytest.approx(inside[key]), key
    painted = np.where(valid[..., None], render, truth)
    assert found["ms_ssim"] == ms_ssim(painted, truth).value
    assert found["flip"] == pytest.approx(flip(painted, truth).map[valid].mean())
    assert flip(render, truth, ~valid & valid) is None
    assert ssim(render, truth, ~valid & valid) is None


def test_flicker_is_the_change_between_frames_beyond_the_truth_s_where_nothing_moves() -> None:
    truth = np.full((3, 4, 5, 3), 100, np.uint8)
    truth[1] += 2  # the lamp: 2 up, 2 down
    render = truth.copy()
    render[1] += 51
    render[2, 0] += 200  # moves in the last frame: does not count in the last step
    moving = np.zeros((3, 4, 5), bool)
    moving[2, 0] = True
    score = score_colour(render, truth, moving).summary()
    assert score["flicker"] == pytest.approx((53 - 2) / 255)
    assert score_colour(truth, truth, moving).summary()["flicker"] == 0
    assert score_colour(truth * 0 + 7, truth, moving).summary()["flicker"] == pytest.approx(-2 / 255), "too smooth"
    assert score_colour(render[:1], truth[:1], moving[:1]).summary()["flicker"] is None
    assert score_colour(render, truth, np.ones_like(moving)).summary()["flicker"] is None


def test_a_picture_that_is_too_small_has_no_score() -> None:
    render, truth = pictures("noise", 175, 300)
    found = scored(render, truth).summary()
    assert found["ms_ssim"] is None
    assert found["ssim"] is not None
    found = scored(render[:6], truth[:6]).summary()
    assert found["ssim"] is found["dssim_1"] is found["dssim_2"] is found["ssim_still"] is None
    assert found["flip"] is not None


def test_scores_of_frames_and_cameras_are_added_up_openly() -> None:
    pairs = [pictures("surfaces", 30, 40), pictures("noise", 30, 40), pictures("surfaces", 50, 20)]
    scores = [scored(*pair) for pair in pairs]
    two = score_colour(*zip(*pairs[:2], strict=True), [np.zeros((30, 40), bool)] * 2, measures=MEASURES)
    for name in ("psnr", "ssim", "flip"):
        assert two.frames[name] == [score.frames[name][0] for score in scores[:2]]
    whole = (two + scores[2]).summary()
    for key in ("ssim", "flip", "dssim_2"):
        assert whole[key] == pytest.approx(np.mean([score.summary()[key] for score in scores])), key
    sizes = [1200, 1200, 1000]
    assert whole["flip_still"] == pytest.approx(np.average([s.summary()["flip"] for s in scores], weights=sizes))
