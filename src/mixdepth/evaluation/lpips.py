"""LPIPS v0.1 (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric").

The weights are the user's (docs/scores.md says how to come by the file); the networks' layers are here, so that
torchvision is not needed. A file holds, as float tensors: ``features.<n>.weight`` and ``features.<n>.bias`` of the
convolutions, numbered as in torchvision's ``alexnet().features`` or ``vgg16().features``, and ``lin<k>.weight``
[1, C, 1, 1] for the five stages.
"""

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from mixdepth.errors import ConfigurationError, DamagedFile, listed
from mixdepth.evaluation.pictures import Measure, Measured, painted
from mixdepth.files.kinds import refuse_irregular

# Mean and standard deviation of ImageNet's colours, for pictures in -1..1 (the "scaling layer").
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
SIDE = {"alex": 31, "vgg": 16}  # smallest side that leaves the last stage a pixel


def alexnet() -> nn.Sequential:
    """The convolutions of AlexNet (Krizhevsky 2014), numbered as in torchvision, up to the fifth activation."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()]
    layers += [nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()]
    for before, after in ((384, 256), (256, 256)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def vgg16() -> nn.Sequential:
    """The convolutions of VGG-16 (Simonyan & Zisserman 2015), numbered as in torchvision, up to the last activation."""
    layers: list[nn.Module] = []
    before = 3
    for stage, (after, count) in enumerate(zip(CHANNELS["vgg"], (2, 2, 3, 3, 3), strict=True)):
        layers += [nn.MaxPool2d(2)] if stage else []
        for _ in range(count):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
    return nn.Sequential(*layers)


class Lpips(nn.Module):
    """The distance of two pictures.

    Args:
        network: "alex" or "vgg".
    """

    shift: Tensor
    scale: Tensor
    # Activations that are compared, by their number in `features`.
    STAGES = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}  # noqa: RUF012

    def __init__(self, network: str):
        super().__init__()
        self.features = alexnet() if network == "alex" else vgg16()
        self.stages = self.STAGES[network]
        for index, channels in enumerate(CHANNELS[network]):
            self.add_module(f"lin{index}", nn.Conv2d(channels, 1, 1, bias=False))
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)

    @torch.no_grad()
    def forward(self, render: Tensor, truth: Tensor) -> Tensor:
        """Distances [N] of pictures [N, 3, H, W] in 0..1: squared differences of the unit-length features of each
        stage, weighted by channel, averaged over the pixels and summed over the stages."""
        one, two = ((2 * picture - 1 - self.shift) / self.scale for picture in (render, truth))
        total = torch.zeros(len(one))
        for number, layer in enumerate(self.features):
            one, two = layer(one), layer(two)
            if number in self.stages:
                difference = (_unit(one) - _unit(two)) ** 2
                weigh = getattr(self, f"lin{self.stages.index(number)}")
                total = total + weigh(difference).mean((1, 2, 3))
        return total


def _unit(features: Tensor) -> Tensor:
    """``features`` [N, C, H, W] with unit length over the channels."""
    return features / torch.sqrt(1e-8 + (features**2).sum(1, keepdim=True))


def load_lpips(network: str, path: Path) -> Measure:
    """LPIPS with the weights of a safetensors file. What is not valid is painted as in the truth.

    Raises:
        UserError: the file is missing, not a safetensors file, or does not hold the weights of this network.
    """
    key = f"lpips.{network}"
    refuse_irregular(path)
    try:
        found = safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: file not found. Correct `{key}` in the configuration, or set it to null."
        ) from None
    except (SafetensorError, OSError) as error:
        raise DamagedFile(f"{path}: not a readable safetensors file ({error}); `{key}` needs one") from None
    model = Lpips(network).eval()
    wanted = model.state_dict()
    _check(path, key, {name: list(value.shape) for name, value in wanted.items()}, found)
    model.load_state_dict({name: found[name].float() for name in wanted})

    def compare(render: np.ndarray, truth: np.ndarray, valid: np.ndarray | None) -> Measured:
        levels = painted(render, truth, valid), truth
        pair = (torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None] for image in levels)
        return Measured(float(model(*pair)))

    return Measure(compare, SIDE[network])


def _check(path: Path, key: str, wanted: dict[str, list[int]], found: dict[str, Tensor]) -> None:
    """Refuse weights of other names or shapes."""
    how = f"`{key}` needs the weights that docs/scores.md says how to convert"
    if missing := [name for name in wanted if name not in found]:
        raise DamagedFile(f"{path}: {missing[0]} is missing (found: {listed(sorted(found)[:8])}); {how}")
    if extra := sorted(found.keys() - wanted.keys()):
        raise DamagedFile(f"{path}: {extra[0]} is not of this network; {how}")
    for name, shape in wanted.items():
        if list(found[name].shape) != shape:
            raise DamagedFile(f"{path}: {name} is {list(found[name].shape)}, expected {shape}; {how}")
