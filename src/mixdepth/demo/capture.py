"""The demo capture as files: videos, photos and the truth, laid out like a user's own capture."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np

from mixdepth.demo.render import Shot
from mixdepth.demo.rig import FOCAL, HEIGHT, PHOTO_CAMERAS, VIDEO_CAMERAS, WIDTH
from mixdepth.demo.scene import FPS, FRAMES
from mixdepth.errors import UserError
from mixdepth.files.images import write_image
from mixdepth.files.io import atomic, seal, write_npz
from mixdepth.frames.encode import raise_disk_full
from mixdepth.progress import Progress

CAMERA_NAMES = tuple(VIDEO_CAMERAS)
PHOTO_FILES = tuple(PHOTO_CAMERAS)
_ROUNDING = "area+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
_VIEW_STEPS = 25  # seeing the still scene takes about as long as adding what moves to this many frames


def make_demo(output: Path) -> None:
    """Render the demo capture into ``output``: ``videos/cam%02d.mp4``, ``photos/*.jpg`` and ``truth.npz``.

    The same bytes every time on one machine; the pixels before encoding are the same on every machine.
    """
    views = len(PHOTO_FILES) + len(CAMERA_NAMES)
    progress = Progress("demo capture", views * _VIEW_STEPS + len(CAMERA_NAMES) * FRAMES)
    for name in PHOTO_FILES:
        write_photo(output / "photos" / name, render_photo(name))
        progress.update(_VIEW_STEPS)
    truth: dict[str, list[np.ndarray]] = {"depth": [], "moving": [], "static_depth": []}
    for name in CAMERA_NAMES:
        shot = Shot(VIDEO_CAMERAS[name])
        progress.update(_VIEW_STEPS)
        frames = []
        for frame in render_video(shot):
            frames.append(frame)
            progress.update()
        pictures, depth, moving = (np.stack(arrays) for arrays in zip(*frames, strict=True))
        write_video(output / "videos" / f"{name}.mp4", pictures)
        truth["depth"].append(depth.astype(np.float16))
        truth["moving"].append(moving)
        truth["static_depth"].append(shot.still_depth())
    c2w = np.stack([camera.c2w for camera in VIDEO_CAMERAS.values()])
    arrays = {key: np.stack(values) for key, values in truth.items()}
    write_npz(output / "truth.npz", {**arrays, "c2w_opencv": c2w, "focal": np.float64(FOCAL)})


def render_photo(name: str) -> np.ndarray:
    """A photo before encoding, [H, W, 3] uint8."""
    return Shot(PHOTO_CAMERAS[name]).still()


def render_video(shot: Shot) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each frame's picture before encoding [H, W, 3] uint8, depth [H, W] float32 and moving mask [H, W] bool."""
    return (shot.frame(frame) for frame in range(FRAMES))


def digest(arrays: list[np.ndarray]) -> str:
    """sha256 of the arrays' types, shapes and contents: what freezes the capture."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def write_photo(path: Path, picture: np.ndarray) -> None:
    """Write [H, W, 3] uint8 as a JPEG of high quality."""
    write_image(path, picture, "JPEG", quality=95, subsampling=0)
    seal(path)


def write_video(path: Path, pictures: np.ndarray) -> None:
    """Write [T, H, W, 3] uint8 as H.264 that any player shows; colours come back within about two levels.

    One thread and no dates or versions, so that the same pictures give the same bytes.
    """
    with atomic(path) as temporary:
        command = (
            ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{WIDTH}x{HEIGHT}", r=FPS)
            .filter("scale", out_color_matrix="bt709", out_range="tv", flags=_ROUNDING)
            .output(
                str(temporary),
                vcodec="libx264",
                pix_fmt="yuv420p",
                crf=8,
                preset="medium",
                threads=1,
                colorspace="bt709",
                color_range="tv",
                map_metadata=-1,
                fflags="+bitexact",
                movflags="+faststart",
                **{"x264-params": "threads=1:colorprim=bt709:transfer=bt709:colormatrix=bt709", "flags:v": "+bitexact"},
            )
            .overwrite_output()
            .global_args("-loglevel", "error")
        )
        try:
            command.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), input=pictures.tobytes(), capture_stderr=True)
        except ffmpeg.Error as error:
            raise_disk_full(error.stderr)
            raise UserError(f"{path}: ffmpeg could not write it: {error.stderr.decode(errors='replace')}") from error
    seal(path)
