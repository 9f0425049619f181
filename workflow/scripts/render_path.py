"""Render colour and depth along a camera path."""

from mixdepth.rendering.tasks import render_path
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    render_path(job.scene(smk), smk.wildcards.variant, smk.wildcards.path, **job.files(smk))
