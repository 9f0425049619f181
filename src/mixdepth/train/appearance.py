"""Which pixels change because the light on a surface changes (shadows, flicker, screens), not because something is in
front of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mixdepth.train.dynamic import Video

FRAMES = 16  # about so many, evenly spread, are compared
NEIGHBOURS = 2  # other cameras that are asked, the farthest apart
SAME_SURFACE = 0.03  # relative difference of depth up to which two cameras see the same point
CHANGE = 12.0  # of 255: a change of a channel from here on counts as one
AGREEMENT = 0.85  # share of the changes that another camera must see as well


def on_surface(
    videos: Sequence["Video"], moving: Sequence[np.ndarray], depth: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Per camera [n] bool for its moving pixels: whether they change on their static surface.

    A change on a surface is seen at the same moments, and alike, by every camera that sees the surface there. Something
    in front of it hides different places of it from different cameras. Deviations from each camera's own median are
    compared, so that tones do not matter.

    Args:
        moving: per camera [H, W] bool.
        depth: per camera [H, W] z-depth of the static surface; 0 where there is none.
    """
    others = [_places(videos, index, mask, depth) for index, mask in enumerate(moving)]
    changed = [np.zeros(mask.sum(), np.int32) for mask in moving]
    agreed = [np.zeros(mask.sum(), np.int32) for mask in moving]
    total = len(videos[0].rgb)
    for frame in range(0, total, max(1, total // FRAMES)):
        change = [video.rgb[frame].astype(np.int16) - video.median for video in videos]
        for index, mask in enumerate(moving):
            mine = change[index][mask]
            size = np.abs(mine).max(-1)
            for other, pixel, seen in others[index]:
                theirs = change[other].reshape(-1, 3)[pixel]
                asked = seen & (np.maximum(size, np.abs(theirs).max(-1)) > CHANGE)
                changed[index] += asked
                agreed[index] += asked & (np.abs(mine - theirs).max(-1) <= np.maximum(CHANGE, size // 3))
    return [(some > 0) & (same >= AGREEMENT * some) for some, same in zip(changed, agreed, strict=True)]


def _places(
    videos: Sequence["Video"], index: int, moving: np.ndarray, depth: Sequence[np.ndarray]
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Other cameras, with the flat pixel [n] where each shows the static surface of ``index``'s moving pixels, and
    whether it does [n]."""
    camera = videos[index].camera
    row, column = np.nonzero(moving)
    points = camera.unproject(np.stack([column, row], -1) + 0.5, depth[index][moving])
    centres = [np.linalg.norm(video.camera.centre - camera.centre) for video in videos]
    farthest = [other for other in np.argsort(centres)[::-1] if other != index][:NEIGHBOURS]
    found = []
    for other in farthest:
        to = videos[other].camera
        uv, z = to.project(points)
        with np.errstate(invalid="ignore"):
            inside = (z > 0) & (uv >= 0).all(1) & (uv < [to.width, to.height]).all(1)
        place = np.where(inside[:, None], uv, 0).astype(int)
        pixel = place[:, 1] * to.width + place[:, 0]
        seen = inside & (np.abs(depth[other].reshape(-1)[pixel] / np.where(inside, z, 1) - 1) <= SAME_SURFACE)
        found.append((int(other), pixel, seen))
    return found
