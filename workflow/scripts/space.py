"""Choose the space that a scene lives in."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.space import write_space

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    inputs = [Path(smk.input[key]) for key in ("cameras", "photos", "bounds")]
    write_space(stage.scene(smk), *inputs, Path(smk.output[0]), [Path(path) for path in smk.input.depth])


if "snakemake" in globals():
    stage.run(snakemake, main)
