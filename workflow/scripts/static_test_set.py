"""Collect the held-out photos."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.stage import static_test_set

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    static_test_set(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
