"""Write viewer.html: a few rendered views to look around in."""

from typing import TYPE_CHECKING

from mixdepth.viewer.page import write_viewer
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_viewer(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
