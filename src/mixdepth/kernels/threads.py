"""Parts of the compiled loops, shared out to threads: they release Python's lock."""

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

_pool = ThreadPoolExecutor(max(os.cpu_count() or 1, 1), thread_name_prefix="mixdepth")


def run(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks in at most as many threads as PyTorch uses; which thread takes which does not matter."""
    threads = min(torch.get_num_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            task()
        return

    queue = iter(tasks)  # next() is atomic

    def work() -> None:
        for task in queue:
            task()

    futures = [_pool.submit(work) for _ in range(threads - 1)]
    work()
    for future in futures:
        future.result()


def share(kernel: Callable[..., None], count: int, known: Iterable[Any], out: Iterable[Any]) -> None:
    """Run ``kernel(*known, first, last, *out)`` for equal parts first..last of ``count`` things, a few per thread.

    Tensors, also those in named tuples, are handed to it as the arrays that they are in memory.
    """
    before, after = [_array(value) for value in known], [_array(value) for value in out]
    threads = torch.get_num_threads()
    parts = max(1, min(4 * threads, count)) if threads > 1 else 1
    edges = [count * part // parts for part in range(parts + 1)]
    run([partial(kernel, *before, *part, *after) for part in itertools.pairwise(edges)])


def _array(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().numpy()
    return type(value)(*map(_array, value)) if hasattr(value, "_fields") else value
