"""Training and rendering on another device than the CPU: on one that is pretended, as these machines have no GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import ELSEWHERE, elsewhere
from test_training import CAMERAS, DYNAMIC, QUIET, SPACE, STATIC, blinking, plane_depth

from mixdepth import device, kernels
from mixdepth.errors import UserError
from mixdepth.fields.storage import load_model, save_model
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.static_view import render_static
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import DynamicTrainer, train_dynamic_field
from mixdepth.train.session import Session
from mixdepth.train.static import StaticTrainer, train_static_field

STEPS = 60


def data() -> tuple[ImageSet, SparseRays]:
    """Images with depth maps, weights and masks, and sparse depths."""
    depth = [(plane_depth(c), np.ones((c.height, c.width))) for c in CAMERAS]
    weight = [np.ones((c.height, c.width)) for c in CAMERAS]
    valid = [None, np.arange(16 * 24).reshape(16, 24) > 30, None]
    images = ImageSet([v.median for v in blinking()], CAMERAS, weight, depth, valid)
    uv = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.tensor([24, 16])
    return images, SparseRays(torch.arange(50) % 3, uv, torch.full((50,), 4.0), torch.full((50,), 0.05))


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_a_static_field_learns_the_same_elsewhere(monkeypatch, room):
    monkeypatch.setattr(kernels, "cpu", None)
    monkeypatch.setattr(device, "room", lambda _: room)
    options = replace(STATIC, steps=STEPS, tone=True, view_dependence=True, depth_weight=0.1)
    images, sparse = data()
    here = train_static_field(images, sparse, SPACE, options, QUIET)
    with elsewhere(monkeypatch) as there:
        field = train_static_field(images, sparse, SPACE, replace(options, device=there.type), QUIET)
        assert {v.device for v in field.state_dict().values()} == {there}
        for one, two in zip(here.state_dict().values(), field.state_dict().values(), strict=True):
            assert torch.equal(one, two.cpu())
        view = render_static(field, SPACE.to(there), CAMERAS[1], 40)
    expected = render_static(here, SPACE, CAMERAS[1], 40)
    assert np.array_equal(view.rgb, expected.rgb)
    assert np.array_equal(view.depth, expected.depth)


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_a_dynamic_field_learns_and_is_rendered_elsewhere(monkeypatch, tmp_path, room):
    monkeypatch.setattr(kernels, "cpu", None)
    monkeypatch.setattr("mixdepth.train.dynamic.room", lambda _: room)
    videos = blinking()
    images = ImageSet([v.median for v in videos], CAMERAS)
    static = train_static_field(images, None, SPACE, replace(STATIC, steps=STEPS), QUIET)
    before = render_static(static, SPACE, CAMERAS[1], 40)
    with elsewhere(monkeypatch) as there:
        options = replace(DYNAMIC, device=there.type)
        trainer = DynamicTrainer(videos, static, SPACE, options)
        assert (trainer.pixels.kept is not None) == (room > 0)
        dynamic = train_dynamic_field(videos, static, SPACE, options, QUIET)
        rgb, depth = render_video(static, dynamic, SPACE.to(there), CAMERAS[1], 40)
        save_model(tmp_path / "model", {}, static=static, dynamic=dynamic)
    _, static_here, dynamic_here = load_model(tmp_path / "model")
    assert np.array_equal(before.rgb, render_static(static_here, SPACE, CAMERAS[1], 40).rgb), "it is not trained"
    expected = render_video(static_here, dynamic_here, SPACE, CAMERAS[1], 40)
    assert np.array_equal(rgb, expected[0])
    assert np.array_equal(depth, expected[1])


def test_a_checkpoint_goes_on_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "cpu", None)
    images, options = data()[0], replace(STATIC, steps=STEPS)
    whole = train_static_field(images, None, SPACE, options, QUIET)
    Session(tmp_path, "half", {}).run(StaticTrainer(images, None, SPACE, options), STEPS // 2)
    with elsewhere(monkeypatch) as there:
        trainer = StaticTrainer(images, None, SPACE, replace(options, device=there.type))
        Session(tmp_path, "rest", {}).run(trainer, STEPS)
        for one, two in zip(whole.state_dict().values(), trainer.field.state_dict().values(), strict=True):
            assert torch.equal(one, two.cpu())


def test_tensors_that_stray_are_found(monkeypatch):
    with elsewhere(monkeypatch):
        moved = torch.ones(3).to(ELSEWHERE)
        assert (moved + 1).device == ELSEWHERE
        with pytest.raises(AssertionError, match="left on the CPU"):
            moved + torch.ones(3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_refused_for_training_and_rendering_goes_on():
    with pytest.raises(UserError, match="device: cuda is configured, but"):
        device.training_device("cuda")
    assert device.training_device("auto") == device.rendering_device("cuda") == torch.device("cpu")
