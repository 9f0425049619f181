"""Decode, undistort and scale the frames of one camera."""

from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.stage import frame_store

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    frame_store(stage.scene(smk), smk.wildcards.camera, stage.folder(smk))


if "snakemake" in globals():
    stage.run(snakemake, main)
