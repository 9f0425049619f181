"""Write renders as other programs read them."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.exports.stage import export_renders

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    renders, output = Path(smk.input.renders), Path(smk.output[0])
    export_renders(stage.scene(smk), stage.folder(smk), renders, smk.wildcards.kind, output)


if "snakemake" in globals():
    stage.run(snakemake, main)
