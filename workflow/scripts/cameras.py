"""Write every camera's pose and intrinsics, from COLMAP's model or from given ones."""

from mixdepth.cameras.tasks import write_cameras
from mixdepth.frames.tasks import look
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    scene = job.scene(smk)
    # The selection of frames is checked, not used: choosing others does not move the cameras.
    write_cameras(scene, look(scene, smk.params.checks["frames"]), **job.files(smk))
