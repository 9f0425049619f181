# Videos and photos, from files to arrays: what there is, one reference image per camera, the frame stores.

at = rule_of("probe")


rule probe:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    # First of all jobs, so that a capture that cannot work is refused before anything long has started.
    priority: 100
    conda:
        "../envs/frames.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/probe.py"


at = rule_of("sync")


# Whether the videos show the same moments. Reported, never applied: `frames.offsets` is the user's.
rule sync:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/frames.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/sync.py"


at = rule_of("reference")


rule reference:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/frames.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/reference.py"


at = rule_of("frame_store")


rule frame_store:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/frames.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/frame_store.py"


at = rule_of("motion")


rule motion:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/frames.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/motion.py"


at = rule_of("movement")


# What follows from it, the number of segments, says which jobs there are.
checkpoint movement:
    input:
        at.inputs,
    output:
        **at.outputs,
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/frames.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/movement.py"


at = rule_of("contact_sheet")


rule contact_sheet:
    input:
        at.inputs,
    output:
        **at.reported("../workflow/report/contact_sheet.rst", "Every camera at a glance"),
    log:
        at.log,
    benchmark:
        at.benchmark
    conda:
        "../envs/report.yaml"
    threads: at.threads
    resources:
        **at.resources,
    params:
        **at.params,
    script:
        "../workflow/scripts/contact_sheet.py"
