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
    wildcard_constraints:
        scene=CONFIGURED,
    priority: 100
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=memory("probe"),
        runtime=run_time("probe"),
    params:
        settings=settings("frames"),
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/probe.py"


# Whether the videos show the same moments. Reported, never applied: `frames.offsets` is the user's.
rule sync:
    input:
        videos=used_videos,
    output:
        "results/{scene}/sync.json",
    log:
        "results/{scene}/logs/sync.log",
    benchmark:
        "results/{scene}/benchmarks/sync.tsv"
    wildcard_constraints:
        scene=CONFIGURED,
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=memory("sync"),
        runtime=run_time("sync"),
    params:
        settings=settings("frames"),
        version=STAGE_VERSIONS["sync"],
    script:
        "../workflow/scripts/sync.py"


rule reference:
    input:
        video=video_files,
        # Only their frame rates (see rule cameras for what may be ancient).
        others=ancient(other_videos),
    output:
        directory("results/{scene}/reference/{camera}"),
    log:
        "results/{scene}/logs/reference.{camera}.log",
    benchmark:
        "results/{scene}/benchmarks/reference.{camera}.tsv"
    wildcard_constraints:
        scene=CONFIGURED,
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=memory("reference"),
        runtime=run_time("reference"),
    params:
        settings=settings("frames", "colmap.reference_frames"),
        version=STAGE_VERSIONS["reference"],
    script:
        "../workflow/scripts/reference.py"


rule frame_store:
    input:
        video=video_files,
        others=ancient(other_videos),
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
    wildcard_constraints:
        scene=CONFIGURED,
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=memory("frame_store"),
        runtime=run_time("frame_store"),
    params:
        settings=settings("frames", "scale"),
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
            labels={"what": "Every camera at a glance"},
        ),
    log:
        "results/{scene}/logs/contact_sheet.log",
    benchmark:
        "results/{scene}/benchmarks/contact_sheet.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory("contact_sheet"),
        runtime=run_time("contact_sheet"),
    params:
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/contact_sheet.py"
