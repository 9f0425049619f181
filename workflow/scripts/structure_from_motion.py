"""Find all cameras with COLMAP: one model for photos and videos together."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import structure_from_motion

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    structure_from_motion(stage.scene(smk), stage.folder(smk), Path(smk.output.report).parent)


if "snakemake" in globals():
    stage.run(snakemake, main)
