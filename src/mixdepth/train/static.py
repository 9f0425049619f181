"""Training of a static field: the static model, and the static branch of variants that train their own."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixdepth.compute.device import take, training_device, use_cpu
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.vm import VMGrid, resize_grids
from mixdepth.rendering.rays import SpaceMap, stratified
from mixdepth.rendering.static_view import render_static, smaller
from mixdepth.rendering.trace import RaySamples, StaticShade, sample_rays, shade_static, visible_samples
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.losses import LOSSES, DepthSamples
from mixdepth.train.options import StaticOptions
from mixdepth.train.session import Session, pack, unpack

GROWTH = (0.15, 0.3, 0.5)  # shares of the steps at which the grids and the number of samples grow
OCCUPANCY_EVERY = 40
TV_EVERY = 4
SPARSE_RAYS = 192  # rays with a sparse depth per step
GUIDED_REACH = 0.03  # relative to the prior depth: how far guided samples lie from it
DECAY = 0.1  # learning rates fall to this share over the training


def build_static(options: StaticOptions, cameras: int) -> StaticField:
    """A static field with the sizes of ``options``, before training."""
    return StaticField(
        options.start_resolution,
        options.density_components,
        options.colour_components,
        options.width,
        cameras,
        options.view_dependence,
        generator=torch.Generator().manual_seed(options.seed),
    )


def smooth(field: StaticField | DynamicField, weight: float) -> None:
    """Add the gradient of the grids' total variation, the density's counting ten times the appearance's."""
    field.density_grid.smooth(weight)
    field.colour_grid.smooth(0.1 * weight)


def growth(step: int, steps: int, first: int, last: int) -> int:
    """A size that grows geometrically from ``first`` to ``last`` at the shares in ``GROWTH``."""
    level = sum(step >= int(share * steps) for share in GROWTH)
    return round(first * (last / first) ** (level / len(GROWTH)))


def set_rates(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Learning rates after ``share`` of the training: they fall exponentially, to DECAY of the first."""
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] * DECAY**share


def adam(module: torch.nn.Module, grid_rate: float, network_rate: float) -> torch.optim.Adam:
    """Fused Adam with one rate for grids and one for everything else."""
    grids = {id(p) for m in module.modules() if isinstance(m, VMGrid) for p in m.parameters()}
    parameters = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(
        [
            {"params": [p for p in parameters if id(p) in grids], "lr": grid_rate, "initial_lr": grid_rate},
            {"params": [p for p in parameters if id(p) not in grids], "lr": network_rate, "initial_lr": network_rate},
        ],
        betas=(0.9, 0.99),
        eps=1e-12,
        fused=True,
    )


def running_psnr(average: Tensor, error: Tensor, step: int) -> Tensor:
    """The running mean of the PSNR of steps, float64, on their device: ``average`` before this step, whose mean squared
    error is ``error``."""
    return average + (-10 * torch.log10(error).double() - average) * (0.05 if step else 1.0)


class StaticTrainer:
    """A static field that learns from images, with sparse depths and with depth maps where there are any.

    Args:
        data: images with their cameras; with depth maps their confidence-weighted depths supervise every drawn ray.
        sparse: sparse depths (COLMAP's), drawn beside the images' rays.
        field: to start from, of the size ``options.start_resolution`` and with the tones of the images. Its occupancy
            stays as it is: it may have been learnt from more images than these.
    """

    def __init__(
        self,
        data: ImageSet,
        sparse: SparseRays | None,
        space: SpaceMap,
        options: StaticOptions,
        field: StaticField | None = None,
    ):
        device = training_device(options.device)
        self.data, self.space, self.options = data.to(device), space.to(device), options
        self.sparse = None if sparse is None else sparse.to(device)
        torch.manual_seed(options.seed)  # colour network's initial weights
        self.culls = field is None
        field = build_static(options, len(data.start) - 1) if field is None else field
        self.field = field.to(device)
        self.field.tone.requires_grad_(options.tone)
        self.field.amp = options.amp
        self.generator = torch.Generator(device).manual_seed(options.seed + 1)
        self.optimiser = adam(self.field, options.grid_rate, options.network_rate)
        self.rays, self.psnr = 512, torch.zeros((), dtype=torch.float64, device=device)

    def step(self, step: int) -> dict[str, Tensor]:
        """One optimiser step; what to show of it, on the device."""
        options, field = self.options, self.field
        resize_grids(field, self.optimiser, growth(step, options.steps, options.start_resolution, options.resolution))
        set_rates(self.optimiser, step / options.steps)
        samples = growth(step, options.steps, options.start_samples, options.samples)
        index = self.data.draw(self.rays, self.generator)
        loss, error, used = _step_loss(
            field, self.data, self.sparse, self.space, options, index, samples, self.generator
        )
        self.optimiser.zero_grad(set_to_none=False)
        loss.backward()
        if step % TV_EVERY == 0 and options.total_variation > 0:
            smooth(field, TV_EVERY * options.total_variation)
        self.optimiser.step()
        if self.culls and step % OCCUPANCY_EVERY == OCCUPANCY_EVERY - 1 and step > GROWTH[0] * options.steps:
            field.occupancy.update()
        # Rays per step follow the culling, so that about the same number of samples reaches the fields; each has one.
        wanted = max(self.rays * options.batch_samples / max(used, 1), 256)
        self.rays = int(min(wanted, 1.25 * self.rays, options.batch_samples))
        self.psnr = running_psnr(self.psnr, error, step)
        return {"loss": loss.detach(), "psnr": self.psnr}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on."""
        rest = {"rays": self.rays, "psnr": self.psnr.item(), "resolution": self.field.density_grid.resolution}
        return pack(self.field, self.optimiser, self.generator), rest

    def load_state(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Go on from a state."""
        self.rays, self.psnr = rest["rays"], torch.full_like(self.psnr, rest["psnr"])
        resize_grids(self.field, self.optimiser, rest["resolution"])
        unpack(tensors, self.field, self.optimiser, self.generator)

    def preview(self) -> np.ndarray:
        """The first image as the field shows it now, small, [H, W, 3] uint8."""
        view = render_static(self.field, self.space, smaller(self.data.first), self.options.samples)
        return (255 * view.rgb.clip(0, 1)).astype(np.uint8)


def train_static_field(
    data: ImageSet,
    sparse: SparseRays | None,
    space: SpaceMap,
    options: StaticOptions,
    session: Session,
    field: StaticField | None = None,
) -> StaticField:
    """Train a static field; see :class:`StaticTrainer`."""
    use_cpu(options.threads)
    trainer = StaticTrainer(data, sparse, space, options, field)
    session.run(trainer, options.steps)
    return trainer.field


def _step_loss(
    field: StaticField,
    data: ImageSet,
    sparse: SparseRays | None,
    space: SpaceMap,
    options: StaticOptions,
    index: Tensor,
    samples: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, int]:
    """Loss of one step, its mean squared colour error, and the number of samples that reached the field."""
    camera, uv = data.pixels(index)
    drawn = len(index)
    if sparse is not None and len(sparse):
        pick = torch.randint(len(sparse), (min(SPARSE_RAYS, len(sparse)),), generator=generator, device=index.device)
        camera, uv = torch.cat([camera, sparse.camera[pick]]), torch.cat([uv, sparse.uv[pick]])
    around = None
    if options.guided_samples > 0 and (sparse is not None or data.depth is not None):
        prior = torch.full((len(uv),), torch.nan, device=uv.device)
        if data.depth is not None:
            prior[:drawn] = torch.where(take(data.confidence, index) > 0, take(data.depth, index), torch.nan)
        if sparse is not None and len(sparse):
            prior[drawn:] = sparse.z[pick]
        offset = 2 * stratified(len(uv), options.guided_samples, generator, uv.device) - 1
        wanted = prior.isfinite()
        around = torch.where(wanted, prior, 1.0)[:, None] * (1 + GUIDED_REACH * offset), wanted
    traced = sample_rays(space, data.cameras, camera, uv, samples, field.occupancy, generator=generator, around=around)
    traced = visible_samples(field, traced)
    shade = shade_static(field, traced)
    field.occupancy.record(field.occupancy.cells(traced.u), shade.weights.detach())
    target = take(data.rgb, index).float() / 255
    rgb = shade.rgb[:drawn]
    if options.tone:
        rgb = field.tone(rgb, camera[:drawn])
    error = (rgb - target).square().mean(-1)
    if data.weight is not None:
        error = error * take(data.weight, index)
    loss = error.mean()
    if options.tone:
        loss = loss + 0.01 * field.tone.regularisation()
    if options.depth_weight > 0:
        if sparse is not None and len(sparse):
            rays = torch.arange(drawn, drawn + len(pick), device=index.device)
            values = _depth_loss(options.depth_loss, traced, shade, rays, sparse.z[pick], sparse.sigma[pick])
            loss = loss + options.depth_weight * values.mean()
        if data.depth is not None:
            depth, confidence = take(data.depth, index), take(data.confidence, index)
            rays = ((confidence > 0) & depth.isfinite()).nonzero().squeeze(1)
            if len(rays):
                d = depth[rays]
                values = _depth_loss(options.depth_loss, traced, shade, rays, d, options.depth_sigma * d)
                loss = loss + options.depth_weight * (confidence[rays] * values).mean()
    return loss, error.detach().mean(), len(traced.rows)


def _depth_loss(
    name: str, traced: RaySamples, shade: StaticShade, rays: Tensor, depth: Tensor, sigma: Tensor
) -> Tensor:
    """The depth loss ``name`` [K] of the rays numbered ``rays`` [K]."""
    place = torch.full_like(traced.offsets[:-1], -1)
    place[rays] = torch.arange(len(rays), device=rays.device)
    rows = place[traced.rows]
    mine = (rows >= 0).nonzero().squeeze(1)
    samples = DepthSamples(rows[mine], traced.z[mine], traced.dz[mine], traced.far[rays])
    return LOSSES[name](shade.weights[mine], samples, depth, sigma)
