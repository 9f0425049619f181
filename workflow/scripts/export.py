"""Write the cameras as other programs read them."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import export
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    export(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
