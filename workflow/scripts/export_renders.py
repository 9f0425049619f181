"""Write renders as other programs read them."""

from mixdepth.exports.tasks import export_renders
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    export_renders(job.scene(smk), smk.wildcards.kind, **job.files(smk))
