"""Make the demo capture."""

from pathlib import Path

from mixdepth.demo import make_demo
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    # data/demo: the truth lies beside the folders of videos and photos.
    make_demo(Path(smk.output.truth).parent)
