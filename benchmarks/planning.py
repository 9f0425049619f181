#!/usr/bin/env python3
"""What it takes to plan a large capture: processor time and peak memory of `snakemake -n`, in a Markdown table.

.venv/bin/python benchmarks/planning.py [--folder FOLDER]

The captures are made of empty files: 3 cameras of 100,000 frame files each, and 60 cameras with 10,000 photos. A third
one of 3 videos says what Snakemake takes by itself. About a minute, and 310,000 files (not 1 MB of content).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CAPTURES = {
    "3 cameras of 100,000 frames": {"cameras": 3, "frames": 100_000},
    "60 cameras, 10,000 photos": {"cameras": 60, "photos": 10_000},
    "3 cameras": {"cameras": 3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the captures are made; a temporary one unless given")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        print("| capture | processor seconds | MB |\n|---|---|---|")
        for number, (name, sizes) in enumerate(CAPTURES.items()):
            place = Path(folder) / str(number)
            make(place, **sizes)
            # A process of its own: the memory of children is that of the largest so far.
            measured = subprocess.run([sys.executable, __file__, "--measure", place], capture_output=True, text=True)
            print(f"| {name} | {measured.stdout.strip() or measured.stderr} |", flush=True)


def make(folder: Path, cameras: int, frames: int = 0, photos: int = 0) -> None:
    """A capture of empty files, as scene ``x``."""
    data = folder / "data/x"
    for kind in ("videos", "photos"):
        (data / kind).mkdir(parents=True)
    for camera in range(cameras):
        path = data / "videos" / f"cam{camera:02d}"
        if frames:
            path.mkdir()
            for frame in range(frames):
                (path / f"{frame:06d}.png").touch()
        else:
            path.with_suffix(".mp4").touch()
    for photo in range(photos):
        (data / "photos" / f"{photo:05d}.jpg").touch()
    (folder / "config.yaml").write_text(yaml.safe_dump({"scenes": {"x": {"data": "data/x"}}}))


def measure(folder: Path) -> None:
    """Print processor seconds and peak memory (MB) of planning the scene of ``folder``."""
    place = ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", folder / "config.yaml"]
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", "--cores", "2", *place]
    subprocess.run([*command, "--", "results/x/report.html"], check=True, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss / 1024:.0f}")


if __name__ == "__main__":
    measure(Path(sys.argv[2])) if sys.argv[1:2] == ["--measure"] else main()
