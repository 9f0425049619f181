# A result to look around in: a few views as a relief over time, in one page.

at = rule_of("viewer")


rule viewer:
    input:
        at.inputs,
    output:
        **at.reported("../workflow/report/viewer.rst"),
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/report.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/viewer.py"
