"""Depth losses. Each takes the rendering weights of rays and returns one value per ray, to be weighted and averaged.

Shapes: ``weights`` [R, N] rendering weights (they carry the gradient), ``z`` [R, N] z-depths of the samples, ascending,
``dz`` [R, N] the depth interval of each sample, ``depth`` [R] the prior z-depth, ``sigma`` [R] its standard deviation,
all in world units. None of them detaches ``weights``: a test checks every gradient by finite differences.
"""

import torch
from torch import Tensor

from mixdepth.rendering.compositing import expected_depth


def mse(weights: Tensor, z: Tensor, dz: Tensor, depth: Tensor, sigma: Tensor) -> Tensor:
    """Squared relative error of the expected depth: ``((E[z] - depth) / depth)^2``, [R]."""
    return ((expected_depth(weights, z, z[:, -1]) - depth) / depth) ** 2


def kl(weights: Tensor, z: Tensor, dz: Tensor, depth: Tensor, sigma: Tensor) -> Tensor:
    """Ray-termination likelihood of DS-NeRF (Deng et al. 2022, eq. 6), normalised over the samples, [R].

    ``-sum_i g_i log(w_i)`` with ``g_i`` proportional to ``exp(-(z_i - depth)^2 / 2 sigma^2) dz_i`` and summing to one,
    so that its size does not depend on the number of samples or the unit of length.
    """
    g = _gaussian(z, dz, depth, sigma)
    return -(g * torch.log(weights + 1e-5)).sum(-1)


def urf(weights: Tensor, z: Tensor, dz: Tensor, depth: Tensor, sigma: Tensor) -> Tensor:
    """Empty before the surface, compact at it (Urban Radiance Fields, Rematas et al. 2022, eqs. 17-20), [R].

    ``sum_{before} w_i^2 + (1 - sum_{near} w_i)^2``, where *near* is within three standard deviations and *before* is in
    front of that. The line-of-sight prior's kernel is a box here, which needs no share of a normal density per sample.
    """
    reach = (3 * sigma)[:, None] + 0.5 * dz
    near = ((z - depth[:, None]).abs() <= reach).to(weights)
    before = (z < depth[:, None] - reach).to(weights)
    return (before * weights**2).sum(-1) + (1 - (near * weights).sum(-1)) ** 2


def ranking(weights: Tensor, z: Tensor, dz: Tensor, depth: Tensor, sigma: Tensor) -> Tensor:
    """Order of depths for priors of unknown scale (SparseNeRF, Wang et al. 2023, eq. 3), [R].

    Ray ``i`` is compared with ray ``i + R/2``: where the prior says that it is nearer, ``max(E[z_i] - E[z_j] + m, 0)``,
    relative to the mean prior depth, with the margin m = 1e-4. A ray without a partner counts zero.
    """
    rendered = expected_depth(weights, z, z[:, -1])
    half = len(depth) // 2
    sign = torch.sign(depth[:half] - depth[half : 2 * half])
    difference = (rendered[:half] - rendered[half : 2 * half]) / depth.mean()
    loss = torch.relu(1e-4 - sign * difference) * (sign != 0)
    return torch.cat([loss, loss, loss.new_zeros(len(depth) - 2 * half)])


def behind(tau: Tensor, z: Tensor, depth: Tensor, sigma: Tensor) -> Tensor:
    """Hinge for rays that move: optical thickness [R] of the dynamic part beyond the static surface.

    Args:
        tau: [R, N] optical thickness of the dynamic samples.
        z: [R, N] their z-depths.
        depth, sigma: [R] the static depth and its standard deviation; nothing lies beyond depth + 3 sigma.
    """
    return (tau * (z > (depth + 3 * sigma)[:, None])).sum(-1)


def _gaussian(z: Tensor, dz: Tensor, depth: Tensor, sigma: Tensor) -> Tensor:
    """Share [R, N] of a normal distribution around ``depth`` that each sample stands for; rows sum to one.

    Its width is at least the sample's own interval, else no sample may lie where the density is.
    """
    width = torch.maximum(sigma[:, None].expand_as(dz), 0.5 * dz)
    log_density = -0.5 * ((z - depth[:, None]) / width) ** 2 + torch.log(dz.clamp_min(1e-12) / width)
    return torch.softmax(log_density, dim=-1)


LOSSES = {"mse": mse, "kl": kl, "urf": urf, "ranking": ranking}
