"""Long captures in overlapping segments: each has a dynamic branch of its own in front of the same static branch."""

import math

from mixdepth.scene.sizes import segment_count, segment_overlap


def segments(frames: int, longest: int | None) -> list[tuple[int, int]]:
    """First frame and last frame (not included) of the segments of a capture of ``frames`` frames.

    They have the same length, at most ``longest``, and neighbours share about as many frames as
    :func:`mixdepth.scene.sizes.segment_overlap` says.
    With ``longest`` None, or no shorter than the capture, there is one.

    >>> segments(300, longest=110)
    [(0, 106), (97, 203), (194, 300)]
    """
    count = segment_count(frames, longest)
    if longest is None or count == 1:
        return [(0, frames)]
    length = math.ceil((frames + (count - 1) * segment_overlap(longest)) / count)
    starts = [(frames - length) * index // (count - 1) for index in range(count)]
    return [(start, start + length) for start in starts]
