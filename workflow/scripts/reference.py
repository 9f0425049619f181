"""Write the images of one camera that COLMAP may choose from, their median, and what moves in them."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.reference import write_references
from mixdepth.frames.timing import Timeline

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene, name = stage.scene(smk), smk.wildcards.camera
    videos = {camera: Path(scene.cameras[camera]) for camera in scene.used_cameras}
    frames = Timeline.of(videos, scene.options["frames"], scene.cameras).source_frames(name)
    wanted = scene.options["colmap"]["reference_frames"]
    write_references(videos[name], frames, wanted, Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
