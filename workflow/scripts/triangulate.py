"""Triangulate sparse points with the cameras fixed, from what may train only, and verify the cameras."""

from mixdepth.cameras.tasks import write_sparse
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_sparse(job.scene(smk), **job.files(smk))
