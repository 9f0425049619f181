# Captures from, and results to, an object store (S3, Google Cloud Storage, Azure, HTTP, ...) through Snakemake's storage
# plugins: docs/storage.md. A workflow of its own, because the main one plans with the files of a capture.
#
#   snakemake --snakefile workflow/storage.smk --config store=s3://bucket/demo scene=demo -- fetch
#   snakemake --snakefile workflow/storage.smk --config store=s3://bucket/demo scene=demo -- publish
import os
import re
import sys
from pathlib import Path, PurePosixPath

from snakemake.exceptions import WorkflowError

from mixdepth.results import STATIC, Results
from mixdepth.variants import VARIANTS

STORE, SCENE = (str(config.get(key, "")).rstrip("/") for key in ("store", "scene"))
if not STORE or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", SCENE):
    raise WorkflowError("say where and what: --config store=s3://bucket/folder scene=<scene>")
DATA = str(config.get("data", f"data/{SCENE}")).rstrip("/")

RESULTS = Results(f"results/{SCENE}")
FETCHED = str(RESULTS.folder / "fetched")  # below it an empty file for each that was fetched

# What others want of a scene; everything else can be made again.
PUBLISHED = sorted(
    str(path.relative_to(RESULTS.folder))
    for path in (
        *(RESULTS.video, RESULTS.comparison, RESULTS.report, RESULTS.viewer, RESULTS.contact_sheet, RESULTS.provenance),
        *(RESULTS.cameras, RESULTS.space, RESULTS.export.poses_bounds, RESULTS.export.transforms),
        *(of(name) for name in (STATIC, *VARIANTS) for of in (RESULTS.metrics, RESULTS.model)),
    )
    if path.is_file()
)


def published_files(wildcards):
    if not PUBLISHED:
        raise WorkflowError(f"there is nothing in {RESULTS.folder} to publish; make it first: {RESULTS.video}")
    return [storage(f"{STORE}/results/{file}") for file in PUBLISHED]


def listed_files(wildcards):
    """The capture's files, as the list in the store has them."""
    with checkpoints.capture_list.get().output[0].open() as file:
        names = file.read().splitlines()
    for name in names:
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise WorkflowError(f"{STORE}/capture.txt: {name!r} is no file inside the capture's folder")
    # What is gone since is fetched again.
    for name in names:
        if not os.path.lexists(f"{DATA}/{name}"):
            Path(f"{FETCHED}/{name}").unlink(missing_ok=True)
    return [f"{FETCHED}/{name}" for name in names]


wildcard_constraints:
    file=".+",


localrules:
    fetch,
    capture_list,
    fetch_file,
    publish,
    publish_file,


rule fetch:
    input:
        listed_files,


# Not every store can list what it has, so a file does.
checkpoint capture_list:
    input:
        storage(f"{STORE}/capture.txt"),
    output:
        str(RESULTS.folder / "capture.txt"),
    shell:
        "cp {input:q} {output:q}"


# Snakemake removes outputs before it makes them, so the capture's files are none: the script puts them there.
rule fetch_file:
    input:
        storage(f"{STORE}/capture/{{file}}"),
    output:
        touch(f"{FETCHED}/{{file}}"),
    params:
        python=sys.executable,
        data=DATA,
    shell:
        "{params.python:q} -m mixdepth.workflow.fetch {input:q} {params.data:q} {wildcards.file:q}"


rule publish:
    input:
        published_files,


rule publish_file:
    input:
        str(RESULTS.folder / "{file}"),
    output:
        storage(f"{STORE}/results/{{file}}"),
    shell:
        "cp {input:q} {output:q}"
