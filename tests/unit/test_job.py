"""What scripts print: seen live, kept in the log, errors clear, nothing hangs."""

import errno
import os
import platform
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from helpers.checkout import REPOSITORY
from mixdepth.scene.config import SCHEMA
from mixdepth.workflow import job
from mixdepth.workflow.out_of_memory import OTHERS, SETTINGS, memory_errors

SCRIPT = """
import os, subprocess, sys
from types import SimpleNamespace
from snakemake.iocontainers import Namedlist
from mixdepth.workflow import job
from mixdepth.errors import UserError

def main(smk):
{body}

files = Namedlist(["out.npy"])
files._add_name("output")
given = {{"log": ["logs/rule.log"], "input": {{}}, "output": files, "params": {{}}}}
smk = SimpleNamespace(**given, rule="probe", wildcards={{"scene": "x"}})
job.run(smk, main)
print("after")
"""


def run_script(folder: Path, body: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """A script with this ``main``, run in ``folder``; with it what the log holds."""
    code = SCRIPT.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, text=True, capture_output=True, timeout=60)
    return done, (folder / "logs" / "rule.log").read_text()


def test_everything_printed_is_seen_and_kept(tmp_path: Path) -> None:
    done, log = run_script(
        tmp_path,
        """
        print("from print")
        print("from stderr", file=sys.stderr)
        os.write(2, b"from C\\n")
        subprocess.run(["sh", "-c", "echo from a child >&2"])
        """,
    )
    for words in ("from print", "from stderr", "from C", "from a child"):
        assert words in log
        assert words in done.stderr
    assert done.returncode == 0
    # The redirection ends with the work.
    assert done.stdout == "after\n"
    assert "after" not in log


def test_a_users_mistake_is_told_without_a_traceback(tmp_path: Path) -> None:
    done, log = run_script(tmp_path, 'raise UserError("cam01.mp4: file not found")')
    assert done.returncode == 1
    assert log == "mixdepth: error in rule probe (scene x): cam01.mp4: file not found\n"
    assert done.stderr == log


def test_any_other_error_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    done, log = run_script(tmp_path, "{}['key']")
    assert done.returncode == 1
    assert "Traceback" in log
    assert "KeyError: 'key'" in log


def test_what_a_killed_job_left_half_written_of_the_outputs_is_removed_and_nothing_else(tmp_path: Path) -> None:
    here, dead, living = platform.node().replace(".", "-"), dead_process(), os.getppid()
    left = [f".out.{here}-{dead}.part.npy", f"..out.npy.made.{here}-{dead}.part.json"]
    left += [f".out.npy.{here}-{dead}.part/cam01.png", f".out.npy.{here}-{dead}-old.part/cam01.png"]
    left += [".out.long-ago-7.part.npy"]
    kept = [
        f".out.x.{here}-{dead}.part.npy",
        f".other.{here}-{dead}.part.npy",
        "out.part.npy",
        f".out.{here}-{dead}.part",
    ]
    kept += [f".out.{here}-{living}.part.npy", ".out.elsewhere-7.part.npy"]  # of processes that write, or may
    for name in left + kept:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.utime(tmp_path / left[-1], (0, time.time() - 2 * 24 * 3600))
    assert run_script(tmp_path, "pass")[0].returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "logs"}


def dead_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    return ended.pid


def test_a_stage_ends_when_its_snakemake_is_killed(tmp_path: Path) -> None:
    body = "import time; print('ready', flush=True); time.sleep(60)"
    code = SCRIPT.format(body=f"    {body}")
    (tmp_path / "snakemake").write_text(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])")
    command = [sys.executable, "snakemake"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as snakemake:
        assert snakemake.stderr is not None
        assert snakemake.stderr.readline() == "ready\n"
        snakemake.kill()
        told = snakemake.stderr.read()  # until the stage, too, has ended
    assert "the Snakemake that started this has ended" in told


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    done, log = run_script(tmp_path, f"raise OSError({errno.ENOSPC}, 'No space left on device')")
    assert done.returncode == 1
    assert "out.npy: no space left on the device" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "body",
    [
        "import numpy; numpy.ones(1 << 40)",
        "import torch; torch.ones(1 << 40)",
        "data = [bytearray(1 << 28) for _ in range(64)]",
    ],
    ids=["numpy", "torch", "python"],
)
def test_out_of_memory_names_the_stage_and_settings_that_lower_it(tmp_path: Path, body: str) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"
    done, log = run_script(tmp_path, limit + body)
    assert done.returncode == 1
    assert log.startswith("mixdepth: error in rule probe (scene x): probe: out of memory")
    assert "Lower `scale`" in log
    assert "Traceback" not in log


# What a library is given of memory beyond what the process has: less than it needs.
LEAVE = """
import resource
from pathlib import Path
import numpy as np
from mixdepth.cameras.colmap.features import detect
from mixdepth.frames.decode import read_frames
from mixdepth.frames.encode import write_video
from mixdepth.files.images import read_image, write_image

def leave(megabytes):
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (megabytes << 20),) * 2)
"""


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("""
         write_image(Path("a.png"), np.zeros((6000, 8000, 3), np.uint8), "PNG", compress_level=1)
         leave(64)
         read_image(Path("a.png"))
         """, "a.png: cannot be read as an image: that takes more memory"),
        ("""
         write_video(np.zeros((2, 2160, 3840, 3), np.uint8), Path("a.mp4"), 30)
         leave(32)
         list(read_frames(Path("a.mp4"), [0, 1]))
         """, "a.mp4: cannot be read as a video: that takes more memory"),
        ("""
         write_image(Path("a.png"), np.zeros((1200, 1600, 3), np.uint8), "PNG")
         leave(12)
         detect({"a": Path("a.png")}, {"max_features": 8000, "peak_threshold": 0.006, "upscale_to": 200})
         """, ""),
    ],
    ids=["Pillow", "PyAV", "COLMAP"],
)  # fmt: skip
def test_a_library_that_runs_out_of_memory_is_told_with_the_stage_and_settings(
    tmp_path: Path, body: str, named: str
) -> None:
    done, log = run_script(tmp_path, LEAVE + textwrap.dedent(body))
    assert done.returncode != 0
    # COLMAP's features may crash instead: then what keeps the log speaks.
    assert re.search(r"mixdepth: error in rule probe \(scene x\): (probe: out of memory|it was ended from out)", log)
    assert named in log
    assert "Lower `scale`" in log
    assert "Traceback" not in log


def test_the_settings_that_lower_memory_exist() -> None:
    root = yaml.safe_load(SCHEMA.read_text())
    rules = "\n".join(path.read_text() for path in (REPOSITORY / "rules").glob("*.smk"))
    for name, keys in {**SETTINGS, "": OTHERS}.items():
        assert name in ("", "prepare", "train") or re.search(rf"rule {name}:|{name}_{{", rules), name
        for key in keys:
            section = root["$defs"]["scene"]
            for part in key.split("."):
                while "$ref" in section:
                    section = root["$defs"][section["$ref"].split("/")[-1]]
                assert part in section["properties"], key
                section = section["properties"][part]


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_are_not_taken_for_a_lack_of_memory(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), memory_errors("render"):
        raise error


def test_much_output_at_once_does_not_block(tmp_path: Path) -> None:
    # More than a pipe holds, written without letting go of Python's lock in between.
    _, log = run_script(tmp_path, 'os.write(2, b"x" * 3_000_000)')
    assert len(log) == 3_000_000


def test_a_stage_that_is_killed_is_named_with_what_lowers_its_memory(tmp_path: Path) -> None:
    done, log = run_script(tmp_path, 'print("working", flush=True)\nos.kill(os.getpid(), 9)')
    assert done.returncode == -9
    deadline = time.monotonic() + 10
    while log.count("\n") < 2 and time.monotonic() < deadline:  # what speaks for it outlives it
        time.sleep(0.05)
        log = (tmp_path / "logs" / "rule.log").read_text()
    assert log.startswith("working\nmixdepth: error in rule probe (scene x): it was ended from outside, or crashed.")
    assert "Lower `scale`" in log
    assert done.stderr == log


def test_a_stage_that_the_kernel_kills_at_a_limit_of_memory_says_that_memory_ran_out(tmp_path: Path) -> None:
    """A cgroup, as SLURM and containers set it."""
    group = Path(f"/sys/fs/cgroup/memory/mixdepth-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup of memory can be made: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(200 << 20))
        body = f"""
            open("{group}/cgroup.procs", "w").write(str(os.getpid()))
            data = [bytearray(os.urandom(1 << 20)) for _ in range(2000)]
        """
        done, log = run_script(tmp_path, body)
    finally:
        group.rmdir()
    assert done.returncode == -9
    assert "mixdepth: error in rule probe (scene x): killed by the system, which ran out of memory. Lower `sca" in log


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_to_every_process_of_a_job_does_not_silence_what_follows(tmp_path: Path, number: str) -> None:
    """As SLURM sends it at a time limit: a training says what it does, and writes its checkpoint."""
    done, log = run_script(
        tmp_path,
        f"""
        import signal, time
        signal.signal(signal.{number}, lambda *_: None)
        children = open(f"/proc/self/task/{{os.getpid()}}/children").read().split()
        for process in (*children, os.getpid()):
            os.kill(int(process), signal.{number})
        time.sleep(0.2)
        print("and still heard")
        """,
    )
    assert done.returncode == 0, done.stderr
    assert "and still heard" in log
    assert "and still heard" in done.stderr


def test_a_child_that_stays_does_not_keep_the_workflow_waiting(tmp_path: Path) -> None:
    start = time.monotonic()
    done, _ = run_script(
        tmp_path, 'subprocess.Popen(["sleep", "15"])\nfrom mixdepth.workflow import log\nlog.PATIENCE = 1'
    )
    assert done.returncode == 0
    assert time.monotonic() - start < 12


def test_idle_threads_sleep() -> None:
    assert os.environ["OMP_WAIT_POLICY"]


def test_a_job_knows_the_files_of_its_scene_below_any_prefix() -> None:
    scene, folders = "ablation/x.c2", ["ablation/x.c2", "x", "ablation/x.c2", "x"]
    of = {"wildcards": SimpleNamespace(scene=scene), "params": SimpleNamespace(folders=folders)}
    results = job.results(SimpleNamespace(log=[f"made/results/{scene}/logs/report.log"], **of))
    assert results.space == Path("made/results/ablation/x.c2/space.json")
    assert results.cameras == Path("made/results/x/cameras.json")
