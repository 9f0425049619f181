"""Read the static model's depth out, for training cameras only."""

from typing import TYPE_CHECKING

from mixdepth.train.tasks import extract_depth
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    extract_depth(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
