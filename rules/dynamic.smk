# The dynamic model, once per variant: `none` no depth, `colmap` sparse depth, `distilled` the static model's depth,
# `inherited` the static model itself.

at = rule_of("train_dynamic")


rule train_dynamic:
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
        "../workflow/scripts/train_dynamic.py"
