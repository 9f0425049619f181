"""Write the images of one camera that COLMAP may choose from, their median, and what moves in them."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.stage import reference

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    reference(stage.scene(smk), smk.wildcards.camera, Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
