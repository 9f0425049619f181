"""LPIPS is the published formula, with weights that users convert as docs/scores.md says."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as published
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.checkout import REPOSITORY
from mixdepth.errors import UserError
from mixdepth.evaluation.colour import score_colour
from mixdepth.evaluation.lpips import SIDE, load_lpips
from mixdepth.evaluation.protocol import colour_reasons
from mixdepth.evaluation.tasks import lpips_measures
from mixdepth.scene.settings import Settings

# torchvision's layers: a number is a convolution's (channels, kernel, stride, padding).
ALEXNET = [(64, 11, 4, 2), "relu", "pool3", (192, 5, 1, 2), "relu", "pool3", (384, 3, 1, 1), "relu", (256, 3, 1, 1)]
ALEXNET += ["relu", (256, 3, 1, 1), "relu", "pool3"]
VGG16 = [
    layer
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for layer in [*[(channels, 3, 1, 1), "relu"] * count, "pool2"]
]


def network(layers: list, weights: None) -> types.SimpleNamespace:
    found, before = [], 3
    for layer in layers:
        if layer == "relu":
            found.append(nn.ReLU(inplace=True))
        elif isinstance(layer, str):
            found.append(nn.MaxPool2d(int(layer[-1]), 2))
        else:
            channels, kernel, stride, padding = layer
            found.append(nn.Conv2d(before, channels, kernel, stride, padding))
            before = channels
    return types.SimpleNamespace(features=nn.Sequential(*found))


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> dict[str, nn.Module]:
    """torchmetrics' LPIPS with random weights, on a stand-in for torchvision of the same architecture."""
    torchvision = types.ModuleType("torchvision")
    torchvision.models = types.SimpleNamespace(
        alexnet=lambda weights: network(ALEXNET, weights), vgg16=lambda weights: network(VGG16, weights)
    )
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setattr(published, "_TORCHVISION_AVAILABLE", True)
    torch.manual_seed(0)
    models = {name: published._LPIPS(pretrained=False, net=name, pnet_rand=True) for name in ("alex", "vgg")}
    for model in models.values():
        for lin in model.lins:
            lin.model[-1].weight.data.abs_().mul_(50)  # not negative, as the published ones; large enough to compare
    return models


@pytest.fixture
def weights(reference: dict[str, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Files made by the snippet of the documentation, run on these models in place of the package lpips."""
    page = (REPOSITORY / "docs" / "scores.md").read_text()
    snippet = re.search(r"```python\n(.*?)```", page, re.S)[1]
    lpips = types.ModuleType("lpips")
    lpips.LPIPS = lambda net: reference[net]
    monkeypatch.setitem(sys.modules, "lpips", lpips)
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    return {name: tmp_path / f"lpips_{name}.safetensors" for name in reference}


def pictures(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(width)
    truth = np.kron(rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)), np.ones((4, 4, 1)))[:height, :width]
    render = np.clip(truth + rng.normal(0, 30, truth.shape), 0, 255)
    return render.astype(np.uint8), truth.astype(np.uint8)


@pytest.mark.parametrize("name", ["alex", "vgg"])
@pytest.mark.parametrize("size", [(64, 64), (73, 98), (31, 40)], ids=lambda size: f"{size[1]}x{size[0]}")
def test_it_is_the_published_formula(reference: dict, weights: dict, name: str, size: tuple[int, int]) -> None:
    render, truth = pictures(*size)
    tensors = (torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None] for image in (render, truth))
    expected = float(reference[name](*tensors, normalize=True))
    assert expected > 0.01
    compare = load_lpips(name, weights[name]).compare
    assert compare(render, truth, None).value == pytest.approx(expected, abs=1e-4)
    assert compare(truth, truth, None).value == 0


@pytest.mark.parametrize("name", ["alex", "vgg"])
def test_the_smallest_picture_leaves_every_stage_a_pixel(weights: dict, name: str) -> None:
    measure = load_lpips(name, weights[name])
    assert np.isfinite(measure.compare(*pictures(SIDE[name], SIDE[name]), None).value)
    with pytest.raises(RuntimeError):
        measure.compare(*pictures(SIDE[name] - 1, SIDE[name] - 1), None)


def test_what_is_not_valid_is_painted_as_in_the_truth(weights: dict) -> None:
    compare = load_lpips("alex", weights["alex"]).compare
    render, truth = pictures(64, 64)
    valid = np.ones((64, 64), bool)
    valid[:, :20] = False
    assert compare(render, truth, valid) == compare(np.where(valid[..., None], render, truth), truth, None)


def test_only_networks_whose_weights_are_given_are_scored(weights: dict) -> None:
    scene = types.SimpleNamespace(config=Settings.of({"lpips": {"alex": str(weights["alex"]), "vgg": None}}))
    render, truth = pictures(40, 40)
    score = score_colour([render] * 2, [truth] * 2, [np.zeros((40, 40), bool)] * 2, measures=lpips_measures(scene))
    found = score.summary()
    assert found["lpips_alex"] == load_lpips("alex", weights["alex"]).compare(render, truth, None).value
    assert found["lpips_vgg"] is None
    reasons = colour_reasons(found, [(40, 40)], 2, {"lpips_alex"})
    assert reasons["lpips_vgg"] == "no weights given (lpips.vgg in the configuration)"
    assert colour_reasons({"lpips_alex": None}, [(8, 10)], 2, {"lpips_alex"}) == {
        "lpips_alex": "needs at least 31 pixels in width and height; the picture has 10x8"
    }


def test_weights_that_do_not_fit_are_refused_with_what_is_wrong(weights: dict, tmp_path: Path) -> None:
    good = load_file(weights["alex"])

    def refused(tensors: dict, message: str) -> None:
        save_file(tensors, tmp_path / "bad.safetensors")
        with pytest.raises(UserError, match=message):
            load_lpips("alex", tmp_path / "bad.safetensors")

    refused({key: value for key, value in good.items() if key != "lin3.weight"}, r"lin3.weight is missing")
    refused({**good, "classifier.1.weight": torch.zeros(2)}, r"classifier.1.weight is not of this network.*scores.md")
    refused(
        {**good, "lin0.weight": torch.zeros(1, 3, 1, 1)}, r"lin0.weight is \[1, 3, 1, 1\], expected \[1, 64, 1, 1\]"
    )
    with pytest.raises(UserError, match=r"is not of this network|is missing"):
        load_lpips("alex", weights["vgg"])
    with pytest.raises(UserError, match=r"nowhere.safetensors: file not found.*lpips.vgg"):
        load_lpips("vgg", tmp_path / "nowhere.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        load_lpips("vgg", tmp_path / "text.safetensors")
