"""Whether images bear out given poses, where matches found without them say too little or speak of look-alikes.

Two views of look-alike panels match each other in a pose of their own, so that true poses are contradicted. But a pose
that is given can be tried: of matches that know nothing of it, those that happen to lie on its epipolar lines are few,
and as many as lie on lines beside them; where the pose is right they are many, and close to the lines.
"""

from collections.abc import Mapping

import numpy as np

from mixdepth.cameras.verification.view import View, misses

CLOSE = 0.003  # of the diagonal: how far from its line a match that bears out a pose may lie
AROUND = 0.015  # of the diagonal: and how far one that lies beside it
# Of the matches around its lines that must be close (basketball: 0.79 and more; 3 degrees off, 0.59 at most).
SHARE = 0.7
FEWEST = 50  # matches close to the lines of an image
EXCESS = 2.0  # how many times more they are than those close to lines elsewhere (the median: some shifts go along them)
ELSEWHERE = 0.05 * np.array([[np.cos(a), np.sin(a)] for a in np.arange(6) * np.pi / 3])  # of the diagonal

Pairs = Mapping[tuple[str, str], np.ndarray]


def borne_out(views: Mapping[str, View], matches: Pairs) -> set[str]:
    """The images whose poses the matches with all others bear out together.

    Args:
        views: key points and pose of every image.
        matches: two image names to [M, 2] key points, all that look alike, not only those that fit a geometry.
    """
    counts = {name: np.zeros(2 + len(ELSEWHERE)) for name in views}
    for (one, two), indices in matches.items():
        found = _counts(views[one], views[two], np.asarray(indices, int))
        counts[one] += found
        counts[two] += found
    return {
        name for name, (close, around, *chance) in counts.items() if _enough(close, around, float(np.median(chance)))
    }


def _enough(close: float, around: float, chance: float) -> bool:
    return close >= max(FEWEST, SHARE * around, EXCESS * chance)


def _counts(one: View, two: View, indices: np.ndarray) -> np.ndarray:
    """How many of the matches [M, 2] lie close to the lines, around them, and close to each of the lines ELSEWHERE."""
    seen = np.isfinite(one.xy[indices[:, 0]] + two.xy[indices[:, 1]]).all(axis=1)
    indices = indices[seen]
    miss = misses(one, two, indices)
    chance = [(misses(one, two.shifted(by), indices) <= CLOSE).sum() for by in ELSEWHERE]
    return np.array([(miss <= CLOSE).sum(), (miss <= AROUND).sum(), *chance], dtype=np.float64)


def around_lines(one: View, two: View, indices: np.ndarray) -> np.ndarray:
    """Those of the matches [M, 2] that lie around the epipolar lines of the poses."""
    seen = np.isfinite(one.xy[indices[:, 0]] + two.xy[indices[:, 1]]).all(axis=1)
    return indices[seen][misses(one, two, indices[seen]) <= AROUND]
