"""Frames as point clouds: a PLY per frame, in world coordinates."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space
from mixdepth.exports.source import Source

# Depth from this share of a ray's far end on is background: rendered depth is the far end where little is absorbed.
BACKGROUND = 0.999
COLOURS = ("red", "green", "blue")
KINDS = {"<f4": "float", "<f8": "double", "|u1": "uchar"}  # numpy's and PLY's names of types


def write_points(source: Source, folder: Path, most: int | None) -> None:
    """Write 00000.ply, ...: every pixel's surface with its colour, but for the background.

    Args:
        most: points per frame; more are thinned out evenly. None: all.
    """
    camera, rays, far = None, np.empty(0), np.empty(0)
    origin = np.array(source.space.origin)
    place = "<f8" if origin.any() else "<f4"  # far from their origin, coordinates have more digits than a float holds
    properties = [(axis, place) for axis in "xyz"] + [(colour, "|u1") for colour in COLOURS]
    for index, (name, rgb, depth) in enumerate(source.frames()):
        if source.cameras[index] is not camera:  # the rays of a camera that stands still are made once
            camera = source.cameras[index]
            rays, far = pixel_rays(camera), far_depth(camera, source.space)
        chosen = np.flatnonzero(depth.ravel() < BACKGROUND * far)
        if most is not None and len(chosen) > most:
            chosen = chosen[np.arange(most) * len(chosen) // most]
        vertices = np.empty(len(chosen), np.dtype(properties))
        places = camera.centre + depth.ravel()[chosen, None] * rays[chosen] + origin
        for column, values in enumerate(places.T):
            vertices["xyz"[column]] = values
        for column, colour in enumerate(COLOURS):
            vertices[colour] = rgb.reshape(-1, 3)[chosen, column]
        with (folder / f"{name}.ply").open("wb") as file:
            file.write(_header(len(vertices), properties))
            file.write(vertices.tobytes())


def pixel_rays(camera: Camera) -> np.ndarray:
    """Directions in the world, [H * W, 3] with a z-depth of 1, in which all pixels look, in reading order."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    uv = np.stack([x, y], axis=-1).reshape(-1, 2)
    return camera.unproject(uv, np.ones(len(uv))) - camera.centre


def far_depth(camera: Camera, space: Space) -> np.ndarray:
    """z-depth [H * W] at which the ray of each pixel ends: the space's far, or where it leaves the box of a bounded one
    (as ``SpaceMap.depth_range``)."""
    rays = pixel_rays(camera)
    if space.kind != "bounded":
        return np.full(len(rays), space.far)
    with np.errstate(divide="ignore", invalid="ignore"):
        faces = (np.array([space.low, space.high]) - camera.centre)[:, None] / rays
    return np.nanmin(np.maximum(faces[0], faces[1]), axis=1)


def _header(count: int, properties: Sequence[tuple[str, str]]) -> bytes:
    """Header of a binary PLY file with ``count`` vertices."""
    listed = [f"property {KINDS[kind]} {name}" for name, kind in properties]
    lines = ["ply", "format binary_little_endian 1.0", "comment world coordinates of mixdepth, colours sRGB"]
    return "\n".join([*lines, f"element vertex {count}", *listed, "end_header", ""]).encode("ascii")
