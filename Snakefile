# mixdepth: from synchronised videos (and photos) to a free-viewpoint video, with or without depth supervision.
#
#   snakemake --cores 2 results/<scene>/video.mp4                                       the main job
#   snakemake --cores 2 results/<scene>/viewer.html                                     a result to look around in
#   snakemake --cores 2 --configfile config/<file>.yaml -- results/<scene>/report.html  another capture
#   snakemake --cores 2 results/ablation/report.html                                    every variant, fewer cameras, seeds
#
# The front door: configuration, stages, named targets. What a stage does is in rules/<stage>.smk, how its files are
# named and found in rules/common.smk, what may be configured in workflow/schemas/config.schema.yaml.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/demo.smk"
include: "rules/frames.smk"
include: "rules/cameras.smk"
include: "rules/static.smk"
include: "rules/dynamic.smk"
include: "rules/rendering.smk"
include: "rules/paths.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"
include: "rules/viewer.smk"
include: "rules/ablation.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,
    demo,
    probe,
    space,
    provenance,


onstart:
    if mistake := unplaced_trainings(workflow, SCENES, CAPTURED):
        raise WorkflowError(mistake)


rule all:
    default_target: True
    input:
        expand("results/demo/{file}", file=SCENE_TARGETS),


rule demo:
    input:
        expand("results/demo/{file}", file=SCENE_TARGETS),
