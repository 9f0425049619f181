"""Score one variant on the held-out cameras."""

from typing import TYPE_CHECKING

from mixdepth.evaluation.tasks import evaluate_variant
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    evaluate_variant(job.scene(smk), smk.wildcards.variant, **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
