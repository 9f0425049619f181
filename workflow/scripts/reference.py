"""Write the images of one camera that COLMAP may choose from, their median, and what moves in them."""

from typing import TYPE_CHECKING

from mixdepth.frames.tasks import reference
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    reference(job.scene(smk), smk.wildcards.camera, **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
