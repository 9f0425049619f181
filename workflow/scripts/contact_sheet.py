"""One picture of all cameras."""

from typing import TYPE_CHECKING

from mixdepth.report.contact_sheet import write_contact_sheet
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    write_contact_sheet(**job.files(smk))


if "snakemake" in globals():
    job.run(snakemake, main)
