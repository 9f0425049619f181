"""Write the sparse depth with its standard deviation, the bounds and poses_bounds.npy."""

from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import write_depth

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_depth(stage.scene(smk), stage.folder(smk))


if "snakemake" in globals():
    stage.run(snakemake, main)
