"""The export stage: renders as other programs read them, in a folder per kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import moved
from mixdepth.cameras.formats.camera_path import write_camera_path
from mixdepth.cameras.formats.transforms import write_transforms
from mixdepth.cameras.lens import Lens
from mixdepth.exports.kinds import check_kind
from mixdepth.exports.source import Source, frame_name, open_source
from mixdepth.files.io import atomic_folder
from mixdepth.frames.encode import write_video
from mixdepth.progress import Progress
from mixdepth.scene.scene import Scene


def export_renders(
    scene: Scene, kind: str, *, renders: Path, cameras: Path, space: Path, capture: Path, output: Path
) -> None:
    """Write the renders in the folder ``renders`` as ``kind`` into the folder ``output``, whole or not at all.

    Raises:
        UserError: the renders are missing or damaged, the kind is unknown, or no space is left on the device.
    """
    check_kind(kind)
    source = open_source(scene, renders, cameras=cameras, space=space, capture=capture)
    with atomic_folder(output) as made:
        if kind == "cameras":
            _write_cameras(source, made)
        elif kind in ("mp4", "mp4_10bit"):
            frames = Progress(f"{kind} of {source.name}", len(source.rgb)).over(source.rgb)
            write_video(frames, made / f"{source.name}.mp4", source.fps, 10 if kind == "mp4_10bit" else 8)
        elif kind == "ply":
            from mixdepth.exports.points import write_points

            write_points(source, made, scene.config.exports.points)
        else:
            from mixdepth.exports import images

            getattr(images, f"write_{kind}")(source, made)


def _write_cameras(source: Source, folder: Path) -> None:
    """The camera of every frame: transforms.json, which names the frames of the export ``png`` beside it, and
    camera_path.json."""
    images, origin = {}, np.array(source.space.origin)
    outside = [replace(camera, c2w=moved(camera.c2w, origin)) for camera in source.cameras]
    for index, camera in enumerate(outside):
        lens = Lens("PINHOLE", camera.width, camera.height, (camera.fx, camera.fy, camera.cx, camera.cy))
        images[f"../png/{frame_name(index)}.png"] = lens, camera.c2w
    write_transforms(folder / "transforms.json", images)
    write_camera_path(folder / "camera_path.json", outside, source.fps, source.times)
