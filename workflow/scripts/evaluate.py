"""Score one variant on the held-out cameras."""

from mixdepth.evaluation.tasks import evaluate_variant
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    evaluate_variant(job.scene(smk), smk.wildcards.variant, **job.files(smk))
