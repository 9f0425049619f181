"""Reading what the rendering stage wrote for one camera."""

from pathlib import Path

import numpy as np

from mixdepth.errors import UserError


def open_renders(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Colour [T, H, W, 3] uint8 and z-depth [T, H, W] float32 (world units) of ``folder``, memory-mapped, read-only.

    Raises:
        UserError: missing or damaged, or the two do not belong together.
    """
    rgb, depth = (_load(folder / name) for name in ("rgb.npy", "depth.npy"))
    if rgb.dtype != np.uint8 or rgb.ndim != 4 or depth.shape != rgb.shape[:3]:
        raise UserError(
            f"{folder}: rgb.npy is {rgb.dtype} {rgb.shape} and depth.npy {depth.shape}, expected uint8 [T, H, W, 3] and"
            " [T, H, W]. Delete this folder and run the same command again."
        )
    return rgb, depth


def _load(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: file not found") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path}: damaged ({error}). Delete its folder and run the same command again.") from None
