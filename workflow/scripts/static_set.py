"""Collect what the static model learns from: photos, else the training cameras' plates."""

from mixdepth.frames.tasks import static_set
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    static_set(job.scene(smk), **job.files(smk))
