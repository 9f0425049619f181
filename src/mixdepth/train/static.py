"""Training of a static field: the static model, and the static branch of variants that train their own."""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixdepth.compute.device import place, take, training_device, use_cpu
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.vm import VMGrid, resize_grids
from mixdepth.rendering.rays import SpaceMap, stratified
from mixdepth.rendering.static_view import render_static, smaller
from mixdepth.rendering.trace import RaySamples, StaticShade, sample_rays, shade_static, visible_samples
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.free_space import SharedView, count_looks
from mixdepth.train.losses import LOSSES, DepthSamples
from mixdepth.train.options import StaticOptions
from mixdepth.train.session import Session, pack, unpack

GROWTH = (0.15, 0.3, 0.5)  # shares of the steps at which the grids and the number of samples grow
OCCUPANCY_EVERY = 40
TV_EVERY = 4
SPARSE_RAYS = 192  # rays with a sparse depth per step
GUIDED_REACH = 0.03  # relative to the prior depth: how far guided samples lie from it
# What a pixel shows for less than LEAST of the time teaches nothing, as it may be a mover that lingers (a ghost); below
# SURE it may still be one, and counts less the more it differs (Geman and McClure 1987; DOUBT in colours of 0..1) from
# what the other cameras have taught once DOUBT_FROM of the steps are gone.
LEAST, SURE, DOUBT, DOUBT_FROM = 0.5, 0.95, 0.06, 0.3
# An empty background: at least this share of the pixels of most images is as black, or white, as nothing can be.
VOID_SHARE, VOID_SPREAD = 0.05, 8
# Of the opacity that a ray gathers where nothing static can stand: of a background that is taken for empty, where dark
# things would be eaten by more; before what moves, and before what a second camera sees.
VOID_WEIGHT, FREE_WEIGHT = 0.01, 0.05
DECAY = 0.1  # learning rates fall to this share over the training


def build_static(options: StaticOptions, cameras: int) -> StaticField:
    """A static field with the sizes of ``options``, before training."""
    field = StaticField(
        options.start_resolution,
        options.density_components,
        options.colour_components,
        options.width,
        cameras,
        options.view_dependence,
        generator=torch.Generator().manual_seed(options.seed),
    )
    field.occupancy.looks.zero_()  # until its images are counted
    return field


def smooth(field: StaticField | DynamicField, weight: float) -> None:
    """Add the gradient of the grids' total variation, the density's counting ten times the appearance's."""
    field.density_grid.smooth(weight)
    field.colour_grid.smooth(0.1 * weight)


def growth(step: int, steps: int, first: int, last: int) -> int:
    """A size that grows geometrically from ``first`` to ``last`` at the shares in ``GROWTH``.

    >>> tuple(growth(step, 100, first=10, last=80) for step in (0, 15, 30, 50))
    (10, 20, 40, 80)
    """
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


@dataclass(frozen=True)
class _Batch:
    """The R rays of one step: those of P pixels, then those of K sparse depths."""

    index: Tensor  # [P] flat pixel indices
    sparse: SparseRays | None  # K of them
    camera: Tensor  # [R] int64
    uv: Tensor  # [R, 2] float64 pixels


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
        colour = void_colour(data) if self.culls else None
        free = data.free
        if colour is not None:
            shown = (data.rgb.short() - colour).abs().amax(-1) <= VOID_SPREAD
            free = torch.zeros(len(shown)) if free is None else free
            free = torch.where(shown, torch.inf, free)
            field.background.data = torch.logit((colour / 255).clamp(0.002, 0.998))
            share = float(shown.float().mean())
            print(f"{share:.0%} of the pixels show an empty background of colour {colour.tolist()}", file=sys.stderr)
        self.free = None if free is None else place(free, device)
        # Where there are depths they say where surfaces are, also those that one camera alone sees.
        mapped = data.confidence is not None and bool((data.confidence > 0).any())
        known = mapped or (sparse is not None and len(sparse) > 0)
        self.shared = None if known else SharedView(self.data.cameras, self.space)
        self.field = field.to(device)
        count_looks(field.occupancy, data.cameras.cameras, self.space)
        self.field.tone.requires_grad_(options.tone)
        self.field.amp = options.amp
        self.generator = torch.Generator(device).manual_seed(options.seed + 1)
        self.optimiser = adam(self.field, options.grid_rate, options.network_rate)
        self.doubts = False
        self.rays, self.psnr = 512, torch.zeros((), dtype=torch.float64, device=device)

    def step(self, step: int) -> dict[str, Tensor]:
        """One optimiser step; what to show of it, on the device."""
        options, field = self.options, self.field
        resize_grids(field, self.optimiser, growth(step, options.steps, options.start_resolution, options.resolution))
        set_rates(self.optimiser, step / options.steps)
        samples = growth(step, options.steps, options.start_samples, options.samples)
        self.doubts = step >= DOUBT_FROM * options.steps
        loss, error, used = self._loss(samples)
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

    def _loss(self, samples: int) -> tuple[Tensor, Tensor, int]:
        """Loss of one step, its mean squared colour error, and the number of samples that reached the field."""
        field, options, batch = self.field, self.options, self._draw()
        cameras, around = self.data.cameras, self._around(batch)
        traced = sample_rays(
            self.space,
            cameras,
            batch.camera,
            batch.uv,
            samples,
            field.occupancy,
            generator=self.generator,
            around=around,
        )
        traced = visible_samples(field, traced)
        shade = shade_static(field, traced)
        field.occupancy.record(field.occupancy.cells(traced.u), shade.weights.detach())
        error = self._errors(batch, shade).mean()
        free, pixels = torch.zeros(len(batch.uv), device=batch.uv.device), len(batch.index)
        if self.shared is not None:
            free[:pixels] = self.shared.from_depth(batch.camera[:pixels], batch.uv[:pixels])
        if self.free is not None:
            free[:pixels] = torch.maximum(free[:pixels], take(self.free, batch.index))
        weight = torch.where(free.isinf(), VOID_WEIGHT, FREE_WEIGHT)[traced.rows] * (traced.z < free[traced.rows])
        loss = error + weight @ shade.weights / pixels
        if options.tone:
            loss = loss + 0.01 * field.tone.regularisation()
        if options.depth_weight > 0:
            for depth_loss in self._depth_losses(batch, traced, shade):
                loss = loss + options.depth_weight * depth_loss
        return loss, error.detach(), len(traced.rows)

    def _draw(self) -> _Batch:
        """The rays of one step."""
        index = self.data.draw(self.rays, self.generator)
        camera, uv = self.data.pixels(index)
        if self.sparse is None or not len(self.sparse):
            return _Batch(index, None, camera, uv)
        count = min(SPARSE_RAYS, len(self.sparse))
        pick = torch.randint(len(self.sparse), (count,), generator=self.generator, device=index.device)
        sparse = self.sparse.only(pick)
        return _Batch(index, sparse, torch.cat([camera, sparse.camera]), torch.cat([uv, sparse.uv]))

    def _around(self, batch: _Batch) -> tuple[Tensor, Tensor] | None:
        """z-depths [R, K] around the prior depths of rays, to sample as well, and whether [R] a ray has a prior."""
        data, count, rays = self.data, self.options.guided_samples, len(batch.uv)
        if count == 0 or (self.sparse is None and data.depth is None):
            return None
        prior = torch.full((rays,), torch.nan, device=batch.uv.device)
        if data.depth is not None and data.confidence is not None:
            known = take(data.confidence, batch.index) > 0
            prior[: len(batch.index)] = torch.where(known, take(data.depth, batch.index), torch.nan)
        if batch.sparse is not None:
            prior[len(batch.index) :] = batch.sparse.z
        offset = 2 * stratified(rays, count, self.generator, prior.device) - 1
        wanted = prior.isfinite()
        return torch.where(wanted, prior, 1.0)[:, None] * (1 + GUIDED_REACH * offset), wanted

    def _errors(self, batch: _Batch, shade: StaticShade) -> Tensor:
        """Squared colour errors [P] of the pixels, weighted."""
        pixels = len(batch.index)
        rgb = shade.rgb[:pixels]
        if self.options.tone:
            rgb = self.field.tone(rgb, batch.camera[:pixels])
        errors = (rgb - take(self.data.rgb, batch.index).float() / 255).square().mean(-1)
        if self.data.support is None:
            return errors
        support, seen = take(self.data.support, batch.index), errors.detach()
        doubted = DOUBT**2 / (DOUBT**2 + seen) if self.doubts else torch.ones_like(seen)
        return errors * torch.where(support >= SURE, 1.0, (support >= LEAST) * doubted)

    def _depth_losses(self, batch: _Batch, traced: RaySamples, shade: StaticShade) -> Iterator[Tensor]:
        """The mean depth loss of the sparse depths, and that of the depth maps, where there are any."""
        name, data, sparse = self.options.depth_loss, self.data, batch.sparse
        if sparse is not None:
            rays = torch.arange(len(batch.index), len(batch.uv), device=batch.uv.device)
            yield _depth_loss(name, traced, shade, rays, sparse.z, sparse.sigma).mean()
        if data.depth is not None and data.confidence is not None:
            depth, confidence = take(data.depth, batch.index), take(data.confidence, batch.index)
            rays = ((confidence > 0) & depth.isfinite()).nonzero().squeeze(1)
            if len(rays):
                z = depth[rays]
                values = _depth_loss(name, traced, shade, rays, z, self.options.depth_sigma * z)
                yield (confidence[rays] * values).mean()


def void_colour(data: ImageSet) -> Tensor | None:
    """The colour [3] (0..255) of an empty background, black or white, that a good part of every image is; None where
    there is none. Borders that show nothing are no background."""
    rgb, start = data.rgb.cpu(), data.start.tolist()
    drawn = torch.full((len(rgb),), data.valid is None)
    if data.valid is not None:
        drawn[data.valid.cpu()] = True
    sure = drawn if data.support is None else drawn & (data.support.cpu() >= SURE)
    for value in (0, 255):
        same = ((rgb.short() - value).abs() <= VOID_SPREAD).all(-1) & sure
        shares = [float(same[a:b].sum() / drawn[a:b].sum().clamp_min(1)) for a, b in itertools.pairwise(start)]
        if np.median(shares) >= VOID_SHARE:
            return rgb[same].float().median(0).values
    return None


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
