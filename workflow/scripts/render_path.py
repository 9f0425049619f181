"""Render colour and depth along a camera path."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.rendering.tasks import render_path
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    wildcards = smk.wildcards
    render_path(job.scene(smk), wildcards.variant, wildcards.path, job.folder(smk), Path(smk.output[0]))


if "snakemake" in globals():
    job.run(snakemake, main)
