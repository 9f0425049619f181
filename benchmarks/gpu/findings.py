"""What the stages of a benchmark find: told at once, kept whatever fails.

A stage is a function that yields pairs (what, value). A value that is a function is called here: what it raises is told
with its traceback, and the stage goes on.
"""

import argparse
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mixdepth.errors import Interrupted

LONGEST = 1500  # characters of an error
Found = Iterator[tuple[str, Any]]


class Findings:
    """What has been found, by stage; with a line on stderr and written to ``$OUT/name.json`` as it comes.

    Args:
        kept: a file where findings of earlier commands are, and of this one.
    """

    def __init__(self, name: str, kept: Path | None = None):
        self.out = Path(os.environ["OUT"]) if os.environ.get("OUT") else None
        self.name, self.start = name, time.monotonic()
        self.files = [kept] if kept else []
        if self.out:
            self.files.append(self.out / f"{name}.json")
        self.found: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept and kept.exists() else {}
        self.failed: list[str] = []

    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.start

    def say(self, stage: str, what: str, value: Any) -> None:
        """Tell and keep one finding."""
        self.found.setdefault(stage, {})[what] = value
        print(f"{self.seconds():6.1f} s  {stage}: {what}: {shown(value)}", file=sys.stderr, flush=True)
        text = json.dumps(self.found, indent=1, default=str) + "\n"  # with NaN, which is a finding too
        for path in self.files:
            temporary = path.with_suffix(".tmp")
            temporary.write_text(text)
            temporary.rename(path)

    def run(self, stage: str, find: Callable[[], Found]) -> None:
        """Run a stage to its end, whatever it raises.

        Raises:
            Interrupted: time is up.
        """
        self.found.pop(stage, None)
        start, failures = time.monotonic(), len(self.failed)
        try:
            for what, value in find():
                self._take(stage, what, value)
        except Interrupted as error:
            self.failed.append(stage)
            self.say(stage, "STOPPED", str(error))
            raise
        except Exception as error:
            self._fail(stage, "FAILED", error)
        if len(self.failed) == failures:
            self.say(stage, "done, s", time.monotonic() - start)

    def _take(self, stage: str, what: str, value: Any) -> None:
        try:
            value = value() if callable(value) else value
        except Interrupted:
            raise
        except Exception as error:
            self._fail(stage, f"{what} FAILED", error)
        else:
            self.say(stage, what, value)

    def _fail(self, stage: str, what: str, error: Exception) -> None:
        self.failed.append(stage)
        self.say(stage, what, f"{type(error).__name__}: {error}"[:LONGEST])
        traceback.print_exception(error)

    def finish(self, goals: Mapping[tuple[str, str], str] | None = None) -> str | None:
        """Print one Markdown table of everything found, also into ``$OUT/name.md``; what to exit with."""
        rows = [("what", "value", "goal"), ("---",) * 3]
        for stage, found in self.found.items():
            for what, value in found.items():
                text = " / ".join(shown(value).replace("|", "\\|").split("\n"))
                rows.append((f"{stage}: {what}", text, (goals or {}).get((stage, what), "")))
        text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        print(text, flush=True)
        if self.out:
            (self.out / f"{self.name}.md").write_text(text + "\n")
        return f"failed: {', '.join(dict.fromkeys(self.failed))}" if self.failed else None


def shown(value: Any) -> str:
    """A finding as text: four digits, and what is in a mapping or sequence one after the other."""
    if value is None:
        return "not there"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e4 <= abs(value) < math.inf else f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(part) for part in value)
    return str(value)


def parse(
    parser: argparse.ArgumentParser, stages: Iterable[str], cameras: int, given: list[str] | None
) -> argparse.Namespace:
    """The arguments, with those that all benchmarks here have; ``stages`` are those wanted, in their order."""
    known = list(stages)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(known)}; all without any")
    parser.add_argument("--cameras", type=int, default=cameras, help="of the capture, 1.2 GB each")
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, help="colour networks in bfloat16 or not")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for a CPU")
    args = parser.parse_args(given)
    if unknown := set(args.stages) - set(known):
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if args.cameras < 3:
        parser.error("--cameras: one is held out, and two have to learn")
    args.stages = [stage for stage in known if not args.stages or stage in args.stages]
    return args
