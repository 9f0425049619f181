#!/usr/bin/env python3
"""Time per step and memory against frames, pixels and cameras, the moving area staying the same.

    .venv/bin/python benchmarks/scaling.py --results results/arc8                  # 24 to 300 frames, 1x and 4x pixels
    .venv/bin/python benchmarks/scaling.py --results results/arc8 --long /tmp/big  # 300 and 1200 frames, in segments
    .venv/bin/python benchmarks/scaling.py --results results/arc8 --n3dv /tmp/big  # 20 x 300 frames of 1352x1014, 32 GB
    .venv/bin/python benchmarks/scaling.py --results results/arc8 --baseline HEAD~1   # this build and that, in turn
    .venv/bin/python benchmarks/scaling.py --results results/arc8 --baseline HEAD~1 --preset T --steps 30

Takes a scene that has been trained with the variant none. The first three make longer captures of it by running it back
and forth, and larger ones by repeating pixels and cameras. What they show is not looked at, only what they cost: the
last third of a short training. Memory is the largest anonymous memory of the process, so without the page cache; but
the videos are in it where neither --long nor --n3dv puts them on disk. Of those on disk the page cache is dropped
before each measurement, and it is said how long it takes to read the frames once, and to lay the colours of what moves
pixel by pixel. --n3dv measures the small capture in the same run, and says by its step what the larger one's takes.

--baseline compares two builds on the scene as it is: a dynamic step at the end of a short training, and rendering the
held-out camera with the scene's own model. Each is a process of its own, both take turns, and medians are printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import numpy as np
import torch

from mixdepth.cameras.camera import load_cameras
from mixdepth.cameras.space import Space
from mixdepth.compute import device
from mixdepth.fields.storage import load_model
from mixdepth.frames.motion import Motion, part_of
from mixdepth.frames.moving import moving_colours, open_moving, write_moving
from mixdepth.frames.store import FrameStore
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.tasks import DENSER
from mixdepth.results import Store
from mixdepth.scene.config import load_config
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import DynamicTrainer
from mixdepth.train.options import DynamicOptions, StaticOptions, from_mapping
from mixdepth.train.segments import segments
from mixdepth.train.static import StaticTrainer
from mixdepth.train.video import Video

ROOT = Path(__file__).parent.parent
STEPS, MANY = 150, 300  # of a short training, and of --n3dv
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


def capture(
    results: Path, cameras: int, frames: int, size: tuple[int, int] | None, folder: Path | None
) -> tuple[list[Video], list[float]]:
    """``cameras`` videos of ``frames`` frames; on disk where there is a folder, as the pipeline has them. Of those the
    seconds it took to read their frames once, and to lay what moves pixel by pixel."""
    clocks = [0.0, 0.0]
    names = load_model(results / "none/model.safetensors")[0]["cameras"]
    posed = load_cameras(results / "cameras.json")
    videos = []
    for index in range(cameras):
        name = names[index % len(names)]
        store, motion = opened(results, name)
        height, width = size or store.median.shape[:2]
        there = len(store.rgb)
        turn = np.arange(frames) % (2 * there)
        order = np.where(turn < there, turn, 2 * there - 1 - turn)
        shape = (frames, height, width, 3)
        if folder is None:
            rgb = np.empty(shape, np.uint8)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            path, lying = folder / f"{index:02d}.npy", folder / f"{index:02d}.moving.npy"
            rgb = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        large = [enlarged(frame, height, width) for frame in store.rgb]
        for target, source in enumerate(order):
            rgb[target] = large[source]
        shown = (enlarged(image, height, width) for image in (motion.plate, motion.support, motion.parts))
        plate, support, parts = shown
        kept, when = parts != 0, (part_of(there)[order], motion.gain[order], motion.usable[order])
        if folder is None:
            colours = moving_colours(rgb.reshape(frames, -1, 3), kept.reshape(-1))
        else:
            del rgb  # which writes it
            clocks = [sum(pair) for pair in zip(clocks, lay(path, lying, kept), strict=True)]
            rgb, colours = np.load(path, mmap_mode="r"), open_moving(lying, kept, frames)
        camera = posed[name].resized(width, height)
        videos.append(Video(camera, rgb, kept, colours, plate, support, parts, *when))
    return videos, clocks


def lay(frames: Path, colours: Path, moving: np.ndarray) -> tuple[float, float]:
    """Write the colours of what moves; the seconds it takes to read the frames once, and to do this."""
    forget(frames)
    start, buffer = time.perf_counter(), bytearray(3 * moving.size)
    with frames.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    read = time.perf_counter() - start
    forget(frames)
    start = time.perf_counter()
    write_moving(colours, frames, moving)
    laid = time.perf_counter() - start
    forget(frames, colours)
    return read, laid


def forget(*paths: Path) -> None:
    """Drop what the page cache has of files that nothing maps."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def opened(results: Path, name: str) -> tuple[FrameStore, Motion]:
    """The frames of a camera, and what moves in them."""
    folder = results / "frames" / name
    return FrameStore.open(folder), Motion.load(Store(folder).motion)


def measure(results: Path, videos: list[Video], steps: int) -> tuple[int, float, float, float, float]:
    """Moving pixels, then of the last third of a short training: ms per static and per dynamic step, seconds before the
    first dynamic step, and the largest memory in GB. Of several segments the last one's, and the memory of all."""
    header, static, _ = load_model(results / "none/model.safetensors")
    space = SpaceMap(Space.load(results / "space.json"))
    options = header["options"]
    dynamic = replace(from_mapping(DynamicOptions, options), steps=steps)
    branch = load_model(results / "static/model.safetensors")[0]["options"]
    with peak_memory() as memory:
        data = ImageSet([v.plate for v in videos], [v.camera for v in videos], [v.support for v in videos])
        trainer = StaticTrainer(data, None, space, replace(from_mapping(StaticOptions, branch), steps=steps))
        static_ms = per_step(trainer, steps)
        tones = torch.arange(len(videos)) % len(static.tone.gain)
        static.tone.gain.data, static.tone.offset.data = static.tone.gain.data[tones], static.tone.offset.data[tones]
        parts = segments(len(videos[0].rgb), SEGMENT)
        for first, last in parts:
            trainer = None  # as in the pipeline, only one at a time
            start = time.perf_counter()
            part = videos if len(parts) == 1 else [video.frames(first, last) for video in videos]
            trainer = DynamicTrainer(part, static, space, dynamic)
            before = time.perf_counter() - start
            dynamic_ms = per_step(trainer, steps)
    return len(trainer.pixels), static_ms, dynamic_ms, before, memory[0]


def per_step(trainer: StaticTrainer | DynamicTrainer, steps: int) -> float:
    """Milliseconds per step at the end of a short training."""
    start = 0.0
    for step in range(steps):
        if step == 2 * steps // 3:
            start = time.perf_counter()
        trainer.step(step)
    return (time.perf_counter() - start) / (steps - 2 * steps // 3) * 1e3


def compare(results: Path, camera: str, baseline: str, preset: str | None, steps: int, rounds: int) -> None:
    """Print what a dynamic step and rendering cost the build of the commit ``baseline``, and this one."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", ROOT, "archive", baseline, "src"], check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder], check=True, input=archive.stdout)
        job = {"results": str(results.resolve()), "camera": camera, "steps": steps, "changed": sizes(preset)}
        found: list[dict[str, dict[str, float]]] = []
        for number in range(rounds):
            found.append({})
            for name, root in (("before", folder), ("after", str(ROOT))):
                environment = {**os.environ, "PYTHONPATH": str(Path(root, "src"))}
                command = [sys.executable, __file__, "--measure", json.dumps(job)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                found[-1][name] = json.loads(done.stdout.splitlines()[-1])
                print(f"{number + 1}/{rounds} {name}: {found[-1][name]}", file=sys.stderr, flush=True)
    scene = f"{results.name}{f', sizes of {preset}' if preset else ''}"
    print(f"| {scene} | {baseline} | this build | times faster | by processor time |\n|---|---|---|---|---|")
    for what, clock in (("dynamic step, ms", "step"), ("a video of the held-out camera, ms", "render")):

        def median(name: str, key: str) -> float:
            return statistics.median(one[name][key] for one in found)

        def ratio(key: str) -> float:
            return statistics.median(one["before"][key] / one["after"][key] for one in found)

        costs = f"{median('before', clock):.1f} | {median('after', clock):.1f}"
        print(f"| {what} | {costs} | {ratio(clock):.2f} | {ratio(f'{clock} cpu'):.2f} |")


def sizes(preset: str | None) -> dict[str, Any]:
    """What a preset changes of the dynamic branch, on CPU."""
    if preset is None:
        return {}
    scene = {"data": ".", "cameras": {name: name for name in "abc"}, "preset": preset}
    options = load_config({"scenes": {"x": scene}})["x"].options["dynamic"]
    return {**asdict(from_mapping(DynamicOptions, options)), "device": "cpu"}


def measured(job: dict[str, Any]) -> dict[str, float]:
    """Milliseconds, of the clock and of the processor, of a dynamic step (median of a training's last third) and of
    rendering (median of three); with the build that is imported."""
    results = Path(job["results"])
    header, static, trained = load_model(results / "none/model.safetensors")
    options = replace(from_mapping(DynamicOptions, {**header["options"], **job["changed"]}), steps=job["steps"])
    device.use_cpu(options.threads)
    space, cameras = SpaceMap(Space.load(results / "space.json")), load_cameras(results / "cameras.json")
    stores = {name: opened(results, name) for name in header["cameras"]}
    videos = [Video.of(cameras[name], store.rgb, motion) for name, (store, motion) in stores.items()]
    samples = round(DENSER * header["samples"])
    rendering = clocked(lambda _: render_video(static, trained, space, cameras[job["camera"]], samples), 4)[1:]
    trainer = DynamicTrainer(videos, static, space, options)
    stepping = clocked(trainer.step, options.steps)[2 * options.steps // 3 :]
    found = {}
    for name, times in (("step", stepping), ("render", rendering)):
        wall, busy = zip(*times, strict=True)
        found[name], found[f"{name} cpu"] = (round(1e3 * statistics.median(clock), 2) for clock in (wall, busy))
    return found


def clocked(function: Callable[[int], Any], times: int) -> list[tuple[float, float]]:
    """Seconds of the clock and of the processor of ``function(0)``, ``function(1)``, ..."""
    found = []
    for number in range(times):
        start, busy = time.perf_counter(), time.process_time()
        function(number)
        found.append((time.perf_counter() - start, time.process_time() - busy))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/arc8"), help="of a scene with the variant none")
    parser.add_argument("--long", type=Path, metavar="FOLDER", help="long captures, written there, removed at the end")
    parser.add_argument(
        "--n3dv", type=Path, metavar="FOLDER", help="the size of N3DV, written to this folder, removed at the end"
    )
    parser.add_argument("--baseline", metavar="COMMIT", help="compare this build with that of a commit (0.3 or later)")
    parser.add_argument("--preset", help="with --baseline: the dynamic branch in the sizes of this preset")
    parser.add_argument("--camera", default="cam00", help="with --baseline: the held-out one that is rendered")
    parser.add_argument("--steps", type=int, default=STEPS, help="with --baseline: of the short training")
    parser.add_argument("--rounds", type=int, default=5, help="with --baseline: turns of both")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # one turn of --baseline
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measured(json.loads(args.measure))))
        return
    if args.baseline:
        compare(args.results, args.camera, args.baseline, args.preset, args.steps, args.rounds)
        return
    torch.set_num_threads(2)
    first = min((args.results / "frames").iterdir())
    height, width = FrameStore.open(first).median.shape[:2]
    pixels = ((round(height * side), round(width * side)) for side in (2**0.5, 2))
    cases = [(7, frames, None) for frames in (24, 48, 96, 192, 300)] + [(7, 24, size) for size in pixels]
    if args.long:
        cases = [(7, frames, None) for frames in (300, 1200)]
    if args.n3dv:
        cases = [(7, 24, None), (20, 300, (1014, 1352))]
    folder, found = args.n3dv or args.long, []
    print("| cameras | frames | pixels | moving pixels | static step, ms | dynamic step, ms | before, s | memory, GB |")
    print("|---|---|---|---|---|---|---|---|")
    for cameras, frames, size in cases:
        videos, (reading, laying) = capture(args.results, cameras, frames, size, folder)
        shape = "x".join(str(n) for n in videos[0].rgb.shape[2:0:-1])
        pixels, static_ms, dynamic_ms, before, memory = measure(args.results, videos, MANY if args.n3dv else STEPS)
        found.append(dynamic_ms)
        costs = f"{static_ms:.1f} | {dynamic_ms:.1f} | {before:.1f} | {memory:.2f}"
        print(f"| {cameras} | {frames} | {shape} | {pixels} | {costs} |", flush=True)
        if folder:
            size = sum(video.colours.nbytes for video in videos) / 1e9
            told = (
                f"frames read once in {reading:.1f} s; what moves, {size:.2f} GB, laid pixel by pixel in {laying:.1f} s"
            )
            print(f"{told}, {laying / reading:.2f} times that", file=sys.stderr)
            for file in folder.glob("[0-9][0-9].*npy"):
                file.unlink()
    if args.n3dv:
        print(f"the last row's dynamic step is {found[1] / found[0]:.2f} times that of the first", file=sys.stderr)


if __name__ == "__main__":
    main()
