"""Train the dynamic model of one variant."""

from mixdepth.train.tasks import train_dynamic
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    variant = smk.wildcards.variant
    train_dynamic(job.scene(smk), variant, job.results(smk).run(variant), job.identity(smk), **job.files(smk))
