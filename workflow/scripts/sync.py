"""Estimate how many frames the videos are out of step."""

from mixdepth.frames.tasks import sync
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    sync(job.scene(smk), **job.files(smk))
