"""Look at a capture, and refuse one that cannot work, before anything is computed."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.probe import probe_capture
from mixdepth.io import write_json

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene = stage.scene(smk)
    cameras = {name: Path(scene.cameras[name]) for name in scene.used_cameras}
    photos = {stem: Path(path) for stem, path in scene.photos.items()}
    write_json(Path(smk.output[0]), probe_capture(cameras, photos, scene.options["frames"], scene.cameras))


if "snakemake" in globals():
    stage.run(snakemake, main)
