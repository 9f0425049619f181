"""The dynamic branch's products in their better order, blocks of frames, and chunks that fit."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.packed import rand
from helpers.training import CAMERAS, CUBE, DYNAMIC, QUIET, SPACE, STATIC, blinking, mixed_fields, seen_frames
from mixdepth.compute import device
from mixdepth.fields.dynamic import DynamicField, embedded
from mixdepth.fields.region import Region, around
from mixdepth.fields.static import density
from mixdepth.fields.storage import load_model, save_model
from mixdepth.rendering import mixed, mixed_view, static_view
from mixdepth.rendering.mixed import cache_static
from mixdepth.rendering.mixed_view import Part, blend, render_parts, render_video
from mixdepth.rendering.rays import CameraBatch
from mixdepth.rendering.static_view import pixel_grid, render_static
from mixdepth.rendering.trace import VISIBLE, lit_samples, sample_rays
from mixdepth.train.data import ImageSet
from mixdepth.train.dynamic import DynamicTrainer
from mixdepth.train.static import train_static_field
from mixdepth.workflow.out_of_memory import memory_errors


def codes_first(
    field: DynamicField, v: torch.Tensor, delta: torch.Tensor, frames: torch.Tensor, counts: list[int]
) -> list[torch.Tensor]:
    """Optical thickness and colours as the paper has them: temporal codes of all points, then their inner products with
    the frames' embeddings (Wang et al. 2023, section 3.3)."""
    found = []
    for grid, network, table in (
        (field.density_grid, field.density_code, field.density_frames),
        (field.colour_grid, field.colour_code, field.colour_frames),
    ):
        codes = network(grid(v)).view(len(v), -1, field.codes).split(counts)
        parts = [torch.einsum("nck,fk->nfc", c, e) for c, e in zip(codes, embedded(table, frames), strict=True)]
        found.append(torch.cat(parts) / field.codes**0.5)
    return [density(found[0][..., 0]) * delta[:, None], torch.sigmoid(found[1])]


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
@pytest.mark.parametrize("between", [False, True])
def test_embeddings_are_multiplied_into_the_last_layer_first_with_the_same_values_and_gradients(
    kind: torch.dtype, between: bool
):
    torch.manual_seed(0)
    region = Region(torch.ones(8, 8, 8, dtype=torch.bool), *CUBE, frames=20)
    field = DynamicField(region, 12, 6, 24, 32, torch.Generator().manual_seed(0)).to(kind)
    v, delta, counts = (2 * rand(700, 3) - 1).to(kind), rand(700, seed=1).to(kind), [300, 0, 390, 10]
    frames = torch.tensor([[0, 1, 2], [5, 6, 7], [11, 12, 13], [18, 19, 0]])
    frames = frames.double() * 0.9 if between else frames
    results = []
    for evaluate in (
        lambda: codes_first(field, v, delta, frames, counts),
        lambda: [
            field.thickness(field.density_features(v), delta, frames, counts),
            field.colour(field.colour_features(v), frames, counts),
        ],
    ):
        values = evaluate()
        loss = sum((part * rand(*part.shape, seed=3).to(kind)).sum() for part in values)
        gradients = torch.autograd.grad(loss, list(field.parameters()))
        results.append([*(part.detach() for part in values), *gradients])
    assert [part.shape for part in results[1][:2]] == [(700, 3), (700, 3, 3)]
    for one, two in zip(*results, strict=True):
        assert one.norm() > 0
        assert (one - two).norm() <= (1e-12 if kind == torch.float64 else 1e-6) * one.norm()


def test_blocks_of_frames_show_what_each_frame_shows_alone():
    """Cells are seen in some parts of the capture only, so that each frame has its own samples."""
    static, dynamic = mixed_fields(frames=32)
    region = dynamic.region
    region.sets = (region.sets.float() * rand(len(region.sets))).int()  # random sets
    uv = pixel_grid(CAMERAS[1])[::7]
    which = torch.ones(len(uv), dtype=torch.int64)
    known = (static, dynamic), CameraBatch(CAMERAS), which, uv, 24
    rgb, depth = seen_frames(*known, torch.arange(32))
    assert (rgb.amax(1) - rgb.amin(1)).max() > 0.05, "all frames show the same"
    for frame in range(32):
        alone = seen_frames(*known, torch.tensor([frame]))
        torch.testing.assert_close(rgb[:, frame], alone[0][:, 0], rtol=0, atol=1e-6)
        torch.testing.assert_close(depth[:, frame], alone[1][:, 0], rtol=1e-5, atol=0)


def other_region(low: float, high: float) -> Region:
    """Half of the cells of a box, each in some parts of six frames."""
    sets = (rand(7, 7, 7, seed=1) * 2**6 * (rand(7, 7, 7, seed=2) < 0.5)).int()
    return Region(sets, torch.tensor([low, -0.7, -0.4]), torch.tensor([high, 0.9, 0.8]), 6)


def test_a_region_around_others_has_all_that_any_of_them_ever_has():
    regions = [other_region(-0.9, -0.1), other_region(-0.35, 0.77)]
    points = 2 * rand(1, 50000, 3, seed=3) - 1
    whole = around(regions).holds(points, torch.tensor([1]))
    any_of_them = torch.stack([region.holds(points, torch.tensor([2**6 - 1])) for region in regions]).any(0)
    assert (whole | ~any_of_them).all()
    assert any_of_them.float().mean() > 0.1
    assert whole.float().mean() < 1.3 * any_of_them.float().mean(), "little more"


def test_what_stands_still_is_rendered_once_for_all_segments(monkeypatch: pytest.MonkeyPatch):
    static, one = mixed_fields(frames=6)
    two = DynamicField(other_region(-0.3, 0.7), 8, 2, 4, 8, torch.Generator().manual_seed(1))
    shares, usual, traced = np.array([0.25, 0.5, 0.75, 1, 1, 1]), torch.ones(6, 3), []
    expected = [np.concatenate((shown, shown[:3])) for shown in render_video(static, one, SPACE, CAMERAS[0], 24)]
    after = render_video(static, two, SPACE, CAMERAS[0], 24)
    blend((expected[0][3:], expected[1][3:]), after, shares)

    def lit(*args):
        traced.append(len(args[4]))
        return lit_samples(*args)

    monkeypatch.setattr(mixed_view, "lit_samples", lit)
    size = (9, CAMERAS[0].height, CAMERAS[0].width)
    out = np.zeros((*size, 3), np.uint8), np.zeros(size, np.float32)
    parts = [
        Part(one, np.arange(6), torch.arange(6), np.ones(6), usual),
        Part(two, np.arange(3, 9), torch.arange(6), shares, usual),
    ]
    render_parts(static, parts, SPACE, CAMERAS[0], 24, out)
    assert sum(traced) == size[1] * size[2], "each ray once"
    apart = np.abs(out[0].astype(int) - expected[0])
    assert apart.max() <= 1, "rounding"
    assert (apart > 0).mean() < 2e-3
    assert np.quantile(np.abs(out[1] / expected[1] - 1), 0.999) < 1e-4


def test_what_no_frame_shows_is_nothing_that_the_region_would_keep():
    """Training records the weights of lit samples alone."""
    assert mixed_fields(frames=4)[1].region.threshold > VISIBLE


def short_of_memory(monkeypatch: pytest.MonkeyPatch, rays: int) -> None:
    """No more than so many rays are sampled at once, as on a GPU whose memory is short."""

    def sample(*args, **kwargs):
        if len(args[3]) > rays:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return sample_rays(*args, **kwargs)

    def lit(*args):
        if len(args[4]) > rays:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return lit_samples(*args)

    for module in (mixed, static_view):
        monkeypatch.setattr(module, "sample_rays", sample)
    monkeypatch.setattr(mixed_view, "lit_samples", lit)


def test_where_memory_is_short_chunks_are_halved_and_show_the_same(monkeypatch, capsys):
    static, dynamic = mixed_fields(frames=6)
    uv, which = pixel_grid(CAMERAS[1]), torch.ones(16 * 24, dtype=torch.int64)

    def results() -> list[np.ndarray]:
        view = render_static(static, SPACE, CAMERAS[0], 24)
        kept = vars(cache_static(static, SPACE, CameraBatch(CAMERAS), which, uv, 24)).values()
        video = render_video(static, dynamic, SPACE, CAMERAS[0], 24)
        return [view.rgb, view.depth, *video, *(part.numpy() for part in kept)]

    before = results()
    short_of_memory(monkeypatch, 50)
    for one, two in zip(before, results(), strict=True):
        assert np.array_equal(one, two) if one.dtype == np.uint8 else np.allclose(one, two, rtol=1e-5, atol=1e-6)
    said = capsys.readouterr().err.splitlines()
    # 384 rays: halved until they fit, once for each of the three.
    assert said == [f"the GPU's memory is short: from here on {n} rays at once" for n in (192, 96, 48)] * 3


def test_where_not_even_one_ray_fits_it_is_said_what_to_lower(monkeypatch):
    short_of_memory(monkeypatch, 0)
    with pytest.raises(Exception, match=r"render: out of memory .* Lower `scale`") as error, memory_errors("render"):
        render_static(mixed_fields(frames=2)[0], SPACE, CAMERAS[0], 24)
    assert isinstance(error.value.__cause__, torch.OutOfMemoryError)


@pytest.mark.parametrize("samples", [1, 24, 10**9])
def test_chunks_cover_every_ray_once(samples: int):
    parts = []
    device.in_chunks(parts.append, 1001, samples, torch.device("cpu"), 240)
    assert [ray for part in parts for ray in range(1001)[part]] == list(range(1001))
    assert len(range(1001)[parts[0]]) == max(1, 240 // samples)
    device.in_chunks(parts.append, 0, samples, torch.device("cpu"))


def test_a_model_renders_with_the_precision_that_it_was_trained_with(tmp_path, monkeypatch):
    static, dynamic = mixed_fields(frames=2)
    for header, amp in (({}, False), ({"options": {"amp": False}}, False), ({"options": {"amp": True}}, True)):
        save_model(tmp_path / "model", header, static=static, dynamic=dynamic)
        _, *fields = load_model(tmp_path / "model")
        assert [field.amp for field in fields] == [amp, amp]
    asked = []

    def precision(_: torch.device, wanted: bool) -> contextlib.AbstractContextManager:
        asked.append(wanted)
        return contextlib.nullcontext()

    monkeypatch.setattr("mixdepth.fields.static.mixed_precision", precision)
    videos = blinking()
    static = train_static_field(ImageSet([v.plate for v in videos], CAMERAS), None, SPACE, STATIC, QUIET)
    assert not any(asked)
    asked.clear()
    DynamicTrainer(videos, static, SPACE, replace(DYNAMIC, amp=True))
    assert asked
    assert all(asked), "what is kept of the static branch is what rendering will show"
