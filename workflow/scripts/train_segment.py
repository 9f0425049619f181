"""Train one segment of one variant."""

from mixdepth.train.tasks import train_segment
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    variant, segment = smk.wildcards.variant, int(smk.wildcards.segment)
    run = job.results(smk).run(variant)
    train_segment(job.scene(smk), variant, segment, run, job.identity(smk), **job.files(smk))
