"""Collect the held-out photos."""

from mixdepth.frames.tasks import static_test_set
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    static_test_set(job.scene(smk), **job.files(smk))
