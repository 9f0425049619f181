"""Which of the implementations runs: compiled loops, Triton's kernels or plain PyTorch."""

import contextlib
import os
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor

try:
    from mixdepth.kernels import cpu, cpu_view
except ImportError:  # a GPU node with PyTorch alone, or with a numba that refuses its numpy
    cpu = cpu_view = None  # type: ignore[assignment]  # mypy knows no module that may lack; `compiled` guards

# Off by default until tests/unit/test_gpu.py has passed on a GPU. It needs triton, which comes with PyTorch for CUDA.
use_triton = os.environ.get("MIXDEPTH_TRITON") == "1"
_interpreted = os.environ.get("TRITON_INTERPRET") == "1"
_compile = True


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Run as plain PyTorch what is too little to be worth the seconds that compiling takes."""
    global _compile
    before, _compile = _compile, False
    try:
        yield
    finally:
        _compile = before


def compiled(tensor: Tensor) -> bool:
    """Whether operations on ``tensor`` run as compiled loops."""
    return _compile and cpu is not None and tensor.device.type == "cpu" and tensor.dtype == torch.float32


def fused(tensor: Tensor) -> bool:
    """Whether operations on ``tensor`` run as Triton kernels: on a GPU, or in Triton's interpreter for the tests."""
    return use_triton and (tensor.is_cuda or _interpreted) and tensor.dtype == torch.float32


def triton_kernels() -> ModuleType:
    """:mod:`mixdepth.kernels.gpu`, which needs triton."""
    from mixdepth.kernels import gpu

    return gpu


def triton_view() -> ModuleType:
    """:mod:`mixdepth.kernels.gpu_view`, which needs triton."""
    from mixdepth.kernels import gpu_view

    return gpu_view
