"""Write the report of one scene."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.report.html import write_report

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_report(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
