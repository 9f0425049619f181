# What people look at: the comparison of the variants, the report, and where the results come from.

at = rule_of("comparison")


rule comparison:
    input:
        at.inputs,
    output:
        **at.reported("../workflow/report/comparison.rst", "Comparison of the variants"),
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
        "../workflow/scripts/comparison.py"


at = rule_of("report_html", log="report")


rule report_html:
    input:
        at.inputs,
    output:
        **at.reported("../workflow/report/report.rst", "Report: did depth help?"),
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
        "../workflow/scripts/report.py"


at = rule_of("provenance")


rule provenance:
    input:
        at.inputs,
    output:
        **at.outputs,
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
        "../workflow/scripts/provenance.py"
