"""Rendering of the mixed model: static and dynamic branch composited with ``add`` (densities add)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.rendering.compositing import render_weights, transmittance
from mixdepth.rendering.trace import VISIBLE, RaySamples


@dataclass
class MixedShade:
    """What R rays show at F frames."""

    rgb: Tensor  # [R, F, 3] before tone
    weights: Tensor  # [R, F, N] rendering weights of both branches together
    dynamic_tau: Tensor  # [M, F] optical thickness of the dynamic branch at ``dynamic``
    dynamic_weight: Tensor  # [M, F] the dynamic branch's share of the weights
    dynamic: Tensor  # [M] flat indices into [R * N] of samples with a dynamic part


def shade_mixed(static: StaticField, field: DynamicField, samples: RaySamples, frames: Tensor) -> MixedShade:
    """Composite both branches at ``frames`` [F].

    Samples are those where either branch may be. The static branch has no time axis and takes no gradient: it
    is trained before. The dynamic branch is evaluated where it may be and light arrives through the static one.
    """
    with torch.no_grad():
        tau_s, rgb_s = _static_part(static, samples)
        arrives = transmittance(tau_s).flatten()[samples.kept] > VISIBLE
        where = (field.occupancy.mask[field.occupancy.cells(samples.u)] & arrives).nonzero().squeeze(1)
    dynamic = samples.kept[where]
    u = samples.u[where]
    tau_d = field.sigma(u, frames) * samples.delta.flatten()[dynamic][:, None]  # [M, F]
    rays, count = samples.z.shape
    dense = tau_d.new_zeros(rays * count, len(frames)).index_put((dynamic,), tau_d)
    tau = dense.view(rays, count, -1).transpose(1, 2) + tau_s[:, None]  # [R, F, N]
    weights = render_weights(tau)
    per_sample = weights.transpose(1, 2).reshape(rays * count, -1)  # [R * N, F]
    share = tau_d / (tau_d + tau_s.flatten()[dynamic][:, None]).clamp_min(1e-10)
    weight_d = per_sample[dynamic] * share
    weight_s = per_sample.index_put((dynamic,), per_sample[dynamic] - weight_d).view(rays, count, -1)
    rgb = torch.einsum("rnf,rnc->rfc", weight_s, rgb_s)
    # Colours of the dynamic branch where any of the frames shows it.
    lit = (weight_d.detach().amax(1) > VISIBLE).nonzero().squeeze(1)
    colour = weight_d[lit][..., None] * field.colour(u[lit], frames)
    rgb = rgb.index_add(0, dynamic[lit] // count, colour)
    left = 1 - weights.sum(-1)
    rgb = rgb + left[..., None] * torch.sigmoid(static.background)
    return MixedShade(rgb, weights, tau_d, weight_d, dynamic)


def _static_part(static: StaticField, samples: RaySamples) -> tuple[Tensor, Tensor]:
    """Optical thickness [R, N] and colours [R, N, 3] of the static branch, zero where it is empty or hidden."""
    mask = static.occupancy.mask[static.occupancy.cells(samples.u)].nonzero().squeeze(1)
    kept = samples.kept[mask]
    u = samples.u[mask]
    flat = samples.delta.new_zeros(samples.z.numel())
    tau = flat.index_put((kept,), static.sigma(u) * samples.delta.flatten()[kept]).view(samples.z.shape)
    visible = (render_weights(tau.detach()).flatten()[kept] > VISIBLE).nonzero().squeeze(1)
    seen = kept[visible]
    directions = samples.directions[seen // samples.z.shape[1]]
    rgb = samples.delta.new_zeros(samples.z.numel(), 3)
    rgb = rgb.index_put((seen,), static.colour(u[visible], directions))
    return tau, rgb.view(*samples.z.shape, 3)
