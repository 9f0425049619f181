# The ablation: all other rules train and score the derived scenes (mixdepth/scene/ablation.py); one report compares them.
FIGURES = ("cameras", "time", "frames")


rule ablation_report:
    input:
        **ablation_inputs(ABLATIONS, SCENES),
    output:
        output=report(str(ABLATION_RESULTS.report), caption="../workflow/report/ablation.rst", category="ablation"),
        scores=report(
            str(ABLATION_RESULTS.table("scores")),
            caption="../workflow/report/ablation_scores.rst",
            category="ablation",
        ),
        summary=report(
            str(ABLATION_RESULTS.table("summary")),
            caption="../workflow/report/ablation_summary.rst",
            category="ablation",
        ),
        latex=str(ABLATION_RESULTS.latex),
        differences=str(ABLATION_RESULTS.table("differences")),
        times=str(ABLATION_RESULTS.table("times")),
        figures=report(
            [str(path) for path in ABLATION_RESULTS.figures([*FIGURES, *ablation_maps(ABLATIONS)], "svg")],
            caption="../workflow/report/ablation_figures.rst",
            category="ablation",
            subcategory="figures",
        ),
        print=[str(path) for path in ABLATION_RESULTS.figures([*FIGURES, *ablation_maps(ABLATIONS)], "pdf")],
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
