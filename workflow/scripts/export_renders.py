"""Write renders as other programs read them."""

from typing import TYPE_CHECKING

from mixdepth.exports.tasks import export_renders
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    export_renders(job.scene(smk), smk.wildcards.kind, **job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
