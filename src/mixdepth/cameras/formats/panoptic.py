"""Cameras of the PanopticSports captures (Luiten et al. 2024, Dynamic 3D Gaussians): train_meta.json, test_meta.json.

Each file holds w, h (pixels) and, per frame t and camera c, ``cam_id[t][c]``, ``k[t][c]`` (3x3) and ``w2c[t][c]`` (4x4,
OpenCV).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mixdepth.cameras.formats.posed import Posed, inverse_pose, make_lens, numbers, read_object, rotation_matrix
from mixdepth.errors import CaptureError

FILES = ("train_meta.json", "test_meta.json")
KEYS = ("w", "h", "k", "w2c", "cam_id")


def read_panoptic(folder: Path) -> dict[str, Posed]:
    """Read every camera of both files (camera id 3 is ``cam03``).

    Raises:
        UserError: a missing file or key, a camera that moves, or numbers that are not finite, not of the right shape
            or not a rotation.
    """
    found: dict[str, Posed] = {}
    for file in FILES:
        path = Path(folder) / file
        meta = read_object(path, f"the keys {', '.join(KEYS)} of PanopticSports")
        if absent := [key for key in KEYS if key not in meta]:
            raise CaptureError(
                f"{path}: has no {', '.join(absent)}; expected the keys {', '.join(KEYS)} of PanopticSports."
            )
        size = numbers(f"{path}: w and h", [meta["w"], meta["h"]], (2,))
        for name, k, w2c in _cameras(path, meta):
            where = f"{path}: camera {name}"
            values = {"fx": k[0, 0], "fy": k[1, 1], "cx": k[0, 2], "cy": k[1, 2]}
            rotation = rotation_matrix(where, w2c[:3, :3], "Expected a rotation in w2c; download the file again.")
            lens = make_lens(where, size, values, ("PINHOLE",))
            found[name] = Posed(lens, inverse_pose(rotation, w2c[:3, 3]))
    return found


def _cameras(path: Path, meta: Mapping) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, k [3, 3], w2c [4, 4]) of every camera of one file, taken from frame 0 and checked against the others."""
    try:
        ids = np.array(meta["cam_id"], dtype=np.int64)
        frames, count = ids.shape
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(f"{path}: cam_id: {error}; expected whole numbers [frames, cameras].") from None
    if not frames:
        raise CaptureError(f"{path}: cam_id has no frames; expected whole numbers [frames, cameras].")
    arrays = []
    for key, shape in (("k", (3, 3)), ("w2c", (4, 4))):
        expected = (frames, count, *shape)
        try:
            array = np.array(meta[key], dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise CaptureError(
                f"{path}: {key}: {error}; expected numbers [frames, cameras, {shape[0]}, {shape[1]}]."
            ) from None
        if array.shape != expected:
            raise CaptureError(
                f"{path}: {key} has the shape {list(array.shape)}, expected {list(expected)} as cam_id says."
            )
        arrays.append(array)
    k, w2c = arrays
    for number in range(count):
        name = f"cam{ids[0, number]:02d}"
        if not (np.isfinite(k[:, number]).all() and np.isfinite(w2c[:, number]).all()):
            raise CaptureError(f"{path}: camera {name}: its k or w2c is not finite; download the file again.")
        if not (_still(k[:, number]) and _still(w2c[:, number])) or (ids[:, number] != ids[0, number]).any():
            raise CaptureError(f"{path}: camera {name} moves over time; only captures with fixed cameras can be used.")
        yield name, k[0, number], w2c[0, number]


def _still(matrices: np.ndarray) -> bool:
    return bool(np.abs(matrices - matrices[0]).max() <= 1e-6 * np.abs(matrices[0]).max())
