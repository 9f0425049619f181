"""A capture of seconds, its configuration, and what is made of it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.formats.llff import write_poses_bounds
from mixdepth.files.images import write_image
from mixdepth.files.io import read_npy, write_npy
from mixdepth.frames.encode import write_video

WIDTH, HEIGHT, FRAMES = 48, 36, 4
CAMERAS = {f"cam{i:02d}": 0.25 * (i - 1) for i in range(3)}  # name to position on the x axis
MODELS = [f"results/x/{name}/model.safetensors" for name in ("static", "none", "colmap", "distilled", "inherited")]
# In the order of the cameras: Korean, blanks, all signs that are allowed.
STRANGE = ("카메라 하나", "b (2) @x+1", "c, d=e - f_.g")
# A folder that a capture may lie in.
ANY_FOLDER = "폴더 'x' $(touch ran)"
TARGETS = [*MODELS, "results/x/video.mp4", *(f"results/x/{name}/metrics.json" for name in ("none", "inherited"))]


def picture(x: float, frame: int | None) -> np.ndarray:
    """A camera at ``x`` sees a textured wall at depth 4 and, where there is a frame, a red square at depth 3."""
    texture = np.random.default_rng(0).integers(0, 255, (40, 80, 3)).astype(np.uint8)
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    wall = ((u - WIDTH / 2) / 48 * 4 + x) * 10 + 40, ((v - HEIGHT / 2) / 48 * 4) * 10 + 20
    image = texture[wall[1].astype(int), wall[0].astype(int)].copy()
    if frame is not None:
        square = (u - WIDTH / 2) / 48 * 3 + x - 0.3 + 0.2 * frame, (v - HEIGHT / 2) / 48 * 3
        image[(abs(square[0]) < 0.3) & (abs(square[1]) < 0.3)] = (220, 30, 30)
    return image


def tiny_config(**options: Any) -> dict:
    training = {"steps": 12, "resolution": 12, "start_resolution": 8, "samples": 16, "start_samples": 8, "width": 8}
    static = {**training, "batch_samples": 1024}
    scene = {
        "data": "data/x",
        "poses": {"source": "llff"},
        "static": static,
        "dynamic": {**training, "static": static, "rays": 64, "frames_per_step": 2, "codes": 4, "components": 4},
    }
    return {"scenes": {"x": {**scene, **options}}}


def write_config(folder: Path, config: dict) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def write_tiny_capture(folder: Path, frames: int = FRAMES) -> Path:
    """Three videos, a plate for each training camera, and exact poses, as scene ``x`` of ``folder``."""
    data = folder / "data" / "x"
    for kind in ("videos", "photos"):
        (data / kind).mkdir(parents=True)
    cameras = {}
    for name, x in CAMERAS.items():
        write_video([picture(x, frame) for frame in range(frames)], data / "videos" / f"{name}.mp4", 30)
        c2w = np.eye(4)
        c2w[0, 3] = x
        cameras[name] = Camera(WIDTH, HEIGHT, 48.0, 48.0, WIDTH / 2, HEIGHT / 2, c2w)
        if name != "cam00":
            write_image(data / "photos" / f"{name}.png", picture(x, None), "PNG")
    write_poses_bounds(data / "poses_bounds.npy", cameras, dict.fromkeys(cameras, (2.5, 4.5)))
    write_config(folder, tiny_config())
    return folder


def tiny_capture_of(names: Sequence[str], folder: Path, **options: object) -> Path:
    """The tiny capture with these names for its cameras and photos."""
    write_tiny_capture(folder)
    data = folder / "data/x"
    for number, name in enumerate(names):
        (data / f"videos/cam{number:02d}.mp4").rename(data / f"videos/{name}.mp4")
        if number:
            (data / f"photos/cam{number:02d}.png").rename(data / f"photos/{name}.png")
    rows = read_npy(data / "poses_bounds.npy").copy()
    write_npy(data / "poses_bounds.npy", rows[sorted(range(len(names)), key=names.__getitem__)])
    write_config(folder, tiny_config(test_cameras=[names[0]], **options))
    return folder


def write_four_segments(folder: Path, steps: int) -> Path:
    """The same with ten frames, of which one variant, `none`, learns in four segments, each of so many ``steps`` in one
    thread."""
    config = tiny_config(variants=["none"])
    scene = config["scenes"]["x"]
    scene["dynamic"] |= {"segment": 4, "steps": steps, "threads": 1}
    scene["dynamic"]["static"] = scene["static"] | {"threads": 1}
    write_config(write_tiny_capture(folder, frames=10), config)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in MODELS}


def outputs(folder: Path) -> dict[str, str]:
    """Hash of every file that the rules made; of certificates (with dates), logs, benchmarks and checkpoints none."""
    results = folder / "results/x"
    found = (p for p in results.rglob("*") if p.is_file() and not p.name.endswith(".made.json"))
    files = {str(p.relative_to(results)): p for p in found}
    made = {name: p for name, p in files.items() if name.split("/")[0] not in ("runs", "logs", "benchmarks")}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(made.items())}
