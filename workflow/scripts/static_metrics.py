"""Score the static model."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.evaluation.stage import evaluate_static

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    evaluate_static(stage.scene(smk), stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
