"""``python -m mixdepth``: see :mod:`mixdepth.cli`."""

import sys

from mixdepth.cli import main

if __name__ == "__main__":
    sys.exit(main())
