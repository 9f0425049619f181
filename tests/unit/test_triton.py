"""Triton's kernels without a GPU: run in Triton's interpreter, and compiled for an H100.

What users install has no triton of this version, so it has a folder of its own, which .ci/run fills.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from helpers.checkout import REPOSITORY

TRITON = REPOSITORY / ".venv-triton"
PROGRAMS, MODULES = ("gpu", "launches"), ("gpu.py", "gpu_view.py")
NETWORKS = {"_still_forward", "_thickness_forward", "_colours_forward"}
REGISTERS = {"_march_forward": 184, "_thickness_forward": 160, "_still_forward": 255, "_colours_forward": 255}
pytestmark = pytest.mark.skipif(
    not (TRITON / "triton").is_dir(), reason="there is no .venv-triton (.ci/run installs triton in it)"
)


def run(folder: Path, *arguments: str | Path, **variables: str) -> str:
    """What a program prints that can import triton, on CPU; Triton's cache of what it compiled is in ``folder``."""
    paths = os.pathsep.join(filter(None, [str(TRITON), os.environ.get("PYTHONPATH")]))
    where = {"PYTHONPATH": paths, "TRITON_CACHE_DIR": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, **where, **variables}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def functions(path: Path) -> list[str]:
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


def test_the_interpreter_computes_what_plain_torch_does(tmp_path: Path) -> None:
    """All of tests/unit/test_gpu.py passes but the trainings, which need a GPU; and launches are counted."""
    programs, found = [REPOSITORY / f"tests/unit/test_{name}.py" for name in PROGRAMS], tmp_path / "found.xml"
    options = "-q", "-p", "no:cacheprovider", f"--junitxml={found}"
    run(tmp_path, "-m", "pytest", *options, *programs, TRITON_INTERPRET="1")
    passed, skipped = set(), set()
    for case in ElementTree.parse(found).iter("testcase"):
        (passed if case.find("skipped") is None else skipped).add(case.get("name").split("[")[0])
    assert skipped == {"test_a_model_learnt_on_a_gpu_is_as_good_and_is_rendered_on_cpu"}
    names = [name for program in programs for name in functions(program)]
    assert passed | skipped == {name for name in names if name.startswith("test_")}


@pytest.fixture(scope="module")
def cubins(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each kernel becomes, by tests/cubins.py."""
    return json.loads(run(tmp_path_factory.mktemp("triton"), REPOSITORY / "tests/cubins.py"))


def test_every_kernel_is_compiled_once_and_keeps_its_values_in_registers(cubins: list[dict]) -> None:
    names = [name for path in MODULES for name in functions(REPOSITORY / "src/mixdepth/kernels" / path)]
    assert {cubin["kernel"] for cubin in cubins} == {n for n in names if n.endswith(("_forward", "_backward"))}
    for cubin in cubins:
        assert not cubin["specialised"], cubin  # each value of these would compile it again
        assert cubin["stack"] == cubin["local"] == 0, cubin
        # With 64 half of the threads that an H100 can hold fit. What marches or multiplies keeps more, and has fewer.
        assert cubin["registers"] <= REGISTERS.get(cubin["kernel"], 64), cubin


def test_gradients_are_summed_by_reductions_that_nothing_waits_for(cubins: list[dict]) -> None:
    for cubin in cubins:
        # What products are made of waits for its own block of threads to have written them, and for no other.
        waits = {name for name in cubin["instructions"] if name not in ("MEMBAR.ALL.CTA", "FENCE.VIEW.ASYNC.S")}
        kinds = {name.split(".")[0] for name in waits}
        assert not kinds & {"MEMBAR", "ERRBAR", "FENCE", "CCTL", "ATOM", "ATOMG"}, cubin
        assert ("REDG" in kinds) == (cubin["kernel"] == "_grid_backward"), cubin


def test_networks_use_what_a_gpu_has_for_products(cubins: list[dict]) -> None:
    for cubin in cubins:
        kinds = {name.split(".")[0] for name in cubin["instructions"]}
        assert ("HGMMA" in kinds) == (cubin["kernel"] in NETWORKS), cubin
