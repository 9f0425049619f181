"""Score the static model."""

from mixdepth.evaluation.tasks import evaluate_static
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    evaluate_static(job.scene(smk), **job.files(smk))
