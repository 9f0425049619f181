# Where every camera stands, what its lens does, and the sparse depth that follows from it.


rule structure_from_motion:
    input:
        references=references(lambda scene: scene.used_cameras),
        photos=photo_files(lambda scene: scene.photos),
        lenses=known_lenses,
    output:
        expand("results/{{scene}}/sfm/{file}", file=MODEL_FILES),
        report="results/{scene}/sfm/report.json",
    log:
        "results/{scene}/logs/structure_from_motion.log",
    benchmark:
        "results/{scene}/benchmarks/structure_from_motion.tsv"
    wildcard_constraints:
        scene=CONFIGURED,
    conda:
        "../envs/cameras.yaml"
    threads: 1
    resources:
        mem_mb=memory("structure_from_motion"),
        runtime=run_time("structure_from_motion"),
    params:
        settings=settings("colmap", "poses.intrinsics", "poses.allow_missing"),
        version=STAGE_VERSIONS["cameras"],
    script:
        "../workflow/scripts/structure_from_motion.py"


rule cameras:
    input:
        poses=given_poses,
        # Only the sizes of their images. Were these not ancient, a touched held-out video would retrain everything; where
        # a size does change, frame_store refuses. (Only files that no rule makes may be ancient here: Snakemake does not
        # look at jobs behind a job that is to run, even if all that they take from it is ancient.)
        videos=ancient(used_videos),
        images=ancient(photo_files(lambda scene: scene.photos)),
    output:
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
        world="results/{scene}/world.json",
    log:
        "results/{scene}/logs/cameras.log",
    benchmark:
        "results/{scene}/benchmarks/cameras.tsv"
    wildcard_constraints:
        scene=CONFIGURED,
    conda:
        "../envs/cameras.yaml"
    threads: 1
    resources:
        mem_mb=memory("cameras"),
        runtime=run_time("cameras"),
    params:
        settings=settings("poses.source", "poses.path", "world", "scale", "photo_scale"),
        version=STAGE_VERSIONS["cameras"],
    script:
        "../workflow/scripts/cameras.py"


rule triangulate:
    input:
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
        references=references(lambda scene: scene.train_cameras),
        images=photo_files(lambda scene: scene.train_photos),
        ladder=ladder,
    output:
        expand("results/{{scene}}/sparse/{file}", file=MODEL_FILES),
        report="results/{scene}/cameras_report.json",
    log:
        "results/{scene}/logs/triangulate.log",
    benchmark:
        "results/{scene}/benchmarks/triangulate.tsv"
    wildcard_constraints:
        scene=WITH_OWN_CAMERAS,
    conda:
        "../envs/cameras.yaml"
    threads: 1
    resources:
        mem_mb=memory("triangulate"),
        runtime=run_time("triangulate"),
    params:
        settings=settings("colmap", "poses.source"),
        version=STAGE_VERSIONS["cameras"],
    script:
        "../workflow/scripts/triangulate.py"


# Held-out cameras with given poses; with COLMAP they are verified together with all others.
rule verify_held_out:
    input:
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
        references=references(lambda scene: scene.used_cameras),
        images=photo_files(lambda scene: scene.train_photos),
    output:
        "results/{scene}/held_out_report.json",
    log:
        "results/{scene}/logs/verify_held_out.log",
    benchmark:
        "results/{scene}/benchmarks/verify_held_out.tsv"
    wildcard_constraints:
        scene=CONFIGURED,
    # Early: a wrong pose makes every score worthless.
    priority: 90
    conda:
        "../envs/cameras.yaml"
    threads: 1
    resources:
        mem_mb=memory("verify_held_out"),
        runtime=run_time("verify_held_out"),
    params:
        settings=settings("colmap", "poses.trust"),
        version=STAGE_VERSIONS["cameras"],
    script:
        "../workflow/scripts/verify_held_out.py"


# One rule per scene, because the files that it makes are named by the scene's training cameras.
for scene in [*scenes_at_hand(), *CAMERA_SETS]:

    rule:
        name:
            f"colmap_depth_{tag(scene)}"
        input:
            cameras="results/{scene}/cameras.json",
            photos="results/{scene}/photos.json",
            lenses="results/{scene}/lenses.json",
            model=expand("results/{{scene}}/sparse/{file}", file=MODEL_FILES),
            report="results/{scene}/cameras_report.json",
            references=references(lambda scene: scene.train_cameras),
            given=given_bounds,
        output:
            depth=[path.replace(f"results/{scene.name}/", "results/{scene}/") for path in sparse_depth_files(scene)],
            bounds="results/{scene}/bounds.json",
            poses_bounds="results/{scene}/poses_bounds.npy",
        log:
            "results/{scene}/logs/colmap_depth.log",
        benchmark:
            "results/{scene}/benchmarks/colmap_depth.tsv"
        wildcard_constraints:
            scene=re.escape(scene.name),
        conda:
            "../envs/cameras.yaml"
        threads: 1
        resources:
            mem_mb=memory("colmap_depth"),
            runtime=run_time("colmap_depth"),
        params:
            settings=settings("poses.source", "poses.path", "poses.trust", "near", "far"),
            version=STAGE_VERSIONS["cameras"],
        script:
            "../workflow/scripts/colmap_depth.py"


rule space:
    input:
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        bounds="results/{scene}/bounds.json",
        # For the reason in words: how many points near and far come from.
        depth=sparse_depth,
    output:
        "results/{scene}/space.json",
    log:
        "results/{scene}/logs/space.log",
    benchmark:
        "results/{scene}/benchmarks/space.tsv"
    wildcard_constraints:
        scene=WITH_OWN_CAMERAS,
    conda:
        "../envs/cameras.yaml"
    threads: 1
    resources:
        mem_mb=memory("space"),
        runtime=run_time("space"),
    params:
        settings=settings("space", "near", "far"),
        version=STAGE_VERSIONS["cameras"],
    script:
        "../workflow/scripts/space.py"


# The cameras as other programs read them, for the original images. Ask for results/<scene>/export/transforms.json.
rule export:
    input:
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        lenses="results/{scene}/lenses.json",
        bounds="results/{scene}/bounds.json",
        model=expand("results/{{scene}}/sparse/{file}", file=MODEL_FILES),
    output:
        poses_bounds="results/{scene}/export/poses_bounds.npy",
        transforms="results/{scene}/export/transforms.json",
        colmap=expand(
            "results/{{scene}}/export/colmap/{file}.{form}",
            file=("cameras", "images", "points3D"),
            form=("bin", "txt"),
        ),
    log:
        "results/{scene}/logs/export.log",
    benchmark:
        "results/{scene}/benchmarks/export.tsv"
    conda:
        "../envs/cameras.yaml"
    threads: 1
    resources:
        mem_mb=memory("export"),
        runtime=run_time("export"),
    params:
        version=STAGE_VERSIONS["cameras"],
    script:
        "../workflow/scripts/export.py"
