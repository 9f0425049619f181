"""Make the demo capture."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.demo import make_demo
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    # data/demo: the truth lies beside the folders of videos and photos.
    make_demo(Path(smk.output.truth).parent)


if "snakemake" in globals():
    job.run(snakemake, main)
