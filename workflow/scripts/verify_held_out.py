"""Check the given poses of the held-out cameras against what the training images show."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import verify_held_out
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    verify_held_out(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
