"""Cuts: the two ways in which a set of images can hang together badly. A cut is a division of the images in two.

Images are nodes; between two of them are matches that agree with the poses or matches that contradict them.
"""

import numpy as np


def weakest_cut(agree: np.ndarray, contradict: np.ndarray, prior: float) -> tuple[float, np.ndarray]:
    """The cut across which the least share of the matches agrees.

    Args:
        agree, contradict: [N, N] symmetric with a diagonal of zeros: matches that agree and that contradict.
        prior: agreeing matches granted to every cut, so that a few contradicting ones do not weigh.

    Returns:
        (agree + prior) / (agree + contradict + prior) across it, and the smaller side, [N] bool (nothing where no match
        contradicts). The problem is NP-hard; this is the best that moving one image at a time finds, from every
        single image and every union of a hierarchical clustering by agreeing matches.
    """
    best, side = 1.0, np.zeros(len(agree), bool)
    if contradict.any():
        for start in _clusters(agree):
            share, found = _improve(agree, contradict, prior, start)
            if share < best:
                best, side = share, found
    return best, _smaller(side)


def smallest_cut(agree: np.ndarray) -> tuple[float, np.ndarray]:
    """The cut with the fewest agreeing matches across it: the global minimum cut (Stoer & Wagner 1997).

    Args:
        agree: [N, N] symmetric with a diagonal of zeros, N >= 2.

    Returns:
        the matches across it and the smaller side, [N] bool.
    """
    table, members = agree.astype(float), np.eye(len(agree), dtype=bool)
    best, side = np.inf, members[0]
    while len(table) > 1:
        reached, tie = np.zeros(len(table), bool), np.zeros(len(table))
        last = 0
        for _ in table:
            before, last = last, int(np.argmax(np.where(reached, -1.0, tie)))
            reached[last] = True
            cut, tie = tie[last], tie + table[last]
        if cut < best:
            best, side = float(cut), members[last].copy()
        table[before] += table[last]
        table[:, before] = table[before]
        table[before, before] = 0
        members[before] |= members[last]
        rest = np.arange(len(table)) != last
        table, members = table[rest][:, rest], members[rest]
    return best, _smaller(side)


def _smaller(side: np.ndarray) -> np.ndarray:
    return ~side if 2 * side.sum() > len(side) else side


def _clusters(agree: np.ndarray) -> list[np.ndarray]:
    """Every image alone, and every union on the way to two clusters by average linkage: [N] bool each."""
    link, sizes = agree.astype(float), np.ones(len(agree))
    members = np.eye(len(agree), dtype=bool)
    found = [row.copy() for row in members]
    np.fill_diagonal(link, -np.inf)
    for _ in range(len(agree) - 2):
        one, two = divmod(int(np.argmax(link / np.outer(sizes, sizes))), len(agree))
        members[one] |= members[two]
        found.append(members[one].copy())
        sizes[one] += sizes[two]
        link[one] += link[two]
        link[:, one] = link[one]
        link[two] = link[:, two] = -np.inf
        link[one, one] = -np.inf
    return found


def _improve(agree: np.ndarray, contradict: np.ndarray, prior: float, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Move single images across the cut as long as that lowers the share that agrees."""
    tables = np.stack([agree, contradict]).astype(float)
    sign = np.where(start, 1.0, -1.0)
    flows = tables @ sign  # [2, N]
    across = (tables.sum(axis=(1, 2)) - flows @ sign) / 4  # [2]; sum of (1 - sign_i sign_j) / 2 over each pair once
    share = (across[0] + prior) / (across.sum() + prior)
    while True:
        moved = (
            across[:, None] + sign * flows
        )  # image i takes its ties to its own side across and brings back the others
        shares = (moved[0] + prior) / (moved.sum(axis=0) + prior)
        size = (sign > 0).sum() - sign
        shares[(size < 1) | (size > len(sign) - 1)] = np.inf
        image = int(np.argmin(shares))
        if not shares[image] < share - 1e-12:
            return float(share), sign > 0
        share, across = shares[image], moved[:, image]
        flows = flows - 2 * sign[image] * tables[:, :, image]
        sign[image] = -sign[image]
