"""Write the video of a rendered camera path."""

from mixdepth.exports.side_by_side import write_path_video
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_path_video(job.scene(smk), smk.wildcards.variant, **job.files(smk))
