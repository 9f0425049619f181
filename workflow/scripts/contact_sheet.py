"""One picture of all cameras."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.report.contact_sheet import write_contact_sheet
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    cameras = job.scene(smk).used_cameras
    stores = {camera: job.folder(smk) / "frames" / camera for camera in cameras}
    write_contact_sheet(stores, Path(smk.output[0]))


if "snakemake" in globals():
    job.run(snakemake, main)
