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
from mixdepth.scene.config import SCHEMA, load_config
from mixdepth.scene.quality import expected_moving, expected_seen
from mixdepth.scene.scene import Scene
from mixdepth.scene.schema import read_yaml
from mixdepth.scene.settings import CameraPath, Dynamic, Settings, Static
from mixdepth.train.options import DynamicOptions, dynamic_section, from_mapping, static_options

TRAINING = {name: read_yaml(SCHEMA)["$defs"][f"{name}_training"]["properties"] for name in ("static", "dynamic")}
SEEN, MOVING = expected_seen(3, 640, 480), expected_moving(3, 640, 480, 50)


def sized(name: str) -> set[str]:
    """The keys of a section that `quality` says where nothing else does."""
    return {key for key, rule in TRAINING[name].items() if rule.get("from") == "quality"}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A scene with settings of every kind: sections, lists, names with sections, and overrides that are partial."""
    given = {
        "data": str(tmp_path),
        "cameras": ["cam00", "cam01", "cam02"],
        "frames": {"count": 8, "offsets": {"cam01": 3, "cam02": "0.25 s"}},
        "world": {"up": [0, 0, 1], "baseline": {"cameras": ["cam00", "cam01"], "distance": 1.5}},
        "variant_options": {"none": {"steps": 900, "static": {"steps": 5}}},
        "static": {"steps": 7},
    }
    return load_config({"scenes": {"x": given}})["x"]


def test_the_types_are_what_the_schema_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, REPOSITORY / "workflow/schemas/settings.py", tmp_path / "new.py"], check=True)
    new, committed = tmp_path / "new.py", REPOSITORY / "src/mixdepth/scene/settings.py"
    assert new.read_text() == committed.read_text(), "the schema was changed: run python workflow/schemas/settings.py"


def test_every_setting_is_an_attribute(scene: Scene) -> None:
    assert {field.name for field in fields(Settings)} == {*scene.options, "ablation", "preset"}
    # Sizes that no key says are those of `quality`.
    left = sized("static") - {"steps"}
    assert [field.name for field in fields(Static) if field.name not in left] == list(scene.options["static"])
    assert {field.name for field in fields(Dynamic)} == {*scene.options["dynamic"], *sized("dynamic")}
    config = scene.config
    assert (config.scale, config.poses.source, config.photo_scale) == (1.0, "colmap", None)
    assert config.static.steps == 7
    with pytest.raises(AttributeError, match="steps"):
        config.dynamic.static.steps  # noqa: B018
    assert config.world.baseline is not None
    assert config.world.baseline.distance == 1.5
    assert isinstance(config.paths["tour"], CameraPath)
    assert config.frames.offsets == {"cam01": 3, "cam02": "0.25 s"}
    assert isinstance(config.variant_options["none"], Dynamic)


def test_a_trainer_takes_all_settings_of_its_section_in_the_schemas_order(scene: Scene) -> None:
    # Headers of models and of checkpoints hold them so.
    stage = {"static", "segment", "inherited_steps", "inherited_rate"}
    static = static_options(scene.config.static, "standard", SEEN)
    assert static.steps == 7
    section = dynamic_section(scene.config.dynamic, "standard", SEEN, MOVING)
    dynamic = from_mapping(DynamicOptions, section.as_mapping())
    for name, taken in (("static", asdict(static)), ("dynamic", asdict(dynamic))):
        assert list(taken) == [key for key in TRAINING[name] if key not in stage or name == "static"]
        assert taken.items() >= {(key, value) for key, value in scene.options[name].items() if key not in stage}


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
    static = static_options(scene.config.static, "standard", SEEN)
    with pytest.raises(FrozenInstanceError):
        static.seed = 3  # type: ignore[misc]
    changed = replace(static, seed=3)
    assert (changed.seed, static.seed) == (3, 0)
    assert changed != static
    assert replace(changed, seed=0) == static == copy.deepcopy(static)
    assert "seed=3" in repr(changed)
