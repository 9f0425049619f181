"""One picture of all cameras, to see at a glance whether they show the same thing at the same time."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from mixdepth.files.images import resize, write_image
from mixdepth.frames.store import FrameStore, motion_map

TILE_WIDTH = 200  # pixels
ROWS_PER_COLUMN = 40
TITLES = ("first", "middle", "last", "median", "motion")
TEXT_HEIGHT = 14  # pixels


def write_contact_sheet(*, stores: Sequence[Path], output: Path) -> None:
    """Write a JPEG with one row per camera: first, middle and last frame, median, and motion map.

    Args:
        stores: the files of the cameras' frames.
        output: the JPEG.

    Raises:
        UserError: a store is damaged, or no space is left on the device.
    """
    opened = {folder.name: FrameStore.open(folder) for folder in sorted({path.parent for path in stores})}
    # One brightness scale for all cameras; single bright pixels must not darken the rest.
    brightest = max((float(np.percentile(motion_map(store.std), 99.5)) for store in opened.values()), default=0.0)
    rows = [_row(name, store, max(brightest, 1e-3)) for name, store in opened.items()]
    columns = [np.concatenate(rows[i : i + ROWS_PER_COLUMN]) for i in range(0, len(rows), ROWS_PER_COLUMN)]
    tallest = max(len(column) for column in columns)
    padded = [np.pad(column, ((0, tallest - len(column)), (0, 0), (0, 0))) for column in columns]
    write_image(output, np.concatenate(padded, axis=1), "JPEG", quality=88)


def _row(name: str, store: FrameStore, brightest: float) -> np.ndarray:
    """[h, 5 * TILE_WIDTH, 3] uint8: the five tiles of one camera, with their titles."""
    last = len(store.rgb) - 1
    motion = matplotlib.colormaps["magma"](np.clip(motion_map(store.std) / brightest, 0, 1), bytes=True)[..., :3]
    pictures = [store.rgb[0], store.rgb[last // 2], store.rgb[last], store.median, motion]
    height, width = store.std.shape
    size = (TILE_WIDTH, max(round(height * TILE_WIDTH / width), 1))
    tiles = [resize(np.ascontiguousarray(picture), size) for picture in pictures]
    row = Image.fromarray(np.pad(np.concatenate(tiles, axis=1), ((TEXT_HEIGHT, 0), (0, 0), (0, 0))))
    draw = ImageDraw.Draw(row)
    for i, title in enumerate(TITLES):
        draw.text((i * TILE_WIDTH + 3, 1), f"{name}  {title}" if i == 0 else title, fill="white")
    return np.asarray(row)
