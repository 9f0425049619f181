"""Rays on the fly, in float32, from (camera, pixel); depth along a ray is the z-depth of its own camera."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import KINDS, Space


class CameraBatch:
    """Several cameras as tensors, to make rays of any of their pixels.

    The ray of a pixel is ``origin + z * direction`` with ``direction`` scaled so that ``z`` is the z-depth.
    """

    def __init__(self, cameras: Sequence[Camera], device: torch.device | str = "cpu"):
        def stack(values: list) -> Tensor:
            return torch.as_tensor(np.array(values, dtype=np.float64), device=device)

        self.cameras = cameras
        self.rotation = stack([c.c2w[:3, :3] for c in cameras])  # [C, 3, 3]
        self.origin = stack([c.centre for c in cameras]).float()  # [C, 3]
        self.intrinsics = stack([[c.fx, c.fy, c.cx, c.cy] for c in cameras])  # [C, 4]

    def to(self, device: torch.device) -> "CameraBatch":
        """The same on ``device``."""
        return CameraBatch(self.cameras, device)

    def rays(self, camera: Tensor, uv: Tensor) -> tuple[Tensor, Tensor]:
        """Rays of pixels.

        Args:
            camera: [R] int64, index of the camera.
            uv: [R, 2] pixel coordinates, the centre of the top left pixel at 0.5.

        Returns:
            origins [R, 3] and directions [R, 3], float32, world units per unit of z-depth.
        """
        fx, fy, cx, cy = self.intrinsics[camera].unbind(-1)
        local = torch.stack([(uv[:, 0] - cx) / fx, (uv[:, 1] - cy) / fy, torch.ones_like(cx)], dim=-1)
        direction = torch.einsum("rij,rj->ri", self.rotation[camera], local)
        return self.origin[camera], direction.float()


class SpaceMap:
    """Samples depths along rays and maps world points to normalised coordinates, for one :class:`Space`.

    Its ``device`` is where everything is rendered: the fields must be on the same.
    """

    def __init__(self, space: Space, device: torch.device | str = "cpu"):
        def tensor(values: object) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self.space, self.device = space, torch.device(device)
        self.kind, self.near, self.far = space.kind, space.near, space.far
        self.low, self.high = tensor(space.low), tensor(space.high)
        frame = np.asarray(space.frame)
        self.rotation, self.centre = tensor(frame[:3, :3].tolist()), tensor(frame[:3, 3].tolist())
        self.reference_near, self.reference_far = space.reference_near, space.reference_far
        # The same for the compiled loops: number of the kind; rotation, centre, low, scale, and of the disparity.
        self.number = KINDS.index(space.kind)
        near, far = space.reference_near or 1.0, space.reference_far or 2.0
        disparity = tensor([0.1 * near, 1 / near, 1 / (1 / near - 1 / far)])
        scale = 2 / (self.high - self.low)
        self.packed = torch.cat([self.rotation.reshape(-1), self.centre, self.low, scale, disparity])

    def to(self, device: torch.device) -> "SpaceMap":
        """The same on ``device``."""
        return SpaceMap(self.space, device)

    def normalise(self, points: Tensor) -> Tensor:
        """World points [..., 3] to normalised coordinates [..., 3]; inside the space all are in [-1, 1]."""
        if self.kind == "forward":
            local = (points - self.centre) @ self.rotation
            z = local[..., 2:].clamp_min(0.1 * self.reference_near)
            inverse_near, inverse_far = 1 / self.reference_near, 1 / self.reference_far
            disparity = (inverse_near - 1 / z) / (inverse_near - inverse_far)
            points = torch.cat([local[..., :2] / z, disparity], dim=-1)
        u = (points - self.low) / (self.high - self.low) * 2 - 1
        if self.kind == "unbounded":
            size = u.abs().amax(-1, keepdim=True).clamp_min(1.0)
            u = u * ((2 - 1 / size) / size) / 2
        return u

    def denormalise(self, u: Tensor) -> Tensor:
        """World points [..., 3] of normalised coordinates [..., 3]; the inverse of :meth:`normalise`."""
        if self.kind == "unbounded":
            size = (2 * u).abs().amax(-1, keepdim=True).clamp_min(1e-9)
            u = torch.where(size <= 1, 2 * u, 2 * u / (size * (2 - size).clamp_min(1e-3)))
        points = (u + 1) / 2 * (self.high - self.low) + self.low
        if self.kind == "forward":
            inverse_near, inverse_far = 1 / self.reference_near, 1 / self.reference_far
            z = 1 / (inverse_near - points[..., 2:] * (inverse_near - inverse_far))
            points = torch.cat([points[..., :2] * z, z], dim=-1) @ self.rotation.T + self.centre
        return points

    def depth_range(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """First and last z-depth [R] of each ray inside the space; an empty range where it misses a box."""
        near = torch.full_like(origins[:, 0], self.near)
        far = torch.full_like(near, self.far)
        if self.kind == "bounded":
            safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
            a, b = (self.low - origins) / safe, (self.high - origins) / safe
            near = torch.maximum(near, torch.minimum(a, b).amax(-1))
            far = torch.maximum(torch.maximum(a, b).amin(-1), near * 1.0001)
        return near, far

    def depths(self, share: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """z-depths [R, N] at ``share`` [R, N] in 0..1 of the way: linear in a box, else linear in disparity."""
        near, far = near[:, None], far[:, None]
        if self.kind == "bounded":
            return near + (far - near) * share
        return 1 / ((1 - share) / near + share / far)


def stratified(rays: int, samples: int, generator: torch.Generator | None, device: torch.device | str) -> Tensor:
    """Shares [rays, samples] in 0..1: one draw per equal bin (the middles where there is no generator)."""
    base = torch.arange(samples, device=device, dtype=torch.float32)
    if generator is None:
        return ((base + 0.5) / samples).expand(rays, samples)
    return (base + torch.rand(rays, samples, generator=generator, device=device)) / samples
