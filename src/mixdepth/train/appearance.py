"""Which pixels change because the light on a surface changes (shadows, flicker, screens), not because something is in
front of it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixdepth.frames.motion import exposed
from mixdepth.train.video import Video

FRAMES = 16  # about so many, evenly spread, are compared
NEIGHBOURS = 2  # other cameras that are asked, the farthest apart
SAME_SURFACE = 0.03  # relative difference of depth up to which two cameras see the same point
CHANGE = 12  # of 255: a change of a channel from here on counts as one
AGREEMENT = 0.85  # share of the changes that another camera must see as well


def on_surface(
    videos: Sequence[Video],
    moving: Sequence[np.ndarray],
    depth: Sequence[np.ndarray],
    device: torch.device | str = "cpu",
) -> list[Tensor]:
    """Per camera [n] bool for its moving pixels, on ``device``: whether they change on their static surface.

    A change on a surface is seen at the same moments, and alike, by every camera that sees the surface there. Something
    in front of it hides different places of it from different cameras. Deviations from each camera's own plate are
    compared, at the usual exposure, so that tones do not matter: whole numbers, which are the same on every device.

    Args:
        moving: per camera [H, W] bool.
        depth: per camera [H, W] z-depth of the static surface; 0 where there is none.
    """

    def there(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    own = [there(np.flatnonzero(mask)) for mask in moving]
    others = [
        [(other, there(pixel), there(seen)) for other, pixel, seen in _places(videos, index, mask, depth)]
        for index, mask in enumerate(moving)
    ]
    plates = [there(video.plate).reshape(-1, 3).short() for video in videos]
    changed, agreed = ([torch.zeros_like(place, dtype=torch.int32) for place in own] for _ in range(2))
    total = len(videos[0].rgb)
    for frame in range(0, total, max(1, total // FRAMES)):
        if not all(video.usable[frame] for video in videos):
            continue
        frames = [there(np.array(exposed(v.rgb[frame], v.gain[frame]))).view(-1, 3) for v in videos]
        change = [seen.short() - plate for seen, plate in zip(frames, plates, strict=True)]
        for index, place in enumerate(own):
            mine = change[index].index_select(0, place)
            size = mine.abs().amax(-1)
            for other, pixel, seen in others[index]:
                theirs = change[other].index_select(0, pixel)
                asked = seen & (torch.maximum(size, theirs.abs().amax(-1)) > CHANGE)
                changed[index] += asked
                agreed[index] += asked & ((mine - theirs).abs().amax(-1) <= (size // 3).clamp_min(CHANGE))
    return [(some > 0) & (same >= AGREEMENT * some.double()) for some, same in zip(changed, agreed, strict=True)]


def _places(
    videos: Sequence[Video], index: int, moving: np.ndarray, depth: Sequence[np.ndarray]
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
        inside = to.shows(uv, z)
        place = np.where(inside[:, None], uv, 0).astype(int)
        pixel = place[:, 1] * to.width + place[:, 0]
        seen = inside & (np.abs(depth[other].reshape(-1)[pixel] / np.where(inside, z, 1) - 1) <= SAME_SURFACE)
        found.append((int(other), pixel, seen))
    return found
