"""Find all cameras with COLMAP: one model for photos and videos together."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.stage import structure_from_motion

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = stage.scene(smk)
    references = {name: stage.folder(smk) / "reference" / f"{name}.png" for name in scene.used_cameras}
    photos = {stem: Path(path) for stem, path in scene.photos.items()}
    structure_from_motion(references, photos, Path(smk.output[0]).parent, scene.options["colmap"])


if "snakemake" in globals():
    stage.run(snakemake, main)
