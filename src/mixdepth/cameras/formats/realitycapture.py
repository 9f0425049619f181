"""Cameras of RealityCapture and RealityScan (Registration > Internal/External camera parameters, CSV). Its conventions
exist only here.

A line per image: name, x, y, alt, heading, pitch, roll (degrees), f (millimetres of a film 36 wide), px, py, k1 to k4,
t1, t2; which columns there are can be chosen. Camera to world, with OpenGL's axes, is a turn about z by minus heading,
about x by pitch and about y by roll (nerfstudio's and Brush's readers agree). Pixels are shares of the longer side, px
and py count from the middle ("RealityCapture XMP Camera Math"); k4 is the term of r^8; t1 and t2 are OpenCV's p2 and
p1 (so have AliceVision and Camorph). The size of the images is not told: it is that of ours.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixdepth.cameras.formats.posed import PERSPECTIVE, Posed, Unsized, numbers, pose
from mixdepth.cameras.formats.transforms import OPENGL
from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.files.kinds import refuse_irregular

NEEDED = ("name", "x", "y", "alt", "heading", "pitch", "roll", "f")
OPTIONAL = ("px", "py", "k1", "k2", "k3", "k4", "t1", "t2")
EXPECTED = f"the CSV of RealityCapture with the columns {', '.join((*NEEDED, *OPTIONAL))}"
FILM = 36.0  # millimetres


def read_realitycapture(path: Path) -> list[tuple[str, Posed]]:
    """Read the name and the camera of every line; lenses are known once the size of the images is.

    Raises:
        UserError: no such file, a column that is missing, or what is no number.
    """
    refuse_irregular(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#cameras")]
        rows = list(csv.reader(lines, delimiter=";" if lines and lines[0].count(";") > 5 else ","))
    except FileNotFoundError:
        raise CaptureError(f"{path}: file not found; expected {EXPECTED}. Correct `poses.path`.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise DamagedFile(f"{path}: not a file of comma separated values ({error}); expected {EXPECTED}.") from None
    header = [name.strip().lstrip("#").strip().lower() for name in rows[0]] if rows else []
    if absent := [name for name in NEEDED if name not in header]:
        raise CaptureError(f"{path}: has no column {', '.join(absent)}; expected {EXPECTED}.")
    found = []
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise CaptureError(f"{path}: camera {number} has {len(row)} values; its columns are {', '.join(header)}.")
        named = dict(zip(header, map(str.strip, row), strict=True))
        found.append((named["name"], _camera(f"{path}: camera {number} ({named['name']})", named)))
    if not found:
        raise CaptureError(f"{path}: has no camera; expected {EXPECTED}.")
    return found


def _camera(where: str, row: Mapping[str, str]) -> Posed:
    keys = [key for key in (*NEEDED[1:], *OPTIONAL) if row.get(key)]
    read = {key: float(numbers(f"{where}: {key}", row[key], ())) for key in keys}
    if absent := [key for key in NEEDED if not row.get(key)]:
        raise CaptureError(f"{where}: has no {', '.join(absent)}; expected numbers there. Export it again.")
    values = {"fx": read["f"] / FILM, "fy": read["f"] / FILM, "cx": read.get("px", 0.0), "cy": read.get("py", 0.0)}
    values |= {key: read.get(key, 0.0) for key in ("k1", "k2", "k3")}
    values |= {"r8": read.get("k4", 0.0), "p1": read.get("t2", 0.0), "p2": read.get("t1", 0.0)}
    rotation = _about(2, -read["heading"]) @ _about(0, read["pitch"]) @ _about(1, read["roll"])
    lens = Unsized(where, tuple(values.items()), PERSPECTIVE, relative=True)
    return Posed(lens, pose(rotation * OPENGL, np.array([read["x"], read["y"], read["alt"]])))


def _about(axis: int, degrees: float) -> np.ndarray:
    """Rotation [3, 3] about one of the axes x, y, z."""
    one, two = [(1, 2), (2, 0), (0, 1)][axis]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[[one, two, one, two], [one, two, two, one]] = c, c, -s, s
    return matrix
