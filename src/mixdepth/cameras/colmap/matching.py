"""Matching SIFT descriptors of two images: exhaustive, exact, and the same whatever the number of threads.

COLMAP's own matcher is not used: it can only be called for all pairs at once (a minute and more without a line of
progress), and called pair by pair it takes 7 s where one matrix product takes 0.3 s.
"""

from collections.abc import Callable

import numpy as np

CHUNK = 2048  # rows of the similarity matrix held at once: bounds memory at 64 MB for 8192 features
TWIN_ANGLE = (
    0.25  # radians between descriptors: matches of two views differ by 0.2 to 0.3, two corners of a place by 0.5
)
TWIN_DISTANCE = 10.0  # detection pixels
SIFT_NORM = 512.0  # COLMAP stores L2-normalised descriptors times 512, as uint8


def match(
    descriptors1: np.ndarray,
    descriptors2: np.ndarray,
    allowed: Callable[[slice], np.ndarray] | None = None,
    max_ratio: float = 0.8,
    max_angle: float = 0.7,
) -> tuple[np.ndarray, np.ndarray]:
    """Mutual nearest neighbours that pass Lowe's ratio test (Lowe 2004), with COLMAP's angles and thresholds.

    Args:
        descriptors1, descriptors2: [N1, 128], [N2, 128] uint8 as COLMAP's SIFT gives them.
        allowed: for some rows of the first image, which partners come into question at all, [R, N2] bool
            (:func:`near_epipolar_line`); nearest, second nearest and mutual are then meant among those.
        max_ratio: largest ratio of the best to the second best angle.
        max_angle: largest angle between descriptors, radians.

    Returns:
        [M, 2] uint32 indices into the two images, sorted by the first; [M] the ratio of each.
    """
    if not len(descriptors1) or not len(descriptors2):
        return np.zeros((0, 2), np.uint32), np.zeros(0)
    # Integers below 2^24 are exact in float32, so that the product does not depend on the order of its sums.
    first, second = descriptors1.astype(np.float32), descriptors2.astype(np.float32).T
    best = np.empty((2, len(first)))  # similarity of the best and second best partner
    partner = np.empty(len(first), np.int64)
    column_best = np.zeros(len(descriptors2))
    for start in range(0, len(first), CHUNK):
        rows = slice(start, start + CHUNK)
        similarity = first[rows] @ second
        if allowed:
            similarity *= allowed(rows)
        column_best = np.maximum(column_best, similarity.max(axis=0))
        line = np.arange(len(similarity))
        partner[rows] = similarity.argmax(axis=1)
        best[0, rows] = similarity[line, partner[rows]]
        similarity[line, partner[rows]] = 0
        best[1, rows] = similarity.max(axis=1)
    angle = np.arccos(np.clip(best / SIFT_NORM**2, 0, 1))
    good = (best[0] == column_best[partner]) & (angle[0] <= max_angle) & (angle[0] < max_ratio * angle[1])
    # Two equally near rows both claim their column: neither is a match.
    good &= np.bincount(partner[good], minlength=len(descriptors2))[partner] <= 1
    indices = np.stack([np.flatnonzero(good), partner[good]], axis=1).astype(np.uint32)
    return indices, angle[0, good] / angle[1, good]


def match_groups(
    descriptors: tuple[np.ndarray, np.ndarray], groups: tuple[np.ndarray, np.ndarray], max_ratio: float
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`match` within each group of key points alone, as if the others were not there.

    Args:
        descriptors: of two images, [N1, 128] and [N2, 128] uint8.
        groups: of their key points, [N1] and [N2] int; key points match within their group.
        max_ratio, and returns: as there.
    """
    found = [np.zeros((0, 2), np.uint32)]
    ratios = [np.zeros(0)]
    for group in np.intersect1d(*groups):
        one, two = (np.flatnonzero(own == group) for own in groups)
        indices, ratio = match(descriptors[0][one], descriptors[1][two], max_ratio=max_ratio)
        found.append(np.stack([one[indices[:, 0]], two[indices[:, 1]]], axis=1).astype(np.uint32))
        ratios.append(ratio)
    indices, ratio = np.concatenate(found), np.concatenate(ratios)
    order = np.argsort(indices[:, 0])
    return indices[order], ratio[order]


def has_twin(descriptors: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Which key points of one image are seen again elsewhere in it (tiles, wallpaper), [N] bool: a match of theirs may
    be one of a look-alike.

    Args:
        descriptors: [N, 128] uint8.
        xy: [N, 2] detection pixels.
    """
    known, found = descriptors.astype(np.float32), np.zeros(len(xy), bool)
    least = np.float32(np.cos(TWIN_ANGLE) * SIFT_NORM**2)
    for start in range(0, len(xy), CHUNK):
        rows = slice(start, start + CHUNK)
        apart = np.hypot(xy[rows, None, 0] - xy[:, 0], xy[rows, None, 1] - xy[:, 1])
        found[rows] = ((known[rows] @ known.T >= least) & (apart > TWIN_DISTANCE)).any(axis=1)
    return found


def near_epipolar_line(
    fundamental: np.ndarray, xy1: np.ndarray, xy2: np.ndarray, max_error: float
) -> Callable[[slice], np.ndarray]:
    """For :func:`match`: partners whose Sampson distance is at most ``max_error`` (guided matching).

    Args:
        fundamental: [3, 3] with x2^T F x1 = 0.
        xy1, xy2: [N1, 2], [N2, 2] key points of the two images, pixels.
        max_error: pixels.
    """
    points1, points2 = np.c_[xy1, np.ones(len(xy1))], np.c_[xy2, np.ones(len(xy2))]
    lines2, lines1 = points1 @ fundamental.T, points2 @ fundamental
    norm1, norm2 = np.sum(lines1[:, :2] ** 2, axis=1), np.sum(lines2[:, :2] ** 2, axis=1)

    def allowed(rows: slice) -> np.ndarray:
        residual = lines2[rows] @ points2.T
        return residual**2 <= max_error**2 * (norm2[rows, None] + norm1)

    return allowed


def epipolar_error(essential: np.ndarray, xy1: np.ndarray, xy2: np.ndarray) -> np.ndarray:
    """Sampson distance of matched points (Hartley & Zisserman 2004, eq. 11.9).

    Args:
        essential: [3, 3] with x2^T E x1 = 0.
        xy1, xy2: [M, 2] matched normalised coordinates (x/z, y/z) without distortion.

    Returns:
        [M] distances in normalised units; times the focal length they are pixels.
    """
    homogeneous1 = np.c_[xy1, np.ones(len(xy1))]
    homogeneous2 = np.c_[xy2, np.ones(len(xy2))]
    lines2, lines1 = homogeneous1 @ essential.T, homogeneous2 @ essential
    norm = np.sum(lines2[:, :2] ** 2, axis=1) + np.sum(lines1[:, :2] ** 2, axis=1)
    return np.abs(np.sum(lines2 * homogeneous2, axis=1)) / np.sqrt(np.maximum(norm, 1e-30))
