"""Training of the dynamic branch in front of a static one that stays as it is.

Only rays that move are rendered: what does not move is the static branch's, and needs no time axis. The variation
field is trained in the same step, on rays that move and rays that do not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixdepth.cameras.camera import Camera
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.variation import carve_hull, variation_loss
from mixdepth.fields.vm import resize_grids
from mixdepth.frames.store import moving_pixels
from mixdepth.losses.depth import behind
from mixdepth.progress import Progress
from mixdepth.rendering.mixed import MixedShade, shade_mixed
from mixdepth.rendering.rays import CameraBatch, SpaceMap, stratified
from mixdepth.rendering.static_view import StaticView, render_static
from mixdepth.rendering.trace import RaySamples, sample_rays
from mixdepth.train.options import DynamicOptions
from mixdepth.train.static import DECAY, TV_EVERY, adam, growth, roughness

REGION_EVERY = 100
CULL_FROM = 0.2  # share of the steps before which the dynamic region is not culled by weight
VARIATION_EVERY = 4
VARIATION_RAYS, VARIATION_SAMPLES = 256, 64
HULL_RESOLUTION = 96
MEDIAN_TOLERANCE = 12  # of 255: a frame that differs less from the median shows the same thing


@dataclass
class Video:
    """One training camera's frames."""

    camera: Camera
    rgb: np.ndarray  # [T, H, W, 3] uint8, may be memory-mapped
    median: np.ndarray  # [H, W, 3] uint8 temporal median
    motion: np.ndarray  # [H, W] float32 blurred temporal standard deviation, colours in 0..1
    valid: np.ndarray | None = None  # [H, W] bool: pixels that show anything; None where all do

    def moving(self, threshold: float) -> np.ndarray:
        """[H, W] bool: where the deviation exceeds the threshold, and the noise of this camera."""
        return moving_pixels(self.motion, threshold, self.valid)

    def median_weight(self, threshold: float, agreement: float) -> np.ndarray:
        """[H, W] float: 0 where a pixel moves and fewer than the share ``agreement`` of its frames show the median.

        Such a median may show a mover that lingers; taken as static it would leave a ghost.
        """
        count = np.zeros(self.median.shape[:2], dtype=np.int64)
        for frame in self.rgb:
            count += np.abs(frame.astype(np.int16) - self.median).max(axis=-1) <= MEDIAN_TOLERANCE
        return np.where(self.moving(threshold) & (count < agreement * len(self.rgb)), 0.0, 1.0)


class MovingPixels:
    """The pixels of all training cameras, split into those that move and those that do not.

    Pixels that show nothing (``Video.valid``) are neither; there the static depth is zero, so that their camera has no
    say in the hull.
    """

    def __init__(self, videos: Sequence[Video], views: Sequence[StaticView], threshold: float):
        self.videos = videos
        self.cameras = CameraBatch([v.camera for v in videos])
        self.masks = [torch.from_numpy(v.moving(threshold)) for v in videos]
        self.depths = [torch.from_numpy(_seen(v, view.depth, 0)) for v, view in zip(videos, views, strict=True)]
        self.moving = torch.cat([m.view(-1) for m in self.masks]).nonzero().squeeze(1)
        # Pixels beside moving ones are neither: a cell of the hull is several pixels wide.
        still = [_seen(v, (~_dilated(m)).numpy(), False) for v, m in zip(videos, self.masks, strict=True)]
        self.still = torch.from_numpy(np.concatenate([s.reshape(-1) for s in still])).nonzero().squeeze(1)
        self.depth = torch.cat([d.view(-1) for d in self.depths])
        self.start = torch.tensor(np.cumsum([0] + [m.numel() for m in self.masks]))
        self.width = torch.tensor([m.shape[1] for m in self.masks])

    def place(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Camera, column and row, each [R], of flat pixel indices [R]."""
        camera = torch.searchsorted(self.start, index, right=True) - 1
        local = index - self.start[camera]
        return camera, local % self.width[camera], local // self.width[camera]

    def colours(self, camera: Tensor, column: Tensor, row: Tensor, frames: Tensor) -> Tensor:
        """Colours [R, F, 3] in 0..1 of pixels at ``frames`` [F], read from the frame stores."""
        out = np.empty((len(camera), len(frames), 3), dtype=np.uint8)
        steps, x, y, which = frames.numpy(), column.numpy(), row.numpy(), camera.numpy()
        for index in np.unique(which):
            rays = np.nonzero(which == index)[0]
            out[rays] = self.videos[index].rgb[steps[None, :], y[rays, None], x[rays, None]]
        return torch.from_numpy(out).float() / 255


def _seen(video: Video, image: np.ndarray, otherwise: float) -> np.ndarray:
    """``image`` [H, W] with ``otherwise`` where the camera shows nothing."""
    return image if video.valid is None else np.where(video.valid, image, np.array(otherwise, image.dtype))


def _dilated(mask: Tensor) -> Tensor:
    """``mask`` [H, W] grown by about one and a half cells of the hull."""
    reach = math.ceil(1.5 * mask.shape[1] / HULL_RESOLUTION)
    return F.max_pool2d(mask[None].float(), 2 * reach + 1, stride=1, padding=reach)[0] > 0


def train_dynamic_field(
    videos: Sequence[Video],
    static: StaticField,
    space: SpaceMap,
    options: DynamicOptions,
    label: str,
) -> DynamicField:
    """Train the dynamic branch of ``videos`` in front of ``static``, whose tones are those of the same cameras."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed + 2)
    views = [render_static(static, space, v.camera, options.samples) for v in videos]
    pixels = MovingPixels(videos, views, options.moving_threshold)
    frames = len(videos[0].rgb)
    field = DynamicField(
        frames,
        options.start_resolution,
        options.components,
        options.codes,
        options.width,
        _hull(pixels, space, options),
        generator,
    )
    if len(pixels.moving) == 0:
        return field
    optimiser = adam(field, options.grid_rate, options.network_rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, DECAY ** (1 / options.steps))
    progress = Progress(label, options.steps)
    psnr = 0.0
    for step in range(options.steps):
        resolution = growth(step, options.steps, options.start_resolution, options.resolution)
        if field.density_grid.planes.shape[-1] != resolution:
            _resize(field, optimiser, resolution)
        samples = growth(step, options.steps, options.start_samples, options.samples)
        loss, error = _step_loss(field, static, pixels, space, options, frames, samples, generator)
        if step % VARIATION_EVERY == 0:
            loss = loss + options.variation_weight * _variation_step(field, pixels, space, generator)
        if step % TV_EVERY == 0 and options.total_variation > 0:
            loss = loss + TV_EVERY * options.total_variation * roughness(field)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % REGION_EVERY == REGION_EVERY - 1:
            field.update_region(cull=step > CULL_FROM * options.steps)
        psnr += (-10 * torch.log10(error).item() - psnr) * (0.05 if step else 1.0)
        progress.update(loss=loss.item(), psnr_moving=psnr)
    return field


def _hull(pixels: MovingPixels, space: SpaceMap, options: DynamicOptions) -> Tensor:
    w2c = torch.from_numpy(np.stack([v.camera.w2c for v in pixels.videos])).float()
    return carve_hull(
        space,
        w2c,
        pixels.cameras.intrinsics.float(),
        pixels.masks,
        pixels.depths,
        HULL_RESOLUTION,
        options.hull_vote,
    )


def _resize(field: DynamicField, optimiser: torch.optim.Optimizer, resolution: int) -> None:
    for name in ("density_grid", "colour_grid"):
        resize_grids(getattr(field, name), optimiser, resolution)


def _step_loss(
    field: DynamicField,
    static: StaticField,
    pixels: MovingPixels,
    space: SpaceMap,
    options: DynamicOptions,
    frames: int,
    samples: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Loss of one step on rays that move, and its mean squared colour error."""
    index = pixels.moving[torch.randint(len(pixels.moving), (options.rays,), generator=generator)]
    camera, column, row = pixels.place(index)
    # One frame per equal part of the capture: all of it is seen at every step.
    count = min(options.frames_per_step, frames)
    chosen = (stratified(1, count, generator, "cpu")[0] * frames).long()
    uv = torch.stack([column, row], dim=-1).double() + 0.5
    traced = sample_rays(
        space, pixels.cameras, camera, uv, samples, static.occupancy, field.occupancy, generator=generator
    )
    shade = shade_mixed(static, field, traced, chosen)
    with torch.no_grad():
        cells = field.occupancy.cells(space.normalise(_points(traced, pixels, camera, shade.dynamic)))
        field.occupancy.record(cells, shade.dynamic_weight.amax(1))
    error = (static.tone(shade.rgb, camera) - pixels.colours(camera, column, row, chosen)).square().mean()
    loss = error + options.sparsity * shade.dynamic_weight.sum() / (options.rays * count)
    if options.hinge_weight > 0:
        loss = loss + options.hinge_weight * _hinge(shade, traced, pixels.depth[index])
    return loss, error.detach()


def _points(traced: RaySamples, pixels: MovingPixels, camera: Tensor, flat: Tensor) -> Tensor:
    """World points [M, 3] of samples at ``flat`` [M] indices."""
    rows = flat // traced.z.shape[1]
    return pixels.cameras.origin[camera[rows]] + traced.z.flatten()[flat][:, None] * traced.directions[rows]


def _hinge(shade: MixedShade, traced: RaySamples, depth: Tensor) -> Tensor:
    """Mean optical thickness of the dynamic branch behind the static surface at z-depth ``depth`` [R]."""
    dense = torch.zeros_like(traced.z).view(-1).index_put((shade.dynamic,), shade.dynamic_tau.mean(1))
    return behind(dense.view(traced.z.shape), traced.z, depth, 0.01 * depth).mean()


def _variation_step(field: DynamicField, pixels: MovingPixels, space: SpaceMap, generator: torch.Generator) -> Tensor:
    """Variation loss on as many rays that move as rays that do not, in front of the static surface."""

    def pick(group: Tensor) -> Tensor:
        return group[torch.randint(max(len(group), 1), (VARIATION_RAYS * (len(group) > 0),), generator=generator)]

    index = torch.cat([pick(pixels.moving), pick(pixels.still)])
    camera, column, row = pixels.place(index)
    origins, directions = pixels.cameras.rays(camera, torch.stack([column, row], dim=-1).double() + 0.5)
    near, far = space.depth_range(origins, directions)
    z = space.depths(stratified(len(index), VARIATION_SAMPLES, generator, "cpu"), near, far)
    u = space.normalise(origins[:, None] + z[..., None] * directions[:, None])
    logits = field.variation(u.view(-1, 3)).view(z.shape)
    logits = logits.masked_fill(z > pixels.depth[index][:, None], -20.0)
    moving = torch.arange(len(index)) < VARIATION_RAYS
    return variation_loss(logits, moving)
