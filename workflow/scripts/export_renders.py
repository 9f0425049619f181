"""Write renders as other programs read them."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.exports.tasks import export_renders
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    renders, output = Path(smk.input.renders), Path(smk.output[0])
    export_renders(job.scene(smk), job.folder(smk), renders, smk.wildcards.kind, output)


if "snakemake" in globals():
    job.run(snakemake, main)
