"""Find all cameras with COLMAP: one model for photos and videos together."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import structure_from_motion
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    structure_from_motion(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
