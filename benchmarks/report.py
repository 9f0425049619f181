"""Time to build a report from finished results, and how large it is: benchmarks/report.py <scene> [<configuration>].

Run in the folder that has results/. It writes to a temporary folder and leaves the results alone.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

import yaml

from mixdepth.report.page import write_report
from mixdepth.scene.config import load_config

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("configuration", nargs="?", type=Path, default=REPOSITORY / "config" / "config.yaml")
    given = parser.parse_args()
    scenes = load_config(yaml.safe_load(given.configuration.read_text()))
    scene = scenes[given.scene]
    results = scenes.results(given.scene, Path("results"))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        started = time.perf_counter()
        write_report(scene, results, page)
        seconds = time.perf_counter() - started
        text = page.read_text()
    print(f"{given.scene}: {seconds:.1f} s, {len(text.encode()) / 1e6:.1f} MB")
    sizes: dict[str, int] = {}
    for kind, data in re.findall(r"data:(\w+/[\w+.-]+);base64,([^\"]*)", text):
        sizes[kind] = sizes.get(kind, 0) + len(data)
    for kind, size in sorted(sizes.items()):
        print(f"  {kind}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
