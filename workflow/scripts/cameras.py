"""Write every camera's pose and intrinsics, from COLMAP's model or from given ones."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.cameras.tasks import write_cameras
from mixdepth.frames.probe import probe_capture
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = job.scene(smk)
    videos = {name: Path(scene.cameras[name]) for name in scene.used_cameras}
    photos = {stem: Path(path) for stem, path in scene.photos.items()}
    # The selection of frames is checked, not used: choosing others does not move the cameras.
    capture = probe_capture(videos, photos, job.undeclared_options(smk)["frames"], scene.cameras)
    write_cameras(scene, capture, job.folder(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
