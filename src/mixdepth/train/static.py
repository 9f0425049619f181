"""Training of a static field: the static model, and the static branch of variants that train their own."""

import torch
from torch import Tensor

from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.vm import VMGrid, resize_grids
from mixdepth.losses.depth import LOSSES
from mixdepth.progress import Progress
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.trace import RaySamples, StaticShade, sample_rays, shade_static
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.options import StaticOptions

GROWTH = (0.1, 0.2, 0.35)  # shares of the steps at which the grids and the number of samples grow
OCCUPANCY_EVERY = 40
TV_EVERY = 4
SPARSE_RAYS = 192  # rays with a sparse depth per step
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


def roughness(field: StaticField | DynamicField) -> Tensor:
    """Total variation of the grids of a field, the density's counting ten times the appearance's."""
    return field.density_grid.total_variation() + 0.1 * field.colour_grid.total_variation()


def growth(step: int, steps: int, first: int, last: int) -> int:
    """A size that grows geometrically from ``first`` to ``last`` at the shares in ``GROWTH``."""
    level = sum(step >= int(share * steps) for share in GROWTH)
    return round(first * (last / first) ** (level / len(GROWTH)))


def adam(module: torch.nn.Module, grid_rate: float, network_rate: float) -> torch.optim.Adam:
    """Fused Adam with one rate for grids and one for everything else."""
    grids = {id(p) for m in module.modules() if isinstance(m, VMGrid) for p in m.parameters()}
    parameters = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(
        [
            {"params": [p for p in parameters if id(p) in grids], "lr": grid_rate},
            {"params": [p for p in parameters if id(p) not in grids], "lr": network_rate},
        ],
        betas=(0.9, 0.99),
        eps=1e-12,
        fused=True,
    )


def train_static_field(
    data: ImageSet,
    sparse: SparseRays | None,
    space: SpaceMap,
    options: StaticOptions,
    label: str,
) -> StaticField:
    """Train a static field on images, with sparse depths and with depth maps where there are any.

    Args:
        data: images with their cameras; with depth maps their confidence-weighted depths supervise every drawn ray.
        sparse: sparse depths (COLMAP's), drawn beside the images' rays.
        label: for the progress lines.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)  # colour network's initial weights
    field = build_static(options, len(data.start) - 1)
    field.tone.requires_grad_(options.tone)
    generator = torch.Generator().manual_seed(options.seed + 1)
    optimiser = adam(field, options.grid_rate, options.network_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, DECAY ** (1 / options.steps))
    progress = Progress(label, options.steps)
    rays, psnr = 512, 0.0
    for step in range(options.steps):
        resolution = growth(step, options.steps, options.start_resolution, options.resolution)
        if field.density_grid.planes.shape[-1] != resolution:
            resize_grids(field, optimiser, resolution)
        samples = growth(step, options.steps, options.start_samples, options.samples)
        index = data.draw(rays, generator)
        loss, error, used = _step_loss(field, data, sparse, space, options, index, samples, generator)
        if step % TV_EVERY == 0 and options.total_variation > 0:
            loss = loss + TV_EVERY * options.total_variation * roughness(field)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % OCCUPANCY_EVERY == OCCUPANCY_EVERY - 1 and step > GROWTH[0] * options.steps:
            field.occupancy.update()
        # Rays per step follow the culling, so that about the same number of samples reaches the fields.
        rays = int(min(max(rays * options.batch_samples / max(used, 1), 256), min(1.25 * rays, 4096)))
        psnr += (-10 * torch.log10(error).item() - psnr) * (0.05 if step else 1.0)
        progress.update(loss=loss.item(), psnr=psnr)
    return field


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
        pick = torch.randint(len(sparse), (min(SPARSE_RAYS, len(sparse)),), generator=generator)
        camera, uv = torch.cat([camera, sparse.camera[pick]]), torch.cat([uv, sparse.uv[pick]])
    traced = sample_rays(space, data.cameras, camera, uv, samples, field.occupancy, generator=generator)
    shade = shade_static(field, traced)
    field.occupancy.record(field.occupancy.cells(traced.u), shade.weights.detach().flatten()[traced.kept])
    target = data.rgb[index].float() / 255
    rgb = shade.rgb[:drawn]
    if options.tone:
        rgb = field.tone(rgb, camera[:drawn])
    error = (rgb - target).square().mean(-1)
    if data.weight is not None:
        error = error * data.weight[index]
    loss = error.mean()
    if options.tone:
        loss = loss + 0.01 * field.tone.regularisation()
    if options.depth_weight > 0:
        if sparse is not None and len(sparse):
            rows = slice(drawn, None)
            loss = loss + options.depth_weight * _depth_loss(
                options.depth_loss, traced, shade, rows, sparse.z[pick], sparse.sigma[pick], None
            )
        if data.depth is not None:
            depth, confidence = data.depth[index], data.confidence[index]
            rows = ((confidence > 0) & depth.isfinite()).nonzero().squeeze(1)
            if len(rows):
                d = depth[rows]
                loss = loss + options.depth_weight * _depth_loss(
                    options.depth_loss, traced, shade, rows, d, 0.01 * d, confidence[rows]
                )
    return loss, error.detach().mean(), len(traced.kept)


def _depth_loss(
    name: str,
    traced: RaySamples,
    shade: StaticShade,
    rows: Tensor | slice,
    depth: Tensor,
    sigma: Tensor,
    confidence: Tensor | None,
) -> Tensor:
    """Confidence-weighted mean over ``rows`` of the depth loss ``name``."""
    loss = LOSSES[name](shade.weights[rows], traced.z[rows], traced.dz[rows], depth, sigma)
    return loss.mean() if confidence is None else (confidence * loss).mean()
