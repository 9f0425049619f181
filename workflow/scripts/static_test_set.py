"""Collect the held-out photos."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.lens import load_lenses
from mixdepth.frames.store import write_static_set

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = stage.scene(smk)
    images = {stem: Path(scene.photos[stem]) for stem in scene.test_photos}
    lenses = load_lenses(Path(smk.input.lenses))["photos"]
    write_static_set(images, load_cameras(Path(smk.input.photos)), lenses, Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
