# Videos and photos, from files to arrays: what there is, one reference image per camera, the frame stores.


# First of all jobs, so that a capture that cannot work is refused before anything long has started.
rule probe:
    input:
        videos=used_videos,
        photos=photo_files(lambda scene: scene.photos),
    output:
        "results/{scene}/capture.json",
    log:
        "results/{scene}/logs/probe.log",
    benchmark:
        "results/{scene}/benchmarks/probe.tsv"
    priority: 100
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        settings=settings("frames"),
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/probe.py"


rule reference:
    input:
        video=video_files,
    output:
        "results/{scene}/reference/{camera}.png",
    log:
        "results/{scene}/logs/reference.{camera}.log",
    benchmark:
        "results/{scene}/benchmarks/reference.{camera}.tsv"
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        frame=reference_frame,
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/reference.py"


rule frame_store:
    input:
        video=video_files,
        cameras="results/{scene}/cameras.json",
        lenses="results/{scene}/lenses.json",
    output:
        rgb="results/{scene}/frames/{camera}/rgb.npy",
        median="results/{scene}/frames/{camera}/median.npy",
        std="results/{scene}/frames/{camera}/std.npy",
    log:
        "results/{scene}/logs/frame_store.{camera}.log",
    benchmark:
        "results/{scene}/benchmarks/frame_store.{camera}.tsv"
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings=settings("frames"),
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/frame_store.py"


rule contact_sheet:
    input:
        stores=stores(lambda scene: scene.used_cameras),
        # Not shown: who looks at the sheet wants to know that the videos fit together.
        capture="results/{scene}/capture.json",
    output:
        report(
            "results/{scene}/contact_sheet.jpg",
            caption="../workflow/report/contact_sheet.rst",
            category="{scene}",
        ),
    log:
        "results/{scene}/logs/contact_sheet.log",
    benchmark:
        "results/{scene}/benchmarks/contact_sheet.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/contact_sheet.py"
