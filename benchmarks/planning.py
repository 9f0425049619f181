#!/usr/bin/env python3
"""What it takes to plan a large capture: jobs, processor time and peak memory of `snakemake -n`, in a Markdown table.

.venv/bin/python benchmarks/planning.py [--folder FOLDER]

The captures are made of empty files: 3 cameras of 100,000 frame files each, 60 cameras with 10,000 photos, and an hour
of 20 cameras in segments of 300 and of 30 frames, whose capture.json is there. One of 3 videos says what Snakemake
takes by itself. A few minutes, and 310,000 files (not 1 MB of content).
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
HOUR = {"cameras": 20, "frames": 108_000, "target": "video.mp4"}
CAPTURES: dict[str, dict[str, Any]] = {
    "3 cameras of 100,000 frames": {"cameras": 3, "images": 100_000},
    "60 cameras, 10,000 photos": {"cameras": 60, "photos": 10_000},
    "3 cameras": {"cameras": 3},
    "an hour of 20 cameras, `segment: 300`": {**HOUR, "segment": 300},
    "an hour of 20 cameras, `segment: 30`": {**HOUR, "segment": 30},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the captures are made; a temporary one unless given")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        print("| capture | jobs | processor seconds | MB |\n|---|---|---|---|")
        for number, (name, sizes) in enumerate(CAPTURES.items()):
            place = Path(folder) / str(number)
            target = make(place, **sizes)
            # A process of its own: the memory of children is that of the largest so far.
            command = [sys.executable, __file__, "--measure", place, target]
            measured = subprocess.run(command, capture_output=True, text=True)
            print(f"| {name} | {measured.stdout.strip() or measured.stderr} |", flush=True)


def make(
    folder: Path,
    cameras: int,
    images: int = 0,
    photos: int = 0,
    frames: int = 0,
    segment: int | None = None,
    target: str = "report.html",
) -> str:
    """A capture of empty files, as scene ``x``; what is to be planned.

    Args:
        images: of each camera, whose frames are files then.
        frames: of each video, which capture.json tells then, as `probe` would.
        segment: the setting; with it the one variant is `none`.
    """
    data = folder / "data/x"
    for kind in ("videos", "photos"):
        (data / kind).mkdir(parents=True)
    for camera in range(cameras):
        path = data / "videos" / f"cam{camera:02d}"
        if images:
            path.mkdir()
            for image in range(images):
                (path / f"{image:06d}.png").touch()
        else:
            path.with_suffix(".mp4").touch()
    for photo in range(photos):
        (data / "photos" / f"{photo:05d}.jpg").touch()
    scene: dict[str, Any] = {"data": "data/x"}
    if frames:
        facts = {"width": 64, "height": 48, "frames": frames}
        told = {f"cam{camera:02d}": facts for camera in range(cameras)}
        capture = folder / "results/x/capture.json"
        capture.parent.mkdir(parents=True)
        capture.write_text(json.dumps({"cameras": told, "photos": {}, "fps": 30.0, "selected": frames}))
        scene |= {"variants": ["none"], "dynamic": {"segment": segment}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"scenes": {"x": scene}}))
    return f"results/x/{target}"


def measure(folder: Path, target: str) -> None:
    """Print the number of jobs, processor seconds and peak memory (MB) of planning a ``target`` in ``folder``."""
    place = ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", folder / "config.yaml"]
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--cores", "2", *place, "--", target]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = re.findall(r"(?m)^total +(\d+)$", done.stdout + done.stderr)[0]
    print(f"{jobs} | {used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss / 1024:.0f}")


if __name__ == "__main__":
    measure(Path(sys.argv[2]), sys.argv[3]) if sys.argv[1:2] == ["--measure"] else main()
