"""Decode, undistort and scale the frames of one camera."""

from mixdepth.frames.tasks import frame_store
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    frame_store(job.scene(smk), smk.wildcards.camera, **job.files(smk))
