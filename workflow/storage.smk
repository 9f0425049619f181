# Captures from, and results to, an object store (S3, Google Cloud Storage, Azure, HTTP, ...) through Snakemake's storage
# plugins: docs/storage.md. A workflow of its own, because the main one plans with the files of a capture.
#
#   snakemake --snakefile workflow/storage.smk --config store=s3://bucket/demo scene=demo -- fetch
#   snakemake --snakefile workflow/storage.smk --config store=s3://bucket/demo scene=demo -- publish
import re
from pathlib import Path, PurePosixPath

from snakemake.exceptions import WorkflowError

STORE, SCENE = (str(config.get(key, "")).rstrip("/") for key in ("store", "scene"))
if not STORE or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", SCENE):
    raise WorkflowError("say where and what: --config store=s3://bucket/folder scene=<scene>")
DATA = str(config.get("data", f"data/{SCENE}")).rstrip("/")

# What others want of a scene; everything else can be made again.
PUBLISHED = sorted(
    str(path.relative_to(f"results/{SCENE}"))
    for pattern in (
        *("video.mp4", "comparison.png", "report.html", "viewer.html", "contact_sheet.jpg", "provenance.json"),
        *("cameras.json", "space.json", "*/metrics.json", "*/model.safetensors", "export/*"),
    )
    for path in Path("results", SCENE).glob(pattern)
    if path.is_file() and not path.name.startswith(".")
)


def published_files(wildcards):
    if not PUBLISHED:
        raise WorkflowError(f"there is nothing in results/{SCENE} to publish; make it first: results/{SCENE}/video.mp4")
    return [storage(f"{STORE}/results/{file}") for file in PUBLISHED]


def listed_files(wildcards):
    """The capture's files, as the list in the store has them."""
    with checkpoints.capture_list.get().output[0].open() as file:
        names = file.read().splitlines()
    for name in names:
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise WorkflowError(f"{STORE}/capture.txt: {name!r} is no file inside the capture's folder")
    return [f"{DATA}/{name}" for name in names]


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
        f"results/{SCENE}/capture.txt",
    shell:
        "cp {input:q} {output:q}"


rule fetch_file:
    input:
        storage(f"{STORE}/capture/{{file}}"),
    output:
        f"{DATA}/{{file}}",
    shell:
        "cp {input:q} {output:q}"


rule publish:
    input:
        published_files,


rule publish_file:
    input:
        f"results/{SCENE}/{{file}}",
    output:
        storage(f"{STORE}/results/{{file}}"),
    shell:
        "cp {input:q} {output:q}"
