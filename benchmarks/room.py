#!/usr/bin/env python3
"""The demo's room with movers that are hard to tell from what stands still: does depth cost what moves?

    .venv/bin/python benchmarks/room.py                  # writes the capture into data/room (a minute)
    .venv/bin/snakemake --cores 2 --configfile benchmarks/room.yaml -- results/room/report.html

One mover stays in its place for half of the clip, so that the plates show it; one turns in place, before the same wall
all the time; one moves close before a wall, where the static depth leaves it little room. The photos are taken at
another exposure, and of an empty room. Rig, room and light are those of the demo.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from mixdepth.demo import materials
from mixdepth.demo.capture import VIEW_STEPS, write_films, write_photo
from mixdepth.demo.render import Shot
from mixdepth.demo.rig import PHOTO_CAMERAS, VIDEO_CAMERAS
from mixdepth.demo.scene import FRAMES, rolled
from mixdepth.demo.solids import Ball
from mixdepth.progress import Progress

EXPOSURE = 0.7  # of the photos, in display colours, by that of the videos


def movers(frame: int) -> tuple[Ball, ...]:
    """What moves at ``frame``: a ball that stays from a quarter of the clip to three quarters, a globe that turns in
    place, a balloon before the back wall."""
    share = frame / (FRAMES - 1)
    on_its_way = min(share, 0.25) + max(share - 0.75, 0.0)  # 0 to 0.5
    x, radius = -1.7 + 5.6 * on_its_way, 0.5
    staying = Ball((x, -1.5 + radius, -4.6), rolled(materials.beach_ball, x / radius), radius=radius)
    turning = Ball((0.35, -0.1, -5.1), rolled(materials.balloon, 4.0 * share), radius=0.42)
    height = 0.7 + 0.25 * round(math.sin(5.5 * share), 6)
    before_wall = Ball((0.9 - 2.0 * share, height, -7.55), rolled(materials.balloon, 0.3 * share), radius=0.36)
    return staying, turning, before_wall


def main() -> None:
    """Write the capture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", default=Path("data/room"))
    output = parser.parse_args().output
    for name in PHOTO_CAMERAS:
        picture = Shot(PHOTO_CAMERAS[name]).still()
        write_photo(output / "photos" / name, np.round(EXPOSURE * picture).astype(np.uint8))
    write_films(output, movers, Progress("room", len(VIDEO_CAMERAS) * (VIEW_STEPS + FRAMES)))


if __name__ == "__main__":
    main()
