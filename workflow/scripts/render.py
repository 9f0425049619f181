"""Render one camera's colour and depth at every frame."""

from typing import TYPE_CHECKING

from mixdepth.rendering.tasks import render_camera
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    render_camera(job.scene(smk), smk.wildcards.variant, smk.wildcards.camera, **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
