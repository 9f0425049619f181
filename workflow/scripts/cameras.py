"""Write every camera's pose and intrinsics, from COLMAP's model or from given ones."""

from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import write_cameras
from mixdepth.frames.tasks import look
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = job.scene(smk)
    # The selection of frames is checked, not used: choosing others does not move the cameras.
    write_cameras(scene, look(scene, smk.params.checks["frames"]), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
