# The dynamic model, once per variant: `none` no depth, `colmap` sparse depth, `distilled` the static model's depth,
# `inherited` the static model itself. A capture of several segments has a job for each, and the last one joins them.

at = rule_of("train_branch")


rule train_branch:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/train.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/train_branch.py"


at = rule_of("train_segment")


rule train_segment:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/train.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/train_segment.py"


at = rule_of("train_dynamic")


rule train_dynamic:
    input:
        at.inputs,
        at.parts,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/train.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/train_dynamic.py"
