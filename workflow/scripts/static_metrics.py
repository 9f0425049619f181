"""Score the static model."""

from typing import TYPE_CHECKING

from mixdepth.evaluation.tasks import evaluate_static
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    evaluate_static(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
