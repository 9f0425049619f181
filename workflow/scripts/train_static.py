"""Train the static model."""

from typing import TYPE_CHECKING

from mixdepth.results import STATIC
from mixdepth.train.tasks import train_static
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    train_static(job.scene(smk), job.results(smk).run(STATIC), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
