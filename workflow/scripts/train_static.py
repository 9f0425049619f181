"""Train the static model."""

from mixdepth.results import STATIC
from mixdepth.train.tasks import train_static
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    train_static(job.scene(smk), job.results(smk).run(STATIC), job.identity(smk), **job.files(smk))
