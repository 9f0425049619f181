"""What a capture's truth.npz says about a camera, in the pixels and frames of its renders. Read by scoring only."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import load_cameras
from mixdepth.errors import CaptureError, ConfigurationError
from mixdepth.evaluation.align import Similarity, align
from mixdepth.files.io import reading, refuse_bomb
from mixdepth.scene.scene import Scene

SHAPES = {
    "depth": "[cameras, frames, H, W]",
    "moving": "[cameras, frames, H, W]",
    "static_depth": "[cameras, H, W]",
    "c2w_opencv": "[cameras, 4, 4]",
}


KINDS = {"depth": "f", "moving": "biuf", "static_depth": "f", "c2w_opencv": "f"}  # NumPy's kinds of dtypes


@dataclass(frozen=True)
class Truth:
    """The truth of some cameras, by name. Depth is z-depth in the truth's own world units."""

    path: Path
    c2w: dict[str, np.ndarray]  # every camera of the capture: camera to world, [4, 4], OpenCV
    depth: dict[str, np.ndarray] = field(default_factory=dict)  # [T, H, W], the whole video
    moving: dict[str, np.ndarray] = field(default_factory=dict)  # [T, H, W] bool
    static_depth: dict[str, np.ndarray] = field(default_factory=dict)  # [H, W], without what moves

    def similarity(self, cameras_json: Path) -> Similarity:
        """From the world of ``cameras_json`` to the truth's, by the cameras that both have."""
        ours = load_cameras(cameras_json)
        names = sorted(ours.keys() & self.c2w.keys())
        if not names:
            raise CaptureError(f"{self.path}: it has no camera of {cameras_json} ({', '.join(sorted(ours))})")
        return align(np.stack([ours[name].c2w for name in names]), np.stack([self.c2w[name] for name in names]))

    def frames(self, camera: str, frames: range, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """True depth [H, W] and moving pixels [H, W] bool of the chosen frames, at ``size`` = (H, W), nearest pixel.

        Raises:
            UserError: the truth has too few frames, or images of another shape.
        """
        depth, moving = self.depth[camera], self.moving[camera]
        if len(frames) and frames[-1] >= len(depth):
            raise CaptureError(
                f"{self.path}: depth has {len(depth)} frames, {frames[-1] + 1} expected (the frames of the whole"
                " video, of which `frames` in the configuration chooses). Give a truth of these videos, or none."
            )
        pick = nearest_pixels(depth.shape[1:], size, f"{self.path}: depth of {camera}")
        return ((depth[frame][pick], moving[frame][pick]) for frame in frames)

    def static(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        """True depth of what stands still at ``size`` = (H, W), nearest pixel, [H, W]."""
        depth = self.static_depth[camera]
        return depth[nearest_pixels(depth.shape, size, f"{self.path}: static_depth of {camera}")]


def load_truth(scene: Scene, cameras: list[str], video: bool) -> Truth | None:
    """The truth of ``cameras``, or None where the scene has none.

    Args:
        scene: its options must hold ``truth``. The truth's cameras are all its video cameras, sorted by name.
        cameras: those wanted.
        video: read ``depth`` and ``moving``, else ``static_depth`` (left empty where the file has none).

    Raises:
        UserError: the file is missing or damaged, or does not fit the capture.
    """
    if scene.truth is None:
        return None
    names = sorted(scene.cameras)
    keys = ("depth", "moving") if video else ("static_depth",)
    wanted = {}
    for key in keys:
        array = _read(scene.truth, key, names, optional=not video)
        # Copies, so that the other cameras' arrays are let go.
        wanted[key] = {} if array is None else {name: array[names.index(name)].copy() for name in cameras}
    c2w = _read(scene.truth, "c2w_opencv", names)
    assert c2w is not None  # it is not optional
    if video:
        for name in cameras:
            if wanted["depth"][name].shape != wanted["moving"][name].shape:
                shapes = wanted["depth"][name].shape, wanted["moving"][name].shape
                raise CaptureError(f"{scene.truth}: depth of {name} is {shapes[0]}, but moving is {shapes[1]}")
        wanted["moving"] = {name: moving.astype(bool) for name, moving in wanted["moving"].items()}
    return Truth(scene.truth, dict(zip(names, c2w.astype(np.float64), strict=True)), **wanted)


def _read(path: Path, key: str, names: list[str], optional: bool = False) -> np.ndarray | None:
    """One array of the truth, with the right number of dimensions and cameras."""
    mend = "Correct `truth` in the configuration, or remove it."
    if not path.exists():
        raise ConfigurationError(f"{path}: truth not found. {mend}")
    with reading(path, "npz file", mend), np.load(path, allow_pickle=False) as file:
        refuse_bomb(path, file.zip)
        array = np.asarray(file[key]) if key in file.files else None  # what is no array comes as bytes
    if array is None and optional:
        return None
    found = "missing" if array is None else f"of shape {list(array.shape)}, {array.dtype}"
    if array is None or array.ndim != SHAPES[key].count(",") + 1 or array.dtype.kind not in KINDS[key]:
        raise CaptureError(f"{path}: {key} is {found}, expected {SHAPES[key]} numbers")
    if key == "c2w_opencv" and (array.shape[1:] != (4, 4) or not np.isfinite(array).all()):
        raise CaptureError(f"{path}: {key} is {found}, expected finite numbers {SHAPES[key]}")
    if len(array) != len(names):
        raise CaptureError(
            f"{path}: {key} is {found}, for {len(array)} cameras; the capture has {len(names)} ({', '.join(names)})."
            " A truth holds all of them, sorted by name: list in `cameras` those that it was made for."
        )
    return array


def nearest_pixels(have: tuple[int, ...], want: tuple[int, int], what: str) -> tuple[np.ndarray, np.ndarray]:
    """Index that samples an image of size ``have`` (H, W) at the pixel centres of one of size ``want`` (H, W).

    Raises:
        UserError: the two differ in shape by more than rounding, so they cannot show the same.
    """
    (h0, w0), (h, w) = have, want
    if abs(h * w0 - w * h0) > max(w0, h0):  # more than one pixel of the wanted image
        raise CaptureError(f"{what} is {w0}x{h0} pixels, which does not have the shape of the renders' {w}x{h}")
    rows, columns = ((np.arange(n) * 2 + 1) * n0 // (2 * n) for n, n0 in ((h, h0), (w, w0)))
    return rows[:, None], columns[None]
