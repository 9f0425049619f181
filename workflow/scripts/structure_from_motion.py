"""Find all cameras with COLMAP: one model for photos and videos together."""

from mixdepth.cameras.tasks import structure_from_motion
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    structure_from_motion(job.scene(smk), **job.files(smk))
