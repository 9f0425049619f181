"""Collect what the static model learns from: photos, else the training cameras' temporal medians."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.lens import load_lenses
from mixdepth.frames.store import write_median_set, write_static_set

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene, output = stage.scene(smk), Path(smk.output[0])
    if scene.photos:
        images = {stem: Path(scene.photos[stem]) for stem in scene.train_photos}
        lenses = load_lenses(Path(smk.input.lenses))["photos"]
        write_static_set(images, load_cameras(Path(smk.input.photos)), lenses, output)
    else:
        write_median_set({name: stage.folder(smk) / "frames" / name for name in scene.train_cameras}, output)


if "snakemake" in globals():
    stage.run(snakemake, main)
