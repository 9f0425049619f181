"""Check the given poses of the held-out cameras against what the training images show."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import verify_held_out

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    verify_held_out(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
