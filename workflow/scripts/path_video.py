"""Write the video of a rendered camera path."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.rendering.video import write_path_video

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_path_video(Path(smk.input.renders), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
