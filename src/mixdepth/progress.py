"""Progress with the time left, as lines: they survive log files and several jobs writing at once."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Print ``label  42 %  210/500  0.31 s left ...`` to stderr at the start, every few seconds and at the end.

    Args:
        label: what is going on, e.g. ``static demo``.
        total: number of steps.
        every: seconds between two lines.
        done: steps that an earlier run has done.
    """

    def __init__(self, label: str, total: int, every: float = 5.0, done: int = 0):
        self.label, self.total, self.every = label, total, every
        self.done = self.before = done
        self.start = self.last = time.monotonic()
        begin = f"going on from step {done} of {total}" if done else f"starting, {total} steps"
        print(f"{label}: {begin}", file=sys.stderr, flush=True)

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """``items``, each counted as a step when it is done with."""
        for item in items:
            yield item
            self.update()

    def update(self, steps: int = 1, /, **figures: float) -> None:
        """Count ``steps`` more; ``figures`` are shown on the line, e.g. ``loss=0.01``."""
        self.done += steps
        now = time.monotonic()
        if now - self.last < self.every and self.done < self.total:
            return
        self.last = now
        elapsed = now - self.start
        left = elapsed / max(self.done - self.before, 1) * (self.total - self.done)
        shown = "".join(f"  {name} {value:.4g}" for name, value in figures.items())
        print(
            f"{self.label}: {100 * self.done // max(self.total, 1)} %  {self.done}/{self.total}{shown}  "
            f"{_clock(elapsed)} gone, {_clock(left)} left",
            file=sys.stderr,
            flush=True,
        )


def _clock(seconds: float) -> str:
    """[H:]MM:SS."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
