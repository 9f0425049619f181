"""How much of what moves the motion hull explains, and that a training that is passed over is said with numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.training import CAMERAS, DYNAMIC, QUIET, SPACE, STATIC, blinking
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import DynamicTrainer, moving_shares, train_dynamic_field
from mixdepth.train.static import train_static_field
from mixdepth.train.tasks import _learning
from mixdepth.train.video import Video

OPTIONS = replace(DYNAMIC, samples=96, start_samples=96, steps=2)
WALL = [np.full((16, 24), 4.0, np.float32)] * 3  # behind the square, which is at depth 3


def static(videos: list[Video]):
    return train_static_field(
        ImageSet([v.plate for v in videos], CAMERAS), None, SPACE, replace(STATIC, steps=1), QUIET
    )


def trained(videos: list[Video], wall: list[np.ndarray] = WALL):
    return train_dynamic_field(videos, static(videos), SPACE, OPTIONS, QUIET, wall, ["cam01", "cam02", "cam03"])


def test_a_hull_before_the_wall_explains_what_moves_in_every_camera(capsys: pytest.CaptureFixture[str]) -> None:
    videos = blinking()
    field = trained(videos)
    assert min(field.region.explained) > 0.75
    assert 3 < field.reproduced < 25, "after two steps"
    shares = moving_shares(videos)
    assert shares == [v.moving.mean() for v in videos]
    said = capsys.readouterr().err
    assert "test: of the pixels that move the motion hull explains: cam01 " in said
    assert f"({100 * shares[0]:.0f} % of its picture move)" in said
    assert "warning" not in said
    hidden = replace(videos[0], valid=np.arange(24) < np.full((16, 1), 12))
    assert moving_shares([hidden]) == [videos[0].moving.sum() / (16 * 12)], "of what shows anything"


def test_a_wall_before_one_camera_cuts_the_hull_away_for_it() -> None:
    videos, near = blinking(), np.full((16, 24), 1.0, np.float32)
    field = DynamicTrainer(videos, static(videos), SPACE, OPTIONS, [WALL[0], WALL[0], near]).field
    assert min(field.region.explained[:2]) > 0.9
    assert field.region.explained[2] == 0, "none of its rays reaches the hull"


def test_a_hull_explains_what_moves_at_that_time_alone() -> None:
    videos = blinking()
    trainer = DynamicTrainer(videos, static(videos), SPACE, OPTIONS, WALL)
    region, pixels = trainer.field.region, trainer.pixels
    pixels.sets[:] = 1
    region.sets[:] = region.hull.int()
    assert min(pixels.met(region, SPACE, 96)) > 0.75
    region.sets[:] = 2 * region.hull.int()
    assert pixels.met(region, SPACE, 96) == [0.0] * 3


def test_a_hull_that_walls_cut_away_is_a_warning_with_the_moving_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    videos = blinking()
    field = trained(videos, [np.full((16, 24), 1.0, np.float32)] * 3)  # before the space begins
    assert field.region.explained == [0.0] * 3
    assert field.reproduced is None
    said = capsys.readouterr().err
    assert "warning: the motion hull is empty, so the result stands still" in said
    assert f"cam01 {100 * moving_shares(videos)[0]:.0f} %, cam02" in said
    assert "step" not in said.split("warning")[1], "passed over"


def test_a_capture_in_which_nothing_moves_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    videos = [replace(v, parts=np.zeros_like(v.parts)) for v in blinking()]
    assert trained(videos).region.explained == [None] * 3
    assert "warning: nothing moves before any of 3 cameras: the result stands still" in capsys.readouterr().err


def test_the_header_pools_segments_by_what_moves_in_them() -> None:
    shares = {"a": 0.35, "b": 0.2, "c": 0.0}
    header = {"cameras": ["a", "b", "c"], "hull": {"moving_share": shares}}
    parts = [
        {"moving": [0.3, 0.0, 0.0], "explained": [0.5, None, None]},
        {"moving": [0.1, 0.2, 0.0], "explained": [0.9, 0.4, None]},
    ]
    found = _learning(header, [{**part, "psnr": psnr} for part, psnr in zip(parts, (21.0, 20.0), strict=True)])
    assert found["training_psnr"] == 20.0
    assert _learning(header, [{**part, "psnr": None} for part in parts])["training_psnr"] is None
    found = found["hull"]
    assert found["explained"] == {"a": pytest.approx((0.15 + 0.09) / 0.4), "b": pytest.approx(0.4), "c": None}
    assert found["moving_share"] == shares
    json.dumps(found)
