"""A training of seconds whose figures are compared across machines: ``python tests/yardstick.py --threads 1 --seed 0``.

Three cameras see a textured wall and a square that crosses in front of it; a fourth, between two of them, is held out.
The figures stand for what a machine may change: how good pictures and depth are, and what is in the models.
"""

import argparse
import contextlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from helpers.training import DYNAMIC, QUIET, STATIC
from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import choose_space
from mixdepth.frames.motion import find_motion
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import SpaceMap
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import train_dynamic_field
from mixdepth.train.static import train_static_field
from mixdepth.train.video import Video

WIDTH, HEIGHT, FRAMES = 48, 36, 4
RED = (220, 30, 30)
TRAINING, HELD_OUT = (-0.25, 0.0, 0.25), 0.125  # places on the x axis
STATIC_STEPS, DYNAMIC_STEPS = 300, 200


def camera(x: float) -> Camera:
    c2w = np.eye(4)
    c2w[0, 3] = x
    return Camera(WIDTH, HEIGHT, 48.0, 48.0, WIDTH / 2, HEIGHT / 2, c2w)


def picture(x: float, frame: int | None) -> np.ndarray:
    """A camera at ``x`` sees a wall of soft patches at depth 4 and, where there is a frame, a red square at depth 3."""
    patches = np.random.default_rng(0).integers(0, 255, (12, 20, 3))
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 2)
    column, row = (u / 12 + x) * 2 + 8, v / 12 * 2 + 5
    i, j = row.astype(int), column.astype(int)
    a, b = (row - i)[..., None], (column - j)[..., None]
    upper, lower = ((1 - b) * patches[k, j] + b * patches[k, j + 1] for k in (i, i + 1))
    image = np.rint((1 - a) * upper + a * lower).astype(np.uint8)
    if frame is not None:
        image[(abs(u / 16 + x - 0.3 + 0.2 * frame) < 0.3) & (abs(v / 16) < 0.3)] = RED
    return image


def film(x: float) -> Video:
    rgb = np.stack([picture(x, frame) for frame in range(FRAMES)])
    return Video.of(camera(x), rgb, find_motion(rgb))


def true_depth(rgb: np.ndarray) -> np.ndarray:
    """z-depth [T, H, W]: the square is red and at 3, the wall at 4."""
    return np.where((rgb == RED).all(-1), 3.0, 4.0)


def psnr(errors: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(errors / 255).mean()))


def figures(threads: int = 1, seed: int = 0) -> dict[str, float]:
    """Train both branches and measure: decibels, shares, means of a model's values."""
    views, cameras = [film(x) for x in TRAINING], [camera(x) for x in TRAINING]
    space = SpaceMap(choose_space(cameras, [(2.5, 4.5)] * len(cameras)))
    common: dict[str, Any] = {"threads": threads, "seed": seed, "resolution": 32, "start_resolution": 16, "samples": 48}
    plates = [picture(x, None) for x in TRAINING]
    sure = [(np.full((HEIGHT, WIDTH), 4.0), np.ones((HEIGHT, WIDTH))) for _ in TRAINING]
    options = replace(STATIC, **common, steps=STATIC_STEPS, depth_weight=0.3)
    static = train_static_field(ImageSet(plates, cameras, depth=sure), None, space, options, QUIET)
    options = replace(DYNAMIC, **common, steps=DYNAMIC_STEPS)
    dynamic = train_dynamic_field(views, static, space, options, QUIET)
    rgb, depth = render_video(static, dynamic, space, camera(HELD_OUT), 60)
    truth = film(HELD_OUT)
    errors, off = rgb.astype(float) - truth.rgb, np.abs(depth / true_depth(truth.rgb) - 1)
    moves = (true_depth(truth.rgb) == 3).any(0)
    with torch.no_grad():
        return {
            "psnr": psnr(errors),
            "psnr_moving": psnr(errors[:, moves]),
            "depth_median": float(np.median(off)),
            "depth_within_5_percent": float((off < 0.05).mean()),
            "static_density": float(static.density_grid.planes.double().abs().mean()),
            "static_colour": float(static.colour_grid.planes.double().abs().mean()),
            "static_occupied": float(static.occupancy.mask.double().mean()),
            "dynamic_density": float(dynamic.density_grid.planes.double().abs().mean()),
            "dynamic_codes": float(dynamic.density_frames.double().abs().mean()),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="plain PyTorch in place of numba's loops")
    args = parser.parse_args()
    with kernels.uncompiled() if args.plain else contextlib.nullcontext():
        print(json.dumps(figures(args.threads, args.seed)))


if __name__ == "__main__":
    main()
