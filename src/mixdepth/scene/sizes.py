"""Sizes that follow from settings, for the stages that use them and for the doctor, who foretells them.

Standard library only.
"""

OVERLAP = 8  # frames that neighbouring segments share, to be blended when rendered
PHOTO_SIDE = 1600  # pixels: longer side of photos of a scene without video, unless `photo_scale` says otherwise


def photo_scale(video_side: int, photo_side: int, scale: float) -> float:
    """The scale of photos where none is configured: it keeps what they teach and not the memory of a large camera.

    At most twice the videos' longer side, ``PHOTO_SIDE`` pixels where there is no video.

    Args:
        video_side: longest side of all videos as filmed, pixels; 0 where there are none.
        photo_side: longest side of all photos as taken, pixels; 0 where there are none.
        scale: of the videos.
    """
    limit = 2 * scale * video_side if video_side else PHOTO_SIDE
    return min(1.0, limit / photo_side) if photo_side else 1.0


def segment_overlap(longest: int) -> int:
    """About how many frames neighbouring segments of at most ``longest`` frames share: at most half of them."""
    return min(OVERLAP, longest // 2)


def segment_count(frames: int, longest) -> int:
    """How many segments of at most ``longest`` frames a capture of ``frames`` frames has; one where that is None."""
    if longest is None or frames <= longest:
        return 1
    overlap = segment_overlap(longest)
    return -(-(frames - overlap) // (longest - overlap))
