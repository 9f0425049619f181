"""Decode, undistort and scale the frames of one camera."""

from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth import stage
from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.lens import load_lenses
from mixdepth.errors import UserError
from mixdepth.frames.probe import probe_capture, selected_frames
from mixdepth.frames.store import write_store

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    scene, name = stage.scene(smk), smk.wildcards.camera
    path = Path(scene.cameras[name])
    # Asked anew, because a video may have been replaced; twice, because a capture of one camera is refused.
    video = probe_capture({name: path, "": path}, {}, scene.options["frames"])["cameras"][name]
    lens = load_lenses(Path(smk.input.lenses))["cameras"][name]
    if (video["width"], video["height"]) != (lens.width, lens.height):
        raise UserError(
            f"{path} is {video['width']}x{video['height']}, but {smk.input.cameras} was made when it was"
            f" {lens.width}x{lens.height}; delete {smk.input.cameras} and run the same command again"
        )
    frames = selected_frames(video["frames"], scene.options["frames"])
    outputs = [Path(smk.output[key]) for key in ("rgb", "median", "std")]
    camera = load_cameras(Path(smk.input.cameras))[name]
    write_store(path, camera, lens, frames, *outputs, label=f"frames {scene.name} {name}")


if "snakemake" in globals():
    stage.run(snakemake, main)
