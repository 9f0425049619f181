"""Write viewer.html: a few rendered views to look around in."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.report.viewer import write_viewer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_viewer(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
