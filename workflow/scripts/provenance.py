"""Record where a scene's results come from and what they are."""

from typing import TYPE_CHECKING

from mixdepth.record.provenance import write_provenance
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_provenance(job.scene(smk), job.results(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
