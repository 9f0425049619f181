"""Rays, spaces and compositing, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from helpers.looking import FORWARD, INWARD, OUTWARD, look_at
from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space, choose_space
from mixdepth.fields.occupancy import Occupancy
from mixdepth.fields.static import StaticField
from mixdepth.rendering.rays import CameraBatch, SpaceMap, stratified
from mixdepth.rendering.trace import RaySamples, sample_rays, yielding
from mixdepth.train.losses import DepthSamples


def test_a_ray_at_depth_z_projects_back_to_its_pixel_at_depth_z():
    cameras = [*FORWARD, *INWARD]
    generator = np.random.default_rng(0)
    uv = generator.uniform([0, 0], [64, 48], (200, 2))
    which = generator.integers(0, len(cameras), 200)
    z = generator.uniform(1, 8, 200)
    origins, directions = CameraBatch(cameras).rays(torch.from_numpy(which), torch.from_numpy(uv))
    points = origins.numpy() + z[:, None] * directions.numpy()
    for index, camera in enumerate(cameras):
        mine = which == index
        pixels, depth = camera.project(points[mine].astype(np.float64))
        assert np.abs(pixels - uv[mine]).max() < 1e-3
        assert np.abs(depth - z[mine]).max() < 1e-5
        assert np.abs(camera.unproject(uv[mine], z[mine]) - points[mine]).max() < 1e-5


@pytest.mark.parametrize(
    ("cameras", "kind"), [(FORWARD, "forward"), (INWARD, "bounded"), (OUTWARD, "unbounded")], ids=lambda v: str(v)[:9]
)
def test_a_space_is_chosen_from_the_cameras_and_its_coordinates_round_trip(cameras: list[Camera], kind: str):
    space = choose_space(cameras, [(2.0, 9.0)] * len(cameras))
    assert space.kind == kind
    where = SpaceMap(space)
    uv = torch.tensor([[0.5, 0.5], [63.5, 0.5], [32.0, 24.0], [0.5, 47.5], [63.5, 47.5]], dtype=torch.float64)
    for index in range(len(cameras)):
        origins, directions = CameraBatch(cameras).rays(torch.full((5,), index), uv)
        near, far = where.depth_range(origins, directions)
        z = where.depths(stratified(5, 16, None, "cpu"), near, far)
        points = origins[:, None] + z[..., None] * directions[:, None]
        u = where.normalise(points)
        assert u.abs().max() <= 1 + 1e-4
        assert torch.allclose(where.denormalise(u), points, rtol=2e-3, atol=2e-3)


def test_forward_space_is_linear_in_disparity():
    space = choose_space(FORWARD, [(2.0, 9.0)] * 4)
    where = SpaceMap(space)
    frame = np.array(space.frame)
    z = 1 / np.linspace(1 / space.reference_near, 1 / space.reference_far, 5)
    points = frame[:3, 3] + z[:, None] * frame[:3, 2]
    u = where.normalise(torch.tensor(points, dtype=torch.float32))[:, 2]
    assert torch.allclose(u, torch.linspace(-1, 1, 5), atol=1e-5)


def test_a_box_is_entered_and_left_where_its_faces_are():
    space = Space("bounded", "", 0.1, 50.0, np.eye(4).tolist(), [-1, -2, 3], [1, 2, 7])
    near, far = SpaceMap(space).depth_range(torch.zeros(2, 3), torch.tensor([[0.0, 0, 1], [0.25, 0, 1]]))
    assert near.tolist() == pytest.approx([3, 3])
    assert far.tolist() == pytest.approx([7, 4])  # the second leaves by the side x = 1


def test_jitter_differs_from_ray_to_ray_and_stays_in_its_bin():
    share = stratified(100, 8, torch.Generator().manual_seed(0), "cpu")
    assert (share[0] != share[1]).all()
    assert ((share * 8).floor() == torch.arange(8)).all()


def test_samples_stand_for_half_of_both_their_gaps():
    """In depth between near and far, and as lengths in normalised units; guided samples have their own."""
    space = SpaceMap(Space("bounded", "", 0.1, 50.0, np.eye(4).tolist(), [-1, -1, 0], [1, 1, 8]))
    camera = CameraBatch([look_at([0, 0, 0], [0, 0, 4], width=4, height=4, focal=4.0)])
    uv, occupancy = torch.tensor([[3.5, 0.0]] * 2).double(), Occupancy(4)  # the principal point
    around = torch.tensor([[1.5, 7.5]] * 2), torch.tensor([True, False])
    found = sample_rays(space, camera, torch.zeros(2).long(), uv, 2, occupancy, around=around)
    first, second = slice(0, 4), slice(4, 8)
    assert found.z[first].tolist() == pytest.approx([1.5, 2.075, 6.025, 7.5], abs=1e-3)
    assert found.dz[first].tolist() == pytest.approx([1.6875, 2.2625, 2.7125, 1.2375], abs=1e-3)
    assert found.dz[second].sum().item() == pytest.approx(7.9), "a ray that is not guided has its full coverage"
    assert found.z[second].tolist() == pytest.approx([2.075, 6.025, 6.025, 6.025], abs=1e-3)
    # One unit of depth is a quarter in normalised units; the ends stand for a whole gap.
    gaps = found.z[first].diff() / 4
    expected = [gaps[0], (gaps[0] + gaps[1]) / 2, (gaps[1] + gaps[2]) / 2, gaps[2]]
    assert found.delta[first].tolist() == pytest.approx(torch.stack(expected).tolist(), abs=1e-4)


def packed(*values: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The samples of one ray, with their offsets and rows."""
    return torch.tensor(values), torch.tensor([0, len(values)]), torch.zeros(len(values), dtype=torch.int64)


def test_compositing_by_hand():
    tau, offsets, rows = packed(0.0, math.log(2), math.log(4), 0.3)
    weights = kernels.composite(tau, offsets, rows)
    assert weights.tolist() == pytest.approx([0, 1 / 2, 3 / 8, (1 - math.exp(-0.3)) / 8])
    assert weights.sum().item() == pytest.approx(1 - math.exp(-tau.sum().item()))


def test_every_sample_is_composited_with_its_own_distance():
    """A surface at the last of uneven samples has its depth, whatever the samples before it are."""
    tau, offsets, rows = packed(0.0, 0.0, 0.0, 1e3)
    z = torch.tensor([1.0, 1.1, 4.0, 9.0])
    samples = DepthSamples(rows, z, torch.ones(4), torch.tensor([10.0]))
    assert samples.expected(kernels.composite(tau, offsets, rows)).item() == pytest.approx(9.0)


def test_what_one_image_alone_showed_yields_to_what_two_look_at():
    """A veil before the lens (z < 0), and behind it a wall, nothing, or what half of the light passes."""
    field = StaticField(4, 1, 1, 4, 1, occupancy_resolution=2)
    field.occupancy.looks.view(2, 2, 2)[..., 0] = 1
    behind = torch.tensor([10.0, 0.0, math.log(2)])
    tau = torch.stack([torch.full((3,), 5.0), behind], 1).view(-1)
    rows, offsets = torch.arange(3).repeat_interleave(2), torch.arange(0, 7, 2)
    z = torch.tensor([-0.5, 0.5]).repeat(3)
    u = torch.stack([torch.zeros(6), torch.zeros(6), z], 1)
    samples = RaySamples(torch.zeros(3, 3), torch.ones(3), offsets, rows, z, z, z, u, torch.ones(6, dtype=torch.uint8))
    found = yielding(field, samples, tau).view(3, 2)
    assert found[:, 0].tolist() == pytest.approx([0.0, 5.0, 2.5], abs=1e-5)
    assert found[:, 1].tolist() == behind.tolist()
    field.occupancy.looks.fill_(2)
    assert yielding(field, samples, tau).tolist() == tau.tolist()


def test_depth_by_hand():
    weights, offsets, rows = packed(0.2, 0.2, 0.4)
    z, dz, far = torch.tensor([1.0, 2.0, 3.0]), torch.ones(3), torch.tensor([10.0])
    samples = DepthSamples(rows, z, dz, far)
    assert samples.expected(weights).item() == pytest.approx(0.2 + 0.4 + 1.2 + 0.2 * 10)

    def median(w: torch.Tensor) -> float:
        return kernels.median_depth(w, z, dz, offsets, rows, far).item()

    # 0.4 lies before the third sample, whose 0.4 is spread over 2.5 to 3.5: a half is reached after a quarter of it.
    assert median(weights) == pytest.approx(2.75)
    assert median(0.5 * weights) == 10.0
    assert median(torch.tensor([0.9, 0.05, 0.0])) == pytest.approx(0.5 + 0.5 / 0.9)
