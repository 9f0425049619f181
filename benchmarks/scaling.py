#!/usr/bin/env python3
"""Time per step and memory against frames, pixels and cameras, the moving area staying the same.

    .venv/bin/python benchmarks/scaling.py --results results/arc8                  # 24 to 300 frames, 1x and 4x pixels
    .venv/bin/python benchmarks/scaling.py --results results/arc8 --long /tmp/big  # 300 and 1200 frames, in segments
    .venv/bin/python benchmarks/scaling.py --results results/arc8 --n3dv /tmp/big  # 20 x 300 frames of 1352x1014, 25 GB

Takes a scene that has been trained (cameras, frames, space) and makes longer captures of it by running it back and
forth, and larger ones by repeating pixels and cameras. What they show is not looked at, only what they cost: the last
third of a short training. Memory is the largest anonymous memory of the process, so without the page cache; but
the videos are in it where neither --long nor --n3dv puts them on disk.
"""

import argparse
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import numpy as np
import torch

from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.space import Space
from mixdepth.fields.storage import load_model
from mixdepth.frames.store import FrameStore, motion_map
from mixdepth.rendering.rays import SpaceMap
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import DynamicTrainer, Video
from mixdepth.train.options import DynamicOptions, StaticOptions, from_mapping
from mixdepth.train.segments import segments
from mixdepth.train.static import StaticTrainer

STEPS = 150
SEGMENT = 300  # frames, the default of `segment`


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """The largest anonymous memory, GB, in the list that is given, once the block is left."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            status = Path("/proc/self/status").read_text()
            peak[0] = max(peak[0], int(status.split("RssAnon:")[1].split()[0]) / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def enlarged(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``image`` [H, W, ...] at another size, by its nearest pixels."""
    rows = np.arange(height) * image.shape[0] // height
    return np.ascontiguousarray(image[rows][:, np.arange(width) * image.shape[1] // width])


def capture(results: Path, cameras: int, frames: int, size: tuple[int, int] | None, folder: Path | None) -> list[Video]:
    """``cameras`` videos of ``frames`` frames; on disk where there is a folder, as the pipeline has them."""
    names = load_model(results / "none/model.safetensors")[0]["cameras"]
    posed = load_cameras(results / "cameras.json")
    videos = []
    for index in range(cameras):
        name = names[index % len(names)]
        store = FrameStore.open(results / "frames" / name)
        height, width = size or store.median.shape[:2]
        there = len(store.rgb)
        turn = np.arange(frames) % (2 * there)
        order = np.where(turn < there, turn, 2 * there - 1 - turn)
        shape = (frames, height, width, 3)
        if folder is None:
            rgb = np.empty(shape, np.uint8)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            rgb = np.lib.format.open_memmap(folder / f"{index:02d}.npy", "w+", np.uint8, shape)
        for target, source in enumerate(order):
            rgb[target] = enlarged(store.rgb[source], height, width)
        if folder is not None:
            del rgb
            rgb = np.load(folder / f"{index:02d}.npy", mmap_mode="r")
        median, motion = (enlarged(a, height, width) for a in (store.median, motion_map(np.asarray(store.std))))
        videos.append(Video(posed[name].resized(width, height), rgb, median, motion))
    return videos


def measure(results: Path, videos: list[Video]) -> tuple[int, float, float, float, float]:
    """Moving pixels, then of the last third of a short training: ms per static and per dynamic step, seconds before the
    first dynamic step, and the largest memory in GB. Of several segments the last one's, and the memory of all."""
    header, static, _ = load_model(results / "none/model.safetensors")
    space = SpaceMap(Space.load(results / "space.json"))
    options = header["options"]
    dynamic = replace(from_mapping(DynamicOptions, options), steps=STEPS)
    branch = load_model(results / "static/model.safetensors")[0]["options"]
    with peak_memory() as memory:
        data = ImageSet([v.median for v in videos], [v.camera for v in videos])
        trainer = StaticTrainer(data, None, space, replace(from_mapping(StaticOptions, branch), steps=STEPS))
        static_ms = per_step(trainer)
        tones = torch.arange(len(videos)) % len(static.tone.gain)
        static.tone.gain.data, static.tone.offset.data = static.tone.gain.data[tones], static.tone.offset.data[tones]
        parts = segments(len(videos[0].rgb), SEGMENT)
        for first, last in parts:
            trainer = None  # as in the pipeline, only one at a time
            start = time.perf_counter()
            part = videos if len(parts) == 1 else [video.part(first, last) for video in videos]
            trainer = DynamicTrainer(part, static, space, dynamic)
            before = time.perf_counter() - start
            dynamic_ms = per_step(trainer)
    return len(trainer.pixels), static_ms, dynamic_ms, before, memory[0]


def per_step(trainer: StaticTrainer | DynamicTrainer) -> float:
    """Milliseconds per step at the end of a short training."""
    start = 0.0
    for step in range(STEPS):
        if step == 2 * STEPS // 3:
            start = time.perf_counter()
        trainer.step(step)
    return (time.perf_counter() - start) / (STEPS - 2 * STEPS // 3) * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/arc8"), help="of a scene with the variant none")
    parser.add_argument("--long", type=Path, metavar="FOLDER", help="long captures, written there, removed at the end")
    parser.add_argument(
        "--n3dv", type=Path, metavar="FOLDER", help="the size of N3DV, written to this folder, removed at the end"
    )
    args = parser.parse_args()
    torch.set_num_threads(2)
    first = min((args.results / "frames").iterdir())
    height, width = FrameStore.open(first).median.shape[:2]
    pixels = ((round(height * side), round(width * side)) for side in (2**0.5, 2))
    cases = [(7, frames, None) for frames in (24, 48, 96, 192, 300)] + [(7, 24, size) for size in pixels]
    if args.long:
        cases = [(7, frames, None) for frames in (300, 1200)]
    if args.n3dv:
        cases = [(20, 300, (1014, 1352))]
    folder = args.n3dv or args.long
    print("| cameras | frames | pixels | moving pixels | static step, ms | dynamic step, ms | before, s | memory, GB |")
    print("|---|---|---|---|---|---|---|---|")
    for cameras, frames, size in cases:
        videos = capture(args.results, cameras, frames, size, folder)
        shape = "x".join(str(n) for n in videos[0].rgb.shape[2:0:-1])
        pixels, static_ms, dynamic_ms, before, memory = measure(args.results, videos)
        costs = f"{static_ms:.1f} | {dynamic_ms:.1f} | {before:.1f} | {memory:.2f}"
        print(f"| {cameras} | {frames} | {shape} | {pixels} | {costs} |", flush=True)
        if folder:
            for index in range(cameras):
                (folder / f"{index:02d}.npy").unlink()


if __name__ == "__main__":
    main()
