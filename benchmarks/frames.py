#!/usr/bin/env python3
"""Print one Markdown table: how fast frame stores are written, against decoding alone and against MixVoxels' steps.

.venv/bin/python benchmarks/frames.py [--data ../shared/data] [--repeats 3]

Two cameras are worked on at a time, as by `snakemake --cores 2`, each job a process of its own (its start counts):

- decode: `ffmpeg -i VIDEO -f null -`, with one thread per video or with ffmpeg's own choice, whichever is faster;
- store: `write_store` at a quarter and at half of the size, without and with distortion (OPENCV_FISHEYE);
- MixVoxels' preparation, a stand-in of ours for its steps: every frame as a PNG of full size (ffmpeg), every PNG
  halved and saved again (as `mogrify -resize 50%` does), and the standard deviation over time of all PNGs of a video,
  loaded as floats. It writes neither undistorted frames nor a median.

All kinds run in turn, `--repeats` times (MixVoxels' once, on the first frames only), and the fastest run of each
counts. Processor time is given too: other programs on the machine change it less. Memory is the largest of one job.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens
from mixdepth.frames.decode import picture_size
from mixdepth.frames.probe import probe_camera
from mixdepth.frames.store import write_store

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
QUIET = ("-nostdin", "-loglevel", "error")
# Two sizes at rates that action cameras record: name -> size, frames, bits per second.
CLIPS = {"1920x1080": ("1920x1080", 300, "15M"), "2704x2028": ("2704x2028", 150, "40M")}
MIXVOXELS_FRAMES = 40  # of each video: its cost per frame does not depend on their number
STORES = {"quarter": (0.25, False), "half": (0.5, False)}
STORES |= {f"{name}, undistorted": (scale, True) for name, (scale, _) in STORES.items()}
TITLES = (
    "capture",
    "work",
    "frames/s",
    "of decoding",
    "processor, ms/frame",
    "of decoding",
    "peak memory, MB",
    "MixVoxels' time, times",
)


@dataclass(frozen=True)
class Cost:
    """What a kind of work took for all videos together."""

    wall: float  # seconds per frame
    cpu: float  # seconds per frame
    memory: float  # MB, of the largest job


def make_clip(path: Path, size: str, frames: int, rate: str, seed: int) -> Path:
    """A moving test picture with the noise of a camera, H.264."""
    source = f"testsrc2=size={size}:rate=30,noise=alls=8:allf=t:all_seed={seed}"
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", rate, "-pix_fmt", "yuv420p")
    command = [FFMPEG, *QUIET, "-f", "lavfi", "-i", source, "-frames:v", str(frames), *encoder, str(path)]
    subprocess.run(command, check=True)
    return path


def run_jobs(commands: Sequence[Sequence[str]], frames: int) -> Cost:
    """Run the commands, two at a time, that treat ``frames`` frames each."""
    start, waiting, running, cpu, memory = time.perf_counter(), list(commands), set(), 0.0, 0.0
    while waiting or running:
        while waiting and len(running) < 2:
            running.add(subprocess.Popen(waiting.pop(0)).pid)
        pid, status, usage = os.wait4(-1, 0)
        running.remove(pid)
        if status:
            sys.exit(f"a job failed with status {os.waitstatus_to_exitcode(status)}")
        cpu += usage.ru_utime + usage.ru_stime
        memory = max(memory, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)
    frames *= len(commands)
    return Cost((time.perf_counter() - start) / frames, cpu / frames, memory)


def job(kind: str, video: Path, output: Path, *arguments: object) -> list[str]:
    size = "{}x{}".format(*picture_size(video))
    return [sys.executable, __file__, "--job", kind, str(video), str(output), size, *map(str, arguments)]


def store_job(video: Path, output: Path, size: str, frames: int, scale: float, distorted: bool) -> None:
    """What the rule frame_store does for one camera; ``size`` is that of its lens, "<width>x<height>"."""
    width, height = map(int, size.split("x"))
    f, cx, cy = 0.6 * max(width, height), width / 2, height / 2
    bend = (-0.05, 0.02, -0.01, 0.002)
    lens = Lens("OPENCV_FISHEYE", width, height, (f, f, cx, cy, *bend)) if distorted else None
    lens = lens or Lens("PINHOLE", width, height, (f, f, cx, cy))
    camera = Camera(width, height, f, f, cx, cy, np.eye(4)).resized(round(width * scale), round(height * scale))
    outputs = [output / f"{name}.npy" for name in ("rgb", "median", "std")]
    write_store(video, camera, lens, range(frames), *outputs, label=video.stem)


def mixvoxels_job(video: Path, output: Path) -> None:
    """A stand-in for MixVoxels' preparation of one video: see above."""
    output.mkdir(parents=True)
    limit = ("-frames:v", str(MIXVOXELS_FRAMES))
    subprocess.run([FFMPEG, *QUIET, "-i", str(video), *limit, str(output / "%04d.png")], check=True)
    files = sorted(output.glob("*.png"))
    for file in files:
        with Image.open(file) as image:
            half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        half.save(file)
    # One by one, where MixVoxels holds all frames as floats: its memory is not what is compared here.
    count, mean, spread = 0, 0.0, 0.0
    for count, file in enumerate(files, 1):
        with Image.open(file) as image:
            colours = np.asarray(image, np.float32) / 255
        step = colours - mean
        mean += step / count
        spread += step * (colours - mean)
    np.save(output / "std.npy", np.sqrt(spread / count).mean(axis=-1))


def measure(videos: Sequence[Path], frames: int, scratch: Path, repeats: int) -> dict[str, Cost]:
    """The fastest of ``repeats`` runs of each kind of work, all kinds in turn."""
    costs: dict[str, list[Cost]] = {}
    for turn in range(repeats):
        for name, threads in (("decode, 1 thread", ("-threads", "1")), ("decode, auto", ())):
            commands = [[FFMPEG, *QUIET, *threads, "-i", str(v), "-map", "0:v:0", "-f", "null", "-"] for v in videos]
            costs.setdefault(name, []).append(run_jobs(commands, frames))
        kinds = {name: (frames, "store", frames, *options) for name, options in STORES.items()}
        if turn == 0:
            kinds["MixVoxels"] = (min(frames, MIXVOXELS_FRAMES), "mixvoxels")
        for name, (treated, kind, *arguments) in kinds.items():
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                commands = [job(kind, v, Path(folder) / v.stem, *arguments) for v in videos]
                costs.setdefault(name, []).append(run_jobs(commands, treated))
    return {name: min(several, key=lambda cost: cost.wall) for name, several in costs.items()}


def rows(title: str, costs: dict[str, Cost]) -> list[str]:
    """Lines of the table for one capture."""
    decode = min(costs.pop("decode, 1 thread"), costs.pop("decode, auto"), key=lambda cost: cost.wall)
    lines = []
    for name, cost in {"decode to null": decode, **costs}.items():
        speed = f"{1 / cost.wall:.0f}", f"{100 * decode.wall / cost.wall:.0f} %"
        effort = f"{1000 * cost.cpu:.1f}", f"{100 * decode.cpu / cost.cpu:.0f} %"
        slower = f"{costs['MixVoxels'].wall / cost.wall:.1f}" if name in STORES else ""
        lines.append(f"| {' | '.join([title, name, *speed, *effort, f'{cost.memory:.0f}', slower])} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MIXDEPTH_DATA", "../shared/data")))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        kind, video, output, size, *rest = args.job
        if kind == "mixvoxels":
            return mixvoxels_job(Path(video), Path(output))
        return store_job(Path(video), Path(output), size, int(rest[0]), float(rest[1]), rest[2] == "True")
    print(f"{platform.machine()}, {os.cpu_count()} cores; two videos at a time; the fastest of {args.repeats} runs\n")
    print(f"| {' | '.join(TITLES)} |\n|---|---|{'---:|' * (len(TITLES) - 2)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        captures = {}
        for name, (size, frames, rate) in CLIPS.items():
            clips = [make_clip(Path(scratch) / f"{name}.{i}.mp4", size, frames, rate, i) for i in range(2)]
            captures[f"{name}, {rate}bit/s"] = clips
        if real := sorted((args.data / "pose2sim").glob("*.mp4")):
            captures["pose2sim"] = real
        for name, videos in captures.items():
            frames = min(probe_camera(video)["frames"] for video in videos)
            print("\n".join(rows(name, measure(videos, frames, Path(scratch), args.repeats))), flush=True)
    return None


if __name__ == "__main__":
    main()
