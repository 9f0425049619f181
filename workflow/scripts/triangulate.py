"""Triangulate sparse points with the cameras fixed, from what may train only."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import write_sparse

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = stage.scene(smk)
    references = {name: stage.folder(smk) / "reference" / f"{name}.png" for name in scene.train_cameras}
    inputs = [Path(smk.input[key]) for key in ("cameras", "photos", "lenses")]
    write_sparse(scene, *inputs, references, Path(smk.output[0]).parent)


if "snakemake" in globals():
    stage.run(snakemake, main)
