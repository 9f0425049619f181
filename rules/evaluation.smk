# How good a variant is on the cameras that nothing trained on.


rule evaluate:
    input:
        model="results/{scene}/{variant}/model.safetensors",
        renders=renders,
        stores=stores(lambda scene: scene.test_cameras),
        cameras="results/{scene}/cameras.json",
        lenses="results/{scene}/lenses.json",
        truth=truth,
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        settings=score_settings,
        version=STAGE_VERSIONS["evaluation"],
    script:
        "../workflow/scripts/evaluate.py"
