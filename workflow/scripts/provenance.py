"""Record where a scene's results come from and what they are."""

from mixdepth.record.provenance import write_provenance
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_provenance(job.scene(smk), job.results(smk), **job.files(smk))
