"""Rays on the fly, in float32, from (camera, pixel); depth along a ray is the z-depth of its own camera."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space


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

    ``SpaceMap(space)`` is one of the class of the space's kind, as ``pathlib.Path`` is one of the system's. Its
    ``device`` is where everything is rendered: the fields must be on the same. This class has what the kinds share: a
    box that becomes [-1, 1], the same range of depth for every ray, and samples that are linear in disparity.

    >>> box = dict(frame=np.eye(4).tolist(), low=[0.0, 0, 0], high=[4.0, 4, 4])
    >>> SpaceMap(Space("bounded", "", near=1, far=9, **box)).normalise(torch.tensor([1.0, 2, 4]))
    tensor([-0.5000,  0.0000,  1.0000])
    >>> SpaceMap(Space("unbounded", "", near=1, far=9, **box)).normalise(torch.tensor([2.0, 2, 20]))
    tensor([0.0000, 0.0000, 0.9444])
    """

    number: int  # of the kind, for the compiled loops
    even = True  # whether every ray has the same range of depth

    def __new__(cls, space: Space, device: torch.device | str = "cpu") -> "SpaceMap":
        """An instance of the class of the space's kind."""
        return super().__new__({"forward": Forward, "bounded": Bounded, "unbounded": Unbounded}[space.kind])

    def __init__(self, space: Space, device: torch.device | str = "cpu"):
        self.space, self.device = space, torch.device(device)
        self.near, self.far = space.near, space.far
        self.low, self.high = self._tensor(space.low), self._tensor(space.high)

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def to(self, device: torch.device) -> "SpaceMap":
        """The same on ``device``."""
        return SpaceMap(self.space, device)

    def coordinates(self) -> kernels.Coordinates:
        """:meth:`normalise` for the compiled loops."""
        low, high = (np.array(corner, np.float32) for corner in (self.space.low, self.space.high))
        return kernels.Coordinates(self.number, tuple(low), tuple(2 / (high - low)))

    def normalise(self, points: Tensor) -> Tensor:
        """World points [..., 3] to normalised coordinates [..., 3]; inside the space all are in [-1, 1]."""
        return (points - self.low) / (self.high - self.low) * 2 - 1

    def denormalise(self, u: Tensor) -> Tensor:
        """World points [..., 3] of normalised coordinates [..., 3]; the inverse of :meth:`normalise`."""
        return (u + 1) / 2 * (self.high - self.low) + self.low

    def depth_range(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """First and last z-depth [R] of each ray inside the space; an empty range where it misses a box."""
        near = torch.full_like(origins[:, 0], self.near)
        return near, torch.full_like(near, self.far)

    def depths(self, share: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """z-depths [R, N] at ``share`` [R, N] in 0..1 of the way: linear in a box, else linear in disparity."""
        near, far = near[:, None], far[:, None]
        return 1 / ((1 - share) / near + share / far)


class Forward(SpaceMap):
    """Perspective coordinates of a reference camera, linear in disparity between its near and its far end."""

    number = kernels.FORWARD

    def __init__(self, space: Space, device: torch.device | str = "cpu"):
        super().__init__(space, device)
        frame = np.asarray(space.frame)
        self.rotation, self.centre = self._tensor(frame[:3, :3].tolist()), self._tensor(frame[:3, 3].tolist())
        self.nearest = 0.1 * space.reference_near
        self.inverse_near, self.inverse_far = 1 / space.reference_near, 1 / space.reference_far

    def coordinates(self) -> kernels.Coordinates:
        right, down, ahead, centre = map(tuple, np.array(self.space.frame, np.float32).T[:, :3])
        disparity = map(np.float32, (self.nearest, self.inverse_near, 1 / (self.inverse_near - self.inverse_far)))
        base = super().coordinates()[:3]
        return kernels.Coordinates(*base, right, down, ahead, centre, *disparity)

    def normalise(self, points: Tensor) -> Tensor:
        local = (points - self.centre) @ self.rotation
        z = local[..., 2:].clamp_min(self.nearest)
        disparity = (self.inverse_near - 1 / z) / (self.inverse_near - self.inverse_far)
        return super().normalise(torch.cat([local[..., :2] / z, disparity], dim=-1))

    def denormalise(self, u: Tensor) -> Tensor:
        points = super().denormalise(u)
        z = 1 / (self.inverse_near - points[..., 2:] * (self.inverse_near - self.inverse_far))
        return torch.cat([points[..., :2] * z, z], dim=-1) @ self.rotation.T + self.centre


class Bounded(SpaceMap):
    """A box; rays are sampled, evenly, where they are in it."""

    number = kernels.BOUNDED
    even = False

    def depth_range(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        near, _ = super().depth_range(origins, directions)  # rays end where they leave the box
        safe = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
        a, b = (self.low - origins) / safe, (self.high - origins) / safe
        near = torch.maximum(near, torch.minimum(a, b).amax(-1))
        return near, torch.maximum(torch.maximum(a, b).amin(-1), near * 1.0001)

    def depths(self, share: Tensor, near: Tensor, far: Tensor) -> Tensor:
        near, far = near[:, None], far[:, None]
        return near + (far - near) * share


class Unbounded(SpaceMap):
    """A box whose outside is contracted (mip-NeRF 360, Barron et al. 2022, in the infinity norm)."""

    number = kernels.UNBOUNDED

    def normalise(self, points: Tensor) -> Tensor:
        u = super().normalise(points)
        size = u.abs().amax(-1, keepdim=True).clamp_min(1.0)
        return u * ((2 - 1 / size) / size) / 2

    def denormalise(self, u: Tensor) -> Tensor:
        size = (2 * u).abs().amax(-1, keepdim=True).clamp_min(1e-9)
        return super().denormalise(torch.where(size <= 1, 2 * u, 2 * u / (size * (2 - size).clamp_min(1e-3))))


def stratified(rays: int, samples: int, generator: torch.Generator | None, device: torch.device | str) -> Tensor:
    """Shares [rays, samples] in 0..1: one draw per equal bin (the middles where there is no generator)."""
    base = torch.arange(samples, device=device, dtype=torch.float32)
    if generator is None:
        return ((base + 0.5) / samples).expand(rays, samples)
    return (base + torch.rand(rays, samples, generator=generator, device=device)) / samples
