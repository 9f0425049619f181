"""The configuration: defaults from the schema, one clear error per mistake, scenes looked up only when asked for."""

from pathlib import Path

import pytest
import yaml

from helpers.captures import capture
from helpers.checkout import REPOSITORY
from mixdepth.errors import UserError
from mixdepth.scene.config import SCHEMA, load_config
from mixdepth.scene.scene import Scene


def scene(folder: Path, **options: object) -> Scene:
    return load_config({"scenes": {"x": {"data": str(folder), **options}}})["x"]


def message(config: object, name: str | None = None) -> str:
    """The error that a configuration, or the look-up of its scene ``name``, gives."""
    try:
        scenes = load_config(config)
        _ = name and scenes[name]
    except UserError as error:
        return str(error)
    pytest.fail("no error")


def scene_message(folder: Path, **options: object) -> str:
    return message({"scenes": {"x": {"data": str(folder), **options}}}, "x")


# The schema's errors


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            {"frames": {"strat": 3}},
            ["scenes.x.frames.strat", "unknown key", 'did you mean "start"', "count, fps, offsets, start, step"],
        ),
        ({"frames": {"count": "25"}}, ["scenes.x.frames.count", 'the text "25"', "a whole number or null, at least 1"]),
        ({"scale": 2}, ["scenes.x.scale", "the number 2", "greater than 0, at most 1"]),
        ({"frames": 20}, ["scenes.x.frames", "the number 20", "a section"]),
        (
            {"variants": ["nnone"]},
            ["scenes.x.variants[0]", 'the text "nnone"', "none, colmap, distilled, inherited", '"none"'],
        ),
        ({"test_cameras": [0]}, ["scenes.x.test_cameras[0]", "the number 0", "text"]),
        ({"poses": {"source": True}}, ["scenes.x.poses.source", "found true", "colmap, llff, model"]),
        (
            {"world": {"up": "sideways"}},
            ["scenes.x.world.up", 'the text "sideways"', "cameras, keep, null or a list, with at least 3 entries"],
        ),
        ({"colmap": {"reference_frames": 0}}, ["scenes.x.colmap.reference_frames", "number 0", "at least 1 or a list"]),
        ({"frames": {"offsets": {"cam01": "3 frames"}}}, ["scenes.x.frames.offsets.cam01", "3 frames"]),
        ({"near": 0}, ["scenes.x.near", "the number 0", "greater than 0"]),
        ({"cameras": "all"}, ["scenes.x.cameras", 'the text "all"', "a list or a section"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_full_path(options: dict, parts: list[str]) -> None:
    text = message({"scenes": {"x": {"data": "d", **options}}})
    assert all(part in text for part in parts), text


def test_all_mistakes_are_told_at_once() -> None:
    text = message({"scenes": {"x": {"data": "d", "sclae": 1, "far": "deep"}}})
    assert "scenes.x.sclae" in text
    assert '"scale"' in text
    assert "scenes.x.far" in text


def test_what_is_missing_is_named() -> None:
    assert "scenes.x.data: missing" in message({"scenes": {"x": {}}})
    assert "scenes: missing" in message({})
    assert "scenes: found a section with the keys none" in message({"scenes": {}})


def test_unknown_sections_and_odd_names_are_refused() -> None:
    assert 'scnes: unknown key; did you mean "scenes"' in message({"scenes": {"x": {"data": "d"}}, "scnes": 1})
    assert "scenes.a b: not a name" in message({"scenes": {"a b": {"data": "d"}}})
    assert "scenes.x.cameras.3" in message(yaml.safe_load("scenes: {x: {data: d, cameras: {3: a.mp4}}}"))


# Defaults


def test_defaults_come_from_the_schema_at_every_depth(tmp_path: Path) -> None:
    options = scene(capture(tmp_path), frames={"start": 5}).options
    assert options["frames"] == {"start": 5, "count": None, "step": 1, "fps": None, "offsets": {}}
    assert options["poses"]["source"] == "colmap"
    assert options["world"] == {"up": None, "baseline": None}
    assert options["scale"] == 1.0
    assert options["colmap"]["max_features"] == 8192


def test_every_key_of_the_schema_says_what_it_means() -> None:
    def undescribed(schema: dict, path: str) -> list[str]:
        found = []
        for key, rule in schema.get("properties", {}).items():
            if "description" not in rule and "$ref" not in rule:
                found.append(f"{path}.{key}")
            found += undescribed(rule, f"{path}.{key}")
        return found

    schema = yaml.safe_load(SCHEMA.read_text())
    assert undescribed(schema, "") == []
    assert [name for part, rule in schema["$defs"].items() for name in undescribed(rule, part)] == []


def test_overrides_of_a_variant_do_not_bring_defaults_along(tmp_path: Path) -> None:
    plain = scene(capture(tmp_path))
    rays = plain.options["dynamic"]["rays"]
    changed = scene(tmp_path, dynamic={"seed": 3}, variant_options={"none": {"rays": rays + 1}})
    assert changed.dynamic_options("none") == {**plain.options["dynamic"], "seed": 3, "rays": rays + 1}
    assert changed.dynamic_options("colmap") == {**plain.options["dynamic"], "seed": 3}


# Presets

PRESETS = REPOSITORY / "config" / "presets"


def with_preset(folder: Path, text: str, **options: object) -> dict:
    """The options of a scene with the preset ``own``, a file that holds ``text``."""
    presets = folder / "presets"
    presets.mkdir(exist_ok=True)
    (presets / "own.yaml").write_text(text)
    config = {"scenes": {"x": {"data": str(capture(folder)), "preset": "own", **options}}}
    return load_config(config, presets=presets)["x"].options


def test_a_preset_lies_over_the_defaults_and_below_the_scene(tmp_path: Path) -> None:
    text = "static: {steps: 7}\ndynamic: {rays: 33, codes: 5, static: {width: 9}}"
    options, plain = with_preset(tmp_path, text, dynamic={"codes": 6}), scene(tmp_path).options
    assert options["static"] == {**plain["static"], "steps": 7}
    own_static = {**plain["dynamic"]["static"], "width": 9}
    assert options["dynamic"] == {**plain["dynamic"], "rays": 33, "codes": 6, "static": own_static}
    assert {key for key in options if options[key] != plain[key]} == {"preset", "static", "dynamic"}


def test_plates_are_learnt_without_view_dependence_unless_it_is_set(tmp_path: Path) -> None:
    def wanted(**options: object) -> tuple[bool, bool]:
        found = scene(capture(tmp_path), **options).options
        return found["static"]["view_dependence"], found["dynamic"]["static"]["view_dependence"]

    assert wanted() == wanted(dynamic={"static": {"steps": 3}}) == (True, False)
    assert wanted(dynamic={"static": {"view_dependence": True}}) == wanted(preset="T") == (True, True)


def test_an_empty_preset_changes_nothing(tmp_path: Path) -> None:
    assert with_preset(tmp_path, "# nothing yet\n") == {**scene(tmp_path).options, "preset": "own"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("static: {stpes: 7}", ["static.stpes: unknown key", 'did you mean "steps"']),
        ("dynamic: {rays: many}", ["dynamic.rays", 'the text "many"', "a whole number, at least 16"]),
        ("scale: 0.5", ["scale: unknown key", "dynamic, extends, static"]),
        ("extends: [T]", ["extends: found a list of 1", "expected text"]),
        ("[static]", ["all of it: found a list of 1", "expected a section"]),
        ("static: [", ["not a YAML file", "line 1"]),
        ("static: {1: 2}", ["static.1", "in quotes"]),
    ],
)
def test_a_mistake_in_a_preset_names_its_file(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        with_preset(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "presets" / "own.yaml"))
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_a_preset_lies_over_those_that_it_extends_in_their_order(tmp_path: Path) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "low.yaml").write_text("static: {steps: 1, width: 5}\ndynamic: {static: {steps: 2}, rays: 40}")
    (folder / "mid.yaml").write_text("extends: low\ndynamic: {static: {steps: 3, width: 6}}")
    options = with_preset(tmp_path, "extends: mid\nstatic: {width: 7}", dynamic={"static": {"width": 8}})
    plain = scene(tmp_path).options
    assert options["static"] == {**plain["static"], "steps": 1, "width": 7}
    own_static = {**plain["dynamic"]["static"], "steps": 3, "width": 8}
    assert options["dynamic"] == {**plain["dynamic"], "rays": 40, "static": own_static}
    assert {key for key in options if options[key] != plain[key]} == {"preset", "static", "dynamic"}


@pytest.mark.parametrize(
    ("low", "parts"),
    [
        (
            "extends: own",
            ['low.yaml: extends: found "own"', "own > low > own", "another one of low, own", "leave `extends` out"],
        ),
        ("extends: low", ['low.yaml: extends: found "low"', "own > low > low"]),
        ("extends: lo", ['low.yaml: extends: there is no preset "lo"; did you mean "low"', "low, own", "write"]),
        ("static: {stpes: 7}", ["static.stpes: unknown key"]),
    ],
)
def test_a_mistake_in_an_extended_preset_names_its_file(tmp_path: Path, low: str, parts: list[str]) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "low.yaml").write_text(low)
    with pytest.raises(UserError) as error:
        with_preset(tmp_path, "extends: low")
    assert str(error.value).startswith(str(tmp_path / "presets" / "low.yaml"))
    assert all(part in str(error.value) for part in parts), str(error.value)


def test_an_unknown_preset_names_the_known_ones_and_how_to_add_one(tmp_path: Path) -> None:
    text = scene_message(tmp_path, preset="tinny")
    for part in (
        "scenes.x.preset",
        '"tinny"',
        'did you mean "tiny"',
        "L, M, S, T, tiny",
        "presets/tinny.yaml",
    ):
        assert part in text
    assert "of the form" in scene_message(tmp_path, preset="../config")


def test_the_published_sizes_differ_in_their_steps_only(tmp_path: Path) -> None:
    capture(tmp_path)
    options = {name: scene(tmp_path, preset=name).options for name in "TSML"}
    steps = {
        name: [o["static"]["steps"], o["dynamic"]["static"]["steps"], o["dynamic"]["steps"]]
        for name, o in options.items()
    }
    assert steps == {"T": [5000] * 3, "S": [7500] * 3, "M": [12500] * 3, "L": [25000] * 3}
    for name, found in options.items():
        found["preset"] = found["static"]["steps"] = found["dynamic"]["steps"] = found["dynamic"]["static"]["steps"] = 0
        assert found == options["T"], name


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_preset_is_valid_and_says_why(path: Path, tmp_path: Path) -> None:
    scene(capture(tmp_path), preset=path.stem)
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    explained = {line.split(":")[0].strip() for line in lines if "#" in line}
    keys = {line.split(":")[0].strip() for line in lines if not line.startswith("#")}
    assert keys - explained - {"static", "dynamic"} == set()


def test_the_key_that_asks_for_a_gpu_is_that_of_the_scene_or_its_preset(tmp_path: Path) -> None:
    def keys(**options: object) -> list[str]:
        scenes = load_config({"scenes": {"x": {"data": str(tmp_path), **options}}})
        return [scenes.cuda_key("x", variant) for variant in (None, "none", "colmap")]

    capture(tmp_path)
    dynamic = "scenes.x.dynamic.device (from the preset S)"
    assert keys() == keys(static={"device": "auto"}) == ["", "", ""]
    assert keys(preset="S") == ["scenes.x.static.device (from the preset S)", dynamic, dynamic]
    assert keys(preset="S", static={"device": "cuda"}, dynamic={"device": "cpu"}) == ["scenes.x.static.device", "", ""]
    other = {"none": {"device": "cpu"}, "colmap": {"device": "cuda"}}
    assert keys(dynamic={"device": "cuda"}, variant_options=other) == ["", "", "scenes.x.variant_options.colmap.device"]


# Who trains, who is held out, what is compared


def test_the_first_camera_is_held_out_unless_the_configuration_says_otherwise(tmp_path: Path) -> None:
    capture(tmp_path, cameras=4)
    plain = scene(tmp_path)
    assert (plain.test_cameras, plain.train_cameras) == (["cam00"], ["cam01", "cam02", "cam03"])
    chosen = scene(tmp_path, test_cameras=["cam02"], train_cameras=["cam03", "cam00"])
    assert (chosen.test_cameras, chosen.train_cameras) == (["cam02"], ["cam00", "cam03"])
    assert chosen.used_cameras == ["cam00", "cam02", "cam03"]
    assert (plain.video_camera, chosen.video_camera) == ("cam00", "cam02")


def test_variants_depend_on_photos(tmp_path: Path) -> None:
    without, with_photos = scene(capture(tmp_path / "a")), scene(capture(tmp_path / "b", photos=3))
    assert (without.variants, without.video_variant) == (["none", "colmap"], "colmap")
    assert with_photos.variants == ["none", "colmap", "distilled", "inherited"]
    assert with_photos.video_variant == "inherited"
    assert scene(tmp_path / "a", variants=["colmap", "none"]).variants == ["none", "colmap"]
    assert scene(tmp_path / "b", variants=["none"]).video_variant == "none", "no other is trained for the video"
    assert scene(tmp_path / "b", variants=["distilled", "none"]).video_variant == "distilled"


def test_photos_are_held_out_as_the_schema_says(tmp_path: Path) -> None:
    only_photos = scene(capture(tmp_path / "a", cameras=0, photos=20))
    assert only_photos.test_photos == ["photo00", "photo08", "photo16"]
    assert len(only_photos.train_photos) == 17
    assert (only_photos.variants, only_photos.video_camera, only_photos.used_cameras) == ([], "", [])
    beside_videos = capture(tmp_path / "b", photos=5)
    assert scene(beside_videos).test_photos == []
    assert scene(beside_videos, test_photos_every=3).test_photos == ["photo00", "photo03"]


def test_an_excluded_photo_is_nowhere(tmp_path: Path) -> None:
    found = scene(capture(tmp_path, photos=4), exclude_photos=["photo02"])
    assert "photo02" not in [*found.photos, *found.train_photos, *found.test_photos]
    assert found.train_photos == ["photo00", "photo01", "photo03"]


def test_with_given_cameras_a_photo_from_a_held_out_position_is_left_out(tmp_path: Path) -> None:
    capture(tmp_path, cameras=3)
    (tmp_path / "photos").mkdir()
    for name in ("cam00.png", "cam01.png", "cam02.png"):
        (tmp_path / "photos" / name).touch()
    assert list(scene(tmp_path, poses={"source": "llff"}).photos) == ["cam01", "cam02"]
    # COLMAP finds a pose of its own for every photo, whatever its name.
    assert list(scene(tmp_path).photos) == ["cam00", "cam01", "cam02"]


# Errors about the files


def test_a_missing_data_folder_is_named(tmp_path: Path) -> None:
    text = scene_message(tmp_path / "absent")
    assert "scenes.x.data" in text
    assert str(tmp_path / "absent") in text


def test_listed_cameras_need_no_files_yet(tmp_path: Path) -> None:
    found = scene(tmp_path / "later", cameras={"cam00": "a.mp4", "cam01": "b.mp4", "cam02": "c.mp4"})
    assert found.cameras["cam01"] == str(tmp_path / "later" / "b.mp4")
    assert found.train_cameras == ["cam01", "cam02"]


def test_an_empty_capture_is_refused(tmp_path: Path) -> None:
    assert "no video cameras" in scene_message(tmp_path)


def test_one_camera_only_is_refused(tmp_path: Path) -> None:
    assert "one camera only" in scene_message(capture(tmp_path / "a", cameras=1))
    assert "one camera only" in scene_message(capture(tmp_path / "b", cameras=1, photos=9))
    assert "one camera only to train on" in scene_message(capture(tmp_path / "c", cameras=2))
    assert scene(capture(tmp_path / "d", cameras=2, photos=9)).train_cameras == ["cam01"]


@pytest.mark.parametrize("role", ["test_cameras", "train_cameras"])
def test_a_camera_that_does_not_exist_is_named_beside_those_that_do(tmp_path: Path, role: str) -> None:
    text = scene_message(capture(tmp_path), **{role: ["cam9"]})
    assert f"scenes.x.{role}" in text
    assert '"cam9"' in text
    assert "cam00, cam01, cam02" in text


def test_a_camera_cannot_train_and_be_held_out(tmp_path: Path) -> None:
    capture(tmp_path)
    assert "cam00" in scene_message(tmp_path, train_cameras=["cam00", "cam01"])
    assert "cam01" in scene_message(tmp_path, train_cameras=["cam01", "cam02"], test_cameras=["cam01"])
    assert "no camera is left to train on" in scene_message(tmp_path, test_cameras=["cam00", "cam01", "cam02"])


def test_all_photos_held_out_is_refused(tmp_path: Path) -> None:
    assert "scenes.x.test_photos_every" in scene_message(capture(tmp_path, cameras=0, photos=3), test_photos_every=1)


def test_the_camera_of_the_video_must_be_in_use(tmp_path: Path) -> None:
    text = scene_message(capture(tmp_path), video_camera="cam7")
    assert "scenes.x.video_camera" in text
    assert "cam00, cam01, cam02" in text


def test_an_unknown_scene_names_the_known_ones(tmp_path: Path) -> None:
    text = message({"scenes": {"kitchen": {"data": str(tmp_path)}}}, "kitchn")
    assert 'did you mean "kitchen"' in text
    assert "--configfile" in text


def test_a_scene_whose_capture_is_elsewhere_does_not_disturb_the_others(tmp_path: Path) -> None:
    config = {"scenes": {"away": {"data": str(tmp_path / "absent")}, "here": {"data": str(capture(tmp_path / "c"))}}}
    scenes = load_config(config)
    assert list(scenes) == ["away", "here"]
    assert scenes["here"].train_cameras == ["cam01", "cam02"]
    with pytest.raises(UserError, match="absent"):
        _ = scenes["away"]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_of_the_project_is_valid(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    # Given with --configfile they are merged over config.yaml: another key than scenes would change the demo.
    assert list(config) == ["scenes"]
    load_config(config)
