"""The frames stage, one function per rule: from a scene's videos and photos to arrays. Parameters after the star
are files, named as in mixdepth/workflow/stages.py."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import load_cameras, with_pose
from mixdepth.cameras.lens import load_lenses
from mixdepth.files.io import read_npy, write_json, write_npz
from mixdepth.frames.masks import load_masks
from mixdepth.frames.motion import Motion, find_motion
from mixdepth.frames.movement import measure_movement
from mixdepth.frames.moving import write_moving
from mixdepth.frames.probe import probe_capture
from mixdepth.frames.reference import write_references
from mixdepth.frames.store import write_static_set, write_store
from mixdepth.frames.sync.sync import write_sync
from mixdepth.frames.timing import Timeline
from mixdepth.scene.capture import unused_files
from mixdepth.scene.scene import Scene


def videos(scene: Scene) -> dict[str, Path]:
    """Video or folder of every camera in use."""
    return {name: Path(scene.cameras[name]) for name in scene.used_cameras}


def timeline(scene: Scene) -> Timeline:
    """Which frames of the videos are used, and when they were taken."""
    return Timeline.of(videos(scene), scene.config.frames.as_mapping(), scene.cameras)


def look(scene: Scene, selection: Mapping) -> dict:
    """What the capture consists of, where these frames of it are selected (settings ``frames``).

    Raises:
        UserError: the capture cannot work.
    """
    photos = {stem: Path(path) for stem, path in scene.photos.items()}
    return probe_capture(videos(scene), photos, selection, scene.cameras)


def probe(scene: Scene, *, output: Path) -> None:
    """Write capture.json: what the capture consists of, and as ``unused`` what lies in it and is not used, and why.

    Raises:
        UserError: the capture cannot work.
    """
    found = look(scene, scene.config.frames.as_mapping())
    write_json(output, {**found, "unused": unused_files(scene)})


def sync(scene: Scene, *, output: Path, cameras: Path | None = None, lenses: Path | None = None) -> None:
    """Write sync.json: by how many frames the videos seem to be out of step.

    Args:
        cameras, lenses: of given cameras, whose geometry says it too.
    """
    time, poses = timeline(scene), {}
    if cameras and lenses:
        known = load_lenses(lenses)["cameras"]
        poses = {name: (known[name], camera.c2w) for name, camera in load_cameras(cameras).items()}
    for note in write_sync(output, videos(scene), time.fps, time.shifts, poses)["notes"]:
        print(f"sync: {note}")


def reference(scene: Scene, camera: str, *, output: Path) -> None:
    """Write the images of one camera that COLMAP may choose from, their median, and what moves in them."""
    wanted = scene.config.colmap.reference_frames
    write_references(videos(scene)[camera], timeline(scene).source_frames(camera), wanted, output)


def frame_store(scene: Scene, camera: str, *, cameras: Path, lenses: Path, rgb: Path, median: Path, std: Path) -> None:
    """Decode, undistort and scale the frames of one camera."""
    frames = timeline(scene).source_frames(camera)
    pinhole, lens = load_cameras(cameras).get(camera), load_lenses(lenses)["cameras"].get(camera)
    label, scale = f"frames {scene.name} {camera}", scene.config.scale
    write_store(videos(scene)[camera], pinhole, lens, frames, rgb, median, std, label=label, scale=scale)


def motion(scene: Scene, camera: str, *, rgb: Path, output: Path, moving: Path) -> None:
    """Find what moves before one camera, what stands behind it, and the exposure of its frames.

    Args:
        moving: the colours of the pixels that move, one after the other, are written here.
    """
    found = find_motion(read_npy(rgb))
    write_moving(moving, rgb, found.parts != 0)
    found.save(output)
    found.tell(f"{scene.name} {camera}")


def movement(scene: Scene, *, motions: Sequence[Path], cameras: Path, lenses: Path, output: Path) -> None:
    """Write movement.json: how much moves before the training cameras that have a pose."""
    posed, found = load_cameras(cameras), {path.parent.name: path for path in motions}
    names, sets, frames = with_pose(scene.train_cameras, posed, "cameras"), [], 0
    for name, valid in zip(names, load_masks(lenses, "cameras", posed, names), strict=True):
        seen = Motion.load(found[name])
        frames = len(seen.gain)
        sets.append(seen.parts if valid is None else np.where(valid, seen.parts, np.uint32(0)))
    write_json(output, measure_movement(sets, frames)._asdict())


def static_set(scene: Scene, *, photos: Path, lenses: Path, output: Path, plates: Sequence[Path] = ()) -> None:
    """Collect what the static model learns from: photos, else what stands still before the training cameras.

    Args:
        photos, lenses: photos.json and lenses.json.
        plates: the files of the training cameras' motion, where there are no photos.
    """
    if scene.photos:
        _photo_set(scene, scene.train_photos, photos, lenses, output)
    else:
        found = zip(scene.train_cameras, plates, strict=True)
        write_npz(output, {name: Motion.load(path).plate for name, path in sorted(found)})


def static_test_set(scene: Scene, *, photos: Path, lenses: Path, output: Path) -> None:
    """Collect the held-out photos."""
    _photo_set(scene, scene.test_photos, photos, lenses, output)


def _photo_set(scene: Scene, stems: list[str], photos: Path, lenses: Path, output: Path) -> None:
    images = {stem: Path(scene.photos[stem]) for stem in stems}
    write_static_set(images, load_cameras(photos), load_lenses(lenses)["photos"], output)
