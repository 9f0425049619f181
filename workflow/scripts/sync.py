"""Estimate how many frames the videos are out of step."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.sync import write_sync
from mixdepth.frames.timing import Timeline

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = stage.scene(smk)
    videos = {name: Path(scene.cameras[name]) for name in scene.used_cameras}
    timeline = Timeline.of(videos, scene.options["frames"], scene.cameras)
    for note in write_sync(Path(smk.output[0]), videos, timeline.fps, timeline.shifts)["notes"]:
        print(f"sync: {note}")


if "snakemake" in globals():
    stage.run(snakemake, main)
