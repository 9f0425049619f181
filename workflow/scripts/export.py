"""Write the cameras as other programs read them."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import export

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    export(stage.scene(smk), stage.folder(smk), Path(smk.output.transforms).parent)


if "snakemake" in globals():
    stage.run(snakemake, main)
