"""Render one camera's colour and depth at every frame."""

from mixdepth.rendering.tasks import render_camera
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    render_camera(job.scene(smk), smk.wildcards.variant, smk.wildcards.camera, **job.files(smk))
