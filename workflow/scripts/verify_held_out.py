"""Check the given poses of the held-out cameras against what the training images show."""

from mixdepth.cameras.tasks import verify_held_out
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    verify_held_out(job.scene(smk), **job.files(smk))
