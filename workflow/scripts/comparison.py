"""Draw the comparison of the variants."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.report.comparison import write_comparison

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_comparison(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
