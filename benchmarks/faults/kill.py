"""kill -9 of the trainer, Snakemake, ffmpeg and COLMAP over the tiny scene of tests, then the bytes of the next run.

PYTHONPATH=src OMP_NUM_THREADS=1 .venv/bin/python benchmarks/faults/kill.py --kills 20
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))

from test_incremental import TARGETS, outputs, write_tiny_capture  # noqa: E402

# What is killed, by a pattern of its command line: stages are the scripts that Snakemake starts, COLMAP is within one.
VICTIMS = {
    "trainer": r"\.snakemake/scripts/\S*train_(static|dynamic)\.py",
    "Snakemake": r"-m snakemake",
    "ffmpeg": r"^\S*/ffmpeg\S* ",
    "COLMAP": r"\.snakemake/scripts/\S*triangulate\.py",
}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(folder / "config.yaml"), "--cores", "2"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / ".cache"), "NO_COLOR": "1"}
    with (folder / "told.txt").open("w") as told:
        return subprocess.Popen(
            [*command, *arguments, "--", *TARGETS], cwd=folder, env=environment, stdout=told, stderr=told, text=True
        )


def processes(folder: Path) -> dict[int, str]:
    """Command lines of the processes that work in ``folder``: no process of anybody else is ever touched."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found


def kill(folder: Path, run: subprocess.Popen[str], victim: str, dice: random.Random) -> str:
    """Kill the victim at a random moment; the rules that were running, or an empty string where it was too late."""
    moment, wanted = None, dice.randrange(5 if victim == "trainer" else 1)
    delay = {"trainer": 3.0, "Snakemake": 40.0, "ffmpeg": 0.05, "COLMAP": 3.0}[victim] * dice.random()
    seen: set[int] = set()
    while run.poll() is None:
        running = processes(folder)
        pids = [run.pid] if victim == "Snakemake" else [p for p, c in running.items() if re.search(VICTIMS[victim], c)]
        seen.update(pids)
        if pids and len(seen) > wanted:
            moment = moment or time.monotonic() + delay
            if time.monotonic() >= moment:
                os.kill(pids[-1], signal.SIGKILL)
                rules = {m[1] for c in running.values() if (m := re.search(r"scripts/tmp[^.\s]*\.(\w+)\.py", c))}
                return ", ".join(sorted(rules)) or "between stages"
        time.sleep(0.005)
    return ""


def same(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """The files that differ; the record has times, and so have its seal and the report that shows it."""
    return [
        n for n in sorted(expected.keys() | found.keys()) if "provenance" not in n and expected.get(n) != found.get(n)
    ]


def survive(place: Path, seed: int, victim: str, expected: dict[str, str]) -> bool:
    folder = write_tiny_capture(place / f"kill{seed}")
    run = start(folder)
    rules = kill(folder, run, victim, random.Random(seed))
    run.wait()
    orphans = len(processes(folder))
    told = (folder / "told.txt").read_text()
    again, command = start(folder), "none"
    again.wait()
    if "--unlock" in (said := (folder / "told.txt").read_text()):
        command = "--unlock"
        start(folder, command).wait()
        again = start(folder)
        again.wait()
        said = (folder / "told.txt").read_text()
    different = same(expected, outputs(folder)) if again.returncode == 0 else [said[-300:]]
    last = next((line for line in reversed(told.splitlines()) if "rror" in line), "nothing")[:80]
    print(
        f"| {seed} | {victim} | {rules or 'too late'} | {last} | {orphans} | {command} | {different[:3] or 'yes'} |",
        flush=True,
    )
    return not different and bool(rules)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="kills."))
    try:
        if start(undisturbed := write_tiny_capture(place / "undisturbed")).wait():
            sys.exit((undisturbed / "told.txt").read_text())
        expected = outputs(undisturbed)
        print("| seed | victim | running | last error seen | orphans | command | same bytes |")
        print("|---|---|---|---|---|---|---|", flush=True)
        seeds = range(arguments.seed, arguments.seed + arguments.kills)
        survived = sum(survive(place, seed, list(VICTIMS)[seed % 4], expected) for seed in seeds)
        print(f"{survived} of {arguments.kills}")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
