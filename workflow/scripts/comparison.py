"""Draw the comparison of the variants."""

from typing import TYPE_CHECKING

from mixdepth.report.comparison import write_comparison
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_comparison(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
