"""What Triton is asked to run, and how much memory that moves: counted without a GPU, in its interpreter."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch.utils._python_dispatch import _disable_current_modes


class Launch(NamedTuple):
    """One launch of a kernel."""

    kernel: str
    moved: int  # bytes that it must read and write: samples that it uses, grids and masks once


_found: list[Launch] | None = None


@contextlib.contextmanager
def counted() -> Iterator[list[Launch]]:
    """The launches of Triton's kernels, added as they are made while the context lasts."""
    global _found
    before, _found = _found, []
    try:
        yield _found
    finally:
        _found = before


@contextlib.contextmanager
def launching(kernel: str, moved: int | Callable[[], int]) -> Iterator[None]:
    """Around a launch: it is counted where somebody counts. What works ``moved`` out, and Triton's interpreter, may use
    PyTorch, which is no part of what is counted."""
    if _found is None:
        yield
        return
    with _disable_current_modes():
        _found.append(Launch(kernel, moved if isinstance(moved, int) else moved()))
        yield
