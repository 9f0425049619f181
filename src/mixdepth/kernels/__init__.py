"""The operations that the model's time goes into: grid look-ups, marching, compositing.

On CPU they run as loops compiled by numba (:mod:`mixdepth.kernels.cpu`), elsewhere, and where numba is missing, as
plain PyTorch (:mod:`mixdepth.kernels.plain`). Both are tested against each other. On a GPU some can run as Triton
kernels instead (:mod:`mixdepth.kernels.gpu` and, for rendering, :mod:`mixdepth.kernels.gpu_view`; off by default until
tests/unit/test_gpu.py has passed on one).
:mod:`mixdepth.kernels.dispatch` chooses. Samples are *packed*: one flat list of the M samples of R rays; those of ray r
are ``offsets[r]:offsets[r + 1]``, and ``rows`` [M] is the ray of each.
"""

from mixdepth.kernels.arguments import BOUNDED, FORWARD, UNBOUNDED, Coordinates, Density, Layers, Lit, Passed, Rays
from mixdepth.kernels.compositing import (
    FRAMES,
    STOP,
    composite,
    composite_frames,
    composite_mixed,
    median_depth,
    ray_colours,
)
from mixdepth.kernels.dispatch import compiled, fused, triton_view, uncompiled
from mixdepth.kernels.grids import add_roughness, grid_features, grid_sum
from mixdepth.kernels.heads import head_colours
from mixdepth.kernels.packing import march, march_density, merge

__all__ = [
    "BOUNDED",
    "FORWARD",
    "FRAMES",
    "STOP",
    "UNBOUNDED",
    "Coordinates",
    "Density",
    "Layers",
    "Lit",
    "Passed",
    "Rays",
    "add_roughness",
    "compiled",
    "composite",
    "composite_frames",
    "composite_mixed",
    "fused",
    "grid_features",
    "grid_sum",
    "head_colours",
    "march",
    "march_density",
    "median_depth",
    "merge",
    "ray_colours",
    "triton_view",
    "uncompiled",
]
