# A capture made from nothing, in exactly the layout of a user's: it lets everything run without a download.


rule demo_capture:
    output:
        # Local: where the configuration says, also in a workflow that has this one as a module below a prefix.
        # Update: what lies there may be a user's, so the script decides, and Snakemake deletes nothing before it runs.
        videos=[update(local(f"data/demo/videos/cam{number:02d}.mp4")) for number in range(5)],
        photos=[update(local(f"data/demo/photos/photo{number:02d}.jpg")) for number in range(1, 13)],
        truth=update(local("data/demo/truth.npz")),
    log:
        Results(ROOT / "demo").log("demo_capture"),
    benchmark:
        Results(ROOT / "demo").benchmark("demo_capture")
    conda:
        "../envs/frames.yaml"
    threads: 1
    resources:
        **unsized("demo_capture"),
    params:
        version=STAGE_VERSIONS["demo"],
    script:
        "../workflow/scripts/demo_capture.py"
