"""What moves before one camera, what stands behind it, and how the light changed."""

from mixdepth.frames.tasks import motion
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    motion(job.scene(smk), smk.wildcards.camera, **job.files(smk))
