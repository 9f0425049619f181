"""Settings with types: written from the schema, and out of reach where they are not declared."""

import copy
import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from helpers.checkout import REPOSITORY
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.scene.settings import CameraPath, Dynamic, Settings, Static
from mixdepth.train.options import DynamicOptions, StaticOptions, from_mapping


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene with settings of every kind: sections, lists, names with sections, and overrides that are partial."""
    given = {
        "data": str(tmp_path),
        "cameras": ["cam00", "cam01", "cam02"],
        "frames": {"count": 8, "offsets": {"cam01": 3, "cam02": "0.25 s"}},
        "world": {"up": [0, 0, 1], "baseline": {"cameras": ["cam00", "cam01"], "distance": 1.5}},
        "variant_options": {"none": {"steps": 900, "static": {"steps": 5}}},
    }
    return load_config({"scenes": {"x": given}})["x"]


def test_the_types_are_what_the_schema_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, REPOSITORY / "workflow/schemas/settings.py", tmp_path / "new.py"], check=True)
    new, committed = tmp_path / "new.py", REPOSITORY / "src/mixdepth/scene/settings.py"
    assert new.read_text() == committed.read_text(), "the schema was changed: run python workflow/schemas/settings.py"


def test_every_setting_is_an_attribute(scene: Scene) -> None:
    assert {field.name for field in fields(Settings)} == {*scene.options, "ablation", "preset"}
    assert [field.name for field in fields(Static)] == list(scene.options["static"])
    assert {field.name for field in fields(Dynamic)} == {*scene.options["dynamic"]}
    config = scene.config
    assert (config.scale, config.poses.source, config.photo_scale) == (1.0, "colmap", None)
    assert config.dynamic.static.steps == scene.options["dynamic"]["static"]["steps"]
    assert config.world.baseline is not None
    assert config.world.baseline.distance == 1.5
    assert isinstance(config.paths["tour"], CameraPath)
    assert config.frames.offsets == {"cam01": 3, "cam02": "0.25 s"}
    assert isinstance(config.variant_options["none"], Dynamic)


def test_a_trainer_takes_all_settings_of_its_section_in_the_schemas_order(scene: Scene) -> None:
    # Headers of models and of checkpoints hold them so.
    dynamic = scene.options["dynamic"]
    stage = {"static", "median_agreement", "segment", "inherited_steps", "inherited_rate"}
    assert asdict(from_mapping(StaticOptions, scene.options["static"])) == scene.options["static"]
    taken = asdict(from_mapping(DynamicOptions, dynamic))
    assert list(taken.items()) == [(key, value) for key, value in dynamic.items() if key not in stage]


def test_what_was_declared_comes_back_byte_for_byte(scene: Scene) -> None:
    declared: list[dict[str, Any]] = [
        scene.options,
        scene.settings("poses.trust", "frames.step", "truth"),
        scene.settings("dynamic", "variant_options", variant="none"),
        {"far": None, "paths": {"tour": scene.path("tour")}, "near": None},
        {"no_longer_a_setting": {"a": 1}},
        {},
    ]
    for mapping in declared:
        assert json.dumps(Settings.of(mapping).as_mapping()) == json.dumps(mapping)


def test_a_setting_that_is_not_declared_is_out_of_reach(scene: Scene) -> None:
    declared = scene.settings("poses.trust", "frames.step", "variant_options")
    config = replace(scene, options=declared).config
    assert config.poses.trust is False
    for section, key, others in (
        (config, "scale", "poses, frames, variant_options"),
        (config.poses, "source", "trust"),
        (config.variant_options["none"].static, "seed", "steps"),
        (Settings.of({}), "truth", "none"),
    ):
        with pytest.raises(AttributeError, match=rf"setting '{key}' is read but not declared: .*: {others}\)"):
            getattr(section, key)


def test_settings_cannot_be_changed_but_copied(scene: Scene) -> None:
    static = scene.config.static
    with pytest.raises(FrozenInstanceError):
        static.seed = 3  # type: ignore[misc]
    changed = replace(static, seed=3)
    assert (changed.seed, static.seed) == (3, 0)
    assert changed != static
    assert replace(changed, seed=0) == static == copy.deepcopy(static)
    assert "seed=3" in repr(changed)
