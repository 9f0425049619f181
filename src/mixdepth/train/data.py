"""Pixels to train on: flat uint8 arrays, rays made on the fly."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.compute.device import place, take
from mixdepth.rendering.rays import CameraBatch


@dataclass
class SparseRays:
    """Depths at pixels: K rays of the cameras of an :class:`ImageSet`, in world units."""

    camera: Tensor  # [K] int64
    uv: Tensor  # [K, 2] float64 pixels
    z: Tensor  # [K] float32 z-depth
    sigma: Tensor  # [K] float32 standard deviation of z

    def __len__(self) -> int:
        return len(self.z)

    def to(self, device: torch.device) -> "SparseRays":
        """The same on ``device``."""
        return SparseRays(*(values.to(device) for values in (self.camera, self.uv, self.z, self.sigma)))

    def only(self, pick: Tensor) -> "SparseRays":
        """Those with the numbers ``pick`` [P]."""
        return SparseRays(*(values[pick] for values in (self.camera, self.uv, self.z, self.sigma)))


class ImageSet:
    """Images of several cameras, any sizes, as one flat list of P pixels.

    Args:
        images: per camera [H, W, 3] uint8.
        cameras: the camera of each image, of the same size.
        support: per camera [H, W] float, for which share of the time a pixel shows this; None: for all of it.
        depth: per camera ([H, W] z-depth, NaN where unknown; [H, W] confidence in 0..1), or None.
        valid: per camera [H, W] bool, the pixels that are ever drawn, None where all are.
        free: per camera [H, W] float, the z-depth up to which nothing static stands before a pixel; 0 where not known.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        cameras: Sequence[Camera],
        support: Sequence[np.ndarray] | None = None,
        depth: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
        valid: Sequence[np.ndarray | None] | None = None,
        free: Sequence[np.ndarray] | None = None,
    ):
        for image, camera in zip(images, cameras, strict=True):
            assert image.shape == (camera.height, camera.width, 3), (image.shape, camera)
        self.first, self.cameras = cameras[0], CameraBatch(cameras)
        self.rgb = torch.from_numpy(np.concatenate([np.ascontiguousarray(i).reshape(-1, 3) for i in images]))
        self.start = torch.tensor(np.cumsum([0] + [c.width * c.height for c in cameras]))
        self.width = torch.tensor([c.width for c in cameras])
        self.support = None if support is None else _flat(support)
        self.free = None if free is None else _flat(free)
        self.depth = None if depth is None else _flat([d for d, _ in depth])
        self.confidence = None if depth is None else _flat([c for _, c in depth])
        self.valid: Tensor | None = None  # flat indices of the pixels that are drawn, where not all are
        if valid is not None and any(mask is not None for mask in valid):
            masks = [np.ones(i.shape[:2], bool) if m is None else m for i, m in zip(images, valid, strict=True)]
            self.valid = torch.from_numpy(np.flatnonzero(np.concatenate([m.reshape(-1) for m in masks])))

    def to(self, device: torch.device) -> "ImageSet":
        """The same for rays on ``device``; pixels that do not fit there stay where they are."""
        moved = copy.copy(self)
        moved.cameras = self.cameras.to(device)
        moved.start, moved.width = self.start.to(device), self.width.to(device)
        for name in ("rgb", "support", "free", "depth", "confidence", "valid"):
            values = getattr(self, name)
            setattr(moved, name, None if values is None else place(values, device))
        return moved

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Flat indices [count] of random pixels, on the device of the rays."""
        total = len(self.rgb) if self.valid is None else len(self.valid)
        index = torch.randint(total, (count,), generator=generator, device=self.start.device)
        return index if self.valid is None else take(self.valid, index)

    def pixels(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Camera [R] and pixel coordinates [R, 2] (float64, centres at +0.5) of flat pixel indices [R]."""
        camera = torch.searchsorted(self.start, index, right=True) - 1
        local = index - self.start[camera]
        width = self.width[camera]
        return camera, torch.stack([local % width, local // width], dim=-1).double() + 0.5


def _flat(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.asarray(a, dtype=np.float32).reshape(-1) for a in arrays]))
