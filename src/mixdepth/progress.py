"""Progress with the time left, as lines: they survive log files and several jobs writing at once."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Print ``label  42 %  210/500  0.31 s left ...`` to stderr at the start, every few seconds and at the end.

    Args:
        label: what is going on, e.g. ``static demo``.
        total: number of steps.
        every: seconds between two lines.
    """

    def __init__(self, label: str, total: int, every: float = 5.0):
        self.label, self.total, self.every = label, total, every
        self.done = 0
        self.start = self.last = time.monotonic()
        print(f"{label}: starting, {total} steps", file=sys.stderr, flush=True)

    def update(self, steps: int = 1, **figures: float) -> None:
        """Count ``steps`` more; ``figures`` are shown on the line, e.g. ``loss=0.01``."""
        self.done += steps
        now = time.monotonic()
        if now - self.last < self.every and self.done < self.total:
            return
        self.last = now
        elapsed = now - self.start
        left = elapsed / max(self.done, 1) * (self.total - self.done)
        shown = "".join(f"  {name} {value:.4g}" for name, value in figures.items())
        print(
            f"{self.label}: {100 * self.done // max(self.total, 1)} %  {self.done}/{self.total}{shown}  "
            f"{tqdm.format_interval(elapsed)} gone, {tqdm.format_interval(left)} left",
            file=sys.stderr,
            flush=True,
        )
