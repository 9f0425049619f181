"""Compare the runs of the ablation: tables, figures and a page."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.report.ablation.page import write_ablation
from mixdepth.workflow import job

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scenes = {name: job.planned(smk.params.scenes[name], declared) for name, declared in smk.params.settings.items()}
    own = Path(smk.output.output).parent
    write_ablation(smk.params.runs, scenes, own.parent, own)


if "snakemake" in globals():
    job.run(snakemake, main)
