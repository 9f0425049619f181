"""Choose the space that a scene lives in."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.cameras.space import write_space
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    inputs = [Path(smk.input[key]) for key in ("cameras", "photos", "bounds")]
    write_space(job.scene(smk), *inputs, Path(smk.output[0]), [Path(path) for path in smk.input.depth])


if "snakemake" in globals():
    job.run(snakemake, main)
