"""Write the report of one scene."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.report.page import write_report
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_report(job.scene(smk), job.results(smk), Path(smk.output.output))


if "snakemake" in globals():
    job.run(snakemake, main)
