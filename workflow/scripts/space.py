"""Choose the space that a scene lives in."""

from mixdepth.cameras.tasks import write_space
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_space(job.scene(smk), **job.files(smk))
