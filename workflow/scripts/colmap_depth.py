"""Write the sparse depth with its standard deviation, the bounds and poses_bounds.npy."""

from mixdepth.cameras.tasks import write_depth
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_depth(job.scene(smk), **job.files(smk))
