"""Write the video of a rendered camera path."""

from typing import TYPE_CHECKING

from mixdepth.exports.side_by_side import write_path_video
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_path_video(job.scene(smk), smk.wildcards.variant, **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
