"""What the live view's window shows: models seen from where somebody looks, side by side, in colour or as depth."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mixdepth.cameras.camera import Camera, rotation_of
from mixdepth.exports.side_by_side import colour_depth, depth_range
from mixdepth.rendering.progressive import ROOM, Model, Picture, View

FOV = math.radians(1), math.radians(170)  # the smallest and the largest vertical field of view
FARTHEST = 1e6  # world units from the origin, along each axis
SLIMMEST = 1 / 8  # width by height, or height by width


@dataclass(frozen=True)
class Wish:
    """What somebody wants to see."""

    variants: tuple[str, ...]  # from left to right, from the top to the bottom
    frame: int  # of the capture
    depth: bool  # colours for depth
    eye: tuple[float, ...]  # tells cameras apart
    camera: Camera = field(compare=False)  # of the whole window


def seen_from(given: Any, lines: int) -> Camera | None:
    """The camera of a page's window, with pictures of at most ``lines`` rows; None where what it sent is none.

    Args:
        given: viser's handle of it, with whatever the page sent: wxyz (rotation, OpenCV axes), position (world units),
            fov (vertical, radians), image_width and image_height. What is beyond bounds counts as the bound.
    """
    sent = given.wxyz, given.position, (given.fov, given.image_width, given.image_height)
    try:
        turn, position, lens = (np.array(values, dtype=np.float64) for values in sent)
    except (TypeError, ValueError, OverflowError):
        return None
    length = math.hypot(*turn) if turn.shape == (4,) else 0.0
    if position.shape != (3,) or not (
        np.isfinite(lens).all() and np.isfinite(position).all() and 0 < length < math.inf
    ):
        return None
    fov = min(max(lens[0], FOV[0]), FOV[1])
    aspect = min(max(max(lens[1], 1) / max(lens[2], 1), SLIMMEST), 1 / SLIMMEST)
    height = round(min(max(lens[2], 1), lines))
    width = max(round(aspect * height), 1)
    focal = height / 2 / math.tan(fov / 2)
    c2w = np.eye(4)
    c2w[:3, :3] = rotation_of(turn / length)
    c2w[:3, 3] = np.clip(position, -FARTHEST, FARTHEST)
    return Camera(width, height, focal, focal, width / 2, height / 2, c2w)


def eye_of(camera: Camera) -> tuple[float, ...]:
    """Numbers that are the same for the same camera alone."""
    return (camera.width, camera.height, camera.fy, *camera.c2w.ravel())


def tiled(camera: Camera, count: int) -> tuple[Camera, int]:
    """The camera of each of ``count`` pictures in a window, and how many are in a row: all of the same size, with the
    window's vertical field of view."""
    rows = 1 if count < 3 else 2
    columns = -(-count // rows)
    width, height = max(camera.width // columns, 1), max(camera.height // rows, 1)
    focal = camera.fy * height / camera.height
    return Camera(width, height, focal, focal, width / 2, height / 2, camera.c2w), columns


class Screen:
    """The window's pictures.

    Args:
        open_model: the model of a variant.
    """

    def __init__(self, open_model: Callable[[str], Model]):
        self.open_model = open_model
        self.views: list[View] = []
        self.known: tuple = ()
        self.range: tuple[float, float] | None = None  # of the depths that colours span, while the camera rests

    def pictures(self, wish: Wish) -> Iterator[np.ndarray | None]:
        """Sharper and sharper pictures [H, W, 3] uint8 of the window; None after work that shows nothing yet.

        What was worked out for the same camera and variants is used again.
        """
        tile, columns = tiled(wish.camera, len(wish.variants))
        if self.known != (wish.eye, wish.variants):
            self.views, self.known, self.range = [], (), None  # before others take memory
            models = [self.open_model(name) for name in wish.variants]
            self.views = [View(model, tile, ROOM // len(models)) for model in models]
            self.known = (wish.eye, wish.variants)
        latest: list[Picture | None] = [None] * len(self.views)
        for found in itertools.zip_longest(*(view.pictures(wish.frame) for view in self.views)):
            latest = [new or old for new, old in zip(found, latest, strict=True)]
            shown = [picture for picture in latest if picture]
            yield self._joined(wish, shown, tile, columns) if any(found) and len(shown) == len(latest) else None

    def _joined(self, wish: Wish, shown: Sequence[Picture], tile: Camera, columns: int) -> np.ndarray:
        """The pictures side by side, with the variants' names where there are several."""
        rows = -(-len(shown) // columns)
        window = Image.new("RGB", (columns * tile.width, rows * tile.height))
        if wish.depth and self.range is None:
            self.range = depth_range(np.concatenate([picture.depth.ravel() for picture in shown])[None, None])
        for index, picture in enumerate(shown):
            rgb = colour_depth(picture.depth, *self.range) if wish.depth and self.range else picture.rgb
            place = (index % columns * tile.width, index // columns * tile.height)
            window.paste(enlarged(rgb, picture.stride, (tile.width, tile.height)), place)
            if len(shown) > 1:
                named = ImageDraw.Draw(window)
                named.text(
                    (place[0] + 4, place[1] + 2), wish.variants[index], fill="white", stroke_width=1, stroke_fill=0
                )
        return np.asarray(window)


def enlarged(rgb: np.ndarray, stride: int, size: tuple[int, int]) -> Image.Image:
    """A picture [h, w, 3] uint8 of the middles of squares, at the ``size`` (width, height) of the whole one, smooth."""
    if stride == 1:
        return Image.fromarray(rgb)
    wider = Image.fromarray(np.pad(rgb, ((0, 1), (0, 1), (0, 0)), "edge"))  # the last squares may be cut
    return wider.resize(size, Image.Resampling.BILINEAR, box=(0, 0, size[0] / stride, size[1] / stride))
