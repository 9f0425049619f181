"""Read the static model's depth out, for training cameras only."""

from mixdepth.train.tasks import extract_depth
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    extract_depth(job.scene(smk), **job.files(smk))
