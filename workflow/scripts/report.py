"""Write the report of one scene."""

from pathlib import Path

from mixdepth.report.page import write_report
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_report(job.scene(smk), job.results(smk), Path(smk.output.output))
