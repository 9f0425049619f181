"""Read the static model's depth out, for training cameras only."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.train.stage import extract_depth

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    extract_depth(stage.scene(smk), stage.folder(smk), Path(smk.output[0]).parent)


if "snakemake" in globals():
    stage.run(snakemake, main)
