# What a trained model shows along a camera path, and renders of cameras and paths as other programs read them.


rule render_path:
    input:
        model="results/{scene}/{variant}/model.safetensors",
        cameras="results/{scene}/cameras.json",
        space="results/{scene}/space.json",
        capture="results/{scene}/capture.json",
        file=path_file,
    output:
        directory("results/{scene}/{variant}/paths/{path}"),
    log:
        "results/{scene}/logs/render_path.{variant}.{path}.log",
    benchmark:
        "results/{scene}/benchmarks/render_path.{variant}.{path}.tsv"
    conda:
        "../envs/train.yaml"
    threads: training_threads("dynamic")
    resources:
        mem_mb=memory("render_path"),
        runtime=run_time("render_path"),
        gpu=gpus("dynamic"),
    params:
        settings=path_settings,
        version=STAGE_VERSIONS["rendering"],
    script:
        "../workflow/scripts/render_path.py"


rule path_video:
    input:
        renders="results/{scene}/{variant}/paths/{path}",
    output:
        report(
            "results/{scene}/{variant}/paths/{path}.mp4",
            caption="../workflow/report/path_video.rst",
            category="{scene}",
        ),
    log:
        "results/{scene}/logs/path_video.{variant}.{path}.log",
    benchmark:
        "results/{scene}/benchmarks/path_video.{variant}.{path}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 2
    resources:
        mem_mb=memory("path_video"),
        runtime=run_time("path_video"),
    params:
        version=STAGE_VERSIONS["rendering"],
    script:
        "../workflow/scripts/path_video.py"


# `renders` is renders/<camera> or paths/<path>. Ask for results/<scene>/<variant>/exports/paths/spiral/exr, for example.
rule export_renders:
    input:
        renders="results/{scene}/{variant}/{source}/{name}",
        cameras="results/{scene}/cameras.json",
        space="results/{scene}/space.json",
        capture="results/{scene}/capture.json",
    output:
        directory("results/{scene}/{variant}/exports/{source}/{name}/{kind}"),
    log:
        "results/{scene}/logs/export.{variant}.{source}.{name}.{kind}.log",
    benchmark:
        "results/{scene}/benchmarks/export.{variant}.{source}.{name}.{kind}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 2
    resources:
        mem_mb=memory("export_renders"),
        runtime=run_time("export_renders"),
    params:
        settings=export_settings,
        version=STAGE_VERSIONS["exports"],
    script:
        "../workflow/scripts/export_renders.py"
