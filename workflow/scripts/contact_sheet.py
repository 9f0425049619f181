"""One picture of all cameras."""

from mixdepth.report.contact_sheet import write_contact_sheet
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    write_contact_sheet(**job.files(smk))
