# What people look at: the comparison of the variants, the report, and where the results come from.


rule comparison:
    input:
        renders=compared_renders,
        scores=scores,
        cameras="results/{scene}/cameras.json",
        truth=truth,
    output:
        report(
            "results/{scene}/comparison.png",
            caption="../workflow/report/comparison.rst",
            category="{scene}",
            labels={"what": "Comparison of the variants"},
        ),
    log:
        "results/{scene}/logs/comparison.log",
    benchmark:
        "results/{scene}/benchmarks/comparison.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory("comparison"),
        runtime=run_time("comparison"),
    params:
        settings=settings("frames", "truth"),
        version=STAGE_VERSIONS["report"],
    script:
        "../workflow/scripts/comparison.py"


rule report_html:
    input:
        scores=scores,
        renders=compared_renders,
        truth=truth,
        comparison="results/{scene}/comparison.png",
        video="results/{scene}/video.mp4",
        contact_sheet="results/{scene}/contact_sheet.jpg",
        provenance="results/{scene}/provenance.json",
        capture="results/{scene}/capture.json",
        sync="results/{scene}/sync.json",
        verified=verified_held_out,
        verification="results/{scene}/cameras_report.json",
        world="results/{scene}/world.json",
        cameras="results/{scene}/cameras.json",
        photos="results/{scene}/photos.json",
        depth=sparse_depth,
        colours=point_colours,
        static_depth=report_static_depth,
        space="results/{scene}/space.json",
    output:
        report(
            "results/{scene}/report.html",
            caption="../workflow/report/report.rst",
            category="{scene}",
            labels={"what": "Report: did depth help?"},
        ),
    log:
        "results/{scene}/logs/report.log",
    benchmark:
        "results/{scene}/benchmarks/report.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory("report_html"),
        runtime=run_time("report_html"),
    params:
        settings=all_settings,
        version=STAGE_VERSIONS["report"],
    script:
        "../workflow/scripts/report.py"


rule provenance:
    input:
        # Whatever of them is made anew, the record is.
        recorded,
    output:
        "results/{scene}/provenance.json",
    log:
        "results/{scene}/logs/provenance.log",
    benchmark:
        "results/{scene}/benchmarks/provenance.tsv"
    conda:
        "../envs/report.yaml"
    threads: 2
    resources:
        mem_mb=memory("provenance"),
        runtime=run_time("provenance"),
    params:
        settings=all_settings,
        version=STAGE_VERSIONS["report"],
    script:
        "../workflow/scripts/provenance.py"
