"""Write the images of one camera that COLMAP may choose from, their plate, and what moves in them."""

from mixdepth.frames.tasks import reference
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    reference(job.scene(smk), smk.wildcards.camera, **job.files(smk))
