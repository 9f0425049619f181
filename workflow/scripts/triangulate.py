"""Triangulate sparse points with the cameras fixed, from what may train only, and verify the cameras."""

from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import write_sparse

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_sparse(stage.scene(smk), stage.folder(smk))


if "snakemake" in globals():
    stage.run(snakemake, main)
