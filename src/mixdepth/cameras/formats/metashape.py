"""Cameras of Agisoft Metashape (File > Export > Export Cameras, "Agisoft XML"). Its conventions exist only here.

By the user manual's appendix on camera models: the camera's axes are OpenCV's; ``f``, ``cx``, ``cy``, ``b1`` and ``b2``
are pixels, cx and cy count from the middle of the image, fx is f + b1; b2 is a skew. Radial terms k1 to k4 end with
that of r^8; p1 and p2 are OpenCV's p2 and p1. A fisheye's polynomial is in the angle. ``transform`` is camera to chunk;
from the chunk to the world leads that of the camera's component, or of the chunk.
"""

from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from mixdepth.cameras.formats.posed import FISHEYE, PERSPECTIVE, Posed, make_lens, numbers, pose, rotation_matrix
from mixdepth.cameras.formats.xml import parse_xml
from mixdepth.cameras.lens import Lens
from mixdepth.errors import CaptureError

EXPECTED = "the cameras of Metashape (Export Cameras, Agisoft XML)"
TERMS = ("f", "cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2", "p3", "p4")
KINDS = ("frame", "fisheye")  # of camera models


def read_metashape(path: Path) -> list[tuple[str, Posed]]:
    """Read the label and the camera of every image that was aligned.

    Raises:
        UserError: no such file, a lens that cannot be held, or numbers that are missing or no rotation.
    """
    root = parse_xml(path, EXPECTED)
    found: list[tuple[str, Posed]] = []
    for chunk in root.iter("chunk"):
        lenses: dict[str, Lens] = {}
        sensors = {sensor.get("id", ""): sensor for sensor in chunk.iter("sensor")}
        worlds = {component.get("id", ""): component.find("transform") for component in chunk.iter("component")}
        for camera in chunk.iterfind("cameras//camera"):
            label, place = camera.get("label") or "", camera.find("transform")
            if place is None:
                continue
            where, number = f"{path}: camera {label}", camera.get("sensor_id", "")
            if number not in sensors:
                raise CaptureError(f"{where}: its sensor {number} is not in the file; it has {', '.join(sensors)}.")
            if number not in lenses:
                lenses[number] = _lens(f"{path}: sensor {number}", sensors[number])
            world = worlds.get(camera.get("component_id", ""))
            c2w = _pose(where, place, chunk.find("transform") if world is None else world)
            found.append((label, Posed(lenses[number], c2w)))
    if not found:
        raise CaptureError(f"{path}: has no camera with a transform; expected {EXPECTED}, aligned.")
    return found


def _values(where: str, element: Element | None, count: int) -> np.ndarray:
    """The numbers in an element."""
    words = (element.text or "").split() if element is not None else []
    return numbers(where, words, (count,))


def _pose(where: str, place: Element, world: Element | None) -> np.ndarray:
    """c2w [4, 4] in the world of a camera's ``transform``."""
    matrix = _values(f"{where}: transform", place, 16).reshape(4, 4)
    advice = "Expected camera to chunk, 4 x 4 numbers, row by row; export the cameras again."
    rotation, centre = rotation_matrix(where, matrix[:3, :3], advice), matrix[:3, 3]
    if world is not None and world.find("rotation") is not None:
        turned = _values(f"{where}: the world's rotation", world.find("rotation"), 9).reshape(3, 3)
        rotation = rotation_matrix(f"{where}: the world", turned, advice) @ rotation
        centre = turned @ centre
    if world is not None and world.find("scale") is not None:
        centre = _values(f"{where}: the world's scale", world.find("scale"), 1)[0] * centre
    if world is not None and world.find("translation") is not None:
        centre = centre + _values(f"{where}: the world's translation", world.find("translation"), 3)
    return pose(rotation, centre)


def _lens(where: str, sensor: Element) -> Lens:
    calibrations = sensor.findall("calibration")
    adjusted = [one for one in calibrations if one.get("class") == "adjusted"]
    if not calibrations:
        raise CaptureError(f"{where}: has no calibration; align the images and export the cameras again.")
    calibration = (adjusted or calibrations)[0]
    kind = calibration.get("type", "frame")
    if kind not in KINDS:
        raise CaptureError(f"{where}: is of the type {kind}; expected {' or '.join(KINDS)}. Undistort the images.")
    size = calibration.find("resolution")
    size = sensor.find("resolution") if size is None else size
    if size is None:
        raise CaptureError(f"{where}: has no resolution; export the cameras again.")
    width, height = numbers(f"{where}: resolution", [size.get("width"), size.get("height")], (2,))
    read = {
        term: float(_values(f"{where}: {term}", calibration.find(term), 1)[0])
        for term in TERMS
        if calibration.find(term) is not None
    }
    if "f" not in read:
        raise CaptureError(f"{where}: has no f, the focal length in pixels; export the cameras again.")
    return make_lens(
        where, (width, height), _named(read, kind, width, height), FISHEYE if kind == "fisheye" else PERSPECTIVE
    )


def _named(read: Mapping[str, float], kind: str, width: float, height: float) -> dict[str, float]:
    """Metashape's terms by our names."""
    values = {"fx": read["f"] + read.get("b1", 0.0), "fy": read["f"]}
    values |= {"cx": width / 2 + read.get("cx", 0.0), "cy": height / 2 + read.get("cy", 0.0)}
    values |= {key: read.get(key, 0.0) for key in ("k1", "k2", "k3", "b2", "p3", "p4")}
    values |= {"p1": read.get("p2", 0.0), "p2": read.get("p1", 0.0)}
    return values | {"k4" if kind == "fisheye" else "r8": read.get("k4", 0.0)}
