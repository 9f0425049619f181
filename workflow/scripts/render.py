"""Render one camera's colour and depth at every frame."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.rendering.tasks import render_camera
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    wildcards = smk.wildcards
    render_camera(job.scene(smk), wildcards.variant, wildcards.camera, job.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    job.run(snakemake, main)
