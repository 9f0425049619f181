"""The scene that `prepare` left in a folder of results, which others may have sent: nothing outside is touched."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mixdepth.errors import ConfigurationError, DamagedFile
from mixdepth.files.io import read_json
from mixdepth.files.shapes import mismatch
from mixdepth.scene.capture import NAME
from mixdepth.scene.config import SCHEMA
from mixdepth.scene.scene import Scene
from mixdepth.scene.schema import check, read_yaml
from mixdepth.variants import VARIANTS

SHAPE: dict[str, Any] = {
    **dict.fromkeys(("name", "data", "video_variant", "video_camera"), str),
    **{key: {str: str} for key in ("cameras", "photos")},
    **{key: [str] for key in ("train_cameras", "test_cameras", "train_photos", "test_photos", "variants")},
    "options": {"paths": {str: {"file": (str, None)}}, "lpips": {str: (str, None)}, "truth": (str, None)},
    "viewer_cameras": [str],
}


def read_scene(path: Path) -> Scene:
    """The scene that a scene.json tells of, all of whose names are harmless parts of files below its folder.

    Its settings are held to the schema where what reads that is installed. A node that only trains and renders has
    none: there a wrong value may end in another error.

    Raises:
        DamagedFile: it is none of this version, has the name of another folder, or names or settings that no
            configuration could have.
        ConfigurationError: a link in the folder leads out of it.
    """
    values = read_json(path)
    if wrong := mismatch(values, SHAPE) or _wrong_name(values, path.parent):
        raise DamagedFile(f"{path}: not a scene of this version ({wrong}); run prepare again")
    scene = Scene(**{**{key: values[key] for key in SHAPE}, "data": Path(values["data"])})
    if find_spec("jsonschema") and find_spec("yaml"):
        check({"scenes": {scene.name: scene.options}}, read_yaml(SCHEMA), str(path))
    _refuse_links(path.parent)
    return scene


def refuse_outside(scene: Scene, evaluated: bool, paths: list[str]) -> None:
    """Refuse to read what a scene.json names outside of the results: that takes the user's own configuration.

    Args:
        evaluated: whether truth and weights will be read.
        paths: camera paths that will be rendered.

    Raises:
        ConfigurationError: such a file is named.
    """
    named = [scene.truth, *scene.options["lpips"].values()] if evaluated else []
    named += [scene.data / file for path in paths if (file := scene.path(path)["file"])]
    if found := [str(file) for file in named if file]:
        raise ConfigurationError(
            f"scene.json of {scene.name} names {found[0]}, which is outside of the results; such files are read where"
            " --config FILE names the configuration that says so"
        )


def _wrong_name(values: dict[str, Any], folder: Path) -> str:
    """Which name of a scene could lead out of its folder, or is of nothing that the scene has; "" where none could."""
    if values["name"] != folder.name:
        return f"its name is {values['name']!r}, in the folder {folder.name!r}"
    cameras, photos = values["cameras"], values["photos"]
    names = [folder.name, *cameras, *photos, *values["options"]["paths"]]
    if odd := [name for name in names if not NAME.fullmatch(name)]:
        return f"{odd[0]!r} is no name of a scene, camera, photo or camera path"
    of_cameras = [*values["train_cameras"], *values["test_cameras"], *values["viewer_cameras"]]
    roles = [(of_cameras, cameras), ([*values["train_photos"], *values["test_photos"]], photos)]
    roles += [(values["variants"], VARIANTS), ([values["video_variant"]], VARIANTS)]
    roles += [([values["video_camera"]], cameras or ("",))]
    unknown = [name for names, known in roles for name in names if name not in known]
    return f"{unknown[0]!r} is none of its cameras, photos or variants" if unknown else ""


def _refuse_links(folder: Path) -> None:
    inside = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise ConfigurationError(
                    f"{path} is a link to {path.readlink()}, outside of {folder}. Remove it; or, if it is yours, name"
                    " the scene's configuration with --config FILE"
                )
