"""Write COLMAP's points that the held-out cameras see, for scoring."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import write_held_out_points
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_held_out_points(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
