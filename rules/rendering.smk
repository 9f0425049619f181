# What a trained model sees from a camera, and the video that shows it.


rule render:
    input:
        model="results/{scene}/{variant}/model.safetensors",
        cameras=rendered_cameras,
        space="results/{scene}/space.json",
    output:
        directory("results/{scene}/{variant}/renders/{camera}"),
    log:
        "results/{scene}/logs/render.{variant}.{camera}.log",
    benchmark:
        "results/{scene}/benchmarks/render.{variant}.{camera}.tsv"
    conda:
        "../envs/train.yaml"
    threads: training_threads("dynamic")
    resources:
        mem_mb=memory("render"),
        runtime=run_time("render"),
        gpu=gpus("dynamic"),
    params:
        version=STAGE_VERSIONS["rendering"],
    script:
        "../workflow/scripts/render.py"


rule video:
    input:
        sources=video_sources,
        capture="results/{scene}/capture.json",
    output:
        report(
            "results/{scene}/video.mp4",
            caption="../workflow/report/video.rst",
            category="{scene}",
            labels={"what": "Video"},
        ),
    log:
        "results/{scene}/logs/video.log",
    benchmark:
        "results/{scene}/benchmarks/video.tsv"
    conda:
        "../envs/report.yaml"
    threads: 2
    resources:
        mem_mb=memory("video"),
        runtime=run_time("video"),
    params:
        settings=settings("frames"),
        version=STAGE_VERSIONS["rendering"],
    script:
        "../workflow/scripts/video.py"
