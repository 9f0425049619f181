"""How long viewer.html takes: to write, to open and unpack, and per frame, in a headless Chromium without a GPU.

    .venv/bin/python benchmarks/viewer.py                       # the demo's results
    .venv/bin/python benchmarks/viewer.py --repeat 30 --enlarge 4   # as if of a long and large capture

Needs the renders that `snakemake results/<scene>/viewer.html` makes. Each frame is turned, played on, drawn and waited
for; cpu is what all of Chromium's processes take for it together, which other load on the machine hardly
changes.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from mixdepth.cameras.camera import load_cameras, save_cameras
from mixdepth.files.io import new_npy, read_json, write_json
from mixdepth.results import Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.viewer.page import write_viewer
from mixdepth.workflow.stages import Job

EXECUTABLE = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FRAMES = 100  # drawn per measurement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--scene", default="demo")
    parser.add_argument("--repeat", type=int, default=1, help="frames: how many times in a row")
    parser.add_argument("--enlarge", type=int, default=1, help="pictures: how many times as large")
    args = parser.parse_args()
    scene = load_config(yaml.safe_load(args.config.read_text()))[args.scene]
    with tempfile.TemporaryDirectory() as temporary:
        results = Results(Path("results") / args.scene)
        if args.repeat > 1 or args.enlarge > 1:
            results = larger(scene, results, Results(Path(temporary) / "large"), args.repeat, args.enlarge)
        page = Path(temporary) / "viewer.html"
        began = time.perf_counter()
        write_viewer(scene, **Job.of("viewer").read(results, scene), output=page)
        seconds = time.perf_counter() - began
        # Without what is mapped from files, which the system takes back as it likes.
        memory = re.search(r"RssAnon:\s*(\d+)", Path("/proc/self/status").read_text())[1]
        print(f"written in {seconds:.1f} s, {page.stat().st_size / 1e6:.1f} MB, {int(memory) / 1024:.0f} MB of memory")
        measure(page)


def larger(scene: Scene, results: Results, output: Results, repeat: int, enlarge: int) -> Results:
    """The same renders, repeated in time and enlarged, as ``output``."""
    cameras = load_cameras(results.cameras)
    save_cameras(output.cameras, {n: c.resized(enlarge * c.width, enlarge * c.height) for n, c in cameras.items()})
    write_json(output.capture, read_json(results.capture))
    for name in scene.viewer_cameras:
        ours, theirs = (one.renders(scene.video_variant, name) for one in (results, output))
        for read, written in ((ours.rgb, theirs.rgb), (ours.depth, theirs.depth)):
            small = np.load(read, mmap_mode="r", allow_pickle=False)
            frames, height, width = small.shape[:3]
            shape = (repeat * frames, enlarge * height, enlarge * width, *small.shape[3:])
            with new_npy(written, shape, small.dtype) as large:
                for index in range(len(large)):
                    large[index] = small[index % frames].repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    return output


def measure(page: Path) -> None:
    """Open the page at 1280x720 and print what it and its frames take."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        tab: Any = browser.new_page(viewport={"width": 1280, "height": 720})
        began = time.perf_counter()
        tab.goto(page.resolve().as_uri())
        while not tab.evaluate("mixdepth.ready || mixdepth.error !== ''"):
            time.sleep(0.02)
        stats = tab.evaluate("mixdepth.stats")
        print(f"opened in {time.perf_counter() - began:.1f} s, of which unpacking {stats['unpackMs'] / 1000:.1f} s")
        print(f"{stats['cells']} cells a frame, load of the machine {psutil.getloadavg()[0]:.1f}")
        for quality, text in enumerate(("full", "3/4 size", "1/2 size", "1/2 size, two views")):
            tab.evaluate(f"mixdepth.setCamera(0, 0, 0, {quality})")
            tab.evaluate("mixdepth.measure(10)")
            before = spent()
            wall = tab.evaluate(f"mixdepth.measure({FRAMES})")
            print(f"{text}: {wall:.1f} ms a frame, cpu {1000 * (spent() - before) / FRAMES:.1f} ms")
        browser.close()


def spent() -> float:
    """Seconds of processor time of this process's children."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


if __name__ == "__main__":
    main()
