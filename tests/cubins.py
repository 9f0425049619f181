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

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mixdepth.kernels import gpu

TOOLS = Path(triton.__file__).parent / "backends/nvidia/bin"
NUMBERS = {"points", "cells", "frames"}
WHOLE = {"index", "offsets"}  # int64; all others are float32
GRID = {"channels": 24, "PADDED": 32, "POINTS": gpu.POINTS}
# What gpu.py launches: constants and options of each kernel, with the channels and frames of a step of preset T.
LAUNCHES = {
    "_grid_forward": [({**GRID, "IS_SUM": is_sum}, {}) for is_sum in (False, True)],
    "_grid_backward": [({**GRID, "IS_SUM": is_sum}, {}) for is_sum in (False, True)],
    "_mixed_forward": [({"FRAMES": 16, "DEPTH": depth}, {"num_warps": 1}) for depth in (False, True)],
    "_mixed_backward": [({"FRAMES": 16}, {"num_warps": 1})],
}


def read(program: str, *arguments: str | Path) -> str:
    return subprocess.run([TOOLS / program, *arguments], capture_output=True, text=True, check=True).stdout


def compiled(name: str, constants: dict, options: dict) -> dict:
    """Registers, bytes of stack and of local memory per thread, and how often each instruction occurs."""
    kernel = getattr(gpu, name)
    types = dict.fromkeys(kernel.arg_names, "*fp32") | dict.fromkeys(WHOLE & {*kernel.arg_names}, "*i64")
    types |= dict.fromkeys(NUMBERS & {*kernel.arg_names}, "i32") | dict.fromkeys(constants, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(types.values()) if kind.startswith("*")}
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
        "specialised": [p.name for p in kernel.params if p.name in NUMBERS and not p.do_not_specialize],
        "instructions": Counter(re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_.x]+)", listing)),
    }


if __name__ == "__main__":
    json.dump([compiled(name, *launch) for name, launches in LAUNCHES.items() for launch in launches], sys.stdout)
