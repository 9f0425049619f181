"""One picture of all cameras."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.frames.contact_sheet import write_contact_sheet

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    cameras = stage.scene(smk).used_cameras
    stores = {camera: stage.folder(smk) / "frames" / camera for camera in cameras}
    write_contact_sheet(stores, Path(smk.output[0]))


if "snakemake" in globals():
    stage.run(snakemake, main)
