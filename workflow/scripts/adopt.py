"""Take over finished files of another scene, as links."""

from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.io import link

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    for source, target in zip(smk.input, smk.output, strict=True):
        link(source, target)


if "snakemake" in globals():
    stage.run(snakemake, main)
