"""How far the static model's depth maps can be trusted: opacity, compactness, and what the other cameras say."""

from collections.abc import Sequence

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.rendering.static_view import StaticView, pixel_grid

TOLERANCE = 0.03  # relative difference of depth that still counts as the same surface
SPREAD = 0.05  # relative spread of the weights along the ray at which confidence has fallen to 1/e


def confidence(
    index: int,
    cameras: Sequence[Camera],
    views: Sequence[StaticView],
    valid: Sequence[np.ndarray | None] | None = None,
) -> np.ndarray:
    """Confidence [H, W] float32 in 0..1 of the depth of view ``index``.

    The product of the accumulated opacity, of ``exp(-(spread / 0.05)^2)``, and of the share of the other cameras that
    agree. A camera that sees the point agrees where its own depth is the same; it objects where it sees through the
    point; where it sees something nearer, the point is hidden from it and it has no say. A point on which no other
    camera has a say gets half of that last factor.

    Args:
        valid: per camera [H, W] bool, the pixels that show anything (None where all do): elsewhere a camera has no say,
            and no confidence.
    """
    camera, view = cameras[index], views[index]
    masks = [None] * len(cameras) if valid is None else valid
    points = camera.unproject(pixel_grid(camera).numpy(), view.depth.reshape(-1))
    agree, object_ = np.zeros(len(points)), np.zeros(len(points))
    for other, (other_camera, other_view) in enumerate(zip(cameras, views, strict=True)):
        if other == index:
            continue
        seen_at, z = other_camera.project(points)
        inside = other_camera.shows(seen_at, z)
        pixel = np.where(inside[:, None], seen_at, 0).astype(int)
        if (mask := masks[other]) is not None:
            inside &= mask[pixel[:, 1], pixel[:, 0]]
        surface = other_view.depth[pixel[:, 1], pixel[:, 0]]
        agree += inside & (np.abs(z - surface) <= TOLERANCE * z)
        object_ += inside & (z < (1 - TOLERANCE) * surface)
    say = agree + object_
    share = np.where(say > 0, agree / np.maximum(say, 1), 0.5)
    trust = np.clip(view.opacity, 0, 1) * np.exp(-((view.spread / SPREAD) ** 2))
    trust = trust * share.reshape(trust.shape)
    return (trust if masks[index] is None else trust * masks[index]).astype(np.float32)
