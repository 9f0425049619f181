"""The similarity that brings our world to the truth's, from camera poses.

COLMAP's world has an arbitrary origin, orientation and scale. Depth is compared after multiplying it by the
similarity's scale.
"""

import numpy as np

from mixdepth.cameras.world import Similarity

# Relative spread across the line through the centres below which they count as collinear.
COLLINEAR = 1e-6


def align(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity between two worlds that hold the same cameras.

    The centres decide, as in Umeyama 1991. Centres on one line say nothing about the turn about that line (with two
    cameras there is always a line): there the rotation is the mean of what the cameras' own orientations say, and the
    scale still comes from the centres. With one camera, or all in one place, the scale is 1.

    Args:
        source: camera-to-world matrices, [N, 4, 4].
        target: those of the same cameras in the other world, [N, 4, 4].
    """
    if source.shape != target.shape or source.shape[1:] != (4, 4) or not len(source):
        raise ValueError(f"poses {source.shape} and {target.shape}, expected [N, 4, 4] for the same N > 0 cameras")
    here, there = source[:, :3, 3], target[:, :3, 3]
    spread = np.linalg.svd(here - here.mean(axis=0), compute_uv=False)
    if len(here) >= 3 and spread[1] > COLLINEAR * spread[0]:
        return umeyama(here, there)
    rotation = _nearest_rotation(np.einsum("nij,nkj->ik", target[:, :3, :3], source[:, :3, :3]))
    extents = [np.sqrt(((x - x.mean(axis=0)) ** 2).sum()) for x in (here, there)]
    scale = extents[1] / extents[0] if min(extents) > 0 else 1.0
    return Similarity(float(scale), rotation, there.mean(axis=0) - scale * rotation @ here.mean(axis=0))


def umeyama(source: np.ndarray, target: np.ndarray) -> Similarity:
    """Least squares similarity from points ``source`` to ``target``, [N, 3] each, not collinear (Umeyama 1991)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, d, vt = np.linalg.svd(b.T @ a / len(a))
    # No mirroring: the axis with the least weight is turned instead.
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * sign) @ vt
    scale = float((d * sign).sum() / (a**2).sum() * len(a))
    return Similarity(scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0))


def _nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation closest to ``matrix`` [3, 3]."""
    u, _, vt = np.linalg.svd(matrix)
    return (u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
