"""How much memory a job asks a cluster for, from the size of its scene: plain arithmetic, no file is read here."""

import math

BASE_MB = 750  # peak of training the demo, which is next to nothing but libraries
MB_PER_MEGAPIXEL = 0.58  # between the two peaks below
HEADROOM = 1.5
UNKNOWN_MB = 4000  # before the size of a capture is known


def memory_mb(pixels: int | None, attempt: int = 1) -> int:
    """Memory for a job that trains on or renders a scene, in MB, rounded up to 500 and doubled by each retry.

    A straight line through two measured peaks of training: 0.75 GB with 5 cameras x 24 frames x 320x240, and 5.5 GB
    with 20 cameras x 300 frames x 1352x1014. What lies beyond them is an estimate.

    Args:
        pixels: cameras x frames x pixels of one frame; None where nobody knows yet.
        attempt: 1 for the first try.
    """
    if pixels is None:
        return UNKNOWN_MB * 2 ** (attempt - 1)
    peak = BASE_MB + MB_PER_MEGAPIXEL * pixels / 1e6
    return 500 * math.ceil(HEADROOM * peak / 500) * 2 ** (attempt - 1)
