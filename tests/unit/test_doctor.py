"""The doctor answers with nothing installed, and finds what is broken on purpose."""

import ast
import importlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.checkout import REPOSITORY
from helpers.tiny import FRAMES, HEIGHT, WIDTH, write_tiny_capture
from mixdepth import __main__ as program
from mixdepth.cli import parser as cli
from mixdepth.compute import machine
from mixdepth.doctor import checks, doctor
from mixdepth.doctor.checks import (
    check_disk,
    check_ffmpeg,
    check_files,
    check_gpu,
    check_memory,
    check_packages,
    check_python,
)
from mixdepth.scene.config import load_config
from mixdepth.workflow.costs import DEFAULTS, Size, cost, scene_cost, size_of
from mixdepth.workflow.out_of_memory import SETTINGS

LARGE = Size(width=1352, height=1014, colmap=False)
CAPTURE = {
    "cameras": {f"cam{n:02d}": {"width": 640, "height": 480, "frames": 50} for n in range(3)},
    "photos": {"a": {"width": 800, "height": 600}},
}


def bare(folder: Path, *arguments: str, setup: str = "") -> subprocess.CompletedProcess[str]:
    """The doctor in ``folder``, run by a Python without any package, in which a limit may be set up before."""
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(REPOSITORY / 'src')!r}); {setup}\n"
        f"sys.argv[1:] = ['doctor', *{list(arguments)!r}]; runpy.run_module('mixdepth', run_name='__main__')"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, timeout=60)


def files(folder: Path, **contents: str) -> Path:
    """A folder with these files; ``__`` in a name stands for ``/``."""
    for name, text in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# Anywhere


@pytest.mark.parametrize("name", ["__init__", "__main__"])
def test_old_pythons_can_read_what_says_that_they_are_too_old(name: str) -> None:
    source = (REPOSITORY / "src" / "mixdepth" / f"{name}.py").read_text()
    for node in ast.walk(ast.parse(source, feature_version=(3, 6))):
        # What the grammar lets through and Python 3.6 cannot do.
        assert not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        assert not (isinstance(node, ast.keyword) and node.arg in ("capture_output", "text", "strict"))
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            assert isinstance(node.annotation, ast.Name), ast.unparse(node)


def test_an_old_python_says_which_one_to_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    found = f"mixdepth needs Python 3.11 or newer, found 3.9.2 ({sys.executable}); "
    assert program.main() == f"{found}install one beside it"
    for name, status in (("python3.13", 1), ("python3.12", 0)):  # the first is a link to nothing that runs
        (files(tmp_path, **{name: f"#!/bin/sh\nexit {status}\n"}) / name).chmod(0o755)
    assert program.main() == f"{found}there is python3.12: `make demo PYTHON=python3.12`"


def test_a_python_that_cannot_make_environments_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_python(tmp_path).state == "ok"
    monkeypatch.setattr(checks, "has_module", lambda name: name != "ensurepip")
    assert "apt-get install python3-venv" in check_python(tmp_path).advice
    (tmp_path / ".venv").mkdir()
    assert check_python(tmp_path).state == "ok"


def test_without_packages_it_tells_what_is_missing_and_what_a_size_costs(tmp_path: Path) -> None:
    done = bare(tmp_path, "--cameras", "20", "--frames", "300", "--size", "1352x1014")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "missing packages" in done.stdout
    assert "20 cameras x 300 frames of 1352x1014" in done.stdout
    assert len(done.stdout.splitlines()) <= 16
    assert not list(tmp_path.iterdir())


def test_without_packages_a_scene_is_known_by_its_capture(tmp_path: Path) -> None:
    files(tmp_path, **{"results__x__capture.json": json.dumps(CAPTURE), "results__y__capture.json": "{"})
    told = json.loads(bare(tmp_path, "--json").stdout)["scenes"]
    assert [one["name"] for one in told] == ["x", "y"]
    assert told[0]["size"]["cameras"] == 3
    assert told[0]["cost"]["memory_mb"] > 500
    assert told[1]["state"] == "note"
    assert "not known" in told[1]["found"]


def test_the_command_line_reaches_it_too(capsys: pytest.CaptureFixture) -> None:
    status = cli.main(["doctor", "--json", "--size", "320x240", "--cameras", "4", "--frames", "10"])
    told = json.loads(capsys.readouterr().out)
    assert status == (0 if told["ok"] else 1)
    assert told["ok"] == all(one["state"] != "missing" for one in told["checks"])
    assert {"Python", "packages", "ffmpeg", "GPU", "memory", "disk", "files"} <= {one["name"] for one in told["checks"]}
    assert told["scenes"][0]["rules"]["train_dynamic"]["jobs"] == 2


@pytest.mark.parametrize("arguments", [["--size", "12"], ["--cameras", "-1"], ["--scale", "2"]])
def test_a_size_that_is_none_is_refused(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        doctor.main(arguments)
    assert stopped.value.code == 2
    assert arguments[1] in capsys.readouterr().err


# What may be missing


def test_packages_are_held_against_the_pins(tmp_path: Path) -> None:
    files(tmp_path, **{"requirements.txt": "# a comment\ntorch==2.0\nnumpy==1.0  # why\n"})
    right = {"torch": "2.0+cpu", "numpy": "1.0"}
    assert check_packages(tmp_path, right.get).state == "ok"
    other = check_packages(tmp_path, {**right, "numpy": "1.1"}.get)
    assert (other.state, other.found) == ("warning", "numpy 1.1, not 1.0")
    lacking = check_packages(tmp_path, {"numpy": "1.0"}.get)
    assert lacking.state == "missing"
    assert "1 of 2" in lacking.found
    assert "torch" in lacking.found
    assert "make" in lacking.advice
    files(tmp_path, **{".venv__bin__python": ""})
    assert ".venv/bin/python -m mixdepth doctor" in check_packages(tmp_path, {}.get).advice
    assert check_packages(tmp_path / "elsewhere", lambda name: "1.0").state == "note"


def test_an_ffmpeg_that_does_not_run_is_found(tmp_path: Path) -> None:
    assert check_ffmpeg().state == "ok"
    program = files(tmp_path, ffmpeg="#!/bin/sh\nexit 1\n") / "ffmpeg"
    assert check_ffmpeg(lambda: str(program)).state == "missing"  # may not be run
    program.chmod(0o755)
    assert check_ffmpeg(lambda: str(program)).state == "missing"
    program.write_text("#!/bin/sh\necho ffmpeg version 7.0\n")
    assert check_ffmpeg(lambda: str(program)).found == "7.0 (ffmpeg)"


def test_a_package_that_overwrote_ffmpeg_python_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A real module and a real distribution, in a folder that comes first."""
    files(tmp_path, **{"ffmpeg-1.4.dist-info__METADATA": "Metadata-Version: 2.1\nName: ffmpeg\nVersion: 1.4\n"})
    monkeypatch.syspath_prepend(tmp_path)
    assert check_ffmpeg().state == "warning"
    (tmp_path / "ffmpeg.py").write_text("class FFmpeg: pass")
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "ffmpeg", raising=False)
        importlib.invalidate_caches()
        found = check_ffmpeg()
        sys.modules.pop("ffmpeg", None)
    assert found.state == "missing"
    assert "pip uninstall ffmpeg;" in found.advice


def test_a_gpu_that_torch_cannot_use_is_told(tmp_path: Path) -> None:
    assert check_gpu(["H100"], "cpu").state == "warning"
    assert check_gpu(["H100"], "cuda").state == check_gpu([], "cuda").state == check_gpu([], "cpu").state == "ok"
    information = {"proc__driver__nvidia__gpus__0000:01:00.0__information": "Model: \t NVIDIA H100\nIRQ: 1\n"}
    assert machine.gpus(files(tmp_path, **information)) == ["NVIDIA H100"]


def test_nvidia_smi_is_asked_where_the_driver_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        files(tmp_path, **{"nvidia-smi": "#!/bin/sh\n[ $1 = --query-gpu=name ] && echo NVIDIA A100\n"}) / "nvidia-smi"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert machine.gpus(tmp_path) == ["NVIDIA A100"]


@pytest.mark.parametrize(
    ("line", "text", "build"), [("cuda", "= '12.8'", "cuda"), ("cuda: Optional[str]", "= None", "cpu")]
)
def test_the_build_of_torch_is_read_without_importing_it(
    line: str, text: str, build: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemError('imported')")
    (tmp_path / "torch" / "version.py").write_text(f"from typing import Optional\n{line} {text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert checks.torch_build() == build


MEMINFO = "MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable: 12000000 kB\n"


@pytest.mark.parametrize(
    ("cgroup", "limits", "total", "cores"),
    [
        ("0::/job\n", {"job/memory.max": "2000000000\n", "job/cpu.max": "100000 100000\n"}, 2_000_000_000, 1),
        ("0::/job/step\n", {"job/memory.max": "3000000000\n", "job/step/memory.max": "max\n"}, 3_000_000_000, None),
        ("0::/of/the/host\n", {"memory.max": "4000000000\n", "cpu.max": "max 100000\n"}, 4_000_000_000, None),
        (
            "4:memory:/job\n3:cpu,cpuacct:/\n",
            {"memory/job/memory.limit_in_bytes": "2000000000", "cpu/cpu.cfs_quota_us": "-1"},
            2_000_000_000,
            None,
        ),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, 16_384_000_000, None),
    ],
)
def test_limits_of_cgroups_count(cgroup: str, limits: dict, total: int, cores: int | None, tmp_path: Path) -> None:
    files(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup=cgroup)
    files(tmp_path, **{f"sys__fs__cgroup__{name.replace('/', '__')}": text for name, text in limits.items()})
    found = machine.memory(tmp_path)
    assert found[0] == total
    assert found[1] == min(total, 12_288_000_000)
    assert bool(found[2]) == (total < 16_000_000_000)
    assert machine.cores(tmp_path) == (cores or len(os.sched_getaffinity(0)))
    # So does the record of where results come from.
    host = machine.host(tmp_path)
    assert (host["cores"], host["memory_gib"]) == (machine.cores(tmp_path), round(total / 2**30, 1))


def test_little_memory_is_told(tmp_path: Path) -> None:
    files(tmp_path, proc__meminfo="MemTotal: 1000000 kB\n")
    assert check_memory(tmp_path).state == "warning"
    files(tmp_path, proc__meminfo=MEMINFO)
    assert check_memory(tmp_path).state == "ok"


def test_limits_of_the_process_count(tmp_path: Path) -> None:
    setup = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9));"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    )
    done = bare(tmp_path, "--size", "1352x1014", setup=setup)
    assert "ulimit -v" in done.stdout
    assert "64 may be open at once" in done.stdout
    assert "in train_segment; lower" in done.stdout
    assert check_files(64).state == "warning"
    assert check_files(resource.RLIM_INFINITY).state == check_files(4096).state == "ok"


def test_a_disk_without_room_rights_or_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk(tmp_path / "results").state == "ok"
    assert not list(tmp_path.iterdir())
    assert check_disk(tmp_path, free=10**8).state == "warning"

    def without_locks(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(machine.fcntl, "flock", without_locks)
    found = check_disk(tmp_path)
    assert found.state == "missing"
    assert "No locks available" in found.found
    assert not list(tmp_path.iterdir())


def test_a_cluster_is_noted_not_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "installed", {}.get)
    assert checks.check_slurm("/usr/bin/sbatch").state == "note"
    monkeypatch.setattr(checks.shutil, "which", lambda _: None)
    assert checks.check_slurm() is None


# Scenes


def judged(size: Size | None, asked: bool = True, **there: float) -> checks.Finding:
    """What is said of a scene of this size on a machine with enough of everything but what is given."""
    given = {"cores": 2, "memory": 10**12, "free": 10**13, "gpus": 0, **there}
    return doctor.judge(doctor.Scene("x", size, problem="why"), asked, **given)


def test_a_scene_too_large_for_the_machine_is_told_with_what_lowers_it() -> None:
    assert judged(LARGE).state == "ok"
    need = scene_cost(LARGE, 2).memory_mb * 1e6
    short = judged(LARGE, memory=need)  # nothing to spare
    assert short.state == "warning"
    assert "in train_segment" in short.advice
    assert all(f"`{setting}`" in short.advice for setting in SETTINGS["train_segment"])
    assert "`scale: 0.75` would do" in short.advice
    # With 16 cores eight trainings run at once; one after the other they fit.
    assert "--cores 3" in judged(LARGE, memory=1.2 * need, cores=16).advice
    full = judged(LARGE, free=10**9)
    assert full.state == "warning"
    assert "1.0 GB that are free" in full.advice
    assert "`scale`" in full.advice
    cuda = LARGE._replace(dynamic_section={"device": "cuda"})
    assert judged(cuda).state == "missing"
    assert judged(cuda, gpus=1).state == "ok"


def test_what_a_scene_has_already_written_need_not_fit_again(tmp_path: Path) -> None:
    files(tmp_path, a="12345", b__c="123")
    assert machine.used(tmp_path) == 8
    assert machine.used(tmp_path / "nowhere") == 0


def test_a_scene_without_a_size_blocks_only_who_asks_for_it() -> None:
    assert judged(None).state == "missing"
    assert judged(None, asked=False).state == "note"


def test_the_defaults_are_those_of_the_configuration(tmp_path: Path) -> None:
    for name in CAPTURE["cameras"]:
        files(tmp_path, **{f"videos__{name}.mp4": ""})
    scenes = load_config({"scenes": {"x": {"data": str(tmp_path)}}})
    size = size_of(scenes["x"], {**CAPTURE, "photos": {}})
    plain = Size(cameras=3, frames=50, width=640, height=480)
    assert size._replace(static_section={}, dynamic_section={}) == plain
    assert cost("train_dynamic", size) == cost("train_dynamic", plain)
    assert size.threads == plain.threads
    assert DEFAULTS.items() <= {**size.static_section, **size.dynamic_section}.items()


def test_a_configured_scene_is_measured_before_anything_has_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_tiny_capture(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert doctor.main(["--config", "config.yaml", "--verbose", "x"]) == 0
    told = capsys.readouterr().out
    assert f"3 cameras x {FRAMES} frames of {WIDTH}x{HEIGHT}, 2 photos of {WIDTH}x{HEIGHT}" in told
    assert "train_dynamic " in told
    assert not (tmp_path / "results").exists()
    # A capture that cannot work is told in the words of rule `probe`, and blocks.
    (tmp_path / "data/x/videos/cam01.mp4").write_bytes(b"")
    assert doctor.main(["--config", "config.yaml", "x"]) == 1
    assert "cam01.mp4" in capsys.readouterr().out


def test_the_demo_has_its_cost_before_the_workflow_has_made_its_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctor.main(["demo", "--config", str(REPOSITORY / "config/config.yaml")]) == 0
    assert "5 cameras x 24 frames of 320x240, 12 photos" in capsys.readouterr().out


def test_a_wrong_configuration_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = files(tmp_path, **{"c.yaml": "scenes: {x: {data: d, scle: 1}}"}) / "c.yaml"
    assert doctor.main(["--config", str(path), "x"]) == 1
    assert "scle" in capsys.readouterr().out
