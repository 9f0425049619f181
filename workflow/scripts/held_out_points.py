"""Write COLMAP's points that the held-out cameras see, for scoring."""

from mixdepth.cameras.tasks import write_held_out_points
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_held_out_points(job.scene(smk), **job.files(smk))
