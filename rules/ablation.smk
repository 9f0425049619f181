# The ablation: all other rules train and score the derived scenes (mixdepth/scene/ablation.py); one report compares them.


rule ablation_report:
    input:
        **ablation_inputs(ABLATIONS, SCENES),
    output:
        **ablation_outputs(ABLATIONS),
    log:
        Results(ROOT / ABLATION).log("ablation_report"),
    benchmark:
        Results(ROOT / ABLATION).benchmark("ablation_report")
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        **unsized("ablation_report"),
    params:
        runs=[run.row() for part in ABLATIONS for run in part.runs],
        settings={part.scene.name: part.scene.settings("frames", "truth") for part in ABLATIONS},
        scenes={part.scene.name: roles(part.scene) for part in ABLATIONS},
        version=STAGE_VERSIONS["ablation"],
    script:
        "../workflow/scripts/ablation_report.py"
