# What a trained model sees from a camera, and the video that shows it.

at = rule_of("render")


rule render:
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
        "../workflow/scripts/render.py"


at = rule_of("video")


rule video:
    input:
        at.inputs,
    output:
        **at.reported("../workflow/report/video.rst", "Video"),
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
        "../workflow/scripts/video.py"
