"""The video that people watch: rendered colour and depth, side by side with the camera's own video."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mixdepth.files.images import resize
from mixdepth.files.io import read_json
from mixdepth.files.shapes import CAPTURE
from mixdepth.frames.encode import write_video
from mixdepth.frames.store import FrameStore
from mixdepth.progress import Progress
from mixdepth.rendering.paths import frame_rate
from mixdepth.rendering.renders import open_renders
from mixdepth.results import Renders
from mixdepth.scene.scene import Scene

COLOURS = "turbo"  # of disparity: near is red, far is blue
MIN_HEIGHT = 480  # pixels, of one picture, where the width allows it
FULL_WIDTH = 1920  # pixels; small pictures are enlarged to at most this width together
MAX_WIDTH = 4096  # pixels; wider videos are refused by most hardware decoders
LABEL_HEIGHT = 26  # pixels, of the strip above the pictures
GAP = 4  # pixels between the pictures
SAMPLES = 1 << 21  # depths that the colour range is worked out from


def write_scene_video(scene: Scene, *, renders: Path, store: Sequence[Path], capture: Path, output: Path) -> None:
    """Write video.mp4: ``scene.video_variant``'s renders of ``scene.video_camera``, one frame per rendered frame.

    The speed is that of the camera's video. Frames from a folder run at 24 per second, or at 12 where there are fewer
    than 48, so that there is something to watch; nothing is looped or left out.

    Raises:
        UserError: renders or frames are missing or damaged, or no space is left on the device.
    """
    camera = scene.video_camera
    rgb, depth = open_renders(renders)
    truth = FrameStore.open(store[0].parent).rgb
    held_out = " (held out)" if camera in scene.test_cameras else " (trains)"
    titles = (f"{scene.name}: {scene.video_variant}, seen from {camera}{held_out}", "depth", f"{camera}'s own video")
    fps = frame_rate(read_json(capture, CAPTURE)["fps"], scene.config.frames.step, len(rgb))
    frames = compose_frames(rgb, depth, truth, titles)
    write_video(Progress(f"video {scene.name}", len(rgb)).over(frames), output, fps)


def write_path_video(scene: Scene, variant: str, *, renders: Path, output: Path) -> None:
    """Write the video of a rendered camera path: colour and depth side by side, at the path's speed.

    Raises:
        UserError: renders are missing or damaged, or no space is left on the device.
    """
    rgb, depth = open_renders(renders)
    said = read_json(Renders(renders).path)
    path = said["path"]
    frames = compose_frames(rgb, depth, None, (f"{scene.name}: {variant}, path {path}", "depth", ""))
    write_video(Progress(f"video of {path}", len(rgb)).over(frames), output, said["fps"])


def compose_frames(
    rgb: np.ndarray,
    depth: np.ndarray,
    truth_rgb: np.ndarray | None,
    titles: tuple[str, str, str] = ("rendered colour", "rendered depth", "the camera's own video"),
) -> Iterator[np.ndarray]:
    """Colour, depth and (where there is one) the real frame side by side, under a strip with their titles.

    Small pictures are enlarged by a whole factor, pictures that make the video wider than decoders take are reduced.

    Args:
        rgb: [T, H, W, 3] uint8, rendered.
        depth: [T, H, W] float32, rendered z-depth; coloured by disparity on one scale for the whole video.
        truth_rgb: [T, H, W, 3] uint8 or None.
        titles: of the three pictures; the range of depths is added to the second.

    Yields:
        [h, w, 3] uint8, one per frame.
    """
    pictures = 2 if truth_rgb is None else 3
    height, width = depth.shape[1:]
    size = picture_size(width, height, pictures)
    near, far = depth_range(depth)
    titles = (titles[0], f"{titles[1]}  {near:.3g} (red) to {far:.3g} (blue)", titles[2])
    strip = title_strip(titles[:pictures], size[0])
    gap = np.full((size[1], GAP, 3), 255, np.uint8)
    for index in range(len(rgb)):
        row = [rgb[index], colour_depth(depth[index], near, far)]
        row += [] if truth_rgb is None else [truth_rgb[index]]
        scaled = [resize(np.ascontiguousarray(picture), size) for picture in row]
        joined = [part for picture in scaled for part in (gap, picture)][1:]
        yield np.concatenate([strip, np.concatenate(joined, axis=1)])


def picture_size(width: int, height: int, pictures: int) -> tuple[int, int]:
    """(width, height) of one of ``pictures`` pictures in the video, a whole multiple or fraction where possible."""
    larger = max(min(-(-MIN_HEIGHT // height), FULL_WIDTH // (pictures * width)), 1)
    smaller = max(-(-pictures * width // MAX_WIDTH), 1)
    return max(width * larger // smaller, 1), max(height * larger // smaller, 1)


def depth_range(depth: np.ndarray) -> tuple[float, float]:
    """(near, far) that colours span: the 1st and 99th percentile of disparity of ``depth`` [T, H, W], world units."""
    # Every k-th pixel, a frame at a time: the whole video may not fit into memory.
    stride = max(depth.size // SAMPLES, 1)
    sampled = [frame.ravel()[index % stride :: stride] for index, frame in enumerate(depth)]
    far, near = 1 / np.percentile(1 / np.maximum(np.concatenate(sampled), 1e-6), [1, 99])
    return float(near), float(far)


def colour_depth(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """Colours [H, W, 3] uint8 of ``depth`` [H, W], linear in disparity: red at ``near``, blue at ``far``, NaN grey."""
    span = max(1 / near - 1 / far, 1e-12)
    value = (1 / np.maximum(depth, 1e-6) - 1 / far) / span
    colours = matplotlib.colormaps[COLOURS].with_extremes(bad="#808080")
    return colours(np.clip(value, 0, 1), bytes=True)[..., :3]


def title_strip(titles: tuple[str, ...], width: int) -> np.ndarray:
    """The strip with a title above each picture of ``width`` pixels, [LABEL_HEIGHT, w, 3] uint8; long ones are cut."""
    total = len(titles) * (width + GAP) - GAP
    strip = Image.new("RGB", (total, LABEL_HEIGHT), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size=15)
    for index, title in enumerate(titles):
        while title and draw.textlength(title, font=font) > width - 8:
            title = title[:-2].rstrip("…") + "…" if len(title) > 2 else ""
        draw.text((index * (width + GAP) + 4, LABEL_HEIGHT // 2), title, fill="black", font=font, anchor="lm")
    return np.asarray(strip)
