"""The space a scene lives in: how world points become the model's normalised coordinates in [-1, 1].

``forward``: perspective coordinates of one reference camera with linear disparity (NDC as in NeRF, but fitted to the
rig and without a fixed focal length). ``bounded``: a box. ``unbounded``: a box whose outside is contracted
(mip-NeRF 360, Barron et al. 2022, in the infinity norm). The model sees normalised coordinates only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.errors import ConfigurationError, DamagedFile
from mixdepth.files.io import read_json, write_json
from mixdepth.files.shapes import SPACE

FORWARD_SPREAD = 35.0  # degrees: cameras that look about the same way differ by less from their mean direction
MEET = 0.9  # share of the cameras that must have one place in their images to look "inward"
NEAR_PAD, FAR_PAD = 0.85, 1.1  # near and far are percentiles of sparse points: things lie a little outside
SHARED_ANGLE = 0.5  # of the widest angle between two axes: nothing is looked at where rays meet at less
LEAST_ANGLE = np.radians(1.5)  # rays that meet at less place nothing, however parallel the axes are
SHARED_PERCENTILES = (0.2, 99.8)  # of the volume that a camera shares with another, by z-depth: its near and far
SHARED_GRID, SHARED_DEPTHS = 10, 160  # rays along each side of an image, and samples along each, log-spaced


KINDS = ("forward", "bounded", "unbounded")


@dataclass(frozen=True)
class Space:
    """Kind, depth range and the parameters of the map to normalised coordinates.

    Attributes:
        kind: ``forward``, ``bounded`` or ``unbounded``.
        reason: why, for the report.
        near, far: range of z-depth in which rays are sampled, world units.
        frame: [4, 4] camera-to-world of the reference frame (identity for boxes).
        low, high: [3] corners that map to -1 and 1: of (x/z, y/z, disparity share) for ``forward``, of the world
            (``bounded``: everything; ``unbounded``: the part that is not contracted, which maps to [-1/2, 1/2]).
        reference_near, reference_far: of ``forward``: z-depths in the reference frame at which the share of the
            disparity is 0 and 1; 0 for boxes, which have no such frame.
        origin: [3] what is added to coordinates that leave for other programs, and taken from those that come.
    """

    kind: str
    reason: str
    near: float
    far: float
    frame: list[list[float]]
    low: list[float]
    high: list[float]
    reference_near: float = 0.0
    reference_far: float = 0.0
    origin: list[float] = field(default_factory=lambda: [0.0] * 3)

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @staticmethod
    def load(path: Path) -> "Space":
        """Read a space.json.

        Raises:
            UserError: missing, damaged or impossible.
        """
        saved = read_json(path, SPACE)
        # Absent in a space.json of before there were poses far from their origin.
        space = Space(**{key: saved[key] for key in SPACE}, origin=saved.get("origin", [0.0] * 3))
        near, far = space.reference_near, space.reference_far
        box = all(low < high for low, high in zip(space.low, space.high, strict=True))
        reference = 0 < near < far or (near == far == 0 and space.kind != "forward")
        if space.kind not in KINDS or not (0 < space.near < space.far and box and reference):
            raise DamagedFile(
                f"{path}: {space.kind}, near {space.near:g}, far {space.far:g} (reference {near:g}, {far:g}), box"
                f" {space.low} to {space.high}; expected {', '.join(KINDS)}, and each range ascending from above 0."
                " Delete it and run the same command again."
            )
        return space


def choose_space(
    cameras: Sequence[Camera],
    bounds: Sequence[tuple[float, float]],
    kind: str = "auto",
    near: float | None = None,
    far: float | None = None,
    source: str = "",
) -> Space:
    """Choose the space from the cameras and the (near, far) of what those that train see.

    Args:
        cameras: every camera that trains or will be rendered, those that train first.
        bounds: (near, far) of each camera that trains, z-depth in world units.
        kind: ``auto`` or a kind to use whatever the cameras say.
        near, far: override the range of depth.
        source: what ``bounds`` come from, for the reason.

    Raises:
        UserError: the range of depth is empty.
    """
    ranges = _said(near, far, bounds, source)
    near = near or NEAR_PAD * min(b[0] for b in bounds)
    far = far or FAR_PAD * max(b[1] for b in bounds)
    if not 0 < near < far:
        raise ConfigurationError(
            f"near {near:g} and far {far:g}: expected 0 < near < far; set `near` and `far` of the scene"
        )
    forward = np.stack([c.c2w[:3, 2] for c in cameras])
    mean = forward.mean(axis=0)
    spread = np.degrees(np.arccos(np.clip(forward @ mean / max(np.linalg.norm(mean), 1e-9), -1, 1))).max()
    focus, seeing = common_focus(cameras, near)
    inward = seeing >= MEET * len(cameras)
    if kind != "auto":
        reason = f"{kind}: set in the configuration"
    elif spread < FORWARD_SPREAD:
        kind = "forward"
        reason = f"forward: all {len(cameras)} cameras look within {spread:.0f} degrees of their mean direction"
    else:
        kind = "bounded" if inward else "unbounded"
        reason = (
            f"{kind}: the directions of the {len(cameras)} cameras spread over {spread:.0f} degrees, and {seeing} of "
            "them have the place that they look at in their images"
        )
    reason = f"{reason}; {ranges}"
    if kind == "forward":
        return _forward(cameras, mean, near, far, reason)
    if kind == "bounded":
        low, high = _seen_box(cameras, bounds)
    else:
        half = 1.2 * max(np.linalg.norm(c.centre - focus) for c in cameras)
        if not inward:  # what they see lies around the cameras, not between them
            half = max(half, np.sqrt(near * far))
        low, high = focus - half, focus + half
    frame = np.eye(4).tolist()
    return Space(kind, reason, float(near), float(far), frame=frame, low=low.tolist(), high=high.tolist())


def _said(near: float | None, far: float | None, bounds: Sequence[tuple[float, float]], source: str) -> str:
    """Where near and far come from, in words."""
    low, high = NEAR_PAD * min(b[0] for b in bounds), FAR_PAD * max(b[1] for b in bounds)
    said_near = f"near {near:g} as configured" if near else f"near {low:.4g} is {NEAR_PAD:g} of the nearest"
    said_far = f"far {far:g} as configured" if far else f"far {high:.4g} is {FAR_PAD:g} of the farthest"
    of = f"that the {len(bounds)} images which train see" + (f" ({source})" if source else "")
    return f"{said_near}, {said_far}" + ("" if near and far else f" {of}")


def shared_bounds(cameras: Sequence[Camera]) -> list[tuple[float, float] | None]:
    """(near, far) of each camera, z-depth in world units, of what it shares with others; None where that is nothing.

    Where nothing is known of a scene but its cameras, it is taken to be where their frusta overlap: where at least two
    see a point, this camera among them, and the widest angle between the rays that see it is SHARED_ANGLE of the widest
    angle between any two optical axes (less, where no point comes up to that). Cameras that look inward so have what
    lies between them and little of what lies behind; parallel ones have all that has a parallax.
    """
    centres = np.array([camera.centre for camera in cameras])
    size = np.linalg.norm(centres[:, None] - centres, axis=-1).max(initial=0)
    if not size > 0:
        return [None] * len(cameras)
    depths = np.geomspace(1e-3, 100, SHARED_DEPTHS) * size
    angles = [_shared_angles(cameras, number, depths) for number in range(len(cameras))]
    axes = np.array([camera.c2w[:3, 2] for camera in cameras])
    least = max(SHARED_ANGLE * np.arccos(np.clip((axes @ axes.T).min(), -1, 1)), LEAST_ANGLE)
    widest = max(float(one.max()) for one in angles)
    if widest <= LEAST_ANGLE:
        return [None] * len(cameras)
    while widest < least:
        least = max(least / 2, LEAST_ANGLE)
    volume = np.repeat(depths**3, SHARED_GRID**2)  # a pixel covers z^2, a step z
    found: list[tuple[float, float] | None] = []
    for angle in angles:
        share = np.cumsum(np.where(angle >= least, volume, 0))
        ends = np.searchsorted(share, np.array(SHARED_PERCENTILES) / 100 * share[-1], side="right")
        near, far = depths[np.minimum(ends, len(share) - 1) // SHARED_GRID**2]
        found.append((float(near), float(far)) if near < far else None)
    return found


def _shared_angles(cameras: Sequence[Camera], number: int, depths: np.ndarray) -> np.ndarray:
    """The widest angle between the rays of cameras that see a point, for points of the frustum of camera ``number``
    [len(depths) * SHARED_GRID^2], depth by depth; 0 where no other sees it."""
    camera = cameras[number]
    steps = (np.arange(SHARED_GRID) + 0.5) / SHARED_GRID
    uv = np.stack(np.meshgrid(steps * camera.width, steps * camera.height), axis=-1).reshape(-1, 2)
    points = np.concatenate([camera.unproject(uv, np.full(len(uv), depth)) for depth in depths])
    rays = points - np.array([one.centre for one in cameras])[:, None]
    rays /= np.maximum(np.linalg.norm(rays, axis=-1, keepdims=True), 1e-12)
    seen = np.array([one.shows(*one.project(points)) for one in cameras])
    rays *= seen[..., None]
    cosine = np.ones(len(points))
    for one in range(len(cameras)):
        dots = np.einsum("nk,cnk->cn", rays[one], rays)
        cosine = np.minimum(cosine, np.where(seen & seen[one], dots, 1.0).min(axis=0))
    return np.arccos(np.clip(cosine, -1, 1))


def common_focus(cameras: Sequence[Camera], near: float) -> tuple[np.ndarray, int]:
    """The point nearest to all optical axes, [3], and how many cameras have it in their image, beyond ``near``."""
    middle = np.mean([c.centre for c in cameras], axis=0)
    a, b = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        d = camera.c2w[:3, 2]
        m = np.eye(3) - np.outer(d, d)
        a, b = a + m, b + m @ (camera.centre - middle)
    focus = middle + np.linalg.lstsq(a, b, rcond=1e-6)[0]  # parallel axes: the nearest to the middle of such points
    seeing = 0
    for camera in cameras:
        uv, z = camera.project(focus[None])
        seeing += bool(z[0] > near and camera.shows(uv, z)[0])
    return focus, seeing


def _frustum(camera: Camera, depths: Iterable[float]) -> np.ndarray:
    """World points [N, 3] of the image corners at ``depths``."""
    uv = np.array([[x, y] for x in (0, camera.width) for y in (0, camera.height)], dtype=np.float64)
    return np.concatenate([camera.unproject(uv, np.full(4, depth)) for depth in depths])


def _forward(cameras: Sequence[Camera], mean: np.ndarray, near: float, far: float, reason: str) -> Space:
    """Reference frame that looks the mean way from behind all cameras, fitted to all frusta between near and far."""
    z = mean / np.linalg.norm(mean)
    x = np.cross(np.mean([c.c2w[:3, 1] for c in cameras], axis=0), z)
    x /= np.linalg.norm(x)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    centre = np.mean([c.centre for c in cameras], axis=0)
    # All corners must lie in front of the reference centre: step back if a camera stands far behind the others.
    back = min(0.0, min(float((c.centre - centre) @ z) for c in cameras))
    frame[:3, 3] = centre + back * z
    corners = np.concatenate([_frustum(camera, np.geomspace(near, far, 8)) for camera in cameras])
    local = (corners - frame[:3, 3]) @ frame[:3, :3]
    reference_near, reference_far = max(local[:, 2].min(), 0.2 * near), local[:, 2].max()
    uv = local[:, :2] / np.maximum(local[:, 2:], reference_near)
    return Space(
        kind="forward",
        reason=reason,
        near=float(near),
        far=float(far),
        frame=frame.tolist(),
        low=[*uv.min(axis=0).tolist(), 0.0],
        high=[*uv.max(axis=0).tolist(), 1.0],
        reference_near=float(reference_near),
        reference_far=float(reference_far),
    )


def _seen_box(cameras: Sequence[Camera], bounds: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Box, ([3], [3]) world units, that holds the middle of every frustum from its own near to its own far.

    Where cameras look inward the far ends alone span it; where they look one way, the near ends are its other side.
    """
    corners = []
    for end in (0, 1):
        points = []
        for camera, ends in zip(cameras, bounds, strict=False):
            grid = np.stack(np.meshgrid(*[np.linspace(0.1, 0.9, 5)] * 2), -1).reshape(-1, 2)
            grid *= [camera.width, camera.height]
            points.append(camera.unproject(grid, np.full(len(grid), ends[end])))
        corners.append(np.percentile(np.concatenate(points), (2, 98), axis=0))
    low, high = np.minimum(*corners)[0], np.maximum(*corners)[1]
    pad = 0.05 * (high - low)
    return low - pad, high + pad
