"""Long captures in overlapping segments: each has a dynamic branch of its own in front of the same static branch."""

import math

OVERLAP = 8  # frames that neighbouring segments share, to be blended when rendered


def segments(frames: int, longest: int | None) -> list[tuple[int, int]]:
    """First frame and last frame (not included) of the segments of a capture of ``frames`` frames.

    They have the same length, at most ``longest``, and neighbours share about OVERLAP frames (at most half of them).
    With ``longest`` None, or no shorter than the capture, there is one.
    """
    if longest is None or frames <= longest:
        return [(0, frames)]
    overlap = min(OVERLAP, longest // 2)
    count = math.ceil((frames - overlap) / (longest - overlap))
    length = math.ceil((frames + (count - 1) * overlap) / count)
    starts = [(frames - length) * index // (count - 1) for index in range(count)]
    return [(start, start + length) for start in starts]
