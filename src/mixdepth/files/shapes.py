"""What must be in the JSON and npz files between two stages, and how to see that it is; docs/architecture.md tells what
it means. Not jsonschema, which checks the configuration: a GPU node has none."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

SIZED = {"width": int, "height": int}
CAPTURE = {"cameras": {str: SIZED}, "photos": {str: SIZED}, "fps": (float, None)}
CAMERAS = {str: {**SIZED, "fx": float, "fy": float, "cx": float, "cy": float, "c2w": [[float] * 4] * 4}}
LENSES = {group: {str: {**SIZED, "model": str, "params": [float]}} for group in ("cameras", "photos")}
BOUNDS = {group: {str: [float] * 2} for group in ("cameras", "photos")}
WORLD = {"reason": str, "scale": float, "rotation": [[float] * 3] * 3}
WORLD |= dict.fromkeys(("translation", "origin"), [float] * 3) | {"bounds": BOUNDS}
SPACE = {
    **dict.fromkeys(("kind", "reason"), str),
    **dict.fromkeys(("near", "far", "reference_near", "reference_far"), float),
    **{"frame": [[float] * 4] * 4, "low": [float] * 3, "high": [float] * 3},
}
MOVEMENT = {"across": float, "runs": [[float] * 2], "pixels": float, "frames": int}
VERIFICATION = {"verdict": str, "score": float, "reason": str, "images": {}}


class Array:
    """An array in an npz file; its numbers are finite.

    Args:
        kind: of its dtype: "f", "u", "i", "U".
        sizes: its shape, in which equal letters are equal numbers within one file.
    """

    def __init__(self, kind: str, *sizes: int | str):
        self.kind, self.sizes = kind, sizes

    def mismatch(self, array: np.ndarray, key: str, known: dict[str, int]) -> str:
        """How ``array`` differs; ``known`` are the numbers of the letters met before, and gets more."""
        pairs = zip(self.sizes, array.shape, strict=False)
        wanted = [known.setdefault(name, size) if isinstance(name, str) else name for name, size in pairs]
        if array.dtype.kind != self.kind or array.ndim != len(self.sizes) or list(array.shape) != wanted:
            return f"{key} is {array.dtype} {list(array.shape)}, expected {self.kind} {wanted}"
        return f"{key} is not finite" if self.kind == "f" and not np.isfinite(array).all() else ""


NAMES: dict[type | None, str] = {list: "a list", dict: "an object", str: "text", bool: "true or false", None: "null"}
NAMES |= {float: "a finite number", int: "a whole number"}


def mismatch(value: Any, shape: Any, key: str = "it", known: dict[str, int] | None = None) -> str:
    """How ``value``, read from a file, is not of ``shape``; empty where it is.

    Args:
        shape: float (a finite number), int, str, bool or None; a tuple of alternatives; ``{"key": shape}``, which
            needs that key and allows others; ``{str: shape}`` for any keys; ``[shape]`` for a list of any length,
            ``[shape] * n`` for one of n; an :class:`Array`.
        key: of ``value``, for what is said.
        known: see :meth:`Array.mismatch`.
    """
    known = {} if known is None else known
    if isinstance(shape, tuple):
        found = [mismatch(value, one, key, known) for one in shape]
        return "" if "" in found else found[0]
    if isinstance(shape, Array):
        return shape.mismatch(value, key, known)
    if not _is(value, shape):
        kind = type(shape) if isinstance(shape, dict | list) else shape
        return f"{key} is {str(value)[:50]!r}, expected {NAMES[kind]}"
    if isinstance(shape, dict) and str not in shape and (absent := [name for name in shape if name not in value]):
        return f"{key} has no {absent[0]}"
    if isinstance(shape, list) and len(shape) not in (1, len(value)):
        return f"{key} has {len(value)} entries, expected {len(shape)}"
    return next(filter(None, (mismatch(*part, known) for part in _parts(value, shape, key))), "")


def _is(value: Any, shape: Any) -> bool:
    """Whether ``value`` is of this kind, whatever is in it."""
    if isinstance(shape, dict | list):
        return isinstance(value, type(shape))
    if shape is None or isinstance(value, bool):
        return value is None if shape is None else shape is bool
    if shape is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return shape in (int, str) and isinstance(value, shape)


def _parts(value: Any, shape: Any, key: str) -> Iterator[tuple[Any, Any, str]]:
    """What is in ``value``, with its shape and its key."""
    if isinstance(shape, dict):
        inner = dict.fromkeys(value, shape[str]) if str in shape else shape
        yield from ((value[name], one, name if key == "it" else f"{key}.{name}") for name, one in inner.items())
    elif isinstance(shape, list):
        yield from ((one, shape[0], f"{key}[{i}]") for i, one in enumerate(value))
