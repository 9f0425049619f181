"""Collect what the static model learns from: photos, else the training cameras' temporal medians."""

from typing import TYPE_CHECKING

from mixdepth.frames.tasks import static_set
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    static_set(job.scene(smk), **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
