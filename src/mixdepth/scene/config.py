"""The configuration: checked against the schema, defaults filled in, and the scenes it describes.

The schema (workflow/schemas/config.schema.yaml) is the only place with defaults; a preset (config/presets), over one
that it extends, may lie over them and below a scene's own settings. What a scene's files say (which cameras and photos
there are) is looked up when the scene is first asked for, so a configuration that also names a capture that is not on
this machine does no harm.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdepth.errors import CaptureError, ConfigurationError, listed, nearest
from mixdepth.files.kinds import composed
from mixdepth.results import ABLATION, Results
from mixdepth.scene.ablation import Ablation, plan
from mixdepth.scene.capture import find_photos, find_videos
from mixdepth.scene.scene import Scene
from mixdepth.scene.schema import check, filled, merged, read_yaml
from mixdepth.variants import VARIANTS

# In a checkout these are links to where users know the files, workflow/schemas and config/presets; a wheel has copies.
SCHEMA = Path(__file__).with_name("config.schema.yaml").resolve()
PRESETS = Path(__file__).with_name("presets").resolve()


class Scenes(Mapping[str, Scene]):
    """The scenes of a valid configuration by name; each is resolved (its files looked up) on first access.

    Those that an ablation derives are found by name too, but are not counted among the configured ones.
    """

    def __init__(self, options: dict[str, dict[str, Any]], given: Mapping[str, Mapping[str, Any]]):
        # Apart: what else is made of a scene does not depend on its ablation.
        self._ablations = {name: own.get("ablation") for name, own in options.items()}
        self._options = {name: {k: v for k, v in own.items() if k != "ablation"} for name, own in options.items()}
        self._given = given  # the options without presets and defaults
        self._resolved: dict[str, Scene] = {}
        self._planned: dict[str, Ablation | None] = {}

    def ablation(self, name: str) -> Ablation | None:
        """The ablation of a configured scene; None where it asks for none."""
        if name not in self._planned:
            wanted = self._ablations[name]
            self._planned[name] = None if wanted is None else plan(self[name], wanted)
        return self._planned[name]

    def results(self, name: str, root: Path = Path("results")) -> Results:
        """The files of a scene; of a derived one also those that it shares."""
        shared = (planned.results(name, root) for planned in self._planned_near(name))
        return next(filter(None, shared), None) or Results(root / name)

    def _planned_near(self, name: str) -> Iterator[Ablation]:
        """The ablations that a scene of this name may be derived by."""
        near = (scene for scene in self._options if name.startswith(f"{ABLATION}/{scene}."))
        return filter(None, map(self.ablation, near))

    def __getitem__(self, name: str) -> Scene:
        for planned in self._planned_near(name):
            if derived := planned.members.get(name) or planned.camera_sets.get(name):
                return derived
        if name not in self._options:
            raise ConfigurationError(
                f'no scene "{name}" in the configuration{nearest(name, self._options)}; it has'
                f" {listed(self._options)}. A scene of another file needs --configfile config/<file>.yaml"
            )
        if name not in self._resolved:
            try:
                self._resolved[name] = _resolve(name, self._options[name])
            except (OSError, ValueError) as error:  # a path that no system takes, or a folder that may not be read
                raise CaptureError(f"scenes.{name}: its files cannot be looked up: {error}") from None
        return self._resolved[name]

    def cuda_key(self, name: str, variant: str | None) -> str:
        """The key that says `cuda` for the training of a configured scene's variant (None: of the static model), with
        the preset that it comes from; "" where another device is configured."""
        section = "dynamic" if variant else "static"
        if self[name].settings(section, variant=variant)[section]["device"] != "cuda":
            return ""
        given = self._given[name]
        if "device" in given.get("variant_options", {}).get(variant, {}):
            return f"scenes.{name}.variant_options.{variant}.device"
        preset = "" if "device" in given.get(section, {}) else f" (from the preset {given['preset']})"
        return f"scenes.{name}.{section}.device{preset}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)


def load_config(raw: Mapping[str, Any], *, presets: Path = PRESETS) -> Scenes:
    """Check a configuration and fill in its presets and defaults: schema < extended preset < preset < scene.

    Args:
        raw: what Snakemake read from config/config.yaml and --configfile.
        presets: folder of the presets.

    Raises:
        UserError: all mistakes that the schema finds, one per line, each with its full key; or a preset that does not
            exist or is not valid.
    """
    rules = read_yaml(SCHEMA)
    check(raw, rules, "the configuration")
    if ABLATION in raw["scenes"]:
        raise ConfigurationError(
            f"scenes.{ABLATION}: results/{ABLATION} is the folder of the ablation report; name it otherwise"
        )
    scenes = {}
    for name, options in raw["scenes"].items():
        preset = options.get("preset")
        below = {} if preset is None else preset_settings(preset, f"scenes.{name}.preset", presets, rules)
        scenes[name] = merged(below, options)
    return Scenes(filled({"scenes": scenes}, rules, rules)["scenes"], raw["scenes"])


def preset_settings(
    name: str, key: str, folder: Path, rules: Mapping[str, Any], above: Sequence[str] = ()
) -> dict[str, Any]:
    """The settings of a preset, over those of the one that it extends.

    Args:
        key: what names it, for messages.
        folder: of the presets.
        rules: the schema.
        above: the presets that extend this one, the first one first.

    Raises:
        UserError: it does not exist, is not valid, or extends itself, by way of others or not; or one below it does.
    """
    known = [path.stem for path in folder.glob("*.yaml")]
    path = folder / f"{name}.yaml"
    if name not in known:
        raise ConfigurationError(
            f'{key}: there is no preset "{name}"{nearest(name, known)}; there are {listed(known)}. To add one, write'
            f" {path} after the model of the files there"
        )
    if name in above:
        raise ConfigurationError(
            f'{key}: found "{name}", which would extend itself ({" > ".join([*above, name])}); name another one of'
            f" {listed(known)}, or leave `extends` out"
        )
    settings = read_yaml(path)
    check(settings, {"$ref": "#/$defs/preset", "$defs": rules["$defs"]}, str(path))
    extended = settings.pop("extends", None)
    if extended is None:
        return settings
    return merged(preset_settings(extended, f"{path}: extends", folder, rules, (*above, name)), settings)


# Scenes


def _resolve(name: str, options: dict[str, Any]) -> Scene:
    """Look up a scene's files and decide who trains, who is held out and what is compared."""
    key = f"scenes.{name}"
    data = Path(options["data"])
    if not data.is_dir() and options["cameras"] is None:
        raise ConfigurationError(
            f"{key}.data: the folder {data} was not found (looked from {Path.cwd()}). Give the folder of the capture,"
            f" or list {key}.cameras where another program makes the files later."
        )
    options = _composed(options)
    cameras = find_videos(data, options["videos"], options["cameras"])
    photos = find_photos(data, options["photos"], options["photo_files"], options["exclude_photos"])
    if not cameras and not photos:
        raise CaptureError(
            f"{key}: no video cameras in {data / options['videos']} and no photos in {data / options['photos']};"
            f" expected videos or folders of frames named cam00, cam01, ..., or photos"
        )
    if len(cameras) == 1:
        raise CaptureError(
            f"{key}: one camera only ({listed(cameras)}); a scene needs at least two video cameras that see the same"
            f" thing (or none, for a scene of photos)"
        )
    test_cameras, train_cameras = _split_cameras(key, list(cameras), options, bool(photos))
    if options["poses"]["source"] != "colmap":
        # With given cameras a photo takes the pose of the camera of its name: it would show a held-out view.
        photos = {stem: path for stem, path in photos.items() if stem not in test_cameras}
    train_photos, test_photos = _split_photos(key, list(photos), options["test_photos_every"], bool(cameras))
    used = sorted({*train_cameras, *test_cameras})
    video_camera = _video_camera(f"{key}.video_camera", options["video_camera"], test_cameras, used)
    _check_paths(f"{key}.paths", options["paths"], used)
    chosen = options["variants"] or (VARIANTS if photos else ("none", "colmap"))
    variants = [variant for variant in VARIANTS if variant in chosen]
    return Scene(
        name=name,
        data=data,
        cameras=cameras,
        photos=photos,
        train_cameras=train_cameras,
        test_cameras=test_cameras,
        train_photos=train_photos,
        test_photos=test_photos,
        variants=variants if cameras else [],
        video_variant=options["video_variant"] or variants[-1],
        video_camera=video_camera,
        options=options,
        viewer_cameras=_viewer_cameras(f"{key}.viewer_cameras", options["viewer_cameras"], video_camera, used),
    )


def _composed(options: dict[str, Any]) -> dict[str, Any]:
    """The options with names of cameras as :func:`camera_name` has their accents, whatever the editor wrote."""
    found = {**options, "paths": {name: {**path} for name, path in options["paths"].items()}}
    lists = [(found, key) for key in ("test_cameras", "train_cameras", "viewer_cameras")]
    for holder, key in lists + [(path, "cameras") for path in found["paths"].values()]:
        holder[key] = holder[key] and [composed(name) for name in holder[key]]
    return {**found, "video_camera": found["video_camera"] and composed(found["video_camera"])}


def _split_cameras(
    key: str, cameras: list[str], options: Mapping[str, Any], photos: bool
) -> tuple[list[str], list[str]]:
    """Held-out and training cameras, both sorted."""
    for role in ("test_cameras", "train_cameras"):
        for camera in options[role] or []:
            if camera not in cameras:
                raise ConfigurationError(
                    f'{key}.{role}: there is no camera "{camera}"{nearest(camera, cameras)}; there are'
                    f" {listed(cameras)}"
                )
    test = cameras[:1] if options["test_cameras"] is None else sorted(set(options["test_cameras"]))
    if options["train_cameras"] is None:
        train = [camera for camera in cameras if camera not in test]
    else:
        train = sorted(set(options["train_cameras"]))
    if both := set(train) & set(test):
        default = " (the first one is held out unless test_cameras is set)" if options["test_cameras"] is None else ""
        raise ConfigurationError(
            f"{key}: {listed(both)} in both train_cameras and test_cameras{default}; keep it in one of them"
        )
    if cameras and not train:
        raise ConfigurationError(
            f"{key}: no camera is left to train on; test_cameras holds out all of {listed(cameras)}"
        )
    if len(train) == 1 and not photos:
        raise ConfigurationError(
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
        raise ConfigurationError(
            f"{key}.test_photos_every: {every} holds out all {len(photos)} photos and leaves none to train on"
        )
    return train, test


def _refuse_unused(key: str, cameras: Iterable[str], used: list[str]) -> None:
    """Refuse cameras that neither train nor are held out."""
    for camera in cameras:
        if camera not in used:
            raise ConfigurationError(
                f'{key}: "{camera}" is not among the cameras that train or are held out{nearest(camera, used)}; there'
                f" are {listed(used)}"
            )


def _check_paths(key: str, paths: Mapping[str, Any], used: list[str]) -> None:
    """Refuse camera paths that cannot be laid out."""
    for name, path in paths.items():
        cameras, kind = path["cameras"] or [], path["kind"]
        _refuse_unused(f"{key}.{name}.cameras", cameras, used)
        count = len(cameras)
        wanted = {"camera": "one", "move": "two or more", "file": "none: the file has them"}
        if count and ((kind == "camera" and count > 1) or (kind == "move" and count < 2) or kind == "file"):
            raise ConfigurationError(f"{key}.{name}.cameras: found {count}, but `kind: {kind}` takes {wanted[kind]}")
        if (path["file"] is None) == (kind == "file"):
            found = "no file" if kind == "file" else f'the file "{path["file"]}"'
            raise ConfigurationError(f"{key}.{name}: has {found} and `kind: {kind}`; give both `kind: file` and `file`")


def _video_camera(key: str, wanted: str | None, test: list[str], used: list[str]) -> str:
    if wanted is None:
        return [*test, *used, ""][0]
    _refuse_unused(key, [wanted], used)
    return wanted


def _viewer_cameras(key: str, wanted: list[str] | None, video_camera: str, used: list[str]) -> list[str]:
    """The video's camera, and the first and the last of the others: where cameras stand is not known before there are
    jobs, but most rigs are numbered from one end to the other."""
    if wanted is None:
        others = [camera for camera in used if camera != video_camera]
        return [video_camera, *dict.fromkeys([*others[:1], *others[-1:]])] if used else []
    _refuse_unused(key, wanted, used)
    return wanted
