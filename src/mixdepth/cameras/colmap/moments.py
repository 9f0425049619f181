"""Key points of one camera from several moments, as if they were of one image.

What stands still counts once, whenever it was seen: a wall that a mover hides at one moment is free at another, and
noise hides other corners each time. What moves keeps its moment, and is matched with what others saw at that moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before pycolmap: it sees to it that Pillow is imported first.
from mixdepth.cameras.colmap.features import Features, detect, moving_at  # isort: skip
import numpy as np

STILL = -1  # the moment of what stands still
FIRST = 2  # pictures of a camera that are looked at however many key points the first has
SAME_PLACE = 1.5  # detection pixels within which two key points of two moments are one
SAME_TURN, SAME_SIZE = 0.5, 0.35  # radians; log of the scale
CHUNK = 1024  # key points compared with all others at once


@dataclass(frozen=True)
class Picture:
    """One picture of a camera."""

    path: Path
    mask: Path | None = None  # an image of the same size, not 0 where something moves or the plate is unsure
    moment: int = STILL  # frame of the selection; STILL of a plate or a photo: masked key points are of no use


@dataclass(frozen=True)
class Sighting:
    """The key points of all pictures of one camera."""

    features: Features
    moment: np.ndarray  # [N] int: STILL, or the frame at which the key point was seen on something that moves


def gather(pictures: Mapping[str, Sequence[Picture]], options: Mapping) -> dict[str, Sighting]:
    """The key points of every camera, by COLMAP image name.

    Args:
        pictures: in the order in which they are looked at: the FIRST ones, then others until there are
            ``max_features`` key points. They are of one size.
        options: the scene's ``colmap`` section.

    Raises:
        UserError: as :func:`mixdepth.cameras.colmap.features.detect`.
    """
    found: dict[str, Sighting] = {}
    for number in range(max(map(len, pictures.values()), default=0)):
        wanted = {
            name: own[number]
            for name, own in pictures.items()
            if number < len(own) and (number < FIRST or len(found[name].moment) < options["max_features"])
        }
        if not wanted:
            break
        features = detect({name: picture.path for name, picture in wanted.items()}, options)
        for name, picture in wanted.items():
            here = _sighting(features[name], picture)
            found[name] = _joined(found[name], here, options["max_features"]) if name in found else here
    return found


def _sighting(features: Features, picture: Picture) -> Sighting:
    moves = moving_at(features, picture.mask) if picture.mask else np.zeros(len(features.keypoints), bool)
    moment = np.where(moves, picture.moment, STILL)
    keep = ~moves | (picture.moment != STILL)
    return Sighting(features.subset(keep), moment[keep])


def _joined(known: Sighting, more: Sighting, most: int) -> Sighting:
    """``known`` with what is new in ``more``; of what stands still no more than ``most`` key points."""
    still = more.moment == STILL
    room = max(0, most - int((known.moment == STILL).sum()))
    new = ~still
    if room:
        unseen = np.flatnonzero(still)[_is_new(more.features.keypoints[still], known.features.keypoints)]
        new[unseen[:room]] = True
    one, two = known.features, more.features.subset(new)
    joined = Features(
        one.size,
        one.detection_size,
        np.concatenate([one.keypoints, two.keypoints]),
        np.concatenate([one.descriptors, two.descriptors]),
    )
    return Sighting(joined, np.concatenate([known.moment, more.moment[new]]))


def _is_new(these: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the key points ``these`` [N, 4] are none of ``known`` [M, 4]: bool [N]."""
    found = []
    for start in range(0, len(these), CHUNK):
        some = these[start : start + CHUNK, None]
        apart = np.hypot(some[..., 0] - known[:, 0], some[..., 1] - known[:, 1])
        turned = np.abs((some[..., 3] - known[:, 3] + np.pi) % (2 * np.pi) - np.pi)
        grown = np.abs(np.log(some[..., 2] / known[:, 2]))
        found.append(~((apart < SAME_PLACE) & (turned < SAME_TURN) & (grown < SAME_SIZE)).any(axis=1))
    return np.concatenate([*found, np.zeros(0, bool)])
