"""Score one variant on the held-out cameras."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.evaluation.stage import evaluate_variant

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    evaluate_variant(stage.scene(smk), smk.wildcards.variant, stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
