"""Render colour and depth along a camera path."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.rendering.stage import render_path

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    wildcards = smk.wildcards
    render_path(stage.scene(smk), wildcards.variant, wildcards.path, stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
