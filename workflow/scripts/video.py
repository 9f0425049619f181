"""Write video.mp4: rendered colour and depth beside the camera's own video."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.rendering.video import write_video

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_video(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
