"""Camera paths: where a camera that moves is, and what time it shows, frame by frame. Needs NumPy alone.

Times are in frames of the capture: 3.25 is a quarter of the way from frame 3 to frame 4.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.cameras.camera import Camera, moved
from mixdepth.cameras.formats.camera_path import read_camera_path
from mixdepth.rendering.orbit import orbit

# Frames per second where the files do not say, as for folders of images: short clips run slower, to last a little.
USUAL_FPS, SHORT_FPS, SHORT = 24.0, 12.0, 48
SHORTEST = 4.0  # seconds that a path lasts at least, where no length is asked for and time may go back or stand
LEG = 2.0  # the same, for each way from one camera to the next
TURN = 6.0  # seconds that a spiral takes for a turn, about


@dataclass(frozen=True)
class Clock:
    """The capture's time."""

    frames: int  # T
    fps: float  # of the selected frames


@dataclass(frozen=True)
class Rig:
    """What a path can be laid out from."""

    cameras: Mapping[str, Camera]
    train: Sequence[str]  # the cameras that train
    default: str  # the camera to start from, where none is asked for: a held-out one, if there is one
    near: float  # of the space, world units
    far: float
    origin: Sequence[float] = (0.0, 0.0, 0.0)  # of the space: what a file's coordinates have more than ours


@dataclass(frozen=True)
class CameraPath:
    """One camera and one time per frame. A camera that stands still is one object."""

    cameras: list[Camera]
    times: np.ndarray  # [N] float64, in frames of the capture, 0 .. T - 1
    fps: float

    def named(self) -> dict[str, Camera]:
        """The cameras by the number of their frame, as cameras.json has them."""
        return {f"{index:05d}": camera for index, camera in enumerate(self.cameras)}


def frame_rate(fps: float | None, step: int, count: int) -> float:
    """Frames per second of ``count`` frames taken every ``step`` of a video with ``fps``, None where it has no rate."""
    if fps:
        return fps / step
    return SHORT_FPS if count < SHORT else USUAL_FPS


def make_path(settings: Mapping[str, Any], rig: Rig, clock: Clock, file: Path | None = None) -> CameraPath:
    """The path that ``settings`` (an entry of ``paths`` of the configuration) describe.

    Args:
        file: the camera_path.json, for the kind ``file``.

    Raises:
        UserError: the file is damaged, or the cameras have no place in common that a spiral could look at.
    """
    kind, shares, own_fps = settings["kind"], None, None
    if kind == "file":
        assert file is not None
        cameras, shares, own_fps = read_camera_path(file)
        cameras = [replace(camera, c2w=moved(camera.c2w, -np.array(rig.origin))) for camera in cameras]
    else:
        names = settings["cameras"] or {"camera": [rig.default], "spiral": rig.train}.get(kind) or visiting(rig.cameras)
        cameras = [rig.cameras[name] for name in names]
    first = rig.cameras[rig.default] if kind == "spiral" else cameras[0]
    size = picture_size(first, settings["width"], settings["height"])
    cameras = cameras if kind == "spiral" else [fitted(camera, *size) for camera in cameras]
    fps = settings["fps"] or own_fps or clock.fps
    if kind == "file":
        count = len(cameras)
    else:
        legs = len(cameras) - 1 if kind == "move" else 0
        count = frame_count(settings, clock, fps, max(SHORTEST, LEG * legs))
    if kind == "spiral":
        lens, turns = fitted(first, *size), max(1, round(count / fps / TURN))
        poses = orbit(cameras, rig.near, rig.far, np.arange(count) / count * turns)
        cameras = [replace(lens, c2w=c2w) for c2w in poses]
    elif kind == "move":
        cameras = move(cameras, count)
    elif kind == "camera":
        cameras = cameras[:1] * count
    times = path_times(settings, clock, fps, count) if shares is None else shares * (clock.frames - 1)
    return CameraPath(cameras, times, fps)


# Time


def frame_count(settings: Mapping[str, Any], clock: Clock, fps: float, shortest: float) -> int:
    """Frames of a path: what is asked for, else as long as the capture plays at the path's speed; where its time
    stands, or goes on after the end, at least ``shortest`` seconds, and then as many whole rounds as that takes."""
    if settings["frames"]:
        return settings["frames"]
    if settings["seconds"]:
        return max(1, round(settings["seconds"] * fps))
    last, step = clock.frames - 1, _step(settings, clock, fps)
    least = math.ceil(shortest * fps)
    if settings["time"] == "freeze":
        return least
    once = math.floor((last - min(_start(settings, clock), last)) / step + 1e-9) + 1
    if settings["time"] == "play" or once >= least:
        return once
    around = {"loop": clock.frames, "pingpong": max(2 * last, 1)}[settings["time"]] / step
    return max(1, round(math.ceil(least / around - 1e-9) * around))


def path_times(settings: Mapping[str, Any], clock: Clock, fps: float, count: int) -> np.ndarray:
    """The time [count] that each frame of a path shows."""
    last = clock.frames - 1
    time = np.round(_start(settings, clock) + _step(settings, clock, fps) * np.arange(count), 9)
    if settings["time"] == "freeze":
        time = np.full(count, float(_start(settings, clock)))
    elif settings["time"] == "loop":
        time = time % clock.frames  # a cut from the last frame to the first
    elif settings["time"] == "pingpong" and last > 0:
        time = last - np.abs(last - time % (2 * last))
    return np.minimum(time, last).astype(np.float64)


def _step(settings: Mapping[str, Any], clock: Clock, fps: float) -> float:
    """Frames of the capture per frame of the path."""
    return settings["speed"] * (clock.fps / fps)


def _start(settings: Mapping[str, Any], clock: Clock) -> float:
    """The time at the start: what is asked for, else 0, or the middle frame where time stands."""
    if settings["at"] is None:
        return clock.frames // 2 if settings["time"] == "freeze" else 0
    return min(settings["at"], clock.frames - 1)


# Pictures


def picture_size(camera: Camera, width: int | None, height: int | None) -> tuple[int, int]:
    """(width, height) in pixels: what is asked for, the rest from the camera's aspect."""
    if width and height:
        return width, height
    if width:
        return width, max(1, round(width / camera.width * camera.height))
    if height:
        return max(1, round(height / camera.height * camera.width)), height
    return camera.width, camera.height


def fitted(camera: Camera, width: int, height: int) -> Camera:
    """``camera`` with pictures of another size: the same view from top to bottom; where the aspect is another one, more
    or less of it at both sides. The same object where nothing changes."""
    if (width, height) == (camera.width, camera.height):
        return camera
    scale = height / camera.height
    cx = width / 2 + scale * (camera.cx - camera.width / 2)
    return Camera(width, height, camera.fx * scale, camera.fy * scale, cx, camera.cy * scale, camera.c2w)


# Ways


def move(stops: Sequence[Camera], count: int) -> list[Camera]:
    """From camera to camera in ``count`` frames, straight, at rest at each of them (smoothstep). Begins and ends
    exactly at the first and the last. Positions and intrinsics change linearly, orientations about one axis (slerp).
    """
    found = []
    for share in np.arange(count) / max(count - 1, 1) * (len(stops) - 1):
        leg = min(int(share), max(len(stops) - 2, 0))
        within = share - leg
        found.append(between(stops[leg], stops[min(leg + 1, len(stops) - 1)], within * within * (3 - 2 * within)))
    return found


def visited(stops: Sequence[Camera], times: Sequence[float], fps: float) -> CameraPath:
    """From camera to camera in ``LEG`` seconds each, with pictures of the first one's size; the time that is shown (in
    frames of the capture) passes evenly from that of each stop to the next one's."""
    size, frames = (stops[0].width, stops[0].height), max(1, round(LEG * fps))
    count = frames * (len(stops) - 1) + 1
    passed = np.interp(np.arange(count) / frames, range(len(stops)), times)
    return CameraPath(move([fitted(stop, *size) for stop in stops], count), passed, fps)


def between(a: Camera, b: Camera, share: float) -> Camera:
    """The camera at ``share`` of the way from ``a`` to ``b``, which have pictures of one size."""
    if share in (0, 1):
        return b if share else a
    values = {key: (1 - share) * getattr(a, key) + share * getattr(b, key) for key in ("fx", "fy", "cx", "cy")}
    c2w = np.eye(4)
    c2w[:3, :3] = a.c2w[:3, :3] @ turned(a.c2w[:3, :3].T @ b.c2w[:3, :3], share)
    c2w[:3, 3] = (1 - share) * a.centre + share * b.centre
    return Camera(a.width, a.height, **values, c2w=c2w)


def turned(rotation: np.ndarray, share: float) -> np.ndarray:
    """The rotation [3, 3] about the same axis by ``share`` of the angle (Rodrigues' formula)."""
    angle = math.acos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    # The axis is what the rotation leaves alone: the symmetric part tells it even at half a turn.
    values, vectors = np.linalg.eigh(rotation + rotation.T)
    axis = vectors[:, np.argmax(values)]
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    if np.sum(skew * rotation) < 0:
        skew = -skew
    part = share * angle
    return np.eye(3) + math.sin(part) * skew + (1 - math.cos(part)) * skew @ skew


def visiting(cameras: Mapping[str, Camera]) -> list[str]:
    """An order to visit all cameras in: from the one farthest from their middle always to the nearest of the rest."""
    left = {name: cameras[name].centre for name in sorted(cameras)}
    here = np.mean(list(left.values()), axis=0)
    order = [max(left, key=lambda name: np.linalg.norm(left[name] - here))] if left else []
    here = left.pop(order[0])
    while left:
        order.append(min(left, key=lambda name: np.linalg.norm(left[name] - here)))
        here = left.pop(order[-1])
    return order
