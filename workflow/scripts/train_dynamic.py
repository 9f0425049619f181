"""Train the dynamic model of one variant."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.train.stage import train_dynamic

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    train_dynamic(stage.scene(smk), smk.wildcards.variant, stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
