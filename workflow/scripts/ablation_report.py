"""Compare the runs of the ablation: tables, figures and a page."""

from pathlib import Path

from mixdepth.report.ablation.page import write_ablation
from mixdepth.workflow import job


@job.script
def main(smk: "job.Snakemake") -> None:
    scenes = {name: job.planned(smk.params.scenes[name], declared) for name, declared in smk.params.settings.items()}
    own = Path(smk.output.output).parent
    write_ablation(smk.params.runs, scenes, own.parent, own)
