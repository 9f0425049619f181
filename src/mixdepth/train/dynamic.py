"""Training of the dynamic branch in front of a static one that stays as it is.

Only rays that move are rendered: what does not move is the static branch's, and needs no time axis. What the static
branch shows at the pixels that move is worked out once.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixdepth.compute.device import keeper, take, training_device, uploaded, use_cpu
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField
from mixdepth.fields.vm import resize_grids
from mixdepth.rendering.mixed import cache_static, shade_mixed
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import CameraBatch, SpaceMap, stratified
from mixdepth.rendering.static_view import StaticView, render_static, smaller
from mixdepth.rendering.trace import sample_rays
from mixdepth.train.appearance import on_surface
from mixdepth.train.hull import carve
from mixdepth.train.options import DynamicOptions
from mixdepth.train.session import Session, pack, unpack
from mixdepth.train.static import TV_EVERY, adam, growth, running_psnr, set_rates, smooth
from mixdepth.train.video import Video

REGION_EVERY = 50
CULL_FROM = 0.1  # share of the steps before which the region is not culled by weight
HULL_RESOLUTION = 96


class MovingPixels:
    """The pixels of all training cameras that move, P in all, in the order of cameras, rows and columns.

    Pixels that show nothing (``Video.valid``) do not move; there the static depth is zero, so that their camera has no
    say in the hull. On CPU their colours are read from the frame stores as they are drawn; elsewhere they are kept, on
    the device or else in main memory, where there is room.
    """

    def __init__(
        self, videos: Sequence[Video], views: Sequence[StaticView], threshold: float, device: torch.device | str = "cpu"
    ):
        self.videos, device = videos, torch.device(device)
        self.cameras = CameraBatch([v.camera for v in videos], device)
        moving = [v.moving(threshold) for v in videos]
        self.masks = [torch.from_numpy(mask).to(device) for mask in moving]
        surfaces = [_seen(v, view.depth, 0) for v, view in zip(videos, views, strict=True)]
        self.depths = [torch.from_numpy(depth).to(device) for depth in surfaces]
        self.shaded = torch.cat(on_surface(videos, moving, surfaces, device))
        places = [mask.nonzero() for mask in self.masks]
        self.camera = torch.cat([torch.full_like(p[:, 0], index) for index, p in enumerate(places)])
        self.row, self.column = torch.cat(places).unbind(1)
        self.depth = torch.cat([depth[mask] for depth, mask in zip(self.depths, self.masks, strict=True)])
        on_cpu = device.type == "cpu"  # where memory maps are read as they are
        home = None if on_cpu or not len(self) else _home(len(self) * len(videos[0].rgb) * 3, device)
        self.kept = None if home is None else _moving_colours(videos, self.masks, home)

    def __len__(self) -> int:
        return len(self.camera)

    def uv(self, pixel: Tensor) -> Tensor:
        """Coordinates [R, 2] of the centres of ``pixel`` [R]."""
        return torch.stack([self.column[pixel], self.row[pixel]], dim=-1).double() + 0.5

    def colours(self, pixel: Tensor, frames: Tensor) -> Tensor:
        """Colours [R, F, 3] in 0..1 of ``pixel`` [R] at ``frames`` [R, F]."""
        if self.kept is not None:
            return take(self.kept.flatten(0, 1), pixel[:, None] * self.kept.shape[1] + frames).float() / 255
        out = np.empty((*frames.shape, 3), dtype=np.uint8)
        which, steps = self.camera[pixel].cpu().numpy(), frames.cpu().numpy()
        x, y = self.column[pixel].cpu().numpy()[:, None], self.row[pixel].cpu().numpy()[:, None]
        for index in np.unique(which):
            rays = np.nonzero(which == index)[0]
            out[rays] = self.videos[index].rgb[steps[rays], y[rays], x[rays]]
        return torch.from_numpy(out).to(pixel.device).float() / 255


def _home(size: int, device: torch.device) -> torch.device | None:
    """Where ``size`` bytes of colours are kept for a device that is not the CPU; says so."""
    home = keeper(size, device)
    where = "on the GPU" if home == device else "in main memory, as they do not fit the GPU"
    if home is None:
        where = "nowhere: neither the GPU nor main memory has room, so each step reads the frame stores, slowly"
    print(f"colours of what moves, {size / 1e9:.1f} GB: kept {where}", file=sys.stderr)
    return home


def _moving_colours(videos: Sequence[Video], masks: Sequence[Tensor], home: torch.device) -> Tensor:
    """Colours [P, T, 3] uint8 of the pixels in ``masks`` (per camera [H, W] bool), gathered on the masks' device and
    kept on ``home``."""
    places = [mask.view(-1).nonzero().squeeze(1) for mask in masks]
    counts = [len(place) for place in places]
    colours = torch.empty(sum(counts), len(videos[0].rgb), 3, dtype=torch.uint8, device=home)
    for video, place, part in zip(videos, places, colours.split(counts), strict=True):
        for which, frames in uploaded(video.rgb, place.device):
            part[:, which] = frames.flatten(1, 2).index_select(1, place).transpose(0, 1)
    return colours


def _seen(video: Video, image: np.ndarray, otherwise: float) -> np.ndarray:
    """``image`` [H, W] with ``otherwise`` where the camera shows nothing."""
    return image if video.valid is None else np.where(video.valid, image, np.array(otherwise, image.dtype))


class DynamicTrainer:
    """The dynamic branch of ``videos`` in front of ``static``, whose tones are those of the same cameras."""

    def __init__(self, videos: Sequence[Video], static: StaticField, space: SpaceMap, options: DynamicOptions):
        device = training_device(options.device)
        self.static, self.space, self.options = static.to(device), space.to(device), options
        static.amp, space = options.amp, self.space
        torch.manual_seed(options.seed)  # the networks' initial weights
        generator = torch.Generator().manual_seed(options.seed + 2)
        views = [render_static(static, space, v.camera, options.samples) for v in videos]
        self.pixels = pixels = MovingPixels(videos, views, options.moving_threshold, device)
        w2c = torch.from_numpy(np.stack([v.camera.w2c for v in videos])).float().to(device)
        intrinsics, vote = pixels.cameras.intrinsics.float(), options.hull_vote
        frames = len(videos[0].rgb)
        self.length = min(options.frames_per_step, frames)
        windows = min(options.windows, -(-frames // self.length))
        self.rays = [len(part) for part in torch.arange(options.rays).tensor_split(windows)]  # of each window
        self.window = torch.arange(windows).repeat_interleave(torch.tensor(self.rays)).to(device)  # of each ray
        region = carve(space, w2c, intrinsics, pixels.masks, pixels.depths, HULL_RESOLUTION, vote, frames)
        self.field = DynamicField(
            region, options.start_resolution, options.components, options.codes, options.width, generator
        ).to(device)
        self.field.amp = options.amp
        # The field starts with the same values on every device; the steps' draws are made where they are used.
        on_cpu = device.type == "cpu"
        self.generator = generator if on_cpu else torch.Generator(device).manual_seed(options.seed + 2)
        if len(pixels):
            everything = torch.arange(len(pixels), device=device)
            uv = pixels.uv(everything)
            self.cache = cache_static(static, space, pixels.cameras, pixels.camera, uv, options.samples)
        self.optimiser = adam(self.field, options.grid_rate, options.network_rate)
        self.psnr = torch.zeros((), dtype=torch.float64, device=device)

    def step(self, step: int) -> dict[str, Tensor]:
        """One optimiser step; what to show of it, on the device."""
        options, field = self.options, self.field
        resize_grids(field, self.optimiser, growth(step, options.steps, options.start_resolution, options.resolution))
        set_rates(self.optimiser, step / options.steps)
        loss, error = self._loss(growth(step, options.steps, options.start_samples, options.samples))
        self.optimiser.zero_grad(set_to_none=False)
        loss.backward()
        if step % TV_EVERY == 0 and options.total_variation > 0:
            smooth(field, TV_EVERY * options.total_variation)
        self.optimiser.step()
        if step % REGION_EVERY == REGION_EVERY - 1 and step > CULL_FROM * options.steps:
            field.region.update()
        self.psnr = running_psnr(self.psnr, error, step)
        return {"loss": loss.detach(), "psnr_moving": self.psnr}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on."""
        rest = {"psnr": self.psnr.item(), "resolution": self.field.density_grid.resolution}
        return pack(self.field, self.optimiser, self.generator), rest

    def load_state(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Go on from a state."""
        self.psnr = torch.full_like(self.psnr, rest["psnr"])
        resize_grids(self.field, self.optimiser, rest["resolution"])
        unpack(tensors, self.field, self.optimiser, self.generator)

    def preview(self) -> np.ndarray:
        """The first camera's middle frame as it is rendered now, small, [H, W, 3] uint8."""
        camera = smaller(self.pixels.videos[0].camera)
        middle = torch.tensor([self.field.frames // 2])
        return render_video(self.static, self.field, self.space, camera, self.options.samples, middle)[0][0]

    def _loss(self, samples: int) -> tuple[Tensor, Tensor]:
        """Loss of one step on rays that move, and its mean squared colour error."""
        options, pixels, field, region = self.options, self.pixels, self.field, self.field.region
        frames, rays, window = self._windows(), self.rays, self.window
        pixel = torch.randint(len(pixels), (options.rays,), generator=self.generator, device=self.space.device)
        camera = pixels.camera[pixel]
        own_frames = frames[window]  # [R, F]
        target = pixels.colours(pixel, own_frames)
        traced = sample_rays(
            self.space,
            pixels.cameras,
            camera,
            pixels.uv(pixel),
            samples,
            None,
            (region, region.bits(frames)[window]),
            self.cache.stop[pixel],
            self.generator,
        )
        layers = self.cache.layers(field, pixel, traced)
        shade = shade_mixed(self.static, field, layers, frames, rays)
        with torch.no_grad():
            # What no frame shows is below the region's threshold anyway.
            lit = shade.lit
            region.record(layers.v[lit], region.bin(frames)[window[layers.ray[lit]]], shade.weight[lit])
        error = (self.static.tone(shade.rgb, camera) - target).square().mean()
        pairs = own_frames.numel()
        surface = pixels.depth[pixel][layers.ray]
        # Light that changes looks nearly the same at any depth in front of its surface, but belongs on it.
        before = (1 - layers.z / surface).clamp_min(0) * pixels.shaded[pixel][layers.ray]
        penalty = options.sparsity + options.surface_weight * before
        loss = error + (penalty @ shade.weight).sum() / pairs
        return loss, error.detach()

    def _windows(self) -> Tensor:
        """Frames [G, F] of one step: a run of neighbouring frames, which share most of what is evaluated, from each
        equal part of the capture. Runs go round from the last frame to the first: all frames are drawn alike."""
        total = self.field.frames
        start = (stratified(1, len(self.rays), self.generator, self.space.device)[0] * total).long()
        return (start[:, None] + torch.arange(self.length, device=start.device)) % total


def train_dynamic_field(
    videos: Sequence[Video], static: StaticField, space: SpaceMap, options: DynamicOptions, session: Session
) -> DynamicField:
    """Train the dynamic branch of ``videos`` in front of ``static``."""
    use_cpu(options.threads)
    trainer = DynamicTrainer(videos, static, space, options)
    if len(trainer.pixels) and trainer.field.region.hull.any():
        session.run(trainer, options.steps)
    return trainer.field
