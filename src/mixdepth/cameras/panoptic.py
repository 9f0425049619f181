"""Cameras of the PanopticSports captures (Luiten et al. 2024, Dynamic 3D Gaussians): train_meta.json, test_meta.json.

Each file holds w, h (pixels) and, per frame t and camera c, ``cam_id[t][c]``, ``k[t][c]`` (3x3) and ``w2c[t][c]`` (4x4,
OpenCV).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.errors import UserError
from mixdepth.io import read_json

FILES = ("train_meta.json", "test_meta.json")
KEYS = ("w", "h", "k", "w2c", "cam_id")


def read_panoptic(folder: Path, names: Iterable[str], sizes: Mapping[str, tuple[int, int]]) -> dict[str, Camera]:
    """Read the cameras ``names`` (camera id 3 is ``cam03``).

    Args:
        folder: where the two files are.
        names: the cameras wanted.
        sizes: camera name to (width, height) of its original image, pixels; intrinsics are scaled to it.

    Raises:
        UserError: a missing file or key, a camera without a pose, a camera that moves, or numbers that are not finite
            or not of the right shape.
    """
    found: dict[str, Camera] = {}
    for file in FILES:
        path = Path(folder) / file
        meta = read_json(path)
        if absent := [key for key in KEYS if key not in meta]:
            raise UserError(
                f"{path}: has no {', '.join(absent)}; expected the keys {', '.join(KEYS)} of PanopticSports."
            )
        for name, k, w2c in _cameras(path, meta):
            found[name] = Camera(int(meta["w"]), int(meta["h"]), k[0, 0], k[1, 1], k[0, 2], k[1, 2], np.linalg.inv(w2c))
    names = sorted(names)
    if missing := [name for name in names if name not in found]:
        raise UserError(
            f"{folder}: no pose for {', '.join(missing)}; {' and '.join(FILES)} have {', '.join(sorted(found))}. "
            "Leave these cameras out (`cameras`) or correct `poses.path`."
        )
    return {name: found[name].resized(*sizes[name]) for name in names}


def _cameras(path: Path, meta: Mapping) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, k [3, 3], w2c [4, 4]) of every camera of one file, taken from frame 0 and checked against the others."""
    names = [f"cam{int(number):02d}" for number in meta["cam_id"][0]] if meta["cam_id"] else []
    arrays = []
    for key, shape in (("k", (3, 3)), ("w2c", (4, 4))):
        expected = (len(meta["cam_id"]), len(names), *shape)
        try:
            array = np.array(meta[key], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{path}: {key}: {error}; expected numbers [frames, cameras, {shape[0]}, {shape[1]}]."
            ) from None
        if array.shape != expected:
            raise UserError(
                f"{path}: {key} has the shape {list(array.shape)}, expected {list(expected)} as cam_id says."
            )
        arrays.append(array)
    k, w2c = arrays
    for number, name in enumerate(names):
        if not (np.isfinite(k[:, number]).all() and np.isfinite(w2c[:, number]).all()):
            raise UserError(f"{path}: camera {name}: its k or w2c is not finite; download the file again.")
        if not (_still(k[:, number]) and _still(w2c[:, number])) or any(
            ids[number] != meta["cam_id"][0][number] for ids in meta["cam_id"]
        ):
            raise UserError(f"{path}: camera {name} moves over time; only captures with fixed cameras can be used.")
        yield name, k[0, number], w2c[0, number]


def _still(matrices: np.ndarray) -> bool:
    return bool(np.abs(matrices - matrices[0]).max() <= 1e-6 * np.abs(matrices[0]).max())
