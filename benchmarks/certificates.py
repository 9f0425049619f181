#!/usr/bin/env python3
"""What certificates cost: their share of the processor time of the demo's jobs, and of opening large frame stores.

    .venv/bin/python benchmarks/certificates.py jobs      # runs the demo in a temporary folder, ten minutes or more
    .venv/bin/python benchmarks/certificates.py stores    # 20 stores of 1.2 GB (files with holes), a second

Counted inside the jobs: every script is started with a sitecustomize.py that times what
mixdepth.files.certificate does, on its own thread, and tells at the end what the whole process has used. Hashing while
a file is written counts, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from mixdepth.files.certificate import certificate_of
from mixdepth.files.io import read_npy

ROOT = Path(__file__).parents[1]
CAMERAS, STORE = 20, (300, 1014, 1352, 3)  # a scene of Neural 3D Video at scale 0.5
# Read by every Python that is started with its folder in PYTHONPATH.
TIMED = """
import atexit, functools, json, os, re, sys, time

if os.environ.get("CERTIFICATES") and re.search(r"\\.snakemake/scripts/", " ".join(sys.orig_argv)):
    from mixdepth.files import certificate

    spent, depth = [0.0], [0]

    def timed(function):
        @functools.wraps(function)
        def call(*args, **options):
            depth[0] += 1
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    spent[0] += time.thread_time() - start
        return call

    class Timed:
        def __init__(self):
            self.hash = certificate.hashlib.sha256()
            self.update, self.hexdigest = timed(self.hash.update), self.hash.hexdigest

    def hashing(self, file):
        self._file, self.sha256, self.tell = file, Timed(), file.tell

    certificate.Hashing.__init__ = hashing
    for name in ("certify", "refuse_changed", "withdraw", "identity", "measured", "facts", "entry_of", "is_certified"):
        setattr(certificate, name, timed(getattr(certificate, name)))

    def tell():
        rule = re.search(r"scripts/tmp[^.\\s]*\\.(\\w+)\\.py", " ".join(sys.orig_argv))
        used = sum(os.times()[:4])
        with open(os.environ["CERTIFICATES"], "a") as file:
            file.write(json.dumps([rule[1], spent[0], used]) + "\\n")

    atexit.register(tell)
"""


def jobs(folder: Path) -> None:
    """Run the demo; a Markdown table of the share by rule."""
    (folder / "sitecustomize.py").write_text(TIMED)
    told = folder / "told.jsonl"
    told.touch()
    places = os.pathsep.join([str(folder), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", ROOT / "Snakefile"]
    targets = [f"results/demo/{name}" for name in ("video.mp4", "comparison.png", "report.html", "provenance.json")]
    more = {"PYTHONPATH": places, "CERTIFICATES": str(told)}
    command += ["--directory", folder, "--configfile", ROOT / "config/config.yaml"]
    subprocess.run([*command, "--", *targets], check=True, env=os.environ | more)
    rules: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for line in told.read_text().splitlines():
        rule, spent, used = json.loads(line)
        for name in (rule, "all"):
            rules[name] = [sum(pair) for pair in zip(rules[name], (1, spent, used), strict=True)]
    print("| rule | jobs | processor seconds | of certificates | share |\n|---|---|---|---|---|")
    for name, (count, spent, used) in sorted(rules.items(), key=lambda one: one[1][1]):
        print(f"| {name} | {count} | {used:.1f} | {spent:.2f} | {spent / used:.1%} |")


def stores(folder: Path) -> None:
    """Open the stores of all cameras with nothing of them in memory."""
    paths = [folder / f"cam{camera:02d}.npy" for camera in range(CAMERAS)]
    for path in paths:
        np.lib.format.open_memmap(path, "w+", np.uint8, STORE).flush()
        status = path.stat()
        # A digest that is not theirs: whoever read the bytes would refuse them.
        known = {"bytes": status.st_size, "sha256": "0" * 64, "date": status.st_mtime_ns}
        certificate_of(path).write_text(json.dumps({"files": {"": known}}))
    print(f"{sum(path.stat().st_size for path in paths) / 1e9:.1f} GB in {CAMERAS} stores")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    # A process of its own has read nothing yet.
    subprocess.run([sys.executable, __file__, "open", *paths], check=True)


def opened(paths: list[Path]) -> None:
    start, used = time.perf_counter(), time.process_time()
    for path in paths:
        read_npy(path)
    print(f"opened in {time.perf_counter() - start:.3f} s, {time.process_time() - used:.3f} s of the processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("jobs", "stores", "open"))
    parser.add_argument("paths", type=Path, nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part == "open":
        opened(args.paths)
        return
    with tempfile.TemporaryDirectory() as folder:
        {"jobs": jobs, "stores": stores}[args.part](Path(folder))


if __name__ == "__main__":
    main()
