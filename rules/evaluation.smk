# How good a variant is on the cameras that nothing trained on.


# Where the held-out cameras see COLMAP's points, for scores of depth without a truth: nothing that trains may read it. One
# rule per scene, because the files that it makes are named by the scene's held-out cameras.
for scene in scenes_at_hand():
    if scene.test_cameras:

        rule:
            name:
                f"held_out_points_{tag(scene)}"
            input:
                cameras="results/{scene}/cameras.json",
                photos="results/{scene}/photos.json",
                lenses="results/{scene}/lenses.json",
                references=references(lambda scene: scene.used_cameras),
                images=photo_files(lambda scene: scene.train_photos),
            output:
                [path.replace(f"results/{scene.name}/", "results/{scene}/") for path in held_out_depth_files(scene)],
            log:
                "results/{scene}/logs/held_out_points.log",
            benchmark:
                "results/{scene}/benchmarks/held_out_points.tsv"
            wildcard_constraints:
                scene=re.escape(scene.name),
            conda:
                "../envs/cameras.yaml"
            threads: 1
            resources:
                mem_mb=memory("held_out_points"),
                runtime=run_time("held_out_points"),
            params:
                settings=settings("colmap"),
                version=STAGE_VERSIONS["cameras"],
            script:
                "../workflow/scripts/held_out_points.py"


rule evaluate:
    input:
        model="results/{scene}/{variant}/model.safetensors",
        renders=renders,
        stores=stores(lambda scene: scene.test_cameras),
        cameras="results/{scene}/cameras.json",
        lenses="results/{scene}/lenses.json",
        # The neighbouring cameras' depth is rendered here.
        space="results/{scene}/space.json",
        points=held_out_depth,
        truth=truth,
        lpips=lpips_weights,
        # Not read: scores of videos that do not fit together would be worth nothing.
        capture="results/{scene}/capture.json",
        verified=verified_held_out,
    output:
        "results/{scene}/{variant}/metrics.json",
    log:
        "results/{scene}/logs/evaluate.{variant}.log",
    benchmark:
        "results/{scene}/benchmarks/evaluate.{variant}.tsv"
    conda:
        "../envs/train.yaml"
    threads: training_threads("dynamic")
    resources:
        mem_mb=memory("evaluate"),
        runtime=run_time("evaluate"),
        gpu=gpus("dynamic"),
    params:
        settings=score_settings,
        version=STAGE_VERSIONS["evaluation"],
    script:
        "../workflow/scripts/evaluate.py"
