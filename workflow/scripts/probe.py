"""Look at a capture, and refuse one that cannot work, before anything is computed."""

from mixdepth.frames.tasks import probe
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    probe(job.scene(smk), **job.files(smk))
