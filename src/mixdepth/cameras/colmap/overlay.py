"""Clocks, logos and watermarks that are laid over the pictures of several cameras: they match, and stand still while
the cameras differ, so that they speak against every true pose.

What truly is at one place of two pictures is very far away, before cameras that are not turned against each other, or
where the cameras' axes meet, or the pictures are from one place. So a key point is taken for laid over where its match
with some image is at one place, as many others of the pair are, these are in a part of the picture only, and the
matches that do not stay in place have a geometry that has no room for them, or none.
"""

import sys
from collections.abc import Mapping

# Before pycolmap: it sees to it that Pillow is imported first.
from mixdepth.cameras.colmap.features import Features  # isort: skip
import numpy as np

from mixdepth.cameras.colmap import mapping
from mixdepth.cameras.colmap.matching import epipolar_error

STAYS = 1.0  # detection pixels within which a match is at one place of both pictures
MANY = 15  # such matches of a pair, from which on it is asked what they are of
HALF = 0.5  # share of them, or of the picture, that tells
GRID = 8  # cells along each side of the picture


def laid_over(
    pairs: mapping.Pairs, features: Mapping[str, Features], cameras: Mapping, seed: int
) -> dict[str, np.ndarray]:
    """Which key points are laid over the picture, [N] bool by image; without the images that have none.

    Args:
        pairs: the matches.
        features: of these images.
        cameras: of these images, COLMAP's, detection pixels.
        seed: of RANSAC's draws.
    """
    stays = {pair: _at_one_place(features[pair[0]], features[pair[1]], found) for pair, found in pairs.items()}
    asked = [pair for pair, still in stays.items() if still.sum() >= MANY]
    asked = [(a, b) for a, b in asked if not _covers(features[a], features[b], pairs[a, b][stays[a, b]])]
    others = {pair: pairs[pair][~stays[pair]] for pair in asked}
    geometries = mapping.verify_pairs(others, features, cameras, seed)
    found = {name: np.zeros(len(features[name].keypoints), bool) for pair in asked for name in pair}
    for pair in asked:
        one, two = pair
        still, both = pairs[pair][stays[pair]], (cameras[one], cameras[two])
        lines = pair in geometries and mapping.epipolar(geometries[pair], (features[one].xy, features[two].xy), both)
        if not (lines and _agrees(*lines, still)):
            found[one][still[:, 0]] = found[two][still[:, 1]] = True
    _spread(found, {pair: pairs[pair][stays[pair]] for pair in asked})
    found = {name: own for name, own in found.items() if own.any()}
    if found:
        count = sum(int(own.sum()) for own in found.values())
        told = f"{count} key points of {len(found)} images are of something laid over the pictures, and left out"
        print(f"colmap: {told}", file=sys.stderr, flush=True)
    return found


def _spread(found: dict[str, np.ndarray], still: mapping.Pairs) -> None:
    """Mark, in place, what is at one place with what is marked: the same is laid over there, also where it happens to
    lie on a pair's epipolar lines."""
    before = -1
    while before < (before := sum(int(own.sum()) for own in found.values())):
        for (one, two), indices in still.items():
            marked = indices[found[one][indices[:, 0]] | found[two][indices[:, 1]]]
            found[one][marked[:, 0]] = found[two][marked[:, 1]] = True


def _at_one_place(one: Features, two: Features, indices: np.ndarray) -> np.ndarray:
    """Which matches [M, 2] are at the same place of both pictures, [M] bool."""
    xy = two.xy[indices[:, 1]] * np.divide(one.detection_size, two.detection_size)
    return np.abs(one.xy[indices[:, 0]] - xy).max(axis=1, initial=0) <= STAYS


def _covers(one: Features, two: Features, indices: np.ndarray) -> bool:
    """Whether matches [M, 2] lie wherever both pictures have key points."""
    both = _cells(one.xy, one) & _cells(two.xy, two)
    return len(_cells(one.xy[indices[:, 0]], one)) >= HALF * len(both)


def _cells(xy: np.ndarray, features: Features) -> set[tuple[int, int]]:
    """In which cells of the picture points lie: column and row of GRID each."""
    return set(map(tuple, (GRID * xy / features.detection_size).astype(int).tolist()))


def _agrees(matrix: np.ndarray, xy1: np.ndarray, xy2: np.ndarray, error: float, indices: np.ndarray) -> bool:
    """Whether matches lie on the epipolar lines; arguments as :func:`mixdepth.cameras.colmap.mapping.epipolar`'s."""
    return bool(np.mean(epipolar_error(matrix, xy1[indices[:, 0]], xy2[indices[:, 1]]) <= error) >= HALF)
