"""The configuration: checked against the schema, defaults filled in, and the scenes it describes.

The schema (workflow/schemas/config.schema.yaml) is the only place with defaults. What a scene's files say (which
cameras and photos there are) is looked up when the scene is first asked for, so a configuration that also names a
capture that is not on this machine does no harm.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixdepth.capture import find_photos, find_videos
from mixdepth.errors import UserError

VARIANTS = ("none", "colmap", "distilled", "inherited")
# By `poses.source`, where given cameras are below `data` unless `poses.path` says otherwise.
POSES_FILES = {
    "llff": "poses_bounds.npy",
    "model": "sparse/0",
    "transforms": "transforms.json",
    "panoptic": "",
    "toml": "calibration.toml",
}

_TYPE_NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section (key: value)",
    "null": "null",
}


@dataclass(frozen=True)
class Scene:
    """One scene: its files, who trains and who is held out, and its settings with every default filled in."""

    name: str
    data: Path
    cameras: dict[str, str] = field(repr=False)  # every video camera: name -> video file or folder of frames
    photos: dict[str, str] = field(repr=False)  # photos that may be used: stem -> file; excluded ones are not in it
    train_cameras: list[str]
    test_cameras: list[str]
    train_photos: list[str]
    test_photos: list[str]
    variants: list[str]  # none of them where there is no video camera
    video_variant: str
    video_camera: str  # "" where there is no video camera
    options: dict[str, Any] = field(repr=False)

    @property
    def used_cameras(self) -> list[str]:
        """Cameras that train or are held out; the others are left alone."""
        return sorted({*self.train_cameras, *self.test_cameras})

    @property
    def poses_path(self) -> Path | None:
        """The file or folder of given cameras; None where COLMAP finds them."""
        poses = self.options["poses"]
        return None if poses["source"] == "colmap" else self.data / (poses["path"] or POSES_FILES[poses["source"]])

    @property
    def intrinsics_path(self) -> Path | None:
        """The file of known lenses for COLMAP, if there is one."""
        path = self.options["poses"]["intrinsics"]
        return self.data / path if path else None

    @property
    def truth(self) -> Path | None:
        """The truth.npz that scoring reads, if there is one."""
        return self.data / self.options["truth"] if self.options["truth"] else None

    def dynamic_options(self, variant: str) -> dict[str, Any]:
        """The settings of dynamic training for one variant: ``dynamic``, overridden by ``variant_options``."""
        return _merged(self.options["dynamic"], self.options["variant_options"].get(variant, {}))


class Scenes(Mapping[str, Scene]):
    """The scenes of a valid configuration by name; each is resolved (its files looked up) on first access."""

    def __init__(self, options: dict[str, dict[str, Any]]):
        self._options = options
        self._resolved: dict[str, Scene] = {}

    def __getitem__(self, name: str) -> Scene:
        if name not in self._options:
            raise UserError(
                f'no scene "{name}" in the configuration{_nearest(name, self._options)}; it has'
                f" {_listed(self._options)}. A scene of another file needs --configfile config/<file>.yaml"
            )
        if name not in self._resolved:
            self._resolved[name] = _resolve(name, self._options[name])
        return self._resolved[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)


def load_config(raw: Mapping[str, Any], schema: Path) -> Scenes:
    """Check a configuration and fill in its defaults.

    Args:
        raw: what Snakemake read from config/config.yaml and --configfile.
        schema: the path of config.schema.yaml.

    Raises:
        UserError: all mistakes that the schema finds, one per line, each with its full key.
    """
    # Imported here so that a bare GPU node, which gets its scene from elsewhere, needs neither.
    import jsonschema
    import yaml

    rules = yaml.safe_load(Path(schema).read_text())
    mistakes = list(_keys_that_are_not_text(raw))
    if not mistakes:
        validator = jsonschema.Draft202012Validator(rules)
        errors = sorted(validator.iter_errors(raw), key=lambda error: [str(part) for part in error.absolute_path])
        mistakes = [line for error in errors for line in _explain(error)]
    if mistakes:
        raise UserError("the configuration is not valid:\n" + "\n".join(f"  {line}" for line in mistakes))
    return Scenes(_filled(raw, rules, rules)["scenes"])


# Defaults


def _filled(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """``value`` with the schema's defaults, recursively. A schema with ``partial: true`` (a custom keyword) holds
    overrides of another section: what is not given there stays away."""
    if "$ref" in schema:
        schema = {**_referred(schema["$ref"], root), **{key: schema[key] for key in schema if key != "$ref"}}
    if not isinstance(value, Mapping) or schema.get("partial"):
        return value
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    result = {}
    for key, rule in properties.items():
        if key in value:
            result[key] = _filled(value[key], rule, root)
        elif "default" in rule:
            result[key] = _filled(rule["default"], rule, root)
    for key in value:
        if key not in properties:
            result[key] = _filled(value[key], others, root) if isinstance(others, Mapping) else value[key]
    return result


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of the schema that ``#/a/b`` names."""
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, sections merged key by key."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result


# Messages


def _keys_that_are_not_text(value: Any, path: str = "") -> Iterator[str]:
    """YAML reads a bare 3 as a number and a bare `no` as false, which the schema cannot name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                yield f'{here}: the key is {_shown(key)}, expected text: put it in quotes, "{key}"'
            yield from _keys_that_are_not_text(inner, here)


def _explain(error: Any) -> Iterator[str]:
    """One line per mistake: the full key, what was found, what was expected, the nearest known key."""
    path = _key(error.absolute_path)
    dot = f"{path}." if path else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in known:
                yield f"{dot}{key}: unknown key{_nearest(key, known)} (known here: {_listed(known)})"
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                rule = error.schema.get("properties", {}).get(key, {})
                yield f"{dot}{key}: missing, expected {_expected(rule)}{_meaning(rule)}"
    elif "propertyNames" in error.absolute_schema_path:
        yield f'{dot}{error.instance}: not a name; use letters, digits, "_", "-" and ".", a letter or digit first'
    else:
        near = _nearest(str(error.instance), [str(v) for v in error.schema.get("enum", [])])
        wanted = f"{_expected(error.schema)}{near}{_meaning(error.schema)}"
        yield f"{path or 'the configuration'}: found {_shown(error.instance)}, expected {wanted}"


def _key(parts: Iterable[str | int]) -> str:
    return re.sub(r"^\.", "", "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return f"a section with the keys {_listed(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f'the text "{value}"' if isinstance(value, str) else f"the number {value}"


def _expected(schema: Mapping[str, Any]) -> str:
    """What a schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(_expected(part) for part in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join("null" if value is None else str(value) for value in schema["enum"])
    types = schema.get("type", [])
    words = " or ".join(_TYPE_NAMES[name] for name in ([types] if isinstance(types, str) else types)) or "another value"
    limits = {
        "minimum": "at least {}",
        "exclusiveMinimum": "greater than {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "less than {}",
        "minItems": "with at least {} entries",
        "maxItems": "with at most {} entries",
        "minProperties": "with at least {} entries",
        "pattern": "of the form {}",
    }
    bounds = [text.format(schema[key]) for key, text in limits.items() if key in schema]
    if schema.get("uniqueItems"):
        bounds.append("none twice")
    return ", ".join([words, *bounds])


def _meaning(schema: Mapping[str, Any]) -> str:
    return f" ({schema['description'].strip().rstrip('.')})" if "description" in schema else ""


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


# Scenes


def _resolve(name: str, options: dict[str, Any]) -> Scene:
    """Look up a scene's files and decide who trains, who is held out and what is compared."""
    key = f"scenes.{name}"
    data = Path(options["data"])
    if not data.is_dir() and options["cameras"] is None:
        raise UserError(
            f"{key}.data: the folder {data} was not found (looked from {Path.cwd()}). Give the folder of the capture,"
            f" or list {key}.cameras where another program makes the files later."
        )
    cameras = find_videos(data, options["videos"], options["cameras"])
    photos = find_photos(data, options["photos"], options["photo_files"], options["exclude_photos"])
    if not cameras and not photos:
        raise UserError(
            f"{key}: no video cameras in {data / options['videos']} and no photos in {data / options['photos']};"
            f" expected videos or folders of frames named cam00, cam01, ..., or photos"
        )
    if len(cameras) == 1:
        raise UserError(
            f"{key}: one camera only ({_listed(cameras)}); a scene needs at least two video cameras that see the same"
            f" thing (or none, for a scene of photos)"
        )
    test_cameras, train_cameras = _split_cameras(key, list(cameras), options, bool(photos))
    if options["poses"]["source"] != "colmap":
        # With given cameras a photo takes the pose of the camera of its name: it would show a held-out view.
        photos = {stem: path for stem, path in photos.items() if stem not in test_cameras}
    train_photos, test_photos = _split_photos(key, list(photos), options["test_photos_every"], bool(cameras))
    variants = options["variants"] or (VARIANTS if photos else ("none", "colmap"))
    return Scene(
        name=name,
        data=data,
        cameras=cameras,
        photos=photos,
        train_cameras=train_cameras,
        test_cameras=test_cameras,
        train_photos=train_photos,
        test_photos=test_photos,
        variants=[variant for variant in VARIANTS if variant in variants and cameras],
        video_variant=options["video_variant"] or ("inherited" if photos else "colmap"),
        video_camera=_video_camera(key, options["video_camera"], train_cameras, test_cameras),
        options=options,
    )


def _split_cameras(
    key: str, cameras: list[str], options: Mapping[str, Any], photos: bool
) -> tuple[list[str], list[str]]:
    """Held-out and training cameras, both sorted."""
    for role in ("test_cameras", "train_cameras"):
        for camera in options[role] or []:
            if camera not in cameras:
                raise UserError(
                    f'{key}.{role}: there is no camera "{camera}"{_nearest(camera, cameras)}; there are'
                    f" {_listed(cameras)}"
                )
    test = cameras[:1] if options["test_cameras"] is None else sorted(set(options["test_cameras"]))
    if options["train_cameras"] is None:
        train = [camera for camera in cameras if camera not in test]
    else:
        train = sorted(set(options["train_cameras"]))
    if both := set(train) & set(test):
        default = " (the first one is held out unless test_cameras is set)" if options["test_cameras"] is None else ""
        raise UserError(
            f"{key}: {_listed(both)} in both train_cameras and test_cameras{default}; keep it in one of them"
        )
    if cameras and not train:
        raise UserError(f"{key}: no camera is left to train on; test_cameras holds out all of {_listed(cameras)}")
    if len(train) == 1 and not photos:
        raise UserError(
            f"{key}: one camera only to train on ({train[0]}) and no photos; depth needs at least two views"
        )
    return test, train


def _split_photos(key: str, photos: list[str], every: int | None, videos: bool) -> tuple[list[str], list[str]]:
    """Training and held-out photos, both sorted."""
    if every is None:
        every = 0 if videos else 8
    test = photos[::every] if every else []
    train = [stem for stem in photos if stem not in test]
    if photos and not train:
        raise UserError(
            f"{key}.test_photos_every: {every} holds out all {len(photos)} photos and leaves none to train on"
        )
    return train, test


def _video_camera(key: str, wanted: str | None, train: list[str], test: list[str]) -> str:
    used = [*test, *train]
    if wanted is None:
        return used[0] if used else ""
    if wanted not in used:
        raise UserError(
            f'{key}.video_camera: "{wanted}" is not among the cameras that train or are held out'
            f"{_nearest(wanted, used)}; there are {_listed(used)}"
        )
    return wanted
