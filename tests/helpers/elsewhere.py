"""A device that is not there: tensors that say they are elsewhere, are on CPU, and refuse to meet tensors of the CPU.

What a GPU would refuse is refused (operations that mix devices, ``numpy()``), so that code runs as it would on one.
PyTorch's name for a device without kernels of its own, ``lazy``, stands for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("lazy")
MAY_CROSS = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class Tensor(torch.Tensor):
    """A tensor elsewhere; ``inner`` is where its values are."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Tensor":
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, device=ELSEWHERE, **layout)

    def __init__(self, inner: torch.Tensor):
        self.inner = inner

    def __repr__(self) -> str:
        return f"Elsewhere({self.inner})"

    def tolist(self) -> list:
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return run(function, args, kwargs or {})


class Mode(TorchDispatchMode):
    """Also what makes tensors, with ``device``."""

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return run(function, args, kwargs or {})


def run(function: Any, args: tuple, kwargs: dict) -> Any:
    """One operation, on the CPU."""
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    here = [t for t in tensors if not isinstance(t, Tensor)]
    mixed = [t for t in here if t.dim() > 0] if len(here) < len(tensors) else []
    assert not mixed or function in MAY_CROSS, f"{function}: a tensor {tuple(mixed[0].shape)} is left on the CPU"
    goes = ELSEWHERE if len(here) < len(tensors) else torch.device("cpu")
    if kwargs.get("device") is not None:
        goes = torch.device(kwargs["device"])
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if function is torch.ops.aten.copy_.default:
        goes = args[0].device
    found = function(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    if goes != ELSEWHERE:
        return found
    known = {id(t.inner): t for t in tensors if isinstance(t, Tensor)}  # what was changed in place is itself
    return tree_map(lambda x: known.get(id(x), Tensor(x)) if isinstance(x, torch.Tensor) else x, found)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, Tensor) else value


@contextmanager
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """The device, as long as the context lasts."""
    import_module("torch._dynamo")  # modes load it, and it must not meet what is set below
    generator, tensor = torch.Generator, torch.tensor  # these two know their devices, and ask no mode
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    monkeypatch.setattr(torch, "tensor", lambda values, device="cpu", **rest: tensor(values, **rest).to(device))
    monkeypatch.setattr(import_module("torch.optim.adam"), "_device_dtype_check_for_fused", lambda *_, **__: None)
    with Mode():
        yield ELSEWHERE
