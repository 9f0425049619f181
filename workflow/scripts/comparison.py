"""Draw the comparison of the variants."""

from mixdepth.report.comparison import write_comparison
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_comparison(job.scene(smk), **job.files(smk))
