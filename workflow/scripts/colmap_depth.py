"""Write the sparse depth with its standard deviation, the bounds and poses_bounds.npy."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import write_depth

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene, folder = stage.scene(smk), stage.folder(smk)
    inputs = [Path(smk.input[key]) for key in ("cameras", "photos", "lenses")]
    bounds, poses_bounds = Path(smk.output.bounds), Path(smk.output.poses_bounds)
    write_depth(scene, *inputs, folder / "sparse", folder / "colmap_depth", bounds, poses_bounds)


if "snakemake" in globals():
    stage.run(snakemake, main)
