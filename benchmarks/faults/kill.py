"""kill -9 of the trainer, Snakemake, ffmpeg and COLMAP over a small scene, then the bytes of the next run.

    PYTHONPATH=src OMP_NUM_THREADS=1 .venv/bin/python benchmarks/faults/kill.py --kills 20

Four videos and three photos of a rendered place, whose cameras COLMAP finds. The next run starts at once, while what
the killed one has left may still be there; no process and no file of it may be left in the end.
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

from helpers.place import write_place_capture  # noqa: E402
from helpers.tiny import TARGETS, outputs  # noqa: E402
from helpers.workflow import surroundings, workflow  # noqa: E402

# What is killed: a pattern of its command line, how many such processes a whole run has (one of them is chosen), and
# within how many seconds of its start. Stages are the scripts that Snakemake starts; COLMAP runs within two of them.
VICTIMS = {
    "trainer": (r"\.snakemake/scripts/\S*train_(static|dynamic)\.py", 5, 3.0),
    "Snakemake": ("", 1, 60.0),  # known by its number
    "ffmpeg": (r"^\S*/ffmpeg\S* ", 1, 0.05),
    "COLMAP": (r"\.snakemake/scripts/\S*(structure_from_motion|triangulate)\.py", 2, 3.0),
}


def start(folder: Path, *arguments: str, targets: list[str] = TARGETS) -> subprocess.Popen[str]:
    """Start the workflow in ``folder``; what it says goes to told.txt."""
    command = [*workflow(folder), "--configfile", str(folder / "config.yaml"), "--cores", "2", *arguments]
    with (folder / "told.txt").open("w") as told:
        return subprocess.Popen(
            [*command, "--", *targets], cwd=folder, env=surroundings(folder), stdout=told, stderr=told, text=True
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
    pattern, many, within = VICTIMS[victim]
    moment, chosen, delay = None, dice.randrange(many), within * dice.random()
    left = processes(folder).keys()  # by a run that was killed before this one
    seen: set[int] = set()
    while run.poll() is None:
        running = {pid: command for pid, command in processes(folder).items() if pid not in left}
        pids = [run.pid] if victim == "Snakemake" else [pid for pid, c in running.items() if re.search(pattern, c)]
        seen.update(pids)
        if pids and len(seen) > chosen:
            moment = moment or time.monotonic() + delay
            if time.monotonic() >= moment:
                os.kill(pids[-1], signal.SIGKILL)
                rules = {m[1] for c in running.values() if (m := re.search(r"scripts/tmp[^.\s]*\.(\w+)\.py", c))}
                return ", ".join(sorted(rules)) or "between stages"
        time.sleep(0.02 if victim == "ffmpeg" else 0.2)  # looking takes time, too
    return ""


def go_on(folder: Path, targets: list[str] = TARGETS) -> tuple[int, str, str]:
    """The next run: its status, what it said, and the command that it asked for and got before."""
    command = "none"
    status = start(folder, targets=targets).wait()
    if status and "--unlock" in (folder / "told.txt").read_text():
        command = "`--unlock`"
        start(folder, "--unlock", targets=targets).wait()
        status = start(folder, targets=targets).wait()
    return status, (folder / "told.txt").read_text(), command


def survive(place: Path, seed: int, victim: str, expected: dict[str, str]) -> bool:
    """One kill and the run after it; prints a row of the table."""
    dice = random.Random(seed)
    rules = ""
    while not rules:  # the victim may have ended before its moment came
        shutil.rmtree(place / f"kill{seed}", ignore_errors=True)
        folder = write_place_capture(place / f"kill{seed}")
        run = start(folder)
        rules = kill(folder, run, victim, dice)
        run.wait()
    orphans = len(processes(folder))
    status, said, command = go_on(folder)
    found = outputs(folder)
    different = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
    wrong = said[-300:] if status else ", ".join(different[:3]) or "; ".join(processes(folder).values())
    print(f"| {seed} | {victim} | {rules} | {orphans} | {command} | {wrong or 'yes'} |", flush=True)
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first kill")
    arguments = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="kills.")).resolve()
    try:
        if start(undisturbed := write_place_capture(place / "undisturbed")).wait():
            sys.exit((undisturbed / "told.txt").read_text())
        expected = outputs(undisturbed)
        print("| seed | victim | running | processes left | command before the next run | same bytes |")
        print("|---|---|---|---|---|---|", flush=True)
        seeds = range(arguments.seed, arguments.seed + arguments.kills)
        survived = sum(survive(place, seed, list(VICTIMS)[seed % len(VICTIMS)], expected) for seed in seeds)
        print(f"{survived} of {arguments.kills}")
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
