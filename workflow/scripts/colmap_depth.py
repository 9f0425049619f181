"""Write the sparse depth with its standard deviation, the bounds and poses_bounds.npy."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import write_depth
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_depth(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
