"""``python -m mixdepth``: see :mod:`mixdepth.cli.parser`."""

import sys


def main():
    """Run one command; the doctor by any Python, with nothing installed, so before anything else is imported."""
    if sys.argv[1:2] == ["doctor"]:
        from mixdepth.doctor import doctor

        return doctor.main(sys.argv[2:])
    from mixdepth.cli.parser import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
