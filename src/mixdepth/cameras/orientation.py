"""Pictures that a tag turns, beside cameras that were made for the stored pixels, as COLMAP and nerfstudio do.

Pixels are shown upright, as EXIF and the videos' rotation tags say; a file of cameras may be for either. Which it is
for, its sizes tell, where the picture is not square and is turned by a quarter; else the images' own up directions,
which agree best in the right reading; else what is usual: COLMAP and the like see a photo's stored pixels, but of a
video the frames that ffmpeg took from it, which are upright.
"""

from collections.abc import Mapping

import numpy as np

from mixdepth.cameras.formats.posed import ASPECT_TOLERANCE, Posed, Size, Unsized

STORED = ("llff", "model", "transforms", "metashape")  # sources whose programs look at the stored pixels of photos
TELLING = 5.0  # degrees by which the spread of the up directions must differ to tell

Cameras = Mapping[str, Mapping[str, Posed]]  # by group and name


def upright_as_pictures(
    source: str,
    cameras: Cameras,
    sizes: Mapping[str, Mapping[str, Size]],
    turned: Mapping[str, Mapping[str, int]],
) -> tuple[dict[str, dict[str, Posed]], list[str]]:
    """``cameras``, with those that are for stored pixels turned along with their pictures, all with a known lens; and
    the names of those that were turned.

    Args:
        source: ``poses.source``.
        cameras: by group and name.
        sizes: group to name to (width, height) of the upright images.
        turned: group to name to degrees clockwise by which the stored picture was turned; 0 where it is left out.
    """
    quarters = {
        (group, name): turned.get(group, {}).get(name, 0) // 90 for group, own in cameras.items() for name in own
    }
    told = {
        key: told_by_size(cameras[key[0]][key[1]], sizes[key[0]][key[1]], quarter)
        for key, quarter in quarters.items()
        if quarter
    }
    others = _others(cameras, quarters, told) if told else None
    result: dict[str, dict[str, Posed]] = {group: {} for group in cameras}
    along = []
    for (group, name), quarter in quarters.items():
        posed, size, stored = cameras[group][name], sizes[group][name], told.get((group, name), False)
        usual = source in STORED and group == "photos"
        if next((known for known in (stored, others) if known is not None), usual):
            result[group][name] = turn(posed.sized(size[::-1] if quarter % 2 else size), quarter)
            along.append(name)
        else:
            result[group][name] = posed.sized(size)
    return result, along


def told_by_size(posed: Posed, size: Size, quarters: int) -> bool | None:
    """Whether a camera is for the stored picture, by its size and the upright picture's; None: they do not tell."""
    if isinstance(posed.lens, Unsized):
        return None
    own, upright = posed.lens.width / posed.lens.height, size[0] / size[1]
    alike = [abs(own / aspect - 1) <= ASPECT_TOLERANCE for aspect in (upright, 1 / upright)]
    if quarters % 2 == 0 or alike[0] == alike[1]:
        return None
    return alike[1]


def _others(cameras: Cameras, quarters: Mapping, told: Mapping) -> bool | None:
    """Whether those cameras whose size does not tell are for the stored pictures: a file is for all of one kind. None:
    nothing tells."""
    known = [stored for stored in told.values() if stored is not None]
    if known:
        return any(known)
    spread = []
    for stored in (False, True):
        poses = [_turned(cameras[group][name].pose, q if stored else 0) for (group, name), q in quarters.items()]
        length = np.linalg.norm(np.mean([pose[:3, 1] for pose in poses], axis=0))
        spread.append(
            np.degrees(np.sqrt(2 * max(1 - float(length), 0.0)))
        )  # of unit vectors about their mean, while small
    return bool(spread[1] < spread[0]) if abs(spread[1] - spread[0]) > TELLING else None


def turn(posed: Posed, quarters: int) -> Posed:
    """The camera of the picture turned clockwise by ``quarters`` times 90 degrees; exact.

    By a quarter turn what pointed up points right, and what pointed right points down.
    """
    return Posed(posed.known_lens.turned(quarters), _turned(posed.pose, quarters), posed.bounds)


def _turned(pose: np.ndarray, quarters: int) -> np.ndarray:
    c2w = pose.copy()
    for _ in range(quarters % 4):
        c2w[:3, :2] = np.stack([-c2w[:3, 1], c2w[:3, 0]], axis=1)
    return c2w
