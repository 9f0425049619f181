"""Reading what the rendering stage wrote for one camera."""

from pathlib import Path

import numpy as np

from mixdepth.errors import DamagedFile
from mixdepth.files.io import read_npy


def open_renders(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Colour [T, H, W, 3] uint8 and z-depth [T, H, W] float32 (world units) of ``folder``, memory-mapped, read-only.

    Raises:
        UserError: missing or damaged, or the two do not belong together.
    """
    mend = "Delete its folder and run the same command again."
    rgb, depth = (read_npy(folder / name, mend) for name in ("rgb.npy", "depth.npy"))
    fits = rgb.ndim == 4 and rgb.shape == (*depth.shape, 3)
    if not fits or rgb.dtype != np.uint8 or depth.dtype != np.float32:
        raise DamagedFile(
            f"{folder}: rgb.npy is {rgb.dtype} {rgb.shape} and depth.npy {depth.dtype} {depth.shape}, expected uint8"
            " [T, H, W, 3] and float32 [T, H, W]. Delete this folder and run the same command again."
        )
    return rgb, depth
