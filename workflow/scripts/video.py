"""Write video.mp4: rendered colour and depth beside the camera's own video."""

from typing import TYPE_CHECKING

from mixdepth.exports.side_by_side import write_scene_video
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_scene_video(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
