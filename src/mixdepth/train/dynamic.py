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

from mixdepth.compute.device import in_chunks, keeper, take, training_device, use_cpu
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region, bin_of
from mixdepth.fields.static import StaticField
from mixdepth.fields.vm import resize_grids
from mixdepth.frames.moving import fetch
from mixdepth.progress import Progress
from mixdepth.rendering.mixed import StaticCache, cache_static, shade_mixed
from mixdepth.rendering.mixed_view import render_video
from mixdepth.rendering.rays import CameraBatch, SpaceMap, stratified
from mixdepth.rendering.static_view import render_depth, smaller
from mixdepth.rendering.trace import sample_rays
from mixdepth.train.appearance import on_surface
from mixdepth.train.hull import SURFACE, carve
from mixdepth.train.options import DynamicOptions
from mixdepth.train.session import Session, pack, unpack
from mixdepth.train.static import TV_EVERY, adam, growth, running_psnr, set_rates, smooth
from mixdepth.train.video import Video
from mixdepth.words import counted, percent

REGION_EVERY = 50
CULL_FROM = 0.1  # share of the steps before which the region is not culled by weight
HULL_RESOLUTION = 96
SURFACE_WIDTH = 320  # pixels of the images in which the depth of the static branch is looked at
ASKED = 4096  # pixels of each camera, about, whose rays are followed to see what the hull explains
ACTIVE, DRAWN = 0.9, 6  # share of the rays drawn where something moves at that time, out of so many times their number


class MovingPixels:
    """The pixels of all training cameras that move, P in all, in the order of cameras, rows and columns.

    Pixels that show nothing (``Video.valid``) do not move; there the static depth is zero, so that their camera has no
    say in the hull. ``sets`` [P] int32 has a bit for each part of the capture in which a pixel moves, ``during`` the
    same as pictures; ``gain`` [C, T, 3] and ``usable`` [C, T] are the exposure of the frames. On CPU colours are read
    from where the videos have them as they are drawn; elsewhere they are kept, on the device or else in main memory,
    where there is room.

    Args:
        depth: per camera [H, W], of the static surface (:func:`static_surfaces`).
        bins: [T] the part of the capture that each frame belongs to.
    """

    def __init__(
        self, videos: Sequence[Video], depth: Sequence[np.ndarray], bins: np.ndarray, device: torch.device | str = "cpu"
    ):
        self.videos, device = videos, torch.device(device)
        self.cameras = CameraBatch([v.camera for v in videos], device)
        moving = [v.moving for v in videos]
        masks = [torch.from_numpy(mask).to(device) for mask in moving]
        self.during = [torch.from_numpy(v.moving_during(bins)).to(device) for v in videos]
        self.sets = torch.cat([sets[mask] for sets, mask in zip(self.during, masks, strict=True)])
        self.gain = torch.from_numpy(np.stack([v.gain for v in videos])).to(device)
        self.usable = torch.from_numpy(np.stack([v.usable for v in videos])).to(device)
        surfaces = [_seen(v, one, 0) for v, one in zip(videos, depth, strict=True)]
        self.depths = [torch.from_numpy(depth).to(device) for depth in surfaces]
        self.shaded = torch.cat(on_surface(videos, moving, surfaces, device))
        places = [mask.nonzero() for mask in masks]
        self.camera = torch.cat([torch.full_like(p[:, 0], index) for index, p in enumerate(places)])
        self.row, self.column = torch.cat(places).unbind(1)
        self.place = torch.from_numpy(np.concatenate([v.places for v in videos])).to(device)
        self.depth = torch.cat([depth[mask] for depth, mask in zip(self.depths, masks, strict=True)])
        on_cpu = device.type == "cpu"  # where memory maps are read as they are
        home = None if on_cpu or not len(self) else _home(len(self) * len(videos[0].rgb) * 3, device)
        self.kept = None if home is None else _kept(videos, home)

    def __len__(self) -> int:
        return len(self.camera)

    def uv(self, pixel: Tensor) -> Tensor:
        """Coordinates [R, 2] of the centres of ``pixel`` [R]."""
        return torch.stack([self.column[pixel], self.row[pixel]], dim=-1).double() + 0.5

    def draw(self, bits: Tensor, rays: Sequence[int], generator: torch.Generator) -> Tensor:
        """Random pixels [R], so many (``rays``) for each of the sets ``bits`` [G] of parts of the capture: most of them
        (:data:`ACTIVE`) move then, where there are such."""
        found = []
        for wanted, count in zip(bits, rays, strict=True):
            some = torch.randint(len(self), (DRAWN * count,), generator=generator, device=bits.device)
            moves = self.sets[some] & wanted != 0
            order = torch.argsort(moves.byte(), descending=True, stable=True)
            active = round(ACTIVE * count)
            found += [some[order[:active]], some[order[len(some) - (count - active) :]]]
        return torch.cat(found)

    @torch.no_grad()
    def met(self, region: Region, space: SpaceMap, samples: int) -> list[float | None]:
        """Of each camera the share of its pixels whose rays meet ``region`` in front of the static surface, at a time
        at which they move; None of one before which nothing moves. About ASKED of them are followed, evenly spread."""
        found: list[float | None] = []
        for own in (self.camera == index for index in range(len(self.videos))):
            every = own.nonzero().squeeze(1)
            some = every[:: max(1, len(every) // ASKED)]
            meets = torch.zeros(len(some), dtype=torch.bool, device=some.device)

            def follow(part: slice, some: Tensor = some, meets: Tensor = meets) -> None:
                pixel = some[part]
                rays = self.camera[pixel], self.uv(pixel)
                before = SURFACE * self.depth[pixel]
                traced = sample_rays(space, self.cameras, *rays, samples, None, (region, self.sets[pixel]), before)
                meets[part] = traced.offsets.diff() > 0

            in_chunks(follow, len(some), samples, some.device)
            found.append(float(meets.float().mean()) if len(some) else None)
        return found

    def colours(self, pixel: Tensor, frames: Tensor) -> Tensor:
        """Colours [R, F, 3] in 0..1 of ``pixel`` [R] at ``frames`` [R, F]."""
        if self.kept is not None:
            return take(self.kept.flatten(0, 1), pixel[:, None] * self.kept.shape[1] + frames).float() / 255
        out = np.empty((*frames.shape, 3), dtype=np.uint8)
        which, place, steps = (values.cpu().numpy() for values in (self.camera[pixel], self.place[pixel], frames))
        asked = [(self.videos[index].colours, np.nonzero(which == index)[0]) for index in np.unique(which)]
        for colours, rays in asked:
            fetch(colours, place[rays], steps[rays])
        for colours, rays in asked:
            out[rays] = colours[place[rays, None], steps[rays]]
        return torch.from_numpy(out).to(pixel.device).float() / 255


def _home(size: int, device: torch.device) -> torch.device | None:
    """Where ``size`` bytes of colours are kept for a device that is not the CPU; says so."""
    home = keeper(size, device)
    where = "on the GPU" if home == device else "in main memory, as they do not fit the GPU"
    if home is None:
        where = "nowhere: neither the GPU nor main memory has room, so each step reads its own from disk"
    print(f"colours of what moves, {size / 1e9:.1f} GB: kept {where}", file=sys.stderr)
    return home


def _kept(videos: Sequence[Video], home: torch.device) -> Tensor:
    """Colours [P, T, 3] uint8 of the pixels that move, kept on ``home``."""
    counts = [len(video.places) for video in videos]
    colours = torch.empty(sum(counts), len(videos[0].rgb), 3, dtype=torch.uint8, device=home)
    for video, part in zip(videos, colours.split(counts), strict=True):
        part.copy_(torch.from_numpy(video.colours[video.places]))
    return colours


def _seen(video: Video, image: np.ndarray, otherwise: float) -> np.ndarray:
    """``image`` [H, W] with ``otherwise`` where the camera shows nothing."""
    return image if video.valid is None else np.where(video.valid, image, np.array(otherwise, image.dtype))


class DynamicTrainer:
    """The dynamic branch of ``videos`` in front of ``static``, whose tones are those of the same cameras."""

    def __init__(
        self,
        videos: Sequence[Video],
        static: StaticField,
        space: SpaceMap,
        options: DynamicOptions,
        depth: Sequence[np.ndarray] | None = None,
    ):
        device = training_device(options.device)
        self.static, self.space, self.options = static.to(device), space.to(device), options
        static.amp, space = options.amp, self.space
        torch.manual_seed(options.seed)  # the networks' initial weights
        generator = torch.Generator().manual_seed(options.seed + 2)
        depth = static_surfaces(videos, static, space, options.samples) if depth is None else depth
        frames = len(videos[0].rgb)
        self.pixels = pixels = MovingPixels(videos, depth, bin_of(np.arange(frames), frames), device)
        w2c = torch.from_numpy(np.stack([v.camera.w2c for v in videos])).float().to(device)
        intrinsics, vote = pixels.cameras.intrinsics.float(), options.hull_vote
        self.length = min(options.frames_per_step, frames)
        windows = min(options.windows, -(-frames // self.length))
        self.rays = [len(part) for part in torch.arange(options.rays).tensor_split(windows)]  # of each window
        self.window = torch.arange(windows).repeat_interleave(torch.tensor(self.rays)).to(device)  # of each ray
        region = carve(space, w2c, intrinsics, pixels.during, pixels.depths, HULL_RESOLUTION, vote, frames)
        region.explained = pixels.met(region, space, options.samples)
        self.field = DynamicField(
            region,
            options.start_resolution,
            options.components,
            options.codes,
            options.width,
            generator,
            len(videos),
        ).to(device)
        self.field.gain.copy_(pixels.gain)
        self.field.amp = options.amp
        # The field starts with the same values on every device; the steps' draws are made where they are used.
        on_cpu = device.type == "cpu"
        self.generator = generator if on_cpu else torch.Generator(device).manual_seed(options.seed + 2)
        # Of few pixels it is worked out once what the static branch shows; of more than are ever drawn, as they are.
        few = 0 < len(pixels) <= options.steps * options.rays
        self.cache = self._static_at(torch.arange(len(pixels), device=device)) if few else None
        # Whether the light changes at all.
        self.exposed = bool((pixels.gain != 1).any() or not pixels.usable.all())
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
        bits = region.bits(frames)
        pixel = pixels.draw(bits, rays, self.generator)
        camera = pixels.camera[pixel]
        own_frames = frames[window]  # [R, F]
        target = pixels.colours(pixel, own_frames)
        cache, place = self.cache, pixel
        if cache is None:
            cache, place = self._static_at(pixel), torch.arange(len(pixel), device=pixel.device)
        traced = sample_rays(
            self.space,
            pixels.cameras,
            camera,
            pixels.uv(pixel),
            samples,
            None,
            (region, bits[window]),
            cache.stop[place],
            self.generator,
        )
        layers = cache.layers(field, place, traced)
        shade = shade_mixed(self.static, field, layers, frames, rays)
        with torch.no_grad():
            # What no frame shows is below the region's threshold anyway.
            lit = shade.lit
            region.record(layers.v[lit], region.bin(frames)[window[layers.ray[lit]]], shade.weight[lit])
        shown, pairs = self.static.tone(shade.rgb, camera), own_frames.numel()
        if self.exposed:
            where = camera[:, None], own_frames
            gain, usable = field.gain[where], pixels.usable[where][..., None]
            # Compared as the usual exposure would show it, so that dark frames count like the others.
            apart = torch.where(usable, ((shown * gain).clamp_max(1) - target) / gain, 0.0)
            error = apart.square().sum() / (3 * usable.sum().clamp_min(1))
        else:
            error = (shown - target).square().mean()
        surface = pixels.depth[pixel][layers.ray]
        # Light that changes looks nearly the same at any depth in front of its surface, but belongs on it.
        before = (1 - layers.z / surface).clamp_min(0) * pixels.shaded[pixel][layers.ray]
        penalty = options.sparsity + options.surface_weight * before
        loss = error + (penalty @ shade.weight).sum() / pairs
        return loss, error.detach()

    def _static_at(self, pixel: Tensor) -> StaticCache:
        """What the static branch shows at ``pixel`` [R]."""
        pixels = self.pixels
        uv = pixels.uv(pixel)
        return cache_static(self.static, self.space, pixels.cameras, pixels.camera[pixel], uv, self.options.samples)

    def _windows(self) -> Tensor:
        """Frames [G, F] of one step: a run of neighbouring frames, which share most of what is evaluated, from each
        equal part of the capture. Runs go round from the last frame to the first: all frames are drawn alike."""
        total = self.field.frames
        start = (stratified(1, len(self.rays), self.generator, self.space.device)[0] * total).long()
        return (start[:, None] + torch.arange(self.length, device=start.device)) % total


def static_surfaces(
    videos: Sequence[Video], static: StaticField, space: SpaceMap, samples: int, label: str = ""
) -> list[np.ndarray]:
    """z-depth [H, W] float32 of the static branch before each camera; in coarse steps where images are large."""
    found, progress = [], Progress(label, len(videos)) if label else None
    for video in videos:
        camera = smaller(video.camera, SURFACE_WIDTH)
        depth = render_depth(static, space, camera, samples)
        rows = np.arange(video.camera.height) * camera.height // video.camera.height
        columns = np.arange(video.camera.width) * camera.width // video.camera.width
        found.append(depth[rows[:, None], columns])
        if progress:
            progress.update()
    return found


def train_dynamic_field(
    videos: Sequence[Video],
    static: StaticField,
    space: SpaceMap,
    options: DynamicOptions,
    session: Session,
    depth: Sequence[np.ndarray] | None = None,
    names: Sequence[str] = (),
) -> DynamicField:
    """Train the dynamic branch of ``videos`` in front of ``static``; where nothing moves, or no place is seen to move
    by several cameras, that is passed over, and said.

    Args:
        depth: what :func:`static_surfaces` finds, where that is known already.
        names: of the cameras, for the log.
    """
    use_cpu(options.threads)
    trainer = DynamicTrainer(videos, static, space, options, depth)
    hull = trainer.field.region.hull
    print(f"{session.label}: {hull_told(videos, trainer.field.region, names)}", file=sys.stderr, flush=True)
    if hull.any():
        session.run(trainer, options.steps)
        trainer.field.reproduced = float(trainer.psnr)
        bridge(trainer.field, trainer.pixels.usable.any(0))
    return trainer.field


def moving_shares(videos: Sequence[Video]) -> list[float]:
    """Of each camera the share of the pixels that show anything at which something moves."""
    shown = [v.moving.size if v.valid is None else max(int(v.valid.sum()), 1) for v in videos]
    return [float(v.moving.sum() / count) for v, count in zip(videos, shown, strict=True)]


def hull_told(videos: Sequence[Video], region: Region, names: Sequence[str]) -> str:
    """What moves before each camera, and how much of it the hull explains, in words."""
    cameras = names or [f"camera {index}" for index in range(len(videos))]
    moves = moving_shares(videos)
    if not any(moves):
        return f"warning: nothing moves before any of {counted(len(videos), 'camera')}: the result stands still"
    each = ", ".join(f"{name} {percent(share)}" for name, share in zip(cameras, moves, strict=True))
    if not region.hull.any():
        return (
            "warning: the motion hull is empty, so the result stands still: no place before the static surfaces is seen"
            f" to move by two cameras and more. Moving pixels: {each}"
        )
    met = [
        f"{name} {percent(share)} ({percent(all_)} of its picture move)"
        for name, share, all_ in zip(cameras, region.explained, moves, strict=True)
        if share is not None
    ]
    return f"of the pixels that move the motion hull explains: {', '.join(met)}"


@torch.no_grad()
def bridge(field: DynamicField, seen: Tensor) -> None:
    """Frames that no camera shows (``seen`` [T] bool) become mixtures of those before and after."""
    known = seen.nonzero().squeeze(1).tolist()
    for frame in (~seen).nonzero().squeeze(1).tolist() if known else []:
        before = max((k for k in known if k < frame), default=min(known))
        after = min((k for k in known if k > frame), default=max(known))
        share = (frame - before) / (after - before) if after > before else 0.0
        for table in (field.density_frames, field.colour_frames):
            table[frame] = (1 - share) * table[before] + share * table[after]
