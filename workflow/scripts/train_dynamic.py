"""Train the dynamic model of one variant."""

from typing import TYPE_CHECKING

from mixdepth.train.tasks import train_dynamic
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    train_dynamic(job.scene(smk), smk.wildcards.variant, job.results(smk).run(smk.wildcards.variant), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
