"""Write COLMAP's points that the held-out cameras see, for scoring."""

from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import write_held_out_points

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_held_out_points(stage.scene(smk), stage.folder(smk))


if "snakemake" in globals():
    stage.run(snakemake, main)
