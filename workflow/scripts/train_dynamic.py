"""Train the dynamic model of one variant."""

from mixdepth.train.tasks import train_dynamic
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    train_dynamic(job.scene(smk), smk.wildcards.variant, job.results(smk).run(smk.wildcards.variant), **job.files(smk))
