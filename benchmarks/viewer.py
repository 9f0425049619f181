"""How long viewer.html takes: to write, to open and unpack, and per frame, in a headless Chromium without a GPU,
and how long the live view has its user wait.

    .venv/bin/python benchmarks/viewer.py                       # the demo's results
    .venv/bin/python benchmarks/viewer.py --repeat 30 --enlarge 4   # as if of a long and large capture
    .venv/bin/python benchmarks/viewer.py --live                # mixdepth view of the demo's model

Needs the renders that `snakemake results/<scene>/viewer.html` makes. Each frame is turned, played on, drawn and waited
for; cpu is what all of Chromium's processes take for it together, which other load on the machine hardly
changes. With `--live` a program in place of the page moves the camera, the model and the server are the real ones, and
pictures count when they have arrived.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.files.io import new_npy, read_json, write_json
from mixdepth.rendering.paths import move
from mixdepth.results import Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.viewer.page import write_viewer
from mixdepth.workflow.stages import Job

EXECUTABLE = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
FRAMES = 100  # drawn per measurement
MOVES, REST = 20, 4.0  # of the live view's camera, and seconds that it rests after each
DRAG = 4  # seconds that it moves, at 30 places a second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--scene", default="demo")
    parser.add_argument("--repeat", type=int, default=1, help="frames: how many times in a row")
    parser.add_argument("--enlarge", type=int, default=1, help="pictures: how many times as large")
    parser.add_argument("--live", action="store_true", help="measure the live view instead")
    parser.add_argument("--window", type=int, nargs=2, default=(320, 240), help="its width and height (320 240)")
    args = parser.parse_args()
    scene = load_config(yaml.safe_load(args.config.read_text()))[args.scene]
    if args.live:
        measure_live(scene, args.config, *args.window)
        return
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


def measure_live(scene: Scene, config: Path, width: int, height: int) -> None:
    """Look through the live view in a window of this size: 20 moves, one long drag, and another time."""
    posed = load_cameras(Results(Path("results") / scene.name).cameras)
    stops = [posed[name] for name in (*scene.train_cameras, *scene.train_cameras[:2])]
    ways = move(stops, MOVES + 1)[1:]
    command = [sys.executable, "-m", "mixdepth", "--config", str(config), "--scene", scene.name, "view"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = next(line.split()[0] for line in server.stdout if "stop with" in line)
            page = Page(address, width, height)
            page.look(stops[0])
            page.pictures(REST)
            first, sharp, count, before = [], [], [], spent()
            for camera in ways:
                page.look(camera)
                times = page.pictures(REST)
                first.append(times[0])
                sharp.append(times[-1])
                count.append(len(times))
            cpu = (spent() - before) / MOVES
            print(
                f"{width}x{height}, load of the machine {psutil.getloadavg()[0]:.1f}, {MOVES} moves, medians and worst"
            )
            for name, seconds in (("first picture", first), ("sharp", sharp)):
                print(f"{name}: {np.median(seconds):.2f} s, {max(seconds):.2f} s")
            print(f"{np.median(count):.0f} pictures a move, {cpu:.2f} s of processor time")
            drag = move(stops, 30 * DRAG)
            began, shown = time.perf_counter(), 0
            for index, camera in enumerate(drag):
                page.look(camera)
                shown += len(page.pictures(began + (index + 1) / 30 - time.perf_counter()))
            print(f"while it moves: {shown / DRAG:.1f} pictures a second")
            page.pictures(REST)
            page.set("Frame", 1)
            print(f"another time: {page.pictures(REST)[0]:.2f} s")
        finally:
            server.terminate()


class Page:
    """The page of a live view, as far as its server can tell."""

    def __init__(self, address: str, width: int, height: int):
        import viser
        from websockets.sync.client import connect

        origin = address.rsplit("/", 2)[0]
        self.size = {"image_width": width, "image_height": height}
        self.wire = connect(
            address.replace("http", "ws").rstrip("/"),
            origin=origin,
            subprotocols=[f"viser-v{viser.__version__}"],
            max_size=None,
            compression=None,
        )
        self.controls: dict[str, str] = {}

    def look(self, camera: Camera) -> None:
        """Say that this is where the page looks from."""
        from viser import transforms

        self._send(
            "ViewerCameraMessage",
            wxyz=transforms.SO3.from_matrix(camera.c2w[:3, :3]).wxyz.tolist(),
            position=camera.centre.tolist(),
            fov=2 * float(np.arctan(camera.height / 2 / camera.fy)),
            near=0.01,
            far=1000.0,
            look_at=(camera.centre + camera.c2w[:3, 2]).tolist(),
            up_direction=(-camera.c2w[:3, 1]).tolist(),
            **self.size,
        )

    def set(self, label: str, value: float) -> None:
        """Move the control of this name."""
        self._send("GuiUpdateMessage", uuid=self.controls[label], updates={"value": value})

    def _send(self, kind: str, **message: Any) -> None:
        import msgspec

        self.wire.send(msgspec.msgpack.encode({"type": kind, **message}))

    def pictures(self, seconds: float) -> list[float]:
        """When pictures arrived in the next ``seconds``, from now."""
        began, found = time.perf_counter(), []
        while (left := began + seconds - time.perf_counter()) > 0:
            try:
                raw = self.wire.recv(timeout=left)
            except TimeoutError:
                break
            for message in unpacked(raw):
                if message["type"] == "BackgroundImageMessage":
                    found.append(time.perf_counter() - began)
                elif "label" in message.get("props", {}):
                    self.controls[message["props"]["label"]] = message["uuid"]
        return found


def unpacked(raw: bytes) -> list[dict[str, Any]]:
    """The messages that viser sends together: sizes, then compressed msgpack, then large values."""
    import msgspec
    import zstandard

    whole, compressed = (int.from_bytes(raw[start : start + 8], "little") for start in (0, 8))
    inner = zstandard.ZstdDecompressor().decompress(raw[16 : 16 + compressed], max_output_size=whole)
    return msgspec.msgpack.decode(inner)["messages"]


def spent() -> float:
    """Seconds of processor time of this process's children."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


if __name__ == "__main__":
    main()
