# The static model: what stands still, learnt from photos (or the videos' medians), and the depth read out of it.


rule static_set:
    input:
        sources=static_set_sources,
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
    output:
        "results/{scene}/static/set.npz",
    log:
        "results/{scene}/logs/static_set.log",
    benchmark:
        "results/{scene}/benchmarks/static_set.tsv"
    wildcard_constraints:
        scene=WITH_OWN_CAMERAS,
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=memory("static_set"),
        runtime=run_time("static_set"),
    params:
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/static_set.py"


rule static_test_set:
    input:
        sources=photo_files(lambda scene: scene.test_photos),
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
    output:
        "results/{scene}/static/test_set.npz",
    log:
        "results/{scene}/logs/static_test_set.log",
    benchmark:
        "results/{scene}/benchmarks/static_test_set.tsv"
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=memory("static_test_set"),
        runtime=run_time("static_test_set"),
    params:
        version=STAGE_VERSIONS["frames"],
    script:
        "../workflow/scripts/static_test_set.py"


rule train_static:
    input:
        set="results/{scene}/static/set.npz",
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
        space="results/{scene}/space.json",
        depth=sparse_depth,
    output:
        "results/{scene}/static/model.safetensors",
    log:
        "results/{scene}/logs/train_static.log",
    benchmark:
        "results/{scene}/benchmarks/train_static.tsv"
    conda:
        "../envs/train.yaml"
    threads: training_threads("static")
    resources:
        mem_mb=memory("train_static"),
        runtime=run_time("train_static"),
        gpu=gpus("static"),
    params:
        settings=settings("static"),
        version=STAGE_VERSIONS["static"],
    script:
        "../workflow/scripts/train_static.py"


# One rule per scene, because the files that it makes are named by the scene's training cameras: a held-out camera's
# depth has no rule.
for scene in [*scenes_at_hand(), *MEMBERS]:
    if scene.cameras:

        rule:
            name:
                f"static_depth_{tag(scene)}"
            input:
                model="results/{scene}/static/model.safetensors",
                cameras="results/{scene}/cameras.json",
                photos="results/{scene}/photos.json",
                lenses="results/{scene}/lenses.json",
                space="results/{scene}/space.json",
            output:
                [path.replace(f"results/{scene.name}/", "results/{scene}/") for path in static_depth_files(scene)],
            log:
                "results/{scene}/logs/static_depth.log",
            benchmark:
                "results/{scene}/benchmarks/static_depth.tsv"
            wildcard_constraints:
                scene=re.escape(scene.name),
            conda:
                "../envs/train.yaml"
            threads: training_threads("static")
            resources:
                mem_mb=memory("static_depth"),
                runtime=run_time("static_depth"),
                gpu=gpus("static"),
            params:
                settings=settings("static"),
                version=STAGE_VERSIONS["static"],
            script:
                "../workflow/scripts/static_depth.py"


rule static_metrics:
    input:
        model="results/{scene}/static/model.safetensors",
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
        space="results/{scene}/space.json",
        set="results/{scene}/static/set.npz",
        test_set=held_out_photos,
        depth=static_depth,
        truth=truth,
    output:
        "results/{scene}/static/metrics.json",
    log:
        "results/{scene}/logs/static_metrics.log",
    benchmark:
        "results/{scene}/benchmarks/static_metrics.tsv"
    conda:
        "../envs/train.yaml"
    threads: training_threads("static")
    resources:
        mem_mb=memory("static_metrics"),
        runtime=run_time("static_metrics"),
        gpu=gpus("static"),
    params:
        settings=score_settings,
        version=STAGE_VERSIONS["evaluation"],
    script:
        "../workflow/scripts/static_metrics.py"
