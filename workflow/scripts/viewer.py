"""Write viewer.html: a few rendered views to look around in."""

from mixdepth.viewer.page import write_viewer
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_viewer(job.scene(smk), **job.files(smk))
