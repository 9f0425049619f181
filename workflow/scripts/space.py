"""Choose the space that a scene lives in."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import write_space
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_space(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
