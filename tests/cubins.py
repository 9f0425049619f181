"""Compile Triton's kernels for an H100 (sm_90) where no GPU is, and say as JSON what each became.

A program for an interpreter with triton: its compiler needs no driver, and its wheel has what reads the result.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import ModuleType

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mixdepth.kernels import gpu, gpu_view
from mixdepth.kernels.arguments import BOUNDED, FORWARD, UNBOUNDED

TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
# Types of arguments by their names, in gpu.py and gpu_view.py; all others are arrays of float32.
TYPES = {
    **dict.fromkeys(("points", "cells", "frames", "samples", "count", "features", "width"), "i32"),
    **dict.fromkeys(("dark", "visible", "scale"), "fp32"),
    **dict.fromkeys(("index", "offsets", "ends", "rays", "rays_out", "first_shown", "first_own"), "*i64"),
    **dict.fromkeys(("sets", "wanted", "parts", "counts", "rows", "codes", "row"), "*i32"),
    **dict.fromkeys(("mask", "lit"), "*u8"),
    "space": (("fp32",) * 3,) * 7,
    "density": ("fp32",) * 3,
}
GRID = {"channels": 24, "PADDED": 32, "POINTS": gpu.POINTS}
# What gpu.py launches: constants and options of each kernel, with the channels and frames of a step of preset T.
LAUNCHES = {
    "_grid_forward": [({**GRID, "IS_SUM": is_sum}, {}) for is_sum in (False, True)],
    "_grid_backward": [({**GRID, "IS_SUM": is_sum}, {}) for is_sum in (False, True)],
    "_mixed_forward": [({"FRAMES": 16, "DEPTH": depth}, {"num_warps": 1}) for depth in (False, True)],
    "_mixed_backward": [({"FRAMES": 16}, {"num_warps": 1})],
}
# What gpu_view.py does, at one frame and at 16.
LANES, WARP, BOTH = {"LANES": gpu_view.LANES}, {"num_warps": 1}, (False, True)
MARCH = {"SIDE": 64, "PARTS": 96, "channels": 8, "PADDED": 8, **LANES}
FEATURES = {"channels": 24, "PADDED": 32, "POINTS": gpu_view.POINTS}
STILL = {**FEATURES, "WIDTH": 128, "CHUNK": gpu_view.NARROW, "VIEWS": True}
COLOURS = {**FEATURES, "CHUNK": gpu_view.CHUNK}
LAUNCHES_VIEW = {
    "_march_forward": [
        ({"KIND": kind, "WRITE": write, **MARCH}, gpu_view.ALONE)
        for kind in (FORWARD, BOUNDED, UNBOUNDED)
        for write in BOTH
    ],
    "_still_forward": [({**STILL, "AMP": amp}, {"num_warps": 8}) for amp in BOTH],
    "_sum_forward": [(LANES, WARP)],
    "_thickness_forward": [({**FEATURES, "frames": frames, "FRAMES": 16}, {}) for frames in (1, 16)],
    "_frames_forward": [
        ({"KIND": FORWARD, "frames": f, "FRAMES": f, "LANES": lanes}, WARP) for f, lanes in ((1, 32), (16, 4))
    ],
    "_colours_forward": [
        ({**COLOURS, "columns": 3 * frames, "COLUMNS": padded, "AMP": amp}, {})
        for frames, padded in ((1, 16), (16, 64))
        for amp in BOTH
    ],
}


def read(program: str, *arguments: str | Path) -> str:
    return subprocess.run([TOOLS / program, *arguments], capture_output=True, text=True, check=True).stdout


def compiled(module: ModuleType, name: str, constants: dict, options: dict) -> dict:
    """Registers, bytes of stack and of local memory per thread, and how often each instruction occurs."""
    kernel = getattr(module, name)
    types = {name: TYPES.get(name, "*fp32") for name in kernel.arg_names} | dict.fromkeys(constants, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(types.values()) if kind[0] == "*"}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=types, constexprs=places, attrs=aligned)
    cubin = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["cubin"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cubin")
        path.write_bytes(cubin)
        usage = re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", read("cuobjdump", "--dump-resource-usage", path))
        listing = read("nvdisasm", path)
    return {
        "kernel": name,
        "constants": constants,
        **dict(zip(("registers", "stack", "local"), map(int, usage.groups()), strict=True)),
        "specialised": [p.name for p in kernel.params if types[p.name] == "i32" and not p.do_not_specialize],
        "instructions": Counter(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.x]+)", listing)),
    }


if __name__ == "__main__":
    every = [(gpu, *launch) for launch in LAUNCHES.items()] + [(gpu_view, *launch) for launch in LAUNCHES_VIEW.items()]
    found = [compiled(module, name, *launch) for module, name, launches in every for launch in launches]
    json.dump(found, sys.stdout)
