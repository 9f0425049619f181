"""Write the images of one camera that COLMAP may choose from, their median, and what moves in them."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.frames.tasks import reference
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    reference(job.scene(smk), smk.wildcards.camera, Path(smk.output[0]))


if "snakemake" in globals():
    job.run(snakemake, main)
