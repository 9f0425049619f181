"""Estimate how many frames the videos are out of step."""

from typing import TYPE_CHECKING

from mixdepth.frames.tasks import sync
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    sync(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
