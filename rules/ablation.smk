# The ablation: derived scenes take over what they share (mixdepth/scene/ablation.py), all other rules train and score them, and
# one report compares them.


# One rule per derived scene and purpose, because what is taken over is named by the scene's cameras. What a scene takes
# over has no other rule there: see the constraints CONFIGURED and WITH_OWN_CAMERAS.
for part in ABLATIONS:
    for scene in [*part.camera_sets.values(), *part.members.values()]:
        for purpose, links in part.adopted(scene.name).items():

            rule:
                name:
                    f"adopt_{tag(scene)}_{purpose}"
                input:
                    list(links.values()),
                output:
                    # Folders are adopted whole.
                    [path if Path(path).suffix else directory(path) for path in links],
                log:
                    f"results/{scene.name}/logs/adopt.{purpose}.log",
                benchmark:
                    f"results/{scene.name}/benchmarks/adopt.{purpose}.tsv"
                localrule: True
                conda:
                    "../envs/frames.yaml"
                threads: 1
                resources:
                    mem_mb=memory("adopt"),
                    runtime=run_time("adopt"),
                params:
                    version=STAGE_VERSIONS["adopt"],
                script:
                    "../workflow/scripts/adopt.py"


rule ablation_report:
    input:
        scores=ablation_scores,
        views=ablation_views,
    output:
        html=report("results/ablation/report.html", caption="../workflow/report/ablation.rst", category="ablation"),
        scores=report(
            "results/ablation/scores.csv", caption="../workflow/report/ablation_scores.rst", category="ablation"
        ),
        summary=report(
            "results/ablation/summary.csv", caption="../workflow/report/ablation_summary.rst", category="ablation"
        ),
        latex="results/ablation/summary.tex",
        differences="results/ablation/differences.csv",
        times="results/ablation/times.csv",
        figures=report(
            [*expand("results/ablation/figures/{name}.svg", name=ABLATION_FIGURES), *ablation_maps("svg")],
            caption="../workflow/report/ablation_figures.rst",
            category="ablation",
            subcategory="figures",
        ),
        print=[*expand("results/ablation/figures/{name}.pdf", name=ABLATION_FIGURES), *ablation_maps("pdf")],
    log:
        "results/ablation/logs/ablation_report.log",
    benchmark:
        "results/ablation/benchmarks/ablation_report.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory("ablation_report"),
        runtime=run_time("ablation_report"),
    params:
        runs=lambda wildcards: ablation_runs(),
        settings=ablation_settings,
        version=STAGE_VERSIONS["ablation"],
    script:
        "../workflow/scripts/ablation_report.py"
