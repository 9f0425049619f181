# A result to look around in: a few views as a relief over time, in one page.


rule viewer:
    input:
        renders=viewer_renders,
        cameras="results/{scene}/cameras.json",
        capture="results/{scene}/capture.json",
    output:
        report("results/{scene}/viewer.html", caption="../workflow/report/viewer.rst", category="{scene}"),
    log:
        "results/{scene}/logs/viewer.log",
    benchmark:
        "results/{scene}/benchmarks/viewer.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=memory("viewer"),
        runtime=run_time("viewer"),
    params:
        settings=settings("frames"),
        version=STAGE_VERSIONS["viewer"],
    script:
        "../workflow/scripts/viewer.py"
