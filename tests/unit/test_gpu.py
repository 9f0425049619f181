"""On a GPU: Triton kernels against plain PyTorch, and training against the CPU's.

Without one, ``TRITON_INTERPRET=1`` runs the kernels in Triton's interpreter on CPU, where triton is installed
(tests/unit/test_triton.py does). Triton's kernels stay off by default until all of this has passed on a GPU.
"""

import os
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch

from helpers.packed import FRAMES, RAYS, close, packing, rand
from helpers.training import CAMERAS, DYNAMIC, QUIET, SPACE, STATIC, blinking
from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.fields.storage import load_model, save_model
from mixdepth.kernels import dispatch, plain
from mixdepth.rendering.mixed_view import render_video, trace
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import train_dynamic_field
from mixdepth.train.static import train_static_field

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def gpu() -> ModuleType:
    if not (INTERPRETED or torch.cuda.is_available()):
        pytest.skip("there is no GPU, and TRITON_INTERPRET=1 is not set")
    pytest.importorskip("triton")
    from mixdepth.kernels import gpu

    return gpu


@pytest.mark.parametrize("points", [0, 1, 200])
@pytest.mark.parametrize("channels", [3, 8, 20])
@pytest.mark.parametrize("is_sum", [False, True])
def test_grid_look_ups_and_their_gradients_are_those_of_grid_sample(gpu, points: int, channels: int, is_sum: bool):
    grids = [(rand(3, 11, 11, channels) - 0.5), (rand(3, 11, channels, seed=1) - 0.5)]
    u = (rand(points, 3, seed=2) * 2.4 - 1.2).to(DEVICE)  # some beyond the border
    found = []
    for function in (gpu.Grid, plain.Grid, None):
        planes, lines = (g.to(DEVICE, copy=True).requires_grad_() for g in grids)
        if function:
            out = function.apply(planes, lines, u, is_sum)
        else:
            out = plain.grid_features(planes, lines, u)
            out = out.sum(-1) if is_sum else out
        weight = rand(*out.shape, seed=3).to(DEVICE)
        weight[: points // 2] = 0
        (out * weight).sum().backward()
        found.append((out.detach(), planes.grad, lines.grad))
    for fused, unfused, expected in zip(*found, strict=True):
        close(fused, expected)
        close(unfused, expected)


def test_gradients_of_grids_that_are_kept_are_added_to(gpu):
    grids = rand(3, 11, 11, 24).to(DEVICE).requires_grad_(), rand(3, 11, 24, seed=1).to(DEVICE).requires_grad_()
    u = (rand(50, 3, seed=2) * 2 - 1).to(DEVICE)
    gpu.Grid.apply(*grids, u, True).sum().backward()
    kept = [grid.grad for grid in grids]
    gpu.Grid.apply(*grids, u, False).sum().backward()
    once = torch.autograd.grad(plain.grid_features(*grids, u).sum(), grids)
    for grid, gradient, expected in zip(grids, kept, once, strict=True):
        assert grid.grad is gradient
        close(gradient, 2 * expected)


@pytest.mark.parametrize("with_depth", [False, True])
@pytest.mark.parametrize("thickness", [1.0, 100.0, 0.001])
def test_mixed_compositing_and_its_gradient_are_those_of_plain_torch(gpu, with_depth: bool, thickness: float):
    offsets, rows = (t.to(DEVICE) for t in packing())
    count = len(rows)
    moving = (rand(count, seed=4) < 0.4).nonzero().squeeze(1)
    index = torch.full((count,), -1)
    index[moving] = torch.arange(len(moving))
    tau_s = thickness * torch.where(rand(count, seed=5) < 0.5, rand(count, seed=6), torch.zeros(count))
    rgb_s = torch.where(tau_s[:, None] > 0, rand(count, 3, seed=7), torch.zeros(count, 3))
    z, dz, far = rand(count, seed=8), rand(count, seed=9), rand(RAYS, seed=10) + 5
    z, dz, far = (t.to(DEVICE) if with_depth else t[:0].to(DEVICE) for t in (z, dz, far))
    tau_s, rgb_s, index = tau_s.to(DEVICE), rgb_s.to(DEVICE), index.to(DEVICE)
    found = []
    for fused in (True, False):
        tau_d = thickness * rand(len(moving), FRAMES, seed=11)
        tau_d[::3] = 0
        tau_d = tau_d.to(DEVICE).requires_grad_()
        if fused:
            out = gpu.Mixed.apply(tau_d, tau_s, rgb_s, index, offsets, z, dz, far)
        else:
            depths = (z, dz, far) if with_depth else None
            out = plain.composite_mixed(tau_s, rgb_s, index, tau_d, offsets, rows, depths)
        sum((part * rand(*part.shape, seed=12 + i).to(DEVICE)).sum() for i, part in enumerate(out[:3])).backward()
        found.append((*(part.detach() for part in out[: 4 if with_depth else 3]), tau_d.grad))
    for one, two in zip(*found, strict=True):
        close(one, two)


@pytest.mark.parametrize("rays", [0, 3])
def test_rays_without_samples_show_what_is_behind_them(gpu, rays: int):
    nothing, far = torch.zeros(0, device=DEVICE), torch.arange(float(rays), device=DEVICE)
    whole = torch.zeros(0, dtype=torch.int64, device=DEVICE)
    tau_d = torch.zeros(0, 2, device=DEVICE, requires_grad=True)
    offsets, dark = torch.zeros(rays + 1, dtype=torch.int64, device=DEVICE), torch.zeros(0, 3, device=DEVICE)
    weight, rgb, left, depth = gpu.Mixed.apply(tau_d, nothing, dark, whole, offsets, nothing, nothing, far)
    (rgb.sum() + left.sum()).backward()
    assert weight.shape == tau_d.grad.shape == (0, 2)
    assert torch.equal(rgb, torch.zeros_like(rgb))
    assert torch.equal(left, torch.ones_like(left))
    assert torch.equal(depth, far[:, None].expand(rays, 2))


def test_what_is_hidden_gets_no_gradient_of_rounding(gpu):
    """Adam divides by a gradient's size: noise behind an opaque surface would move what nobody sees."""
    offsets, index = torch.tensor([0, 200], device=DEVICE), torch.arange(200, device=DEVICE)
    tau_d = rand(200, FRAMES).to(DEVICE)
    tau_d[100] = 60
    tau_d.requires_grad_()
    empty = torch.zeros(0, device=DEVICE)
    dark = torch.zeros(200, device=DEVICE)
    out = gpu.Mixed.apply(tau_d, dark, torch.zeros(200, 3, device=DEVICE), index, offsets, empty, empty, empty)
    (out[0] * rand(200, FRAMES, seed=1).to(DEVICE)).sum().backward()
    assert tau_d.grad[101:].abs().max() < 1e-12 < tau_d.grad[:10].abs().min()


def small_model(kind: str, doubted: float, view_dependence: bool) -> tuple[StaticField, DynamicField, SpaceMap]:
    """Two branches with light that ends on some rays and passes others, in a space of one of the kinds."""
    frame = torch.eye(4)
    frame[:3, 3] = torch.tensor([0.1, -0.2, -0.3])
    space = Space(kind, "test", 0.5, 6.0, frame.tolist(), [-1.0, -1.0, 0.0], [1.0, 1.2, 2.0], 0.4, 7.0)
    generator = torch.Generator().manual_seed(0)
    static = StaticField(9, 3, 5, 12, 1, view_dependence, occupancy_resolution=8, generator=generator)
    static.occupancy.mask = rand(8**3, seed=3) < 0.7
    static.occupancy.looks[rand(8**3, seed=7) < doubted] = 1
    low, high = torch.tensor([-0.5, -0.6, -0.9]), torch.tensor([0.6, 0.5, 0.8])
    region = Region((rand(6, 6, 6, seed=4) * 8).int(), low, high, 3)
    dynamic = DynamicField(region, 9, 5, 4, 20, generator)
    with torch.no_grad():
        for grid, factor in ((static.density_grid, 110), (dynamic.density_grid, 30), (dynamic.colour_grid, 30)):
            grid.planes *= factor
    return static.to(DEVICE), dynamic.to(DEVICE), SpaceMap(space, DEVICE)


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "doubted", "views", "frames"),
    [
        ("forward", 0.5, True, [0, 1, 2]),
        ("bounded", 0.0, False, [2]),
        ("unbounded", 0.5, True, [0.5]),
    ],
)
def test_a_picture_is_that_of_plain_torch(gpu, monkeypatch, kind: str, doubted: float, views: bool, frames: list):
    static, dynamic, space = small_model(kind, doubted, views)
    camera = Camera(8, 6, 7.0, 7.0, 4.0, 3.0, np.eye(4))
    wanted = torch.tensor(frames, dtype=torch.float64 if 0.5 in frames else torch.int64, device=DEVICE)
    parts, found = dynamic.region.bits(wanted[None]), []
    for triton in (True, False):
        monkeypatch.setattr(dispatch, "use_triton", triton)
        with kernels.uncompiled():
            seen = trace(static, dynamic, space, CameraBatch([camera], DEVICE), pixel_grid(camera, DEVICE), 40, parts)
            assert seen.moving is not None
            found.append((seen, *seen.at(wanted)))
    (one, *shown), (two, *expected) = found
    assert torch.equal(one.moving.rays, two.moving.rays)
    assert len(one.moving.rays) > 4
    assert expected[0].std() > 0.01
    # A sample on the border of a cell is kept by the one and not by the other; and the one follows no ray to its end.
    pairs = zip((one.rgb, one.depth, *shown), (two.rgb, two.depth, *expected), strict=True)
    assert [(fused - plainly).abs().gt(5e-4).float().mean().item() for fused, plainly in pairs] == pytest.approx(
        [0] * 4, abs=0.05
    )


@torch.no_grad()
@pytest.mark.parametrize("points", [0, 70])
def test_networks_in_bfloat16_are_nearly_those_in_float32(gpu, monkeypatch, points: int):
    monkeypatch.setattr(dispatch, "use_triton", True)
    static, dynamic, _ = small_model("bounded", 0.0, True)
    u, directions = (rand(points, 3) * 2 - 1).to(DEVICE), (rand(5, 3, seed=1) - 0.5).to(DEVICE)
    rows, frames = torch.arange(points, device=DEVICE) % 5, torch.tensor([0, 2], device=DEVICE)
    lit, nothing = torch.arange(0, points, 2, device=DEVICE), torch.zeros(3, device=DEVICE)
    with kernels.uncompiled():
        expected = (
            static.colour(u, directions, rows),
            dynamic.colour(dynamic.colour_features(u[lit]), frames[None], [len(lit)]),
        )
    for amp, tolerance in ((False, 2e-5), (True, 1e-2))[: 1 if INTERPRETED else 2]:  # the interpreter has no bfloat16
        static.amp = dynamic.amp = amp
        found = static.shown(u, directions, rows.int(), nothing), dynamic.colour_at(u, lit, frames)
        for one, two in zip(found, expected, strict=True):
            close(one, two, tolerance)


@on_gpu
@pytest.mark.parametrize("triton", [False, True])
def test_a_model_learnt_on_a_gpu_is_as_good_and_is_rendered_on_cpu(monkeypatch, tmp_path, triton: bool):
    monkeypatch.setattr(dispatch, "use_triton", triton)
    videos = blinking()
    data, truth, errors = ImageSet([v.plate for v in videos], CAMERAS), videos[1].rgb / 255, {}
    for device in ("cpu", "cuda"):
        static = train_static_field(data, None, SPACE, replace(STATIC, steps=300, device=device), QUIET)
        dynamic = train_dynamic_field(videos, static, SPACE, replace(DYNAMIC, steps=200, device=device), QUIET)
        rgb, depth = render_video(static, dynamic, SPACE.to(torch.device(device)), CAMERAS[1], 40)
        errors[device] = np.square(rgb / 255 - truth).mean()
    save_model(tmp_path / "model", {}, static=static, dynamic=dynamic)
    _, static, dynamic = load_model(tmp_path / "model")
    here = render_video(static, dynamic, SPACE, CAMERAS[1], 40)
    assert np.abs(here[0].astype(int) - rgb).max() <= 2
    assert np.median(np.abs(here[1] / depth - 1)) < 1e-3
    assert errors["cuda"] < 1.25 * errors["cpu"], errors
