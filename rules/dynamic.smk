# The dynamic model, once per variant: `none` no depth, `colmap` sparse depth, `distilled` the static model's depth,
# `inherited` the static model itself.


rule train_dynamic:
    input:
        stores=stores(lambda scene: scene.train_cameras),
        cameras="results/{scene}/cameras.json",
        lenses="results/{scene}/lenses.json",
        space="results/{scene}/space.json",
        depth=variant_depth,
        static=inherited_model,
    output:
        "results/{scene}/{variant}/model.safetensors",
    log:
        "results/{scene}/logs/train_dynamic.{variant}.log",
    benchmark:
        "results/{scene}/benchmarks/train_dynamic.{variant}.tsv"
    conda:
        "../envs/train.yaml"
    threads: training_threads("dynamic")
    resources:
        mem_mb=memory("train_dynamic"),
        runtime=run_time("train_dynamic"),
        gpu=gpus("dynamic"),
    params:
        settings=settings("dynamic"),
        version=STAGE_VERSIONS["dynamic"],
    script:
        "../workflow/scripts/train_dynamic.py"
