#!/usr/bin/env python3
"""Whether anything static hangs where nothing is: the mean opacity that the static branch gathers on the rays of
held-out cameras before what is there.

.venv/bin/python benchmarks/freespace.py results/demo inherited --truth data/demo/truth.npz
.venv/bin/python benchmarks/freespace.py results/basketball_full colmap

With a truth: before 95 % of the true static depth, on all rays. Without: before the first cell of the motion hull that
the ray of a moving pixel meets (temporal deviation above 0.02): what moves was seen there, so nothing hides it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.space import Space
from mixdepth.evaluation.align import align
from mixdepth.evaluation.truth import nearest_pixels
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.fields.storage import load_model
from mixdepth.frames.store import MOVING_STD
from mixdepth.kernels import composite
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import sample_rays
from mixdepth.results import Results

CHUNK = 4096  # rays
STEPS = 256  # along a ray, to find where it enters the hull


@torch.no_grad()
def opacity_before(
    static: StaticField, space: SpaceMap, camera: Camera, samples: int, limit: torch.Tensor
) -> np.ndarray:
    """Opacity [P] gathered on every pixel's ray before the z-depth ``limit`` [P]; NaN where that is not finite."""
    cameras, grid = CameraBatch([camera]), pixel_grid(camera)
    found = []
    for part in torch.arange(len(grid)).split(CHUNK):
        traced = sample_rays(space, cameras, torch.zeros_like(part), grid[part], samples, static.occupancy)
        weights = composite(static.sigma(traced.u) * traced.delta, traced.offsets, traced.rows)
        found.append(traced.sum(weights * (traced.z < limit[part][traced.rows])))
    return torch.where(limit.isfinite(), torch.cat(found), torch.nan).numpy()


@torch.no_grad()
def first_cell(region: Region, space: SpaceMap, camera: Camera, moving: np.ndarray) -> torch.Tensor:
    """z-depth [P] at which the rays of ``moving`` [H, W] pixels enter the hull; infinite for all others."""
    cameras, grid = CameraBatch([camera]), pixel_grid(camera)
    first = torch.full((len(grid),), torch.inf)
    for part in torch.from_numpy(np.flatnonzero(moving)).split(CHUNK):
        origin, direction = cameras.rays(torch.zeros_like(part), grid[part])
        near, far = space.depth_range(origin, direction)
        share = ((torch.arange(STEPS) + 0.5) / STEPS).expand(len(part), STEPS)
        z = space.depths(share, near, far)
        v = region.local(space.normalise(origin[:, None] + z[..., None] * direction[:, None]))
        inside = (v.abs().amax(-1) <= 1) & region.hull[region.cells(v)]
        first[part] = torch.where(inside, z, torch.inf).amin(1).float()
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("variant")
    parser.add_argument("--truth", type=Path)
    args = parser.parse_args()
    results = Results(args.results)
    torch.set_num_threads(2)
    header, static, dynamic = load_model(results.model(args.variant))
    assert dynamic is not None
    space, posed = SpaceMap(Space.load(results.space)), load_cameras(results.cameras)
    for camera in sorted(set(posed) - set(header["cameras"])):
        if not results.store(camera).std.exists():
            continue
        own = posed[camera]
        if args.truth:
            with np.load(args.truth, allow_pickle=False) as truth:
                names = sorted(posed)
                scale = align(np.stack([posed[name].c2w for name in names]), truth["c2w_opencv"]).scale
                depth = truth["static_depth"][names.index(camera)].astype(np.float64) / scale
            depth = depth[nearest_pixels(depth.shape, (own.height, own.width), str(args.truth))]
            limit = torch.from_numpy(0.95 * depth.reshape(-1)).float()
        else:
            moving = np.load(results.store(camera).std) > MOVING_STD
            limit = first_cell(dynamic.region, space, own, moving)
        found = opacity_before(static, space, own, round(1.25 * header["samples"]), limit)
        print(f"{camera}: {np.nanmean(found):.4f} on {np.isfinite(found).mean():.0%} of the rays")


if __name__ == "__main__":
    main()
