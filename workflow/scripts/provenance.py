"""Record where a scene's results come from and what they are."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.report.provenance import write_provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_provenance(stage.scene(smk), stage.folder(smk), smk.input, Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
