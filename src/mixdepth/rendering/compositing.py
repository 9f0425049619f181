"""Volume rendering as pure functions.

With optical thickness ``tau_i = sigma_i * delta_i`` per sample, ``alpha_i = 1 - exp(-tau_i)``, transmittance
``T_i = exp(-sum_{j<i} tau_j)`` and weights ``w_i = T_i * alpha_i`` (Max 1995; NeRF, Mildenhall et al. 2020, eq. 3).
"""

import torch
from torch import Tensor


def transmittance(tau: Tensor) -> Tensor:
    """Light that reaches each sample, exclusive of itself: [..., N] from optical thickness [..., N]."""
    return torch.exp(-(torch.cumsum(tau, dim=-1) - tau))


def render_weights(tau: Tensor) -> Tensor:
    """Rendering weights [..., N] from optical thickness [..., N]; they sum to 1 - exp(-sum tau)."""
    return transmittance(tau) * -torch.expm1(-tau)


def expected_depth(weights: Tensor, z: Tensor, far: Tensor) -> Tensor:
    """Mean z-depth [...] of weights [..., N] at depths z [..., N]; the light that passes counts as ``far`` [...]."""
    return (weights * z).sum(-1) + (1 - weights.sum(-1)) * far


def median_depth(weights: Tensor, z: Tensor, far: Tensor) -> Tensor:
    """z-depth [...] at which half of a ray has been absorbed, linear between samples; ``far`` where half passes.

    Args:
        weights: [..., N] rendering weights.
        z: [..., N] z-depths, ascending.
        far: [...] depth of rays that are less than half absorbed.
    """
    total = torch.cumsum(weights, dim=-1)
    index = torch.searchsorted(total.contiguous(), torch.full_like(total[..., :1], 0.5))
    hit = index.clamp(max=z.shape[-1] - 1)
    before = (hit - 1).clamp(min=0)
    t0, t1 = total.gather(-1, before), total.gather(-1, hit)
    z0, z1 = z.gather(-1, before), z.gather(-1, hit)
    # A sample's weight is spread over its own interval: half lies before its depth. Interpolate on centred sums.
    c0, c1 = t0 - 0.5 * weights.gather(-1, before), t1 - 0.5 * weights.gather(-1, hit)
    share = torch.where(hit > before, (0.5 - c0) / (c1 - c0).clamp_min(1e-9), torch.zeros_like(t0))
    depth = z0 + (z1 - z0) * share.clamp(0, 1.5)
    return torch.where(index < z.shape[-1], depth, far[..., None]).squeeze(-1)
