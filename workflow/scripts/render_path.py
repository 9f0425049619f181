"""Render colour and depth along a camera path."""

from typing import TYPE_CHECKING

from mixdepth.rendering.tasks import render_path
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    render_path(job.scene(smk), smk.wildcards.variant, smk.wildcards.path, **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
