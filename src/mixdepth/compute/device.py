"""Where training and rendering compute, and what of the data is kept there.

Modules, rays and samples are on one device. Images may be too large for it: :func:`place` leaves those in main memory,
and :func:`take` reads the rows of a step from wherever they are.
"""

import ctypes
import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixdepth.compute import machine
from mixdepth.errors import ConfigurationError

SHARE = 0.5  # of the free memory, a GPU's or the machine's, may be filled with data
ON_CPU, ON_GPU = 1 << 18, 1 << 23  # samples along rays that are rendered at once: caches are filled, or a GPU
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt, malloc.h: bytes
WAIT = 1.0  # seconds between two looks for a free GPU


def training_device(name: str) -> torch.device:
    """The device that the setting ``device`` asks for: ``cpu``, ``cuda``, or with ``auto`` CUDA where there is a GPU.

    Of several GPUs it is one that no other job of this user has; where all are taken, this waits for one.

    Raises:
        UserError: CUDA is asked for and absent.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and (missing := missing_gpu()):
        raise ConfigurationError(missing)
    return claimed_gpu() if name == "cuda" else torch.device(name)


def missing_gpu() -> str:
    """Why nothing can be trained here with ``device: cuda``, and what to do; "" where it can."""
    if torch.cuda.is_available():
        return ""
    why = "PyTorch finds no GPU" if torch.version.cuda else "the installed PyTorch is built without CUDA"
    return f"device: cuda is configured, but {why}; set it to auto or cpu, or see https://pytorch.org"


@cache
def claimed_gpu() -> torch.device:
    """A GPU for this process alone, until it ends; made the current one.

    A lock on a file per GPU says so, which the kernel releases however a process ends. GPUs are known by their UUID: on
    a cluster each job may call its own one number 0.
    """
    names = [torch.cuda.get_device_properties(index).uuid for index in range(torch.cuda.device_count())]
    paths = [Path(tempfile.gettempdir(), f"mixdepth-{os.getuid()}-gpu-{name}.lock") for name in names]
    files = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600) for path in paths]
    said = False
    while True:
        for index, file in enumerate(files):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            torch.cuda.set_device(index)
            print(f"on GPU {index} of {len(files)} ({names[index]})", file=sys.stderr)
            return torch.device("cuda", index)
        if not said:
            print(f"waiting for a GPU: other jobs have all {len(files)} of them", file=sys.stderr)
        said = True
        time.sleep(WAIT)


def rendering_device(name: str) -> torch.device:
    """Where a model is rendered that was trained with the setting ``device``: also without the GPU that it had."""
    return training_device("auto" if name == "cuda" else name)


def mixed_precision(device: torch.device, wanted: bool) -> torch.autocast:
    """A context in which networks compute in bfloat16, where that is ``wanted`` and ``device`` is a GPU."""
    return torch.autocast("cuda", torch.bfloat16, enabled=wanted and device.type == "cuda")


def use_cpu(threads: int) -> None:
    """Compute in ``threads`` threads, with memory that is kept once it has been had.

    By default glibc gives freed arrays back to the system and gets them again page by page, zeroed: a third of the
    processor's time of rendering, a tenth of that of a training step. What other allocators do is their own business.
    """
    torch.set_num_threads(threads)
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 26)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 29)


def in_chunks(
    work: Callable[[slice], None],
    rays: int,
    samples: int,
    device: torch.device,
    on_cpu: int = ON_CPU,
    on_gpu: int = ON_GPU,
) -> None:
    """``work(part)`` for one part of ``rays`` after the other, each of about as many samples as suit ``device``.

    Where a GPU's memory does not take a part, it is halved, as are all after it; so ``work`` adds to what it has done
    with its last statement only.

    Args:
        samples: per ray, kept or not.
        on_cpu, on_gpu: how many at once there.

    Raises:
        torch.OutOfMemoryError: not even one ray finds room.
    """
    size = max(1, (on_cpu if device.type == "cpu" else on_gpu) // samples)
    first = 0
    while first < rays:
        part = slice(first, min(first + size, rays))
        try:
            work(part)
        except torch.OutOfMemoryError:
            if part.stop - first == 1:
                raise
            short = True
        else:
            first, short = part.stop, False
        if short:  # no longer in the handler, whose exception holds on to the tensors of `work`
            size = (part.stop - first) // 2
            torch.cuda.empty_cache()
            print(f"the GPU's memory is short: from here on {size} rays at once", file=sys.stderr)


class Landing:
    """Where values from a device arrive in main memory: a GPU's in a pinned buffer per type, which is used again."""

    def __init__(self) -> None:
        self.buffers: dict[torch.dtype, Tensor] = {}

    def __call__(self, values: Tensor) -> np.ndarray:
        """``values`` as an array, good until the next of the same type."""
        if values.device.type != "cuda":
            return values.cpu().numpy()
        buffer = self.buffers.get(values.dtype)
        if buffer is None or len(buffer) < values.numel():
            buffer = self.buffers[values.dtype] = torch.empty(values.numel(), dtype=values.dtype, pin_memory=True)
        return buffer[: values.numel()].view(values.shape).copy_(values).numpy()


def room(device: torch.device) -> int:
    """Bytes of data that may be kept on ``device``; none on CPU, which reads memory maps as they are.

    What PyTorch holds and does not use is free as well: it gives that back before an allocation fails.
    """
    if device.type != "cuda":
        return 0
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(SHARE * (torch.cuda.mem_get_info(device)[0] + unused))


def keeper(size: int, device: torch.device) -> torch.device | None:
    """Where ``size`` bytes that a GPU needs rows of are kept: there, in main memory, or nowhere (None)."""
    if size <= room(device):
        return device
    return torch.device("cpu") if size <= SHARE * (machine.memory()[1] or 0) else None


def place(values: Tensor, device: torch.device) -> Tensor:
    """``values`` on ``device`` if there is room, else as they are."""
    return values.to(device) if values.nbytes <= room(device) else values


def take(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` on the device of ``index``, wherever ``values`` are."""
    return values[index.to(values.device)].to(index.device)
