"""Write the frame of one camera that COLMAP sees."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.decode import write_reference

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    camera = stage.scene(smk).cameras[smk.wildcards.camera]
    write_reference(Path(camera), smk.params.frame, Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
