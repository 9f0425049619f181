"""Decode, undistort and scale the frames of one camera."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.lens import load_lenses
from mixdepth.frames.store import write_store
from mixdepth.frames.timing import Timeline

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene, name = stage.scene(smk), smk.wildcards.camera
    videos = {camera: Path(scene.cameras[camera]) for camera in scene.used_cameras}
    frames = Timeline.of(videos, scene.options["frames"], scene.cameras).source_frames(name)
    camera = load_cameras(Path(smk.input.cameras)).get(name)
    lens = load_lenses(Path(smk.input.lenses))["cameras"].get(name)
    outputs = [Path(smk.output[key]) for key in ("rgb", "median", "std")]
    label = f"frames {scene.name} {name}"
    write_store(videos[name], camera, lens, frames, *outputs, label=label, scale=scene.options["scale"])


if "snakemake" in globals():
    stage.run(snakemake, main)
