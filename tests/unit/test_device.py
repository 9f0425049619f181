"""Training and rendering on another device than the CPU: on one that is pretended, as these machines have no GPU."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.elsewhere import ELSEWHERE, elsewhere
from helpers.training import CAMERAS, DYNAMIC, QUIET, SPACE, STATIC, blinking, plane_depth
from mixdepth.compute import device, machine
from mixdepth.errors import UserError
from mixdepth.fields.storage import load_model, save_model
from mixdepth.kernels import dispatch
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.static_view import render_static
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import DynamicTrainer, MovingPixels, train_dynamic_field
from mixdepth.train.session import Session
from mixdepth.train.static import StaticTrainer, train_static_field
from mixdepth.train.video import Video

STEPS = 60


def data() -> tuple[ImageSet, SparseRays]:
    """Images with depth maps, support and masks, and sparse depths."""
    depth = [(plane_depth(c), np.ones((c.height, c.width))) for c in CAMERAS]
    support = [np.linspace(0.4, 1, c.width) + np.zeros((c.height, 1)) for c in CAMERAS]
    valid = [None, np.arange(16 * 24).reshape(16, 24) > 30, None]
    images = ImageSet([v.plate for v in blinking()], CAMERAS, support, depth, valid)
    uv = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.tensor([24, 16])
    return images, SparseRays(torch.arange(50) % 3, uv, torch.full((50,), 4.0), torch.full((50,), 0.05))


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_a_static_field_learns_the_same_elsewhere(monkeypatch, room):
    monkeypatch.setattr(dispatch, "cpu", None)
    monkeypatch.setattr(device, "room", lambda _: room)
    options = replace(STATIC, steps=STEPS, tone=True, view_dependence=True, depth_weight=0.1, guided_samples=4)
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
    monkeypatch.setattr(dispatch, "cpu", None)
    monkeypatch.setattr(device, "room", lambda _: room)
    videos = dim(blinking())
    images = ImageSet([v.plate for v in videos], CAMERAS)
    static = train_static_field(images, None, SPACE, replace(STATIC, steps=STEPS), QUIET)
    before = render_static(static, SPACE, CAMERAS[1], 40)
    with elsewhere(monkeypatch) as there:
        options = replace(DYNAMIC, device=there.type)
        trainer = DynamicTrainer(videos, static, SPACE, options)
        assert trainer.pixels.kept.device == (there if room else torch.device("cpu"))
        assert trainer.preview().shape == (16, 24, 3)
        dynamic = train_dynamic_field(videos, static, SPACE, options, QUIET)
        rgb, depth = render_video(static, dynamic, SPACE.to(there), CAMERAS[1], 40)
        save_model(tmp_path / "model", {}, static=static, dynamic=dynamic)
    _, static_here, dynamic_here = load_model(tmp_path / "model")
    assert np.array_equal(before.rgb, render_static(static_here, SPACE, CAMERAS[1], 40).rgb), "it is not trained"
    expected = render_video(static_here, dynamic_here, SPACE, CAMERAS[1], 40)
    assert np.array_equal(rgb, expected[0])
    assert np.array_equal(depth, expected[1])


def dim(videos: list[Video]) -> list[Video]:
    """The same, darker from the fourth frame on, with a frame that shows nothing."""
    gain, usable = np.ones((6, 3), np.float32), np.arange(6) != 4
    gain[3:] = 0.8

    def dimmed(v: Video) -> dict[str, np.ndarray]:
        return {"rgb": (v.rgb * gain[:, None, None]).astype(np.uint8), "colours": (v.colours * gain).astype(np.uint8)}

    return [replace(v, **dimmed(v), gain=gain, usable=usable) for v in videos]


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [(1 << 30, 0, "kept on the GPU"), (0, 1 << 30, "kept in main memory"), (0, 0, "each step reads its own from disk")],
)
def test_what_moves_is_the_same_wherever_its_colours_are_kept(monkeypatch, capsys, there, here, said):
    monkeypatch.setattr(device, "room", lambda _: there)
    monkeypatch.setattr(machine, "memory", lambda: (here, here, ""))
    surfaces, bins = [plane_depth(c).astype(np.float32) for c in CAMERAS], np.arange(6)
    expected = MovingPixels(dim(blinking()), surfaces, bins)
    pixel = torch.arange(len(expected)).flip(0)
    frames = (pixel[:, None] + torch.tensor([0, 3, 1])) % 6
    assert expected.kept is None
    assert capsys.readouterr().err == "", "nothing to say on CPU"
    with elsewhere(monkeypatch) as place:
        pixels = MovingPixels(dim(blinking()), surfaces, bins, place)
        found = pixels.colours(pixel.to(place), frames.to(place))
        assert found.device == pixels.shaded.device == place
        assert torch.equal(found.cpu(), expected.colours(pixel, frames))
        assert torch.equal(pixels.shaded.cpu(), expected.shaded)
        for name in ("sets", "gain", "usable", "depth"):
            assert torch.equal(getattr(pixels, name).cpu(), getattr(expected, name)), name
    assert said in capsys.readouterr().err


def test_room_counts_what_pytorch_holds_and_does_not_use(monkeypatch):
    for name, value in (("mem_get_info", (100, 1000)), ("memory_reserved", 60), ("memory_allocated", 20)):
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    monkeypatch.setattr(machine, "memory", lambda: (1000, 200, ""))
    gpu, cpu = (torch.device(name) for name in ("cuda:0", "cpu"))
    assert device.room(gpu) == 70
    assert [device.keeper(size, gpu) for size in (70, 71, 100, 101)] == [gpu, cpu, cpu, None]


def test_nothing_sets_products_to_fewer_bits():
    """Positions are products of matrices: TF32 would misplace them by a thousandth."""
    code = (
        "import pkgutil, importlib, torch, mixdepth\n"
        "for part in ('train', 'rendering', 'fields'):\n"
        "    package = importlib.import_module(f'mixdepth.{part}')\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "print(torch.backends.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "highest"], done.stderr


def test_a_checkpoint_goes_on_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(dispatch, "cpu", None)
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
