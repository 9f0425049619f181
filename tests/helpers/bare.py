"""What a bare GPU node has not."""

# Nothing of these may be needed to train and render (docs/dependencies.md: all but the first group).
ABSENT = (
    "pycolmap",
    "snakemake",
    "pandas",
    "matplotlib",
    "PIL",
    "imageio",
    "av",
    "ffmpeg",
    "imageio_ffmpeg",
    "skimage",
    "torchmetrics",
    "flip_evaluator",
    "scipy",
    "yaml",
    "jsonschema",
    "jinja2",
    "viser",
    "tqdm",
)
