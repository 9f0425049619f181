"""Estimate how many frames the videos are out of step."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.stage import sync

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    sync(stage.scene(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
