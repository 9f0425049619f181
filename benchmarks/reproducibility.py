#!/usr/bin/env python3
"""How far figures of a small training are apart on other machines, and write the reference that a test compares with.

.venv/bin/python benchmarks/reproducibility.py [--seeds 5] [--write]

Settings of the libraries stand in for other machines: older instruction sets, other numbers of threads, no numba. The
training is tests/yardstick.py. Prints, for each figure, its value, the largest distance of any stand-in from this
machine as it is, over all seeds, and what another seed does; --write keeps them in tests/reference/yardstick.json, with
three times that largest distance, and at least 1e-4 of the value, as the tolerance.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from mixdepth.compute.machine import host
from mixdepth.record.provenance import versions

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCE = REPOSITORY / "tests" / "reference" / "yardstick.json"
OLD = {
    "ATEN_CPU_CAPABILITY": "default",
    "NUMBA_CPU_NAME": "generic",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
# What stands in for another machine: environment, and arguments of the training.
STAND_INS: dict[str, tuple[dict[str, str], list[str]]] = {
    "as it is": ({}, []),
    "2 threads": ({}, ["--threads", "2"]),
    "4 threads": ({}, ["--threads", "4"]),
    "PyTorch for AVX2": ({"ATEN_CPU_CAPABILITY": "avx2"}, []),
    "PyTorch for any x86-64": ({"ATEN_CPU_CAPABILITY": "default"}, []),
    "MKL for AVX2": ({"MKL_CBWR": "AVX2"}, []),
    "MKL for any processor": ({"MKL_CBWR": "COMPATIBLE"}, []),
    "oneDNN for SSE4.1": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, []),
    "numba for Haswell": ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}, []),
    "numba for any x86-64": ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, []),
    "an old processor": (OLD, []),
    "an old processor, 2 threads": (OLD, ["--threads", "2"]),
    "without numba": ({}, ["--plain"]),
}
TIMES, LEAST = 3.0, 1e-4  # tolerance: times the largest distance; at least this share of the value


def figures(stand_in: str, seed: int) -> dict[str, float]:
    """The figures of one training, in a process of its own."""
    environment, arguments = STAND_INS[stand_in]
    command = [sys.executable, str(REPOSITORY / "tests" / "yardstick.py"), "--seed", str(seed), *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = {name: [figures(name, seed) for seed in range(args.seeds)] for name in STAND_INS}
    here = found["as it is"]
    tolerance, seeds = {}, {}
    print("| figure | reference | tolerance | largest distance | by | another seed |\n|---|---:|---:|---:|---|---:|")
    for key, value in here[0].items():
        far, by = max((abs(f[key] - h[key]), name) for name, fs in found.items() for f, h in zip(fs, here, strict=True))
        seeds[key] = max(abs(h[key] - value) for h in here)
        tolerance[key] = max(TIMES * far, LEAST * abs(value))
        print(f"| `{key}` | {value:.4g} | {tolerance[key]:.2g} | {far:.2g} | {by} | {seeds[key]:.2g} |")
    print("\n| stand-in | largest distance in PSNR, dB |\n|---|---:|")
    for name, fs in found.items():
        print(f"| {name} | {max(abs(f['psnr'] - h['psnr']) for f, h in zip(fs, here, strict=True)):.4f} |")
    if args.write:
        where = {key: host()[key] for key in ("cpu", "cores", "distribution")}
        used = {key: versions()[key] for key in ("python", "torch", "numpy", "numba")}
        kept = {"machine": where, "versions": used, "figures": here[0], "tolerance": tolerance, "another_seed": seeds}
        REFERENCE.parent.mkdir(exist_ok=True)
        REFERENCE.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
