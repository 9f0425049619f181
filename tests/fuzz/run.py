#!/usr/bin/env python3
"""Feed broken files to every reader: each case must end with a right result or one clear error, within 10 seconds and
1 GB, and must write nothing. Prints a Markdown table; exit status 1 where a case fails, which is then told with the
command that repeats it.

.venv/bin/python tests/fuzz/run.py                                    # 10,000 cases, a few minutes
.venv/bin/python tests/fuzz/run.py --cases 200 --parser "COLMAP text"
.venv/bin/python tests/fuzz/run.py --parser space.json --only 17      # that case alone, with its traceback
"""

import argparse
import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve()
SECONDS = 10.0
IMPORTS = 120.0  # seconds until a process has imported everything
BYTES = 1 << 30
LONGEST = 4096  # characters of an error that is still clear
# Of CPython's audit events, those that no reader may cause.
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
CHANGING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parser", help="one of them only")
    parser.add_argument("--only", type=int, help="one case of --parser, in this process")
    parser.add_argument("--child", type=int, metavar="FIRST", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    from parsers import PARSERS

    names = [found.name for found in PARSERS if args.parser in (None, found.name)]
    if args.child is not None:
        return child(names, args.seed, args.cases, args.child)
    if args.only is not None:
        result = case(args.parser, args.seed, args.only, told=True)
        print(json.dumps(result, ensure_ascii=False))
        return result["outcome"] == "failure"
    share, more = divmod(args.cases, len(names))
    reports = [run([name], args.seed, share + (index < more)) for index, name in enumerate(names)]
    print(table(reports))
    return any(report.failures for report in reports)


# One case


def case(name: str, seed: int, number: int, told: bool = False) -> dict:
    """Break one input, read it, and say what came of it: outcome (right, error, failure), message and seconds."""
    from parsers import PARSERS

    from mixdepth.errors import UserError

    parser = next(found for found in PARSERS if found.name == name)
    rng = random.Random(f"{seed} {name} {number}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place) / "in"
        folder.mkdir()
        parser.write(folder, rng)
        before = time.monotonic()
        _watch.update(folder=str(folder), seen=[])
        try:
            parser.read(folder)
            outcome, message = "right", ""
        except UserError as error:
            message = str(error)
            outcome = "error" if is_clear(message, folder) else "failure"
            message = message if outcome == "error" else f"not a clear error: {message[:300]!r}"
        except Exception as error:
            outcome, message = "failure", f"{type(error).__name__}: {str(error)[:300]}"
            if told:
                traceback.print_exc()
        finally:
            _watch["folder"] = ""
        seconds = time.monotonic() - before
        if _watch["seen"]:
            outcome, message = "failure", f"did {_watch['seen'][:3]}"
    return {
        "parser": name,
        "number": number,
        "outcome": outcome,
        "message": message,
        "seconds": seconds,
        "peak": peak(),
    }


def is_clear(message: str, folder: Path) -> bool:
    """Whether an error names a file or a key, is short and can be printed."""
    keys = "scenes.", "the configuration", "`frames.count`", "data/"
    named = any(name in message for name in (str(folder), *keys, *(path.name for path in folder.iterdir())))
    return named and len(message) <= LONGEST and all(letter.isprintable() or letter == "\n" for letter in message)


_watch: dict = {"folder": "", "seen": []}


def watch(event: str, args: tuple) -> None:
    """An audit hook: note what a reader does beside reading."""
    folder = _watch["folder"]
    if not folder:
        return
    if event in FORBIDDEN:
        _watch["seen"].append((event, str(args)[:100]))
    elif event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not str(args[0]).startswith((folder, "/dev/null")):
            _watch["seen"].append(("write", str(args[0])[:100]))
    elif event in CHANGING and not str(args[0]).startswith(folder):
        _watch["seen"].append((event, str(args[0])[:100]))


def peak() -> int:
    """The most memory that this process has had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# Many


def child(names: list[str], seed: int, count: int, first: int) -> int:
    """Run ``count`` cases of each of ``names`` from the case ``first`` of all on, one line of JSON each, with memory
    limited to BYTES beyond what the imports took."""
    import torch  # before the limit: its libraries reserve a lot

    torch.set_num_threads(1)
    sys.addaudithook(watch)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cases = [(name, number) for name in names for number in range(count)]
    for name in names:
        case(name, seed, -1)  # imports what is imported late
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + BYTES, taken + BYTES))
    print(json.dumps({"start": peak()}), file=answers, flush=True)
    for name, number in cases[first:]:
        print(json.dumps(case(name, seed, number)), file=answers, flush=True)
    return 0


@dataclass
class Report:
    """What came of the cases of one reader."""

    name: str
    right: int = 0
    errors: int = 0
    slowest: float = 0.0
    memory: int = 0  # bytes beyond those before the first case
    failures: list[str] = field(default_factory=list)


def run(names: list[str], seed: int, count: int) -> Report:
    """``count`` cases of each of ``names``, in a process of their own; a case that hangs or ends it costs that process
    only."""
    report, done = Report(", ".join(names)), 0
    while done < count * len(names):
        command = [sys.executable, str(HERE), "--seed", str(seed), "--cases", str(count), "--child", str(done)]
        command += ["--parser", names[0]] if len(names) == 1 else []
        start = 0
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, bufsize=0) as process,
        ):
            assert process.stdout is not None
            while line := answer(process.stdout, SECONDS if start else IMPORTS):
                result = json.loads(line)
                if "start" in result:
                    start = result["start"]
                else:
                    note(report, result, start)
                    done += 1
            process.kill()
            said.seek(0)
            tail = said.read()[-300:].decode(errors="replace")
        if not start:
            raise RuntimeError(f"{' '.join(command)} did not start: {tail}")
        if done < count * len(names):
            failed(report, names[done // count], done % count, f"no answer, or the process ended: {tail}")
            done += 1
    return report


def answer(pipe: IO[bytes], patience: float) -> bytes:
    """The next line, empty where none comes within ``patience`` seconds. Unbuffered: a line is written in one go."""
    ready = select.select([pipe], [], [], patience)[0]
    return pipe.readline() if ready else b""


def note(report: Report, result: dict, start: int) -> None:
    report.right += result["outcome"] == "right"
    report.errors += result["outcome"] == "error"
    report.slowest = max(report.slowest, result["seconds"])
    report.memory = max(report.memory, result["peak"] - start)
    if result["outcome"] == "failure":
        failed(report, result["parser"], result["number"], result["message"])


def failed(report: Report, name: str, number: int, message: str) -> None:
    again = f'tests/fuzz/run.py --parser "{name}" --only {number}'
    report.failures.append(f"{again}: {message}")
    print(f"FAILED {again}\n  {message}", file=sys.stderr)


def table(reports: list[Report]) -> str:
    """One row per reader, and their sum."""
    lines = [
        "| reader | cases | right results | clear errors | failures | slowest, s | memory, MB |",
        "|---|" + "---:|" * 6,
    ]
    total = Report("all")
    for report in reports:
        total.right, total.errors = total.right + report.right, total.errors + report.errors
        total.failures += report.failures
        total.slowest, total.memory = max(total.slowest, report.slowest), max(total.memory, report.memory)
    for r in [*reports, total]:
        cases = r.right + r.errors + len(r.failures)
        figures = f"{cases} | {r.right} | {r.errors} | {len(r.failures)} | {r.slowest:.2f} | {r.memory / 1e6:.0f}"
        lines.append(f"| {r.name} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
