"""Take over finished files of another scene, as links."""

from typing import TYPE_CHECKING

from mixdepth.files.io import link
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    for source, target in zip(smk.input, smk.output, strict=True):
        link(source, target)


if "snakemake" in globals():
    job.run(snakemake, main)
