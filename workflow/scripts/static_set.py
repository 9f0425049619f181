"""Collect what the static model learns from: photos, else the training cameras' temporal medians."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.stage import static_set

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    static_set(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
