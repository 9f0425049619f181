"""Triangulate sparse points with the cameras fixed, from what may train only, and verify the cameras."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import write_sparse
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_sparse(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
