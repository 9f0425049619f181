"""Look at a capture, and refuse one that cannot work, before anything is computed."""

from typing import TYPE_CHECKING

from mixdepth.frames.tasks import probe
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    probe(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
