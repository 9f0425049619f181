"""Frames as sequences of pictures: PNG, OpenEXR, and depth as either. One frame is in memory at a time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixdepth.exports.source import Source
from mixdepth.files.images import encoded, encoded_exr
from mixdepth.files.io import write_json

LEVELS = 65535  # of 16 bits
# What the numbers in an OpenEXR file mean: primaries and white of BT.709 and sRGB (the header's own attribute).
CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
LINEAR = "linear, BT.709 primaries (sRGB curve of the 8-bit renders removed, IEC 61966-2-1)"
DEPTH = "z-depth along the camera's axis, world units, to the surface where half of the light is absorbed"


def linear_light() -> np.ndarray:
    """Linear light [256] float16 of the 8-bit sRGB levels (IEC 61966-2-1)."""
    level = np.arange(256) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float16)


def write_png(source: Source, folder: Path) -> None:
    """Colour as 8-bit PNG, the very bytes of the renders: sRGB."""
    for name, rgb, _ in source.frames():
        (folder / f"{name}.png").write_bytes(encoded(rgb, "PNG", compress_level=4))


def write_exr(source: Source, folder: Path) -> None:
    """Colour as linear half floats R, G, B, with the depth Z as 32-bit float in the same file."""
    linear = linear_light()
    for name, rgb, depth in source.frames():
        _save_exr(folder / f"{name}.exr", {"RGB": linear[rgb], "Z": depth}, {"colorSpace": LINEAR})


def write_depth_exr(source: Source, folder: Path) -> None:
    """Depth alone, exactly as rendered: Z as 32-bit float."""
    for name, _, depth in source.frames():
        _save_exr(folder / f"{name}.exr", {"Z": depth}, {})


def write_depth_png(source: Source, folder: Path) -> None:
    """Depth as 16-bit PNG on one scale for all frames, which depth.json states: z = level * units_per_level."""
    near, far = np.inf, 0.0
    for depth in source.depth:
        near, far = min(near, float(depth.min())), max(far, float(depth.max()))
    scale = far / LEVELS
    for name, _, depth in source.frames():
        levels = np.rint(depth / scale).astype(np.uint16)
        (folder / f"{name}.png").write_bytes(encoded(levels, "PNG", compress_level=4))
    write_json(
        folder / "depth.json",
        {
            "units_per_level": scale,
            "near": near,
            "far": far,
            "unit": "world units (metres where world.baseline was measured in metres)",
            "formula": "z = level * units_per_level",
            "depth": DEPTH,
        },
    )


def _save_exr(path: Path, channels: Mapping[str, np.ndarray], more: Mapping[str, str]) -> None:
    path.write_bytes(encoded_exr(channels, {"chromaticities": CHROMATICITIES, "depth": DEPTH, **more}))
