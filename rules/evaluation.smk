# How good a variant is on the cameras that nothing trained on.

at = rule_of("held_out_points")


rule held_out_points:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/cameras.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/held_out_points.py"


at = rule_of("evaluate")


rule evaluate:
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
        "../workflow/scripts/evaluate.py"
