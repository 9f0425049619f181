"""Look at a capture, and refuse one that cannot work, before anything is computed."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.stage import probe

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    probe(stage.scene(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
