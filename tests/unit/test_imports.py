"""What may import what: training and rendering run on a bare GPU node, and nothing can read a pickle."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.bare import ABSENT
from helpers.checkout import REPOSITORY

SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))

BARE = (
    "mixdepth.cli.parser",
    "mixdepth.train.tasks",
    "mixdepth.rendering.tasks",
    "mixdepth.fields.storage",
    "mixdepth.cameras.space",
)


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere in it, with their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def users(package: str) -> set[str]:
    """The modules of mixdepth that import from ``package``."""
    return {name(path) for path in SOURCES if package in {module.split(".")[0] for module in imports(path)}}


def calling(function: str) -> set[str]:
    """The modules of mixdepth that call ``function``, as it is written there."""
    calls = {
        path: [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)] for path in SOURCES
    }
    return {name(path) for path, nodes in calls.items() if function in {ast.unparse(node.func) for node in nodes}}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY / "src" / "mixdepth"))


@pytest.mark.parametrize("module", BARE)
def test_training_and_rendering_need_only_torch_numpy_and_safetensors(module: str) -> None:
    # A module that is None in sys.modules cannot be imported.
    code = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("error", ["ModuleNotFoundError", "ImportError"])
def test_what_tests_a_gpu_is_collected_whole_where_numba_is_missing_or_refuses_numpy(
    tmp_path: Path, error: str
) -> None:
    (tmp_path / "numba.py").write_text(f"raise {error}('not with this numpy')")
    programs = [REPOSITORY / "tests/unit" / name for name in ("test_gpu.py", "test_kernels.py")]
    argv = ["-q", "--collect-only", "-p", "no:cacheprovider", *map(str, programs)]
    absent = (*ABSENT, "tensorboard")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import pytest; sys.exit(pytest.main({argv!r}))"
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tests = {node.name for path in programs for node in ast.parse(path.read_text()).body if hasattr(node, "name")}
    assert {name for name in tests if name.startswith("test_")} == set(re.findall(r"::(\w+)", done.stdout))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY / "src")))
def test_no_module_can_read_or_write_a_pickle_or_run_what_a_file_says(path: Path) -> None:
    names = {name.split(".")[0] for name in imports(path)}
    assert not names & {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
    tree = ast.parse(path.read_text())
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"torch.load", "torch.save", "np.fromfile"}
    # Nothing is run, unpacked or made of what a file says.
    writes_npz = {"zipfile"} if path.name == "io.py" else set()
    assert not names & {"tarfile", "zipfile", "zipimport", "runpy", "code", "pty"} - writes_npz
    assert not [call for call in calls if call.rpartition(".")[2] in ("extract", "extractall")]
    assert not calls & {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "shutil.unpack_archive"}
    assert not calls & {"yaml.unsafe_load", "yaml.full_load", "subprocess.getoutput", "importlib.import_module"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert "shell" not in {keyword.arg for keyword in node.keywords}, f"line {node.lineno}"
            if ast.unparse(node.func) == "yaml.load":
                assert ast.unparse(node.args[1]) == "Loader", f"line {node.lineno}"  # schema.py's SafeLoader
                assert "class Loader(yaml.SafeLoader)" in path.read_text()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "np.save", "np.savez_compressed"):
            allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert allowed.get("allow_pickle") == "False", f"line {node.lineno}"


def test_few_modules_import_pycolmap_and_pillow_comes_first_there() -> None:
    users = {path.name: path for path in SOURCES if any(name.split(".")[0] == "pycolmap" for name in imports(path))}
    assert set(users) == {"mapping.py", "triangulation.py", "features.py"}
    # The others import it by way of features.py, before pycolmap.
    for name, first in (("features.py", "from PIL import"), *[(n, "features import") for n in users if n[0] != "f"]):
        text = users[name].read_text()
        assert text.index(first) < text.index("import pycolmap\n"), name


def test_one_module_reads_and_writes_images() -> None:
    assert users("imageio") == users("OpenEXR") == {"files/images.py"}
    assert calling("Image.open") == {"files/images.py"}


def test_one_module_reads_videos_and_one_writes_them() -> None:
    assert calling("av.open") == {"frames/decode.py"}
    assert users("av") == {"frames/decode.py", "frames/timing.py"}
    assert calling("ffmpeg.output") == {"frames/encode.py"}
    assert users("ffmpeg") - {"doctor/checks.py"} == {"frames/encode.py"}
