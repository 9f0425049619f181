"""Every depth loss against a number worked out by hand, and its gradient against finite differences."""

import math

import pytest
import torch

from mixdepth.kernels import plain
from mixdepth.train.losses import LOSSES, DepthSamples, kl, mse, ranking, urf

OFFSETS, ROWS = torch.tensor([0, 4, 8]), torch.tensor([0] * 4 + [1] * 4)
Z = torch.tensor([1.0, 2.0, 3.0, 4.0] * 2, dtype=torch.float64)
FAR = torch.tensor([4.0, 4.0], dtype=torch.float64)
SAMPLES = DepthSamples(ROWS, Z, torch.ones_like(Z), FAR)
DEPTH = torch.tensor([2.0, 3.0], dtype=torch.float64)
SIGMA = torch.tensor([0.1, 0.1], dtype=torch.float64)
WEIGHTS = torch.tensor([0.1, 0.6, 0.2, 0.0, 0.1, 0.1, 0.5, 0.3], dtype=torch.float64)


def test_mse_by_hand():
    # E[z] = 0.1 + 1.2 + 0.6 + (1 - 0.9) * 4 = 2.3, and 0.1 + 0.2 + 1.5 + 1.2 = 3.0
    assert mse(WEIGHTS, SAMPLES, DEPTH, SIGMA).tolist() == pytest.approx([(0.3 / 2) ** 2, 0])


def test_kl_by_hand():
    # The width is at least half an interval, 0.5: shares are proportional to exp(-2), 1, exp(-2), exp(-8).
    e = [math.exp(-2), 1, math.exp(-2), math.exp(-8)]
    expected = -sum(g / sum(e) * math.log(w + 1e-5) for g, w in zip(e, [0.1, 0.6, 0.2, 0.0], strict=True))
    assert kl(WEIGHTS, SAMPLES, DEPTH, SIGMA)[0].item() == pytest.approx(expected)


def test_kl_knows_the_reprojection_error():
    """A prior with a small deviation demands more than one with a large one (DS-NeRF with variance 1 did not)."""
    z = torch.linspace(1, 3, 81, dtype=torch.float64)
    samples = DepthSamples(torch.zeros(81, dtype=torch.int64), z, torch.full_like(z, 0.025), z[-1:])
    w = torch.softmax(-(((z - 2.1) / 0.05) ** 2), dim=-1)
    depth = torch.tensor([2.0], dtype=torch.float64)
    precise, vague = (kl(w, samples, depth, torch.tensor([s], dtype=torch.float64)) for s in (0.02, 0.2))
    slope = {}
    for name, s in (("precise", 0.02), ("vague", 0.2)):
        shifted = torch.softmax(-(((z - 2.05) / 0.05) ** 2), dim=-1)
        moved = kl(shifted, samples, depth, torch.tensor([s], dtype=torch.float64))
        slope[name] = ((precise if name == "precise" else vague) - moved).item()
    assert slope["precise"] > 2 * slope["vague"] > 0


def test_urf_by_hand():
    # Reach 3 * 0.1 + 0.5 = 0.8: near holds the sample at the depth only; before it is w = 0.1 (and 0.1, 0.1).
    assert urf(WEIGHTS, SAMPLES, DEPTH, SIGMA).tolist() == pytest.approx([0.01 + 0.4**2, 0.02 + 0.5**2])


def test_ranking_by_hand():
    # Prior: the first is nearer. Rendered 2.3 < 3.0: right, no loss. Swapped prior: (0.7 / 2.5 + 1e-4).
    assert ranking(WEIGHTS, SAMPLES, DEPTH, SIGMA).tolist() == [0, 0]
    wrong = ranking(WEIGHTS, SAMPLES, DEPTH.flip(0), SIGMA)
    assert wrong.tolist() == pytest.approx([0.7 / 2.5 + 1e-4] * 2)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_gradient_reaches_the_density_and_is_right(name: str):
    """By central differences. The gradient must exist: a depth loss without one was the original's first fault."""
    depth = torch.tensor([2.4, 1.7], dtype=torch.float64)  # the wrong way round for `ranking`
    tau = torch.tensor([0.2, 0.9, 0.7, 0.5, 0.1, 0.2, 0.4, 1.5], dtype=torch.float64, requires_grad=True)

    def loss(t: torch.Tensor) -> torch.Tensor:
        return LOSSES[name](plain.composite(t, OFFSETS, ROWS, 0.0), SAMPLES, depth, SIGMA).sum()

    (gradient,) = torch.autograd.grad(loss(tau), tau)
    assert gradient.abs().max() > 1e-3
    for index in range(tau.numel()):
        step = torch.zeros(tau.numel(), dtype=torch.float64)
        step[index] = 1e-6
        with torch.no_grad():
            numeric = (loss(tau + step) - loss(tau - step)) / 2e-6
        assert gradient[index].item() == pytest.approx(numeric.item(), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_keep_one_value_per_ray(name: str):
    """(N,) against (N, 1) once broadcast to N x N."""
    assert LOSSES[name](WEIGHTS, SAMPLES, DEPTH, SIGMA).shape == (2,)
