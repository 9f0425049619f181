"""Sizes that follow from the capture: the formula, and what of the capture it is given."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space
from mixdepth.frames.movement import measure_movement
from mixdepth.rendering.rays import SpaceMap
from mixdepth.scene.config import SCHEMA, load_config
from mixdepth.scene.quality import QUALITIES, Moving, Seen, sized_dynamic, sized_static
from mixdepth.scene.schema import read_yaml
from mixdepth.train.measure import seen_by

SMALL = Seen(200, 1e5), Moving(40, [(1, 0.05), (8, 0.1), (24, 0.3)], 1e5, 24)
LARGE = Seen(1500, 27e6), Moving(500, [(9, 0.1), (75, 0.18), (300, 0.5)], 27e6, 300)


def keys(section: str) -> set[str]:
    rules = read_yaml(SCHEMA)["$defs"][f"{section}_training"]["properties"]
    return {key for key, rule in rules.items() if rule.get("from") == "quality"}


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_key_that_the_schema_leaves_to_quality_is_worked_out(quality: str) -> None:
    found = sized_dynamic({}, quality, *LARGE)
    assert set(found["static"]) == set(sized_static({}, quality, LARGE[0])) == keys("static")
    assert set(found) - {"static"} == keys("dynamic")


def test_sizes_never_fall_with_quality_or_with_what_there_is_to_learn() -> None:
    for (low, seen), (high, more) in itertools.combinations(itertools.product(QUALITIES, (SMALL, LARGE)), 2):
        if QUALITIES.index(low) <= QUALITIES.index(high) and (seen is SMALL or more is LARGE):
            few, many = sized_dynamic({}, low, *seen), sized_dynamic({}, high, *more)
            grows = keys("static") - {"total_variation"}
            assert all(few["static"][key] <= many["static"][key] for key in grows), (low, high)
            assert all(few[key] <= many[key] for key in keys("dynamic") - {"segment"}), (low, high)


def test_what_is_said_wins_and_the_rest_follows_from_it() -> None:
    given = {"resolution": 24, "steps": 7, "segment": None, "static": {"samples": 16, "width": 9}}
    found = sized_dynamic(given, "high", *LARGE)
    assert (found["resolution"], found["steps"], found["segment"]) == (24, 7, None)
    assert found["start_resolution"] == 24
    assert (found["static"]["samples"], found["static"]["width"]) == (16, 9)
    assert found["static"]["start_samples"] < 16 <= found["samples"]
    assert found["static"]["resolution"] == sized_static({}, "high", LARGE[0])["resolution"]


def test_segments_are_as_short_as_the_motion_asks() -> None:
    def length(growth: dict[int, float], quality: str = "high") -> int:
        return sized_dynamic({}, quality, SMALL[0], Moving(40, list(growth.items()), 1e5, 150))["segment"]

    assert length({5: 0.1, 38: 0.19, 75: 0.3, 150: 0.5}) == 38
    assert length({5: 0.1, 38: 0.19, 75: 0.3, 150: 0.5}, "standard") == 75
    assert length({5: 0.1, 38: 0.4, 75: 0.5, 150: 0.6}) == 30, "shorter ones share too little"
    assert length({5: 0.1, 38: 0.1, 75: 0.1, 150: 0.1}) == 90, "the codes of time are of one length"
    assert length({5: 0.0, 38: 0.0, 75: 0.0, 150: 0.0}) == 90


def test_a_preset_wins_over_quality_and_the_scene_over_both(tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/own.yaml").write_text("static: {steps: 11, resolution: 64}")
    scene = {"data": ".", "cameras": ["cam00", "cam01", "cam02"], "quality": "high", "preset": "own"}
    scene["static"] = {"resolution": 96}
    options = load_config({"scenes": {"x": scene}}, presets=tmp_path / "presets")["x"].options
    found = sized_static(options["static"], options["quality"], LARGE[0])
    assert (found["steps"], found["resolution"], found["density_components"]) == (11, 96, 16)


# What is measured


def test_pixels_across_are_those_that_lie_side_by_side_in_the_middle_of_the_space() -> None:
    """Camera at the middle of one side of a box of 2 x 2 x 2, 100 pixels wide, that sees all of the box's middle."""
    box = {"frame": np.eye(4).tolist(), "low": [-1.0, -1, 0], "high": [1.0, 1, 2]}
    space = SpaceMap(Space("bounded", "", near=0.01, far=9, **box))
    camera = Camera(100, 100, 50.0, 50.0, 50.0, 50.0, np.eye(4))
    seen = seen_by([camera, camera], space)
    assert seen.pixels == 20_000
    # Rays leave the box at z = 2, straight ahead, or at the sides nearer by: half-way through lies at z = 1 at most.
    assert 100 <= seen.across <= 200


def test_motion_is_measured_where_and_when_it_is() -> None:
    """A square of 10 x 10 pixels that moves on by 10 pixels in each of 4 parts of the capture."""
    parts = np.zeros((60, 80), np.uint32)
    for part in range(4):
        parts[20:30, 10 * part : 10 * part + 10] |= np.uint32(1 << part)
    found = measure_movement([parts, parts], 4)
    share = 100 / 4800
    assert found.frames == 4
    assert found.pixels == 9600
    assert [frames for frames, _ in found.runs] == [1, 2, 4]
    assert [s for _, s in found.runs] == pytest.approx([share, 2 * share, 4 * share])
    assert 8 <= found.across <= 10


def test_where_nothing_moves_the_sizes_are_the_least() -> None:
    still = Moving(0.0, [(1, 0.0), (24, 0.0)], 1e5, 24)
    assert sized_dynamic({}, "standard", SMALL[0], still)["resolution"] == 192
