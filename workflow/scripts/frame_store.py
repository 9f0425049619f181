"""Decode, undistort and scale the frames of one camera."""

from typing import TYPE_CHECKING

from mixdepth.frames.tasks import frame_store
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    frame_store(job.scene(smk), smk.wildcards.camera, **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
