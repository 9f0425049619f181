"""Fields and training on scenes of a few pixels: depth supervision is real, nothing is stale, results repeat."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.training import (
    CAMERAS,
    CUBE,
    DYNAMIC,
    QUIET,
    SPACE,
    STATIC,
    blinking,
    everywhere,
    mixed_fields,
    plane_depth,
    seen_frames,
)
from mixdepth.cameras.space import choose_space
from mixdepth.errors import UserError
from mixdepth.fields.occupancy import Occupancy
from mixdepth.fields.static import StaticField
from mixdepth.fields.storage import load_model, save_model
from mixdepth.fields.vm import VMGrid, resize_grids
from mixdepth.frames.motion import Motion
from mixdepth.rendering.mixed import Layers, cache_static, shade_mixed
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import CameraBatch, SpaceMap
from mixdepth.rendering.static_view import pixel_grid, render_static
from mixdepth.rendering.trace import absorbed, sample_rays, shade_static
from mixdepth.train.agreement import confidence
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import DynamicTrainer, train_dynamic_field
from mixdepth.train.hull import carve, carve_hull
from mixdepth.train.losses import DepthSamples
from mixdepth.train.static import adam, running_psnr, train_static_field, void_colour
from mixdepth.train.tone import fit_tone
from mixdepth.train.video import Video


@torch.no_grad()
def mean_depth(field: StaticField) -> np.ndarray:
    """Expected z-depth [H, W] at the middle camera: what all three losses act on."""
    uv = pixel_grid(CAMERAS[1])
    traced = sample_rays(SPACE, CameraBatch(CAMERAS[1:2]), torch.zeros(len(uv)).long(), uv, 48, field.occupancy)
    samples = DepthSamples(traced.rows, traced.z, traced.dz, traced.far)
    return samples.expected(shade_static(field, traced).weights).view(16, 24).numpy()


def grey() -> list[np.ndarray]:
    """Images without texture: colour says nothing about depth."""
    return [np.full((c.height, c.width, 3), 128, np.uint8) for c in CAMERAS]


@pytest.mark.parametrize(("loss", "weight"), [("mse", 10.0), ("kl", 0.3), ("urf", 0.3)])
def test_depth_maps_teach_geometry_where_colour_cannot(loss: str, weight: float):
    depth = [(plane_depth(c), np.ones((c.height, c.width))) for c in CAMERAS]
    errors = []
    for used in (weight, 0.0):
        options = replace(STATIC, depth_loss=loss, depth_weight=used)
        field = train_static_field(ImageSet(grey(), CAMERAS, depth=depth), None, SPACE, options, QUIET)
        errors.append(np.median(np.abs(mean_depth(field) / plane_depth(CAMERAS[1]) - 1)))
    assert errors[0] < 0.05 < errors[1], errors


def test_sparse_depth_teaches_geometry_where_colour_cannot():
    uv = torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * torch.tensor([24, 16])
    camera = torch.arange(300) % 3
    z = [plane_depth(CAMERAS[c])[int(y), int(x)] for c, (x, y) in zip(camera.tolist(), uv.tolist(), strict=True)]
    sparse = SparseRays(camera, uv, torch.tensor(z, dtype=torch.float32), torch.full((300,), 0.05))
    field = train_static_field(ImageSet(grey(), CAMERAS), sparse, SPACE, replace(STATIC, depth_weight=0.3), QUIET)
    view = render_static(field, SPACE, CAMERAS[1], 48)
    assert np.median(np.abs(view.depth / plane_depth(CAMERAS[1]) - 1)) < 0.05


def test_a_field_that_learns_on_keeps_the_occupancy_it_came_with():
    depth = [(plane_depth(c), np.ones((c.height, c.width))) for c in CAMERAS]
    data = ImageSet(grey(), CAMERAS, depth=depth)
    first = train_static_field(data, None, SPACE, replace(STATIC, depth_weight=0.3), QUIET)
    mask, before = first.occupancy.mask.clone(), first.head[-1].bias.detach().clone()
    assert not mask.all()
    white = ImageSet([np.full_like(image, 255) for image in grey()], CAMERAS, depth=depth)
    on = train_static_field(white, None, SPACE, replace(STATIC, start_resolution=16), QUIET, first)
    assert on is first
    assert torch.equal(on.occupancy.mask, mask)
    assert not torch.equal(on.head[-1].bias, before)
    assert render_static(on, SPACE, CAMERAS[1], 48).rgb.mean() > 0.9


def test_depths_without_confidence_teach_nothing():
    wrong = [(np.full((c.height, c.width), 2.5), np.zeros((c.height, c.width))) for c in CAMERAS]
    with_wrong = train_static_field(
        ImageSet(grey(), CAMERAS, depth=wrong), None, SPACE, replace(STATIC, steps=5, depth_weight=1.0), QUIET
    )
    without = train_static_field(ImageSet(grey(), CAMERAS), None, SPACE, replace(STATIC, steps=5), QUIET)
    assert torch.equal(with_wrong.density_grid.planes, without.density_grid.planes)


def test_the_running_psnr_is_that_of_numbers():
    average, expected = torch.zeros((), dtype=torch.float64), 0.0
    for step, error in enumerate(torch.rand(50, generator=torch.Generator().manual_seed(0))):
        average = running_psnr(average, error, step)
        expected += (-10 * torch.log10(error).item() - expected) * (0.05 if step else 1.0)
        assert average.item() == expected


def test_resized_grids_go_on_learning_with_their_moments():
    grid = VMGrid(2, 8, generator=torch.Generator().manual_seed(0))
    optimiser = adam(grid, 0.1, 0.1)
    u = torch.rand(50, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    grid(u).square().sum().backward()
    optimiser.step()
    before = grid(u).detach()
    resize_grids(grid, optimiser, 15)  # 2 * 8 - 1: every old node is a new node, values between are the same
    assert torch.allclose(grid(u), before, atol=1e-5)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    assert {id(p) for p in parameters} == {id(p) for p in grid.parameters()}
    assert all(optimiser.state[p]["exp_avg"].shape == p.shape for p in parameters)
    grid(u).square().sum().backward()
    optimiser.step()
    assert not torch.allclose(grid(u), before, atol=1e-3)


def test_occupancy_keeps_what_carries_weight_and_its_neighbours_only():
    occupancy = Occupancy(8, threshold=0.01)
    u = torch.tensor([[0.1, 0.1, 0.1]])
    occupancy.record(occupancy.cells(u), torch.tensor([0.5]))
    occupancy.record(occupancy.cells(-u), torch.tensor([0.001]))
    occupancy.update()
    assert occupancy.mask[occupancy.cells(u)].item()
    assert occupancy.mask.sum() == 27


def test_a_vote_not_a_veto_carves_the_hull():
    """The cell that two of three cameras see move is in at a vote of 0.6 and out at 1."""
    w2c = torch.from_numpy(np.stack([c.w2c for c in CAMERAS])).float()
    k = CameraBatch(CAMERAS).intrinsics.float()
    moving = [torch.zeros(16, 24, dtype=torch.int32) for _ in CAMERAS]
    point = np.array([[0.05, 0.03, 3.0]])
    for camera, mask in zip(CAMERAS[:2], moving, strict=False):
        (x, y), _ = camera.project(point)[0][0], None
        mask[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 1
    far = [torch.full((16, 24), 9.0) for _ in CAMERAS]
    u = SPACE.normalise(torch.tensor(point, dtype=torch.float32))
    cell = ((u + 1) * 8).long()[0].tolist()
    assert carve_hull(SPACE, w2c, k, moving, far, 16, 0.6, *CUBE)[tuple(cell)]
    assert not carve_hull(SPACE, w2c, k, moving, far, 16, 1.0, *CUBE)[tuple(cell)]
    near = [torch.full((16, 24), 1.0) for _ in CAMERAS]
    assert not carve_hull(SPACE, w2c, k, moving, near, 16, 0.6, *CUBE).any(), (
        "cells behind static surfaces are not seen"
    )
    region = carve(SPACE, w2c, k, moving, far, 16, 0.6, frames=6)
    assert region.local(u).abs().max() < 1, "the box holds the point"
    assert (2 / region.box[3:])[:2].max() < 1, "and is smaller than the space"
    assert region.holds(u[None], torch.tensor([1], dtype=torch.int32)).item()


def test_the_region_keeps_what_carries_weight_when_it_does():
    region = everywhere(32, resolution=9)
    region.hull[:81] = False  # the first slab is outside the hull
    v = torch.tensor([[-0.4, 0.1, 0.1]])  # in the third
    region.record(v, region.bin(torch.tensor([[8, 20]])), torch.tensor([[0.5, 0.001]]))
    region.update()

    def kept(frame: int) -> torch.Tensor:
        return region.sets & region.bits(torch.tensor([[frame]])) != 0

    assert region.bits(torch.tensor([[8, 9, 31]])).item() == 2**4 + 2**15
    assert [kept(frame).sum().item() for frame in (4, 6, 8, 10, 12, 20)] == [0, 27, 27, 27, 0, 0]
    assert kept(8)[region.cells(v)].item()
    region.record(torch.tensor([[-0.9, 0.1, 0.1]]), region.bin(torch.tensor([[8]])), torch.tensor([[0.5]]))
    region.update()
    assert not kept(8)[:81].any(), "nothing outside the hull"


def test_what_moves_is_learnt_in_time_and_the_rest_stays():
    videos = blinking()
    data = ImageSet([v.rgb[0] for v in videos], CAMERAS)
    static = train_static_field(data, None, SPACE, replace(STATIC, steps=150), QUIET)
    frozen = static.density_grid.planes.clone()
    dynamic = train_dynamic_field(videos, static, SPACE, replace(DYNAMIC, steps=300), QUIET)
    assert torch.equal(frozen, static.density_grid.planes), "the dynamic stage must not touch the static branch"
    rgb, depth = render_video(static, dynamic, SPACE, CAMERAS[1], 48)
    assert rgb.shape == (6, 16, 24, 3)
    assert np.isfinite(depth).all()
    centre = rgb[:, 7:9, 11:13].astype(float).mean(axis=(1, 2, 3))
    assert centre[1::2].min() > centre[::2].max() + 50
    assert (rgb[:, 0, 0] == rgb[0, 0, 0]).all(), "a corner that does not move has no time axis"


@pytest.mark.parametrize("kind", ["forward", "bounded", "unbounded"])
def test_every_space_learns_what_moves_and_where(kind: str):
    """A wall at depth 4, whose depth is given, and a square in front of it."""
    space, videos = SpaceMap(choose_space(CAMERAS, [(2.0, 7.0)] * 3, kind)), blinking()
    depth = [(plane_depth(c), np.ones((c.height, c.width))) for c in CAMERAS]
    data = ImageSet([v.rgb[0] for v in videos], CAMERAS, depth=depth)
    options = replace(STATIC, steps=200, samples=64, resolution=32, depth_weight=0.3)
    static = train_static_field(data, None, space, options, QUIET)
    options = replace(DYNAMIC, steps=200, samples=64, network_rate=0.02)
    dynamic = train_dynamic_field(videos, static, space, options, QUIET)
    rgb, z = render_video(static, dynamic, space, CAMERAS[1], 80)
    still = ~videos[1].moving
    assert np.median(abs(z[:, still] / plane_depth(CAMERAS[1])[still] - 1)) < 0.05
    centre = rgb[:, 7:9, 11:13].astype(float).mean(axis=(1, 2, 3))
    assert centre[1::2].min() > centre[::2].max() + 50
    assert z[1::2, 8, 12].max() < 3.8 < z[::2, 8, 12].min(), "the square is in front of the wall when it is there"


@pytest.mark.parametrize("quiet", [1.0, 0.25, 0.0], ids=["nothing", "most", "everything"])
def test_a_capture_trains_whatever_share_of_it_moves(quiet: float):
    """``quiet`` is the share of the pixels that do not move."""
    static = train_static_field(ImageSet(grey(), CAMERAS), None, SPACE, replace(STATIC, steps=2), QUIET)
    rgb = np.random.default_rng(0).integers(0, 255, (3, 16, 24, 3), dtype=np.uint8)
    parts = (np.linspace(0, 1, 16 * 24).reshape(16, 24) > quiet) * np.uint32(0b111)
    light = np.ones((3, 3), np.float32), np.ones(3, bool)
    motion = Motion(rgb[0], np.ones((16, 24), np.float32), parts, *light, noise=0.0)
    videos = [Video.of(c, rgb, motion) for c in CAMERAS]
    assert videos[0].moving.mean() == pytest.approx(1 - quiet, abs=0.01)
    dynamic = train_dynamic_field(videos, static, SPACE, replace(DYNAMIC, steps=4), QUIET)
    rendered, depth = render_video(static, dynamic, SPACE, CAMERAS[0], 24)
    assert rendered.shape == (3, 16, 24, 3)
    assert np.isfinite(depth).all()


def test_a_plate_that_few_frames_share_teaches_nothing():
    def trained(value: int, share: float) -> StaticField:
        images, support = grey(), [np.ones((16, 24), np.float32) for _ in CAMERAS]
        for image, shared in zip(images, support, strict=True):
            image[8], shared[8] = value, share
        return train_static_field(ImageSet(images, CAMERAS, support), None, SPACE, replace(STATIC, steps=40), QUIET)

    one, two = trained(0, 0.45), trained(255, 0.45)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    one, two = (trained(value, 0.6).density_grid.planes for value in (0, 255))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("void", [0, 255, None])
def test_an_empty_background_is_learnt_as_one_and_not_as_a_wall(void: int | None, capsys: pytest.CaptureFixture):
    """A grey thing in the middle, before black, white or, in the last case, a wall of many colours."""
    rng = np.random.default_rng(0)
    images = [rng.integers(30, 220, (16, 24, 3)) if void is None else np.full((16, 24, 3), void) for _ in CAMERAS]
    for image in images:
        image[5:11, 8:16] = 128
    data = ImageSet([image.astype(np.uint8) for image in images], CAMERAS)
    field = train_static_field(data, None, SPACE, replace(STATIC, steps=150), QUIET)
    told = "show an empty background" in capsys.readouterr().err
    assert told == (void is not None)
    if void is not None:
        assert torch.allclose(torch.sigmoid(field.background), torch.full((3,), void / 255), atol=0.1)
        view = render_static(field, SPACE, CAMERAS[1], 48)
        assert view.opacity[:3].mean() < 0.2 < 0.8 < view.opacity[6:10, 9:15].mean()


def test_borders_that_show_nothing_are_no_background():
    """Black ones of undistorted images, that is."""
    images, valid = grey(), [np.arange(16 * 24).reshape(16, 24) % 24 > 7] * 3
    for image, mask in zip(images, valid, strict=True):
        image[~mask] = 0
    assert void_colour(ImageSet(images, CAMERAS)) is not None
    assert void_colour(ImageSet(images, CAMERAS, valid=valid)) is None


def test_a_plate_that_may_be_a_ghost_counts_less_where_the_other_cameras_contradict_it():
    """A white square in the middle camera alone, for 60 or for all of the time."""
    options, shown = replace(STATIC, steps=200), []
    for share in (0.6, 1.0):
        images, support = grey(), [np.ones((16, 24), np.float32) for _ in CAMERAS]
        images[1][5:11, 8:16], support[1][5:11, 8:16] = 255, share
        field = train_static_field(ImageSet(images, CAMERAS, support), None, SPACE, options, QUIET)
        shown.append(255 * render_static(field, SPACE, CAMERAS[1], 48).rgb[6:10, 9:15].mean())
    assert shown[0] < shown[1] - 10, shown


@torch.no_grad()
def test_densities_add_and_colours_mix_by_their_share():
    """Training and rendering against the formula written out for every sample, without any culling."""
    static, dynamic = mixed_fields(frames=4)
    cameras, camera = CameraBatch(CAMERAS), torch.arange(3)
    uv = torch.tensor([[4.5, 4.5], [12.5, 8.5], [20.5, 14.5]], dtype=torch.float64)
    bits = dynamic.region.bits(torch.tensor([[0, 3]])).expand(3)
    traced = sample_rays(SPACE, cameras, camera, uv, 24, static.occupancy, (dynamic.region, bits))
    assert len(traced.rows) == 3 * 24
    frames = torch.tensor([[0, 3]])
    v, colours = traced.u, static.colour(traced.u, traced.directions, traced.rows)
    branch = traced.offsets, traced.rows, absorbed(static, traced)[0], colours, torch.arange(72)
    own = traced.rows, traced.z, traced.delta, v, dynamic.density_features(v)
    trained = shade_mixed(
        static, dynamic, Layers(*branch, *own, lambda some: dynamic.colour_features(v[some])), frames, [3]
    )
    rendered, _ = seen_frames((static, dynamic), cameras, camera, uv, 24, frames[0])
    s = static.sigma(traced.u).view(3, 24)
    c = colours.view(3, 24, 3)
    for index, frame in enumerate(frames[0]):
        one = torch.ones(72)
        d = dynamic.thickness(dynamic.density_features(traced.u), one, frame.view(1, 1), [72]).view(3, 24)
        e = dynamic.colour(dynamic.colour_features(traced.u), frame.view(1, 1), [72]).view(3, 24, 3)
        tau = (s + d) * traced.delta.view(3, 24)
        weights = torch.exp(tau - tau.cumsum(1)) * (1 - torch.exp(-tau))
        rgb = (weights[..., None] * (s[..., None] * c + d[..., None] * e) / (s + d)[..., None]).sum(1)
        rgb = rgb + (1 - weights.sum(1, keepdim=True)) * torch.sigmoid(static.background)
        assert torch.allclose(rendered[:, index], rgb, atol=1e-2)
        assert torch.allclose(trained.rgb[:, index], rgb, atol=1e-2)
        assert torch.allclose(trained.weight[:, index].view(3, 24), weights * d / (s + d), atol=2e-3)


@torch.no_grad()
def test_what_is_kept_of_the_static_branch_shows_what_it_shows():
    """Training composites with a few samples per pixel, kept once; rendering with all of them."""
    static, dynamic = mixed_fields(frames=4)
    cameras, camera = CameraBatch(CAMERAS), torch.tensor([0, 1, 2, 1])
    uv = torch.tensor([[4.5, 4.5], [12.5, 8.5], [20.5, 14.5], [2.5, 7.5]], dtype=torch.float64)
    cache = cache_static(static, SPACE, cameras, camera, uv, 24)
    pick, frames = torch.tensor([3, 0, 1]), torch.tensor([[1, 2]])
    bits = dynamic.region.bits(frames).expand(3)
    region = dynamic.region, bits
    own = sample_rays(SPACE, cameras, camera[pick], uv[pick], 24, None, region, cache.stop[pick])
    kept = shade_mixed(static, dynamic, cache.layers(dynamic, pick, own), frames, [3])
    full, _ = seen_frames((static, dynamic), cameras, camera[pick], uv[pick], 24, frames[0])
    assert torch.allclose(kept.rgb, full, atol=0.03)
    assert len(own.rows) == 72, "no light is ever gone in this fog"
    assert not len(sample_rays(SPACE, cameras, camera[pick], uv[pick], 24, None, region, torch.zeros(3)).rows)


def test_every_frame_is_drawn_alike():
    videos = blinking()
    static = train_static_field(
        ImageSet([v.plate for v in videos], CAMERAS), None, SPACE, replace(STATIC, steps=2), QUIET
    )
    trainer = DynamicTrainer(videos, static, SPACE, DYNAMIC)
    windows = [trainer._windows() for _ in range(600)]
    assert windows[0].shape == (2, 3)
    assert all(((w[:, 1:] - w[:, :-1]) % 6 == 1).all() for w in windows), "neighbouring frames, going round"
    share = torch.bincount(torch.cat(windows).view(-1), minlength=6) / 3600
    assert (share - 1 / 6).abs().max() < 0.02


def test_training_twice_gives_the_same_file(tmp_path):
    files = []
    for run in range(2):
        videos = blinking()
        static = train_static_field(ImageSet([v.plate for v in videos], CAMERAS), None, SPACE, STATIC, QUIET)
        dynamic = train_dynamic_field(videos, static, SPACE, replace(DYNAMIC, steps=20), QUIET)
        save_model(tmp_path / f"{run}.safetensors", {"b": 1, "a": [2]}, static=static, dynamic=dynamic)
        files.append((tmp_path / f"{run}.safetensors").read_bytes())
    assert files[0] == files[1]
    header, static_again, dynamic_again = load_model(tmp_path / "0.safetensors")
    assert header == {"a": [2], "b": 1}
    one, two = (
        render_video(s, d, SPACE, CAMERAS[0], 32) for s, d in ((static, dynamic), (static_again, dynamic_again))
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_damaged_model_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, {}, static=StaticField(8, 2, 2, 8, 3))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="Delete it and run the same command again"):
        load_model(path)


def test_confidence_falls_where_cameras_contradict_each_other():
    views = [render_static(StaticField(8, 2, 2, 8, 3), SPACE, c, 16) for c in CAMERAS]
    for view, camera in zip(views, CAMERAS, strict=True):
        view.depth, view.opacity, view.spread = plane_depth(camera), np.ones((16, 24)), np.zeros((16, 24))
    good = confidence(1, CAMERAS, views)
    views[1].depth = views[1].depth * 0.7  # floats in front of what the others see through it
    bad = confidence(1, CAMERAS, views)
    assert good[8, 12] == 1
    assert bad[8, 12] == 0
    views[1].opacity = np.full((16, 24), 0.25)
    views[1].depth = plane_depth(CAMERAS[1])
    assert confidence(1, CAMERAS, views)[8, 12] == pytest.approx(0.25)


def test_the_tone_of_a_camera_is_found_in_spite_of_outliers():
    generator = np.random.default_rng(0)
    rendered = generator.uniform(0, 1, (4000, 3))
    seen = rendered * [1.2, 0.9, 1.0] + [0.05, 0.0, -0.05]
    seen[:400] = generator.uniform(0, 1, (400, 3))
    gain, offset = fit_tone(rendered, seen)
    assert gain == pytest.approx([1.2, 0.9, 1.0], abs=0.02)
    assert offset == pytest.approx([0.05, 0.0, -0.05], abs=0.01)
    assert fit_tone(rendered[:50], seen[:50])[0].tolist() == [1, 1, 1]
