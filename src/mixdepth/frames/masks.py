"""Which pixels of undistorted images show anything: those with a source in the original image."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import load_lenses
from mixdepth.cameras.undistort import valid_pixels


def load_masks(
    lenses_json: Path, group: str, cameras: Mapping[str, Camera], names: Iterable[str]
) -> list[np.ndarray | None]:
    """For each of ``names`` the pixels that have a source, [H, W] bool, or None where all of them have one.

    The others are black borders: no loss and no score may count them.

    Args:
        lenses_json: the lenses of the original images.
        group: "cameras" or "photos".
        cameras: name to the pinhole camera of the undistorted image.
    """
    lenses = load_lenses(lenses_json)[group]
    masks: list[np.ndarray | None] = []
    for name in names:
        valid = valid_pixels(cameras[name], lenses[name])
        masks.append(None if valid.all() else valid)
        if masks[-1] is not None:
            share = 100 * (1 - valid.mean())
            print(f"{name}: {share:.2g} % of its undistorted pixels have no source and do not count", file=sys.stderr)
    return masks
