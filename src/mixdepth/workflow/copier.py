"""The process that shows what a stage prints and keeps it in the stage's log, and speaks for a stage that is killed.

``python copier.py LOG FD KILLED OUT_OF_MEMORY`` copies standard input to standard output and to the file LOG, until
every process that writes has ended. If nothing came through the pipe FD by then, the stage was ended from outside, and
one of the two messages follows. A process of its own, because a thread of the stage could not drain the pipe while C++
code that writes a lot holds Python's lock; without imports of ours, because every stage waits for its start.
"""

import contextlib
import os
import sys
from pathlib import Path


def out_of_memory_kills() -> int:
    """How often the kernel has killed for want of memory, of the machine or of a cgroup; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        return int(dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines()).get("oom_kill", 0))
    return 0


def main(log: str, ended: int, killed: str, out_of_memory: str) -> None:
    before = out_of_memory_kills()
    outputs = [1]
    with contextlib.suppress(OSError):  # where no log can be made, what is said is still seen
        outputs.append(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666))

    def copy(data: bytes) -> None:
        for output in list(outputs):
            rest = data
            try:
                while rest:
                    rest = rest[os.write(output, rest) :]
            except OSError:  # nobody reads any more, or the disk is full
                outputs.remove(output)

    while data := os.read(0, 1 << 16):
        copy(data)
    if not os.read(ended, 1):
        copy(f"{out_of_memory if out_of_memory_kills() > before else killed}\n".encode(errors="replace"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
