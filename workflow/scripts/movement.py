"""How much moves before the training cameras."""

from mixdepth.frames.tasks import movement
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    movement(job.scene(smk), **job.files(smk))
