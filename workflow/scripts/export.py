"""Write the cameras as other programs read them."""

from mixdepth.cameras.tasks import export
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    export(job.scene(smk), **job.files(smk))
