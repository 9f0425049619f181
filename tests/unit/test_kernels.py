"""The compiled loops, and plain PyTorch's own gradients, against autograd of plain PyTorch: values and gradients."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from helpers.packed import FRAMES, RAYS, close, packing, rand
from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.kernels import dispatch, heads, plain
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.rendering.trace import VISIBLE, lit_samples

PACKED = ("rows", "z", "dz", "delta", "u", "holds")
compiled = pytest.mark.skipif(dispatch.cpu is None, reason="numba is missing, or refuses the installed numpy")


@pytest.fixture(params=[pytest.param("compiled", marks=compiled), "plain"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """What runs instead of autograd: compiled loops, or the plain PyTorch that a GPU runs."""
    if request.param == "compiled":
        yield
    else:
        with kernels.uncompiled():
            yield


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("points", [0, 1, 500])
@pytest.mark.parametrize("channels", [3, 8, 20])
@pytest.mark.parametrize("is_sum", [False, True])
def test_grid_look_ups_and_their_gradients_are_those_of_grid_sample(points: int, channels: int, is_sum: bool):
    grids = [(rand(3, 11, 11, channels) - 0.5), (rand(3, 11, channels, seed=1) - 0.5)]
    u = rand(points, 3, seed=2) * 2.4 - 1.2  # some beyond the border
    found = []
    for function in (kernels.grid_sum if is_sum else kernels.grid_features, plain.grid_features):
        planes, lines = (g.clone().requires_grad_() for g in grids)
        out = function(planes, lines, u)
        out = out.sum(-1) if is_sum and out.dim() == 2 else out
        (out * rand(*out.shape, seed=3)).sum().backward()
        found.append((out.detach(), planes.grad, lines.grad))
    for one, two in zip(*found, strict=True):
        close(one, two)


@pytest.mark.parametrize("is_sum", [False, True])
def test_plain_gradients_of_grids_are_exact_also_on_nodes_and_borders(is_sum: bool):
    nodes = torch.tensor([-1, -0.75, 0, 0.25, 1])  # of 9 cells along an axis
    u = torch.cat([2.4 * rand(200, 3, seed=2) - 1.2, torch.cartesian_prod(nodes, nodes, nodes)]).double()
    u[:3] = 3 * torch.eye(3)  # far beyond
    found = []
    for function in (kernels.grid_sum if is_sum else kernels.grid_features, plain.grid_features):
        planes = rand(3, 9, 9, 5).double().requires_grad_()
        lines = rand(3, 9, 5, seed=1).double().requires_grad_()
        out = function(planes, lines, u)
        out = out.sum(-1) if is_sum and out.dim() == 2 else out
        (out * rand(*out.shape, seed=3)).sum().backward()
        found.append((out.detach(), planes.grad, lines.grad))
    for one, two in zip(*found, strict=True):
        close(one, two, 1e-13)


@pytest.mark.usefixtures("way")
def test_the_gradient_of_total_variation_is_added_in_place():
    grids = [rand(3, 7, 7, 4).requires_grad_(), rand(3, 7, 4, seed=1).requires_grad_()]
    expected = torch.autograd.grad(0.3 * plain.roughness(*grids), grids)
    kept = [torch.zeros_like(grid) for grid in grids]
    for grid, gradient in zip(grids, kept, strict=True):
        grid.grad = gradient
    for _ in range(2):
        kernels.add_roughness(*grids, 0.3)
    for grid, gradient, once in zip(grids, kept, expected, strict=True):
        assert grid.grad is gradient
        assert (gradient - 2 * once).norm() < 1e-6 * once.norm()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("is_sum", [False, True])
def test_gradients_that_are_kept_are_added_to(is_sum: bool):
    planes, lines = rand(3, 7, 7, 4).requires_grad_(), rand(3, 7, 4, seed=1).requires_grad_()
    u = rand(50, 3, seed=2) * 2 - 1
    function = kernels.grid_sum if is_sum else kernels.grid_features
    function(planes, lines, u).sum().backward()
    kept = planes.grad, lines.grad
    function(planes, lines, u).sum().backward()
    assert planes.grad is kept[0]
    assert lines.grad is kept[1]
    once = torch.autograd.grad(plain.grid_features(planes, lines, u).sum(), (planes, lines))
    close(planes.grad, 2 * once[0])
    close(lines.grad, 2 * once[1])


@compiled
def test_composite_and_its_gradient_are_those_of_plain_torch():
    offsets, rows = packing()
    found = []
    for stop in (kernels.STOP, None):
        tau = (4 * rand(len(rows), seed=1) ** 2).requires_grad_()
        weights = kernels.composite(tau, offsets, rows) if stop else plain.composite(tau, offsets, rows, kernels.STOP)
        (weights * rand(len(rows), seed=2)).sum().backward()
        found.append((weights.detach(), tau.grad))
    for one, two in zip(*found, strict=True):
        close(one, two, 1e-4)
    assert (found[0][0] == 0).any(), "no ray was followed to its end"


def mixed_packing() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Offsets and rows of samples [M], which of the D dynamic ones each is (-1: none), and their static thickness."""
    offsets, rows = packing()
    count = len(rows)
    moves = rand(count, seed=4) < 0.4
    index = torch.where(moves, moves.cumsum(0) - 1, -1)
    return offsets, rows, index, torch.where(rand(count, seed=5) < 0.5, rand(count, seed=6), torch.zeros(count))


@compiled
def test_mixed_compositing_and_its_gradient_are_those_of_plain_torch():
    offsets, rows, index, tau_s = mixed_packing()
    count = len(rows)
    rgb_s = rand(count, 3, seed=7)
    found = []
    for function in (kernels.composite_mixed, plain.composite_mixed):
        tau_d = rand(int((index >= 0).sum()), FRAMES, seed=11)
        tau_d[::3] = 0
        tau_d.requires_grad_()
        weight, rgb, left, _ = function(tau_s, rgb_s, index, tau_d, offsets, rows, None)
        loss = (weight * rand(*weight.shape, seed=12)).sum() + (rgb * rand(*rgb.shape, seed=13)).sum()
        (loss + (left * rand(*left.shape, seed=14)).sum()).backward()
        found.append((weight.detach(), rgb.detach(), left.detach(), tau_d.grad))
    for one, two in zip(*found, strict=True):
        close(one, two)


@compiled
def test_colours_of_rays_and_their_gradients_are_those_of_plain_torch():
    _, rows = packing()
    found = []
    for uncompiled in (False, True):
        weights, colours = rand(len(rows), FRAMES, seed=1).requires_grad_(), rand(len(rows), FRAMES, 3).requires_grad_()
        with kernels.uncompiled() if uncompiled else contextlib.nullcontext():
            rgb = kernels.ray_colours(weights, colours, rows, RAYS)
        (rgb * rand(*rgb.shape, seed=2)).sum().backward()
        found.append((rgb.detach(), weights.grad, colours.grad))
    for one, two in zip(*found, strict=True):
        close(one, two, 1e-6)
    assert kernels.ray_colours(rand(0, 2), rand(0, 2, 3), rows[:0], 4).shape == (4, 2, 3)


def test_rays_of_many_lengths_need_no_dense_block():
    """One ray of 3000 samples beside 40,000 of one, at 16 frames: [rays, samples, frames] would be 7 TB."""
    counts = torch.ones(40_000, dtype=torch.int64)
    counts[17] = 3000
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
    tau = rand(len(rows), 16) * 1e-3
    tau[rows != 17] = 1e4  # in front of it and behind it
    index, dark = torch.arange(len(rows)), torch.zeros(len(rows))
    weight, _, left, _ = plain.composite_mixed(dark, torch.zeros(len(rows), 3), index, tau, offsets, rows, None)
    alone = tau[rows == 17].double()
    light = torch.exp(alone - alone.cumsum(0))
    close(weight[rows == 17], (light * -torch.expm1(-alone)).float(), 1e-7)
    close(left[17], torch.exp(-alone.sum(0)).float(), 1e-6)


@compiled
def test_rays_without_samples_show_what_is_behind_them():
    offsets, rows, nothing = torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0)
    far = torch.tensor([1.0, 2, 3])
    for library in (kernels, plain):
        found = library.composite_mixed(
            nothing, torch.zeros(0, 3), rows, torch.zeros(0, 2), offsets, rows, (nothing, nothing, far)
        )
        assert torch.equal(found[1], torch.zeros(3, 2, 3))
        assert torch.equal(found[2], torch.ones(3, 2))
        assert torch.equal(found[3], far[:, None].expand(3, 2))
        assert torch.equal(library.median_depth(nothing, nothing, nothing, offsets, rows, far), far)
    assert plain.composite(nothing, offsets, rows, kernels.STOP).shape == (0,)


@compiled
@pytest.mark.parametrize("kind", ["forward", "bounded", "unbounded"])
def test_marching_keeps_the_samples_that_plain_torch_keeps(kind: str):
    frame = torch.eye(4)
    frame[:3, 3] = torch.tensor([0.1, -0.2, -0.3])
    space = SpaceMap(Space(kind, "test", 0.5, 6.0, frame.tolist(), [-1.0, -1.0, 0.0], [1.0, 1.2, 2.0], 0.4, 7.0))
    origins = 0.2 * rand(RAYS, 3)
    directions = torch.cat([0.6 * rand(RAYS, 2, seed=1) - 0.3, torch.ones(RAYS, 1)], dim=1)
    near, far = torch.full((RAYS,), 0.5), torch.full((RAYS,), 6.0)
    depths = (0.5 + 5.5 * rand(RAYS, 30, seed=2)).sort(1).values
    mask, sets = rand(8**3, seed=3) < 0.4, (rand(6**3, seed=4) * 8).int()
    low, high = torch.tensor([-0.5, -0.6, -0.9]), torch.tensor([0.6, 0.5, 0.8])
    box, bits = torch.cat([low, 2 / (high - low)]), (rand(RAYS, seed=5) * 8).int()
    stop = 2 + 4 * rand(RAYS, seed=6)
    u = space.normalise(origins[:, None] + depths[..., None] * directions[:, None])
    i = ((u + 1) * 4).long().clamp(0, 7)
    holds = mask[(i[..., 0] * 8 + i[..., 1]) * 8 + i[..., 2]].byte()
    v = (u - low) * box[3:] - 1
    i = ((v + 1) * 3).long().clamp(0, 5)
    shared = sets[(i[..., 0] * 6 + i[..., 1]) * 6 + i[..., 2]] & bits[:, None]
    holds += 2 * ((v.abs().amax(-1) <= 1) & (shared != 0)).byte()
    holds *= depths < stop[:, None]
    expected = plain.march(u, near, far, depths, holds)
    rays = kernels.Rays(origins, directions, near, far, stop)
    found = kernels.march(space.coordinates(), rays, depths, mask, (sets, box, bits))
    assert len(found[1]) == len(expected[1]) > 100
    for one, two in zip(found, expected, strict=True):
        close(one, two, 1e-4)


@compiled
@torch.no_grad()
@pytest.mark.parametrize("doubted", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["forward", "bounded", "unbounded"])
def test_marching_with_densities_keeps_what_light_reaches(kind: str, doubted: float):
    frame = torch.eye(4)
    frame[:3, 3] = torch.tensor([0.1, -0.2, -0.3])
    space = SpaceMap(Space(kind, "test", 0.5, 6.0, frame.tolist(), [-1.0, -1.0, 0.0], [1.0, 1.2, 2.0], 0.4, 7.0))
    camera = Camera(24, 16, 20.0, 20.0, 12.0, 8.0, np.eye(4))
    field = StaticField(9, 3, 2, 8, 1, generator=torch.Generator().manual_seed(0), occupancy_resolution=8)
    field.density_grid.planes *= 12
    field.density_grid.lines *= 10
    field.occupancy.mask = rand(8**3, seed=3) < 0.6
    field.occupancy.looks[rand(8**3, seed=7) < doubted] = 1
    low, high = torch.tensor([-0.5, -0.6, -0.9]), torch.tensor([0.6, 0.5, 0.8])
    region = Region((rand(6, 6, 6, seed=4) * 8).int(), low, high, 3)
    uv = pixel_grid(camera)
    wanted = region, (rand(len(uv), seed=5) * 8).int()
    known = field, space, CameraBatch([camera]), torch.zeros(len(uv), dtype=torch.long), uv, 70, wanted
    found = lit_samples(*known)
    with kernels.uncompiled():
        expected = lit_samples(*known)
    left = 1 - expected[0].sum(expected[2])
    assert 0.05 < (left < VISIBLE).float().mean() < 0.95, "some rays end early"
    # A sample on the border of a cell, or at the end of the light, is kept by the one and not by the other.
    alike = found[0].offsets.diff() == expected[0].offsets.diff()
    assert alike.float().mean() > 0.97
    parts = []
    for traced, *each in (found, expected):
        here = alike[traced.rows]
        parts.append([values[here] for values in (*(getattr(traced, name) for name in PACKED), *each)])
    assert len(parts[0][0]) > 1000
    for one, two in zip(*parts, strict=True):
        close(one, two, 1e-4)


@compiled
@torch.no_grad()
@pytest.mark.parametrize("view_dependence", [False, True])
def test_renders_have_the_colours_of_the_network(view_dependence: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heads, "BLOCK", 100)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # layers begin with torch's own generator
    field = StaticField(9, 3, 5, 8, 1, view_dependence, generator=generator)
    field.colour_grid.planes *= 10
    field.colour_grid.lines *= 10
    u, directions, rows = 2 * rand(250, 3) - 1, rand(40, 3, seed=1) - 0.5, (40 * rand(250, seed=2)).long().sort().values
    behind = rand(3, seed=3)
    found, expected = field.shown(u, directions, rows, behind), field.colour(u, directions, rows)
    close(found + behind, expected)
    assert expected.std(0).min() > 2e-3
    assert field.shown(u[:0], directions, rows[:0], behind).shape == (0, 3)


@compiled
@pytest.mark.parametrize("frames", [1, 5, 16])
def test_frames_are_composited_as_in_plain_torch(frames: int):
    offsets, rows, index, tau_s = mixed_packing()
    count = len(rows)
    z, dz, far = rand(count, seed=8), rand(count, seed=9), rand(RAYS, seed=10) + 5
    layers = kernels.Layers(offsets, rows, z, dz, far, tau_s, rand(count, 3, seed=7), index)
    rays = torch.arange(1, RAYS, 2)
    index[torch.isin(rows, rays, invert=True)] = -1  # the others have none
    here = index[index >= 0]
    index[index >= 0] = torch.arange(len(here))
    tau = 3 * rand(len(here), frames, seed=11)
    sets, parts = (rand(len(here), seed=12) * 8).int(), 1 << (rand(frames, seed=13) * 3).int()
    found, lit, shown = kernels.composite_frames(layers, rays, tau, sets, parts, 1e-2)
    with kernels.uncompiled():
        expected, lit_too, shown_too = kernels.composite_frames(layers, rays, tau, sets, parts, 1e-2)
    for one, two in zip(found, expected, strict=True):
        close(one, two, 2 * kernels.STOP)
    assert torch.equal(lit, lit_too)
    assert 0 < len(lit) < len(here)
    close(shown, shown_too)


@compiled
def test_static_samples_and_those_of_rays_are_merged_by_depth():
    starts = torch.tensor([0, 3, 3, 5])
    cached = (starts, torch.tensor([1.0, 2, 3, 1, 5]), torch.arange(5.0), rand(5, 3))
    pick, offsets = torch.tensor([2, 0, 1, 0]), torch.tensor([0, 2, 2, 3, 6])
    rows, z = torch.tensor([0, 0, 2, 3, 3, 3]), torch.tensor([0.5, 6, 1, 0.5, 1.5, 2.5])
    found = kernels.merge(pick, cached, offsets, rows, z)
    assert found[0].tolist() == [0, 4, 7, 8, 14]
    assert found[4].tolist() == [0, -1, -1, 1, -1, -1, -1, 2, 3, -1, 4, -1, 5, -1]
    assert found[2][found[4] < 0].tolist() == [3, 4, 0, 1, 2, 0, 1, 2]
    for one, two in zip(found[2:], plain.merge(pick, cached, rows, z, 14), strict=True):
        assert torch.equal(one, two)


@compiled
def test_threads_change_no_bit():
    offsets, rows = packing()
    u, planes, lines = rand(3000, 3) * 2 - 1, rand(3, 9, 9, 16, seed=1), rand(3, 9, 16, seed=2)
    index = torch.arange(len(rows))
    layers = kernels.Layers(
        offsets, rows, rows.float(), u[: len(rows), 0], u[:RAYS, 0], u[: len(rows), 1] + 1, u, index
    )
    sets = torch.ones(len(rows), dtype=torch.int32)
    known = layers, torch.arange(RAYS), rand(len(rows), 2, seed=3), sets, sets[:2], 1e-3
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            grids = [t.clone().requires_grad_() for t in (planes, lines)]
            out = kernels.grid_features(*grids, u)
            out.square().sum().backward()
            composited = kernels.composite(rows.float(), offsets, rows), *kernels.composite_frames(*known)[0]
            found.append((out.detach(), *(g.grad for g in grids), *composited))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)
