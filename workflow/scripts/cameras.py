"""Write every camera's pose and intrinsics, from COLMAP's model or from given ones."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.cameras.stage import write_cameras

from mixdepth import stage
from mixdepth.io import read_json

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = stage.scene(smk)
    model = stage.folder(smk) / "sfm" if scene.options["poses"]["source"] == "colmap" else None
    outputs = [Path(smk.output[key]) for key in ("cameras", "photos", "lenses")]
    write_cameras(scene, read_json(Path(smk.input.capture)), model, *outputs)


if "snakemake" in globals():
    stage.run(snakemake, main)
