"""The frames stage, one function per rule: from a scene's videos and photos to arrays. File names are those of
docs/architecture.md."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.lens import load_lenses
from mixdepth.files.io import write_json
from mixdepth.frames.probe import probe_capture
from mixdepth.frames.reference import write_references
from mixdepth.frames.store import write_median_set, write_static_set, write_store
from mixdepth.frames.sync.sync import write_sync
from mixdepth.frames.timing import Timeline

if TYPE_CHECKING:
    from mixdepth.scene.scene import Scene


def videos(scene: "Scene") -> dict[str, Path]:
    """Video or folder of every camera in use."""
    return {name: Path(scene.cameras[name]) for name in scene.used_cameras}


def timeline(scene: "Scene") -> Timeline:
    """Which frames of the videos are used, and when they were taken."""
    return Timeline.of(videos(scene), scene.options["frames"], scene.cameras)


def probe(scene: "Scene", output: Path) -> None:
    """Write capture.json: what the capture consists of.

    Raises:
        UserError: the capture cannot work.
    """
    photos = {stem: Path(path) for stem, path in scene.photos.items()}
    write_json(output, probe_capture(videos(scene), photos, scene.options["frames"], scene.cameras))


def sync(scene: "Scene", output: Path) -> None:
    """Write sync.json: by how many frames the videos seem to be out of step."""
    time = timeline(scene)
    for note in write_sync(output, videos(scene), time.fps, time.shifts)["notes"]:
        print(f"sync: {note}")


def reference(scene: "Scene", camera: str, output: Path) -> None:
    """Write the images of one camera that COLMAP may choose from, their median, and what moves in them."""
    wanted = scene.options["colmap"]["reference_frames"]
    write_references(videos(scene)[camera], timeline(scene).source_frames(camera), wanted, output)


def frame_store(scene: "Scene", camera: str, folder: Path) -> None:
    """Decode, undistort and scale the frames of one camera."""
    frames = timeline(scene).source_frames(camera)
    pinhole = load_cameras(folder / "cameras.json").get(camera)
    lens = load_lenses(folder / "lenses.json")["cameras"].get(camera)
    outputs = [folder / "frames" / camera / f"{name}.npy" for name in ("rgb", "median", "std")]
    label, scale = f"frames {scene.name} {camera}", scene.options["scale"]
    write_store(videos(scene)[camera], pinhole, lens, frames, *outputs, label=label, scale=scale)


def static_set(scene: "Scene", folder: Path, output: Path) -> None:
    """Collect what the static model learns from: photos, else the training cameras' temporal medians."""
    if scene.photos:
        _photo_set(scene, scene.train_photos, folder, output)
    else:
        write_median_set({name: folder / "frames" / name for name in scene.train_cameras}, output)


def static_test_set(scene: "Scene", folder: Path, output: Path) -> None:
    """Collect the held-out photos."""
    _photo_set(scene, scene.test_photos, folder, output)


def _photo_set(scene: "Scene", stems: list[str], folder: Path, output: Path) -> None:
    images = {stem: Path(scene.photos[stem]) for stem in stems}
    lenses = load_lenses(folder / "lenses.json")["photos"]
    write_static_set(images, load_cameras(folder / "photos.json"), lenses, output)
