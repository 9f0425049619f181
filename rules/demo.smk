# A capture made from nothing, in exactly the layout of a user's: it lets everything run without a download.


rule demo_capture:
    output:
        videos=expand("data/demo/videos/cam{number:02d}.mp4", number=range(5)),
        photos=expand("data/demo/photos/photo{number:02d}.jpg", number=range(1, 13)),
        truth="data/demo/truth.npz",
    log:
        "results/demo/logs/demo_capture.log",
    benchmark:
        "results/demo/benchmarks/demo_capture.tsv"
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        mem_mb=memory("demo_capture"),
        runtime=run_time("demo_capture"),
    params:
        version=STAGE_VERSIONS["demo"],
    script:
        "../workflow/scripts/demo_capture.py"
