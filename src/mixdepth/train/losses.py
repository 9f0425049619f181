"""Depth losses. Each takes the packed rendering weights of rays and returns one value per ray, to be weighted.

Shapes: ``weights`` [M] rendering weights (they carry the gradient), ``samples`` the packed samples that they belong to,
``depth`` [R] the prior z-depth, ``sigma`` [R] its standard deviation, all in world units. Samples that occupancy
dropped have no weight and no say. None of the losses detaches ``weights``: a test checks every gradient by finite
differences.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class DepthSamples:
    """Packed samples of R rays: what the losses need to know of them."""

    rows: Tensor  # [M] int64, the ray of each
    z: Tensor  # [M] z-depth
    dz: Tensor  # [M] z-depth interval that each stands for
    far: Tensor  # [R] depth at which light that passes counts

    def sum(self, values: Tensor) -> Tensor:
        """Sums [R] over the samples of each ray of values [M]."""
        return values.new_zeros(len(self.far)).index_add(0, self.rows, values)

    def expected(self, weights: Tensor) -> Tensor:
        """Mean z-depth [R]; the light that passes counts as ``far``."""
        return self.far + self.sum(weights * (self.z - self.far[self.rows]))


def mse(weights: Tensor, samples: DepthSamples, depth: Tensor, sigma: Tensor) -> Tensor:
    """Squared relative error of the expected depth: ``((E[z] - depth) / depth)^2``, [R].

    >>> rows, z = torch.tensor([0, 0]), torch.tensor([2.0, 4])
    >>> one_ray = DepthSamples(rows, z, dz=torch.ones(2), far=torch.tensor([9.0]))
    >>> mse(torch.tensor([0.5, 0.5]), one_ray, depth=torch.tensor([2.0]), sigma=torch.ones(1))  # 3 for 2
    tensor([0.2500])
    """
    return ((samples.expected(weights) - depth) / depth) ** 2


def kl(weights: Tensor, samples: DepthSamples, depth: Tensor, sigma: Tensor) -> Tensor:
    """Ray-termination likelihood of DS-NeRF (Deng et al. 2022, eq. 6), normalised over the samples, [R].

    ``-sum_i g_i log(w_i)`` with ``g_i`` proportional to ``exp(-(z_i - depth)^2 / 2 sigma^2) dz_i`` and summing to one,
    so that its size does not depend on the number of samples or the unit of length.
    """
    # The width is at least the sample's own interval, else no sample may lie where the density is.
    width = torch.maximum(sigma[samples.rows], 0.5 * samples.dz)
    log_g = -0.5 * ((samples.z - depth[samples.rows]) / width) ** 2 + torch.log(samples.dz.clamp_min(1e-12) / width)
    largest = torch.full_like(depth, -torch.inf).scatter_reduce(0, samples.rows, log_g, "amax")
    g = torch.exp(log_g - largest[samples.rows])
    return -samples.sum(g * torch.log(weights + 1e-5)) / samples.sum(g).clamp_min(1e-12)


def urf(weights: Tensor, samples: DepthSamples, depth: Tensor, sigma: Tensor) -> Tensor:
    """Empty before the surface, compact at it (Urban Radiance Fields, Rematas et al. 2022, eqs. 17-20), [R].

    ``sum_{before} w_i^2 + (1 - sum_{near} w_i)^2``, where *near* is within three standard deviations and *before* is in
    front of that. The line-of-sight prior's kernel is a box here, which needs no share of a normal density per sample.

    >>> rows, z = torch.tensor([0, 0]), torch.tensor([2.0, 4])
    >>> one_ray = DepthSamples(rows, z, dz=torch.ones(2), far=torch.tensor([9.0]))
    >>> urf(torch.tensor([0.5, 0.5]), one_ray, depth=torch.tensor([4.0]), sigma=torch.tensor([0.1]))  # half is before
    tensor([0.5000])
    """
    prior, reach = depth[samples.rows], 3 * sigma[samples.rows] + 0.5 * samples.dz
    near = ((samples.z - prior).abs() <= reach).to(weights)
    before = (samples.z < prior - reach).to(weights)
    return samples.sum(before * weights**2) + (1 - samples.sum(near * weights)) ** 2


def ranking(weights: Tensor, samples: DepthSamples, depth: Tensor, sigma: Tensor) -> Tensor:
    """Order of depths for priors of unknown scale (SparseNeRF, Wang et al. 2023, eq. 3), [R].

    Ray ``i`` is compared with ray ``i + R/2``: where the prior says that it is nearer, ``max(E[z_i] - E[z_j] + m, 0)``,
    relative to the mean prior depth, with the margin m = 1e-4. A ray without a partner counts zero.
    """
    rendered = samples.expected(weights)
    half = len(depth) // 2
    sign = torch.sign(depth[:half] - depth[half : 2 * half])
    difference = (rendered[:half] - rendered[half : 2 * half]) / depth.mean()
    loss = torch.relu(1e-4 - sign * difference) * (sign != 0)
    return torch.cat([loss, loss, loss.new_zeros(len(depth) - 2 * half)])


LOSSES = {"mse": mse, "kl": kl, "urf": urf, "ranking": ranking}
