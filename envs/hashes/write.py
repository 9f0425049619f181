"""Write the hashes of all published files of what is installed: build.txt, run.txt and dev.txt beside this file. To be
run after a change of the pins (requirements*.txt, constraints.txt), where a package index can be reached.

python envs/hashes/write.py    # needs the program uv: `pip install uv` anywhere on the PATH

Without torch and the CUDA libraries that its default build brings: the user chooses that build. The hashes are what the
index tells, which is trusted at this moment and never again.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FIRST = "setuptools"  # builds the one package that is published as source alone, and mixdepth
HEAD = "# {what} Written by envs/hashes/write.py, which also says what is not in it.\n"


def main() -> int:
    spelling = {plain(name): name for name in pins(ROOT / "constraints.txt")}
    every, run = compiled("requirements.txt", "requirements-dev.txt"), compiled("requirements.txt")
    if absent := sorted(spelling.keys() - every.keys()):
        sys.exit(f"constraints.txt: nothing needs {', '.join(absent)}; take it out")
    every = {name: every[name] for name in sorted(spelling.keys() - {"torch"})}
    write("build.txt", "What builds packages.", spelling, every, {FIRST})
    write("run.txt", "All that requirements.txt needs.", spelling, every, run.keys() - {FIRST})
    write("dev.txt", "What requirements-dev.txt needs beyond that.", spelling, every, every.keys() - run.keys())
    return 0


def pins(path: Path) -> dict[str, str]:
    """Name and version of every line of a file of requirements."""
    return dict(re.findall(r"(?m)^([\w.-]+)==([\w.+!-]+)", path.read_text()))


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def compiled(*files: str) -> dict[str, str]:
    """What these files need on Linux, everything by constraints.txt: name -> version and hashes, in pip's words."""
    options = ("--quiet", "--no-config", "--generate-hashes", "--no-header", "--no-annotate")
    command = ["uv", "pip", "compile", *options, "--python-platform", "x86_64-manylinux_2_28"]
    done = subprocess.run(
        [*command, "--python", sys.executable, "-c", "constraints.txt", *files],
        cwd=ROOT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    blocks = re.split(r"\n(?=\S)", done.stdout.strip())
    return {block.partition("==")[0]: block.partition("==")[2] for block in blocks}


def write(file: str, what: str, spelling: Mapping[str, str], every: Mapping[str, str], names: Iterable[str]) -> None:
    lines = [f"{spelling[name]}=={every[name]}\n" for name in sorted(set(names) & every.keys())]
    (HERE / file).write_text(HEAD.format(what=what) + "".join(lines))


if __name__ == "__main__":
    sys.exit(main())
