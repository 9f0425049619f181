"""Models that camera paths are rendered of."""

from pathlib import Path
from typing import Any

import torch
import yaml

from helpers.looking import FORWARD
from helpers.training import everywhere
from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.space import choose_space
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.storage import save_model
from mixdepth.files.io import write_json
from mixdepth.rendering.paths import Rig
from mixdepth.scene.config import SCHEMA
from mixdepth.scene.scene import Scene

FRAMES = 6


def rig(cameras: list[Camera]) -> Rig:
    named = {f"cam{k:02d}": camera for k, camera in enumerate(cameras)}
    return Rig(named, list(named)[1:], "cam00", 2.0, 9.0)


def settings(**given: Any) -> dict[str, Any]:
    """An entry of ``paths`` with the schema's defaults."""
    rules = yaml.safe_load(SCHEMA.read_text())["$defs"]["path"]["properties"]
    return {**{key: rule["default"] for key, rule in rules.items()}, **given}


def lay_out(folder: Path, segments: list[list[int]], **paths: dict) -> Scene:
    """A model without training (all of it may move) with what rendering it needs, as scene ``x``."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # layers begin with torch's own generator
    parts = {}
    for index, (first, last) in enumerate(segments):
        region = everywhere(last - first)
        region.sets[:256] &= 1  # cells that are left to one part of the capture
        parts[f"dynamic{index or ''}"] = DynamicField(region, 8, 2, 4, 8, generator, cameras=3)
    header = {"samples": 16, "segments": segments, "options": {"threads": 1, "device": "cpu"}}
    header["cameras"] = list(rig(FORWARD).cameras)[1:]
    save_model(
        folder / "none/model.safetensors", header, static=StaticField(8, 2, 2, 8, 3, generator=generator), **parts
    )
    choose_space(FORWARD, [(2.0, 9.0)] * 4).save(folder / "space.json")
    cameras = rig(FORWARD).cameras
    save_cameras(folder / "cameras.json", {name: camera.resized(16, 12) for name, camera in cameras.items()})
    write_json(folder / "capture.json", {"fps": 12.0})
    options = {"paths": {name: settings(**path) for name, path in paths.items()}, "frames": {"step": 1}}
    names = list(cameras)
    videos = dict.fromkeys(names, "video")
    return Scene("x", folder, videos, {}, names[1:], names[:1], [], [], ["none"], "none", "cam00", options)
