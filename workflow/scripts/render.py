"""Render one camera's colour and depth at every frame."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.rendering.stage import render_camera

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    wildcards = smk.wildcards
    render_camera(stage.scene(smk), wildcards.variant, wildcards.camera, stage.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
