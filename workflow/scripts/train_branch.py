"""Train the static branch that the segments of one variant share."""

from mixdepth.train.tasks import train_branch
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    variant = smk.wildcards.variant
    train_branch(job.scene(smk), variant, job.results(smk).run(variant), job.identity(smk), **job.files(smk))
