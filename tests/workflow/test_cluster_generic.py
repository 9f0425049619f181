"""A cluster that is known by three commands alone, as PBS's: stand-ins that run jobs detached, and end some of them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.checkout import REPOSITORY
from helpers.controller import IMPATIENT, finishes, newest, started, trains, until, wait
from helpers.tiny import tiny_config, write_config, write_tiny_capture
from helpers.workflow import snakemake, workflow

pytest.importorskip("snakemake_executor_plugin_cluster_generic")

STEPS, MODEL, REPORT = 3000, "results/x/none/model.safetensors", "results/x/report.html"
STATUS = REPOSITORY / "profiles/cluster-generic/pbs-status"

# A job is the process group of its first process, whose number is that of the job; what it ended with lies in a file of
# that number. A job that is deleted is told to end, and has some time to.
PBS = {
    "qsub": """
for script; do :; done
setsid sh -c '
trap : TERM
trap "echo \\$? > $2/$$.code" EXIT
. "$1" > "$2/$$.log" 2>&1
' job "$script" "$JOBS" <&- >&- &
echo "$! $*" >> "$JOBS/asked"
echo "$!.here"
""",
    "qstat": """
for job; do :; done
code="$JOBS/${job%.here}.code"
if [ -f "$code" ]; then printf '    job_state = F\\n    Exit_status = %s\\n' "$(cat "$code")"
elif kill -0 "${job%.here}"; then echo '    job_state = R'
else echo "qstat: Unknown Job Id $job" >&2; exit 153; fi
""",
    "qdel": """
for job; do kill -s TERM -- "-${job%.here}"; done
""",
}


def write_pbs(folder: Path) -> dict[str, str]:
    """The stand-ins in ``folder``; the environment in which they are found."""
    for name, text in PBS.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh{text}")
        path.chmod(0o755)
    (folder / "jobs").mkdir()
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "JOBS": str(folder / "jobs")}


@pytest.mark.slow
def test_three_commands_take_the_tiny_scene_to_its_report_and_a_training_that_is_ended_goes_on(tmp_path: Path) -> None:
    there = write_tiny_capture(tmp_path / "there")
    config = tiny_config(variants=["none"])
    config["scenes"]["x"]["dynamic"]["static"]["steps"] = STEPS
    write_config(there, config)
    (there / "profiles").symlink_to(REPOSITORY / "profiles")  # which the profile names by its path from the checkout
    pbs, log = write_pbs(tmp_path), there / "results/x/logs/train_dynamic.none.log"
    run = there / "results/x/runs/none/static"
    options = ["--workflow-profile", "profiles/cluster-generic", "--jobs", "2", "--latency-wait", "10"]
    command = [*workflow(there, "-c", IMPATIENT), *options, "--configfile", str(there / "config.yaml"), "--", REPORT]
    with started(there, command, **pbs) as process:
        wait(lambda: trains(run), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) != 0
    until(lambda: newest(run) and not running(tmp_path / "jobs"))  # it has deleted its jobs
    first = newest(run)
    assert first < STEPS
    with started(there, command, **pbs) as process:
        wait(lambda: log.exists() and f"going on from step {first} of {STEPS}" in log.read_text(), process)
        (training,) = (job for job in running(tmp_path / "jobs") if "train_dynamic" in job)
        subprocess.run(["qdel", f"{training.split()[0]}.here"], env={**os.environ, **pbs}, check=True)
        wait(lambda: newest(run) > first, process)
        second = newest(run)
        assert second < STEPS
        finishes(process, there)
    assert f"going on from step {second} of {STEPS}" in log.read_text()
    assert (there / REPORT).stat().st_size > 100_000
    asked = (tmp_path / "jobs/asked").read_text()
    assert "-l select=1:ncpus=2:mem=" in asked
    assert ":ngpus=0 -l walltime=" in asked
    model = (there / MODEL).read_bytes()
    (there / MODEL).unlink()
    done = snakemake(there, "--configfile", str(there / "config.yaml"), "--", MODEL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (there / MODEL).read_bytes() == model


def running(jobs: Path) -> list[str]:
    """What was asked for of each job that has not ended."""
    lines = (jobs / "asked").read_text().splitlines()
    return [line for line in lines if not (jobs / f"{line.split()[0]}.code").exists()]


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("    job_state = R", "running"),
        ("    job_state = Q", "running"),
        ("    job_state = F\n    Exit_status = 0", "success"),
        ("    job_state = F\n    Exit_status = 271", "failed"),
        ("    job_state = C\n    exit_status = 0", "success"),  # Torque
        ("qstat: Unknown Job Id 7.here", "failed"),
        ("qstat: cannot connect to server (errno=111)", "running"),
    ],
)
def test_what_pbs_says_of_a_job_becomes_one_of_three_words(tmp_path: Path, said: str, word: str) -> None:
    (tmp_path / "qstat").write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    (tmp_path / "qstat").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told = subprocess.run([STATUS, "7.here"], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == f"{word}\n"
