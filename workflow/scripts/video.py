"""Write video.mp4: rendered colour and depth beside the camera's own video."""

from mixdepth.exports.side_by_side import write_scene_video
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_scene_video(job.scene(smk), **job.files(smk))
