# What a trained model shows along a camera path, and renders of cameras and paths as other programs read them.

at = rule_of("render_path")


rule render_path:
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
        "../workflow/scripts/render_path.py"


at = rule_of("path_video")


rule path_video:
    input:
        at.inputs,
    output:
        **at.reported("../workflow/report/path_video.rst"),
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
        "../workflow/scripts/path_video.py"


at = rule_of("export_renders", log="export")


# Ask for results/<scene>/<variant>/exports/paths/spiral/exr, for example.
rule export_renders:
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
        "../workflow/scripts/export_renders.py"
