"""``mixdepth`` and ``python -m mixdepth``: see :mod:`mixdepth.cli.parser`. Python 3.6 can read it, to say it is old."""

import shutil
import subprocess
import sys

PYTHON = (3, 11)


def main():
    """Run one command; the doctor with nothing installed, so before anything else is imported."""
    if sys.version_info < PYTHON:
        return too_old(sys.version_info)
    if sys.argv[1:2] == ["doctor"]:
        from mixdepth.doctor import doctor

        return doctor.main(sys.argv[2:])
    from mixdepth.cli.parser import main

    return main()


def too_old(version):
    """What is said under a Python of this version, with one that is there and new enough."""
    names = (f"python3.{minor}" for minor in range(20, PYTHON[1] - 1, -1))
    there = next(filter(runs, names), None)
    advice = f"there is {there}: `make demo PYTHON={there}`" if there else "install one beside it"
    found = ".".join(map(str, version[:3]))
    return f"mixdepth needs Python 3.{PYTHON[1]} or newer, found {found} ({sys.executable}); {advice}"


def runs(name):
    """Whether there is a program of this name that starts."""
    quiet = subprocess.DEVNULL
    return shutil.which(name) and not subprocess.call([name, "--version"], stdout=quiet, stderr=quiet)


if __name__ == "__main__":
    sys.exit(main())
