"""The training stages: from the files of a scene to models and depth maps. Parameters after the star are files, named
as in mixdepth/workflow/stages.py.

Cameras and photos that COLMAP left out (``poses.allow_missing``) are absent from cameras.json and photos.json, and then
train nothing. Pixels of undistorted images that have no source count nowhere.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixdepth.cameras.camera import Camera, load_cameras, with_pose
from mixdepth.cameras.space import Space
from mixdepth.compute.device import training_device, use_cpu
from mixdepth.errors import DamagedFile
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField, Tone
from mixdepth.fields.storage import dynamic_name, join_models, load_model, model_header, save_model
from mixdepth.files.io import atomic_folder, read_json, read_npz, sweep_folder, write_npz
from mixdepth.files.shapes import MOVEMENT
from mixdepth.frames.masks import load_masks
from mixdepth.frames.motion import Motion
from mixdepth.frames.moving import open_moving
from mixdepth.frames.store import open_frames
from mixdepth.progress import Progress
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import StaticView, render_static
from mixdepth.results import depth_file, photo_depth_file
from mixdepth.scene.quality import Moving
from mixdepth.scene.scene import Scene
from mixdepth.scene.settings import Dynamic
from mixdepth.train.agreement import confidence
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import moving_shares, static_surfaces, train_dynamic_field
from mixdepth.train.free_space import free_depths
from mixdepth.train.measure import seen_by
from mixdepth.train.options import (
    DynamicOptions,
    StaticOptions,
    dynamic_section,
    from_mapping,
    static_options,
    told_dynamic,
    told_static,
)
from mixdepth.train.segments import segments
from mixdepth.train.session import Session, discard
from mixdepth.train.static import train_static_field
from mixdepth.train.tone import fit_tone
from mixdepth.train.video import Video

TRUSTED = 0.5  # confidence from which on a pixel's depth counts as trusted
# Share of trusted pixels that distilled depth must have. Sound static models had .54 to .96 (arc8, demo, basketball,
# with photos or sparse depth), failed ones 0 to .07 (three cameras, or walls without texture, and neither).
TRUSTED_SHARE = 0.25
SPARSE = {"uv": ("f", "N", 2), "z": ("f", "N"), "sigma": ("f", "N")}
ASKED_PHOTOS = 6  # photos whose depth is compared with the cameras'; each is rendered once


def train_static(
    scene: Scene,
    run: Path,
    identity: Mapping[str, Any],
    *,
    images: Path,
    cameras: Path,
    photos: Path,
    lenses: Path,
    space: Path,
    depth: Path,
    output: Path,
) -> None:
    """Train the static model on photos that train, or on the training cameras' plates, with COLMAP's sparse depth.

    Args:
        run: folder of the checkpoints.
        identity: what they must have been made from to be gone on with.
        images: what it learns from, by stem or camera.
        depth: folder of the sparse depth.
    """
    shown = read_npz(images)
    group = "photos" if scene.photos else "cameras"
    posed = load_cameras(photos if scene.photos else cameras)
    names = with_pose(sorted(shown), posed, group)
    valid = load_masks(lenses, group, posed, names)
    data = ImageSet([shown[name] for name in names], [posed[name] for name in names], valid=valid)
    sparse = photo_sparse(depth, names) if scene.photos else camera_sparse(depth, names)
    mapped, quality = SpaceMap(Space.load(space)), scene.config.quality
    seen = seen_by([posed[name] for name in names], mapped)
    options = static_options(scene.config.static, quality, seen)
    label = f"static {scene.name}"
    print(f"{label}: {told_static(quality, seen, options)}", file=sys.stderr)
    session = Session(run, label, identity)
    field = train_static_field(data, sparse, mapped, options, session)
    sizes = {"quality": quality, "seen": seen._asdict()}
    header = {"images": names, "samples": options.samples, "options": asdict(options), "sizes": sizes}
    save_model(output, header, static=field)
    discard(run)


def trusted_share(confidence: Sequence[np.ndarray], valid: Sequence[np.ndarray | None]) -> float:
    """Share of the pixels of depth maps, per camera [H, W], whose confidence reaches TRUSTED.

    Args:
        valid: per camera [H, W] bool, the pixels that show anything; None where all do.
    """
    masks = [np.ones(c.shape, bool) if v is None else v for c, v in zip(confidence, valid, strict=True)]
    shown = np.concatenate([c[mask] for c, mask in zip(confidence, masks, strict=True)])
    return float((shown >= TRUSTED).mean()) if len(shown) else 0.0


def camera_sparse(depth: Path, names: list[str]) -> SparseRays:
    """Sparse COLMAP depth, in the folder ``depth``, of the video cameras ``names``, which become cameras 0, 1, ...

    None of it is of movers: what moves in a video is masked before its key points are matched.
    """
    parts = [read_npz(depth_file(depth, name), **SPARSE) for name in names]
    index = np.concatenate([np.full(len(part["z"]), i) for i, part in enumerate(parts)])
    return _sparse(index, *(np.concatenate([part[key] for part in parts]) for key in ("uv", "z", "sigma")))


def photo_sparse(depth: Path, names: list[str]) -> SparseRays:
    """Sparse COLMAP depth, in the folder ``depth``, of the photos ``names``, which become cameras 0, 1, ..."""
    part = read_npz(photo_depth_file(depth), names=("U", "P"), image=("i", "N"), **SPARSE)
    place = [names.index(stem) if stem in names else -1 for stem in part["names"].tolist()]
    index = np.array(place, dtype=np.int64)[part["image"].astype(int)]
    keep = index >= 0
    return _sparse(index[keep], part["uv"][keep], part["z"][keep], part["sigma"][keep])


def _sparse(index: np.ndarray, uv: np.ndarray, z: np.ndarray, sigma: np.ndarray) -> SparseRays:
    return SparseRays(
        torch.from_numpy(index.astype(np.int64)),
        torch.from_numpy(uv.astype(np.float64)).view(-1, 2),
        torch.from_numpy(z.astype(np.float32)),
        torch.from_numpy(sigma.astype(np.float32)),
    )


def extract_depth(
    scene: Scene, *, model: Path, cameras: Path, photos: Path, lenses: Path, space: Path, output: Path
) -> None:
    """Write a file (depth, confidence: [H, W] float32) for every training camera, never for a held-out one, into the
    folder ``output``; [0, 0] for one without a pose.

    Confidence asks all training cameras, and about ``ASKED_PHOTOS`` of the photos that the static model learnt from.
    """
    header, field, _ = load_model(model)
    mapped = SpaceMap(Space.load(space), training_device(scene.config.static.device))
    posed = load_cameras(cameras)
    names = with_pose(scene.train_cameras, posed, "cameras")
    others = load_cameras(photos) if scene.photos else {}
    chosen = [name for name in header["images"] if name in others]
    chosen = chosen[:: max(1, len(chosen) // ASKED_PHOTOS)]
    asked = [posed[name] for name in names] + [others[name] for name in chosen]
    valid = load_masks(lenses, "cameras", posed, names) + load_masks(lenses, "photos", others, chosen)
    use_cpu(scene.config.static.threads)
    views = render_views(field.to(mapped.device), mapped, asked, header["samples"], f"static depth {scene.name}")
    with atomic_folder(output) as folder:
        for name in scene.train_cameras:
            depth = trust = np.zeros((0, 0), np.float32)
            if name in names:
                index = names.index(name)
                depth, trust = views[index].depth, confidence(index, asked, views, valid)
            write_npz(depth_file(folder, name), {"depth": depth, "confidence": trust})


def render_views(
    field: StaticField, space: SpaceMap, cameras: list[Camera], samples: int, label: str
) -> list[StaticView]:
    """The static branch as each of ``cameras`` sees it."""
    progress = Progress(label, len(cameras))
    views = []
    for camera in cameras:
        views.append(render_static(field, space, camera, samples))
        progress.update()
    return views


@dataclass(frozen=True)
class Capture:
    """The training cameras that have a pose, in order, and what they filmed."""

    names: list[str]
    videos: list[Video]

    @property
    def masks(self) -> list[np.ndarray | None]:
        """Per camera [H, W] bool, the pixels that show anything; None where all do."""
        return [video.valid for video in self.videos]

    @property
    def frames(self) -> int:
        return len(self.videos[0].rgb)


@dataclass(frozen=True)
class Depth:
    """What a variant learns about depth."""

    trained_as: str  # the variant, or what it falls back on
    maps: list[tuple[np.ndarray, np.ndarray]] | None  # per camera depth and confidence, [H, W] each
    sparse: SparseRays | None


@dataclass(frozen=True)
class Training:
    """A variant that is trained, and what all of its parts learn from."""

    variant: str
    scene: Scene
    capture: Capture
    space: SpaceMap

    @property
    def label(self) -> str:
        return f"{self.variant} {self.scene.name}"


def train_dynamic(
    scene: Scene,
    variant: str,
    run: Path,
    identity: Mapping[str, Any],
    *,
    frames: Sequence[Path],
    motions: Sequence[Path],
    moving: Sequence[Path],
    movement: Path,
    cameras: Path,
    lenses: Path,
    space: Path,
    output: Path,
    sparse: Path | None = None,
    static_depth: Path | None = None,
    static: Path | None = None,
    parts: Sequence[Path] = (),
) -> None:
    """Train one variant: its static branch (or the inherited one), then the dynamic branch in front of it. A capture of
    several segments comes in ``parts``, which are joined: :func:`train_branch` and :func:`train_segment` made them.

    Args:
        run: folder of the checkpoints.
        identity: what they must have been made from to be gone on with.
        frames, motions, moving: of each training camera the frames, what moves in them, and its colours.
        movement: how much moves there.
        sparse, static_depth, static: what the variant learns from: folders of depth, the static model.
    """
    trained, own = list(parts), [run / "static.safetensors", run / f"{dynamic_name(0)}.safetensors"]
    if not trained:
        sweep_folder(run)
        this = _open(scene, variant, frames, motions, moving, cameras, lenses, space)
        header, branch = _branch(this, movement, sparse, static_depth, static, run, identity)
        session = Session(run / "dynamic", f"{this.label}, dynamic", identity)
        told, field = _segment(this, header, branch, 0, session)
        save_model(own[0], header, static=branch)
        save_model(own[1], told, **{dynamic_name(0): field})
        trained = own
    _join(output, trained)
    discard(run)
    for part in own:
        part.unlink(missing_ok=True)


def train_branch(
    scene: Scene,
    variant: str,
    run: Path,
    identity: Mapping[str, Any],
    *,
    frames: Sequence[Path],
    motions: Sequence[Path],
    moving: Sequence[Path],
    movement: Path,
    cameras: Path,
    lenses: Path,
    space: Path,
    output: Path,
    sparse: Path | None = None,
    static_depth: Path | None = None,
    static: Path | None = None,
) -> None:
    """Train the static branch that all segments of a variant share; its header says which these are. The parameters
    are those of :func:`train_dynamic`."""
    this = _open(scene, variant, frames, motions, moving, cameras, lenses, space)
    header, branch = _branch(this, movement, sparse, static_depth, static, run, identity)
    save_model(output, header, static=branch)
    discard(run / "static")


def train_segment(
    scene: Scene,
    variant: str,
    segment: int,
    run: Path,
    identity: Mapping[str, Any],
    *,
    frames: Sequence[Path],
    motions: Sequence[Path],
    moving: Sequence[Path],
    cameras: Path,
    lenses: Path,
    space: Path,
    branch: Path,
    output: Path,
) -> None:
    """Train the dynamic branch of one segment of a variant, in front of its static one.

    Args:
        branch: the static branch.
    """
    this = _open(scene, variant, frames, motions, moving, cameras, lenses, space)
    header, field, _ = load_model(branch)
    if segment >= len(header["segments"]):
        raise _otherwise_planned(branch, header, segment + 1)
    first, last = header["segments"][segment]
    place, label = run / "dynamic" / str(segment), f"{this.label}, dynamic, frames {first} to {last - 1}"
    told, dynamic = _segment(this, header, field.to(this.space.device), segment, Session(place, label, identity))
    save_model(output, told, **{dynamic_name(segment): dynamic})
    discard(place)


def _open(
    scene: Scene,
    variant: str,
    frames: Sequence[Path],
    motions: Sequence[Path],
    moving: Sequence[Path],
    cameras: Path,
    lenses: Path,
    space: Path,
) -> Training:
    capture = _capture(scene, frames, motions, moving, cameras, lenses)
    use_cpu(scene.config.dynamic.threads)
    return Training(variant, scene, capture, SpaceMap(Space.load(space), training_device(scene.config.dynamic.device)))


def _branch(
    this: Training,
    movement: Path,
    sparse: Path | None,
    static_depth: Path | None,
    static: Path | None,
    run: Path,
    identity: Mapping[str, Any],
) -> tuple[dict[str, Any], StaticField]:
    """The static branch of a variant, and what the header of the model says before there are dynamic ones.

    Where the static model's depth deserves no confidence (:func:`trusted_share`), ``distilled`` and ``inherited`` are
    trained as ``colmap``, or as ``none`` where there is no sparse depth either; the header says so.
    """
    capture, config = this.capture, this.scene.config
    seen = seen_by([video.camera for video in capture.videos], this.space)
    moving = Moving(**read_json(movement, MOVEMENT))
    section = dynamic_section(config.dynamic, config.quality, seen, moving)
    print(f"{this.label}: {told_dynamic(config.quality, moving, section)}", file=sys.stderr)
    depth = _depth(this.variant, capture, this.label, sparse, static_depth)
    session = Session(run / "static", f"{this.label}, static", identity)
    branch = _static_branch(section, capture, depth, this.space, session, static)
    header = {
        **{"cameras": capture.names, "variant": this.variant, "trained_as": depth.trained_as},
        "segments": segments(capture.frames, section.segment),
        "hull": {"moving_share": dict(zip(capture.names, moving_shares(capture.videos), strict=True))},
        **{"samples": section.samples, "options": section.as_mapping()},
        "sizes": {"quality": config.quality, "seen": seen._asdict(), "moving": moving._asdict()},
    }
    return header, branch


def _segment(
    this: Training, header: Mapping[str, Any], branch: StaticField, segment: int, session: Session
) -> tuple[dict[str, Any], DynamicField]:
    """The dynamic branch of one segment; and of it per camera which share of the pixels moves, and how much of that the
    hull explains, and the PSNR of what moves in the training pictures."""
    capture, (first, last) = this.capture, header["segments"][segment]
    options = from_mapping(DynamicOptions, header["options"])
    videos = [video.frames(first, last) for video in capture.videos] if len(header["segments"]) > 1 else capture.videos
    depth = static_surfaces(capture.videos, branch, this.space, options.samples, f"{session.label}, static depth")
    field = train_dynamic_field(videos, branch, this.space, options, session, depth, capture.names)
    told = {"moving": moving_shares(videos), "explained": field.region.explained, "psnr": field.reproduced}
    return told, field


def _join(output: Path, parts: Sequence[Path]) -> None:
    """Join a static branch and its segments to a model."""
    branch, *dynamic = parts
    header = model_header(branch)
    if len(dynamic) != len(header["segments"]):
        raise _otherwise_planned(branch, header, len(dynamic))
    join_models(output, header | _learning(header, [model_header(part) for part in dynamic]), parts)


def _otherwise_planned(branch: Path, header: Mapping[str, Any], planned: int) -> DamagedFile:
    found = len(header["segments"])
    return DamagedFile(f"{branch}: there are {found} segments, and {planned} were planned. Run the same command again")


def _learning(header: Mapping[str, Any], segments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What :func:`_segment` said of the ``segments``, together: by camera how much of what moves the hulls explain
    (None where nothing does), beside the share that moves; and the PSNR of the worst segment."""
    moving = np.array([segment["moving"] for segment in segments])
    met = np.array([[share or 0.0 for share in segment["explained"]] for segment in segments])
    total = moving.sum(0)
    shares = [float(a / b) if b else None for a, b in zip((moving * met).sum(0), total, strict=True)]
    hull = {**header["hull"], "explained": dict(zip(header["cameras"], shares, strict=True))}
    worst = min((segment["psnr"] for segment in segments if segment["psnr"] is not None), default=None)
    return {"hull": hull, "training_psnr": worst}


def _capture(
    scene: Scene,
    frames: Sequence[Path],
    motions: Sequence[Path],
    moving: Sequence[Path],
    cameras: Path,
    lenses: Path,
) -> Capture:
    """The training cameras with a pose, their frames opened.

    Raises:
        UserError: they have different numbers of frames.
    """
    posed = load_cameras(cameras)
    names = with_pose(scene.train_cameras, posed, "cameras")
    files = {path.parent.name: one for path, *one in zip(motions, frames, motions, moving, strict=True)}
    videos = []
    for name, valid in zip(names, load_masks(lenses, "cameras", posed, names), strict=True):
        shown, found, colours = files[name]
        rgb, motion = open_frames(shown), Motion.load(found)
        videos.append(Video.of(posed[name], rgb, motion, valid, open_moving(colours, motion.parts != 0, len(rgb))))
    if len({len(video.rgb) for video in videos}) > 1:
        counts = ", ".join(f"{name} {len(video.rgb)}" for name, video in zip(names, videos, strict=True))
        folder = frames[0].parent.parent
        raise DamagedFile(f"{folder}: the cameras have different numbers of frames ({counts}); delete the folder")
    return Capture(names, videos)


def _depth(variant: str, capture: Capture, label: str, sparse: Path | None, static_depth: Path | None) -> Depth:
    """What a variant learns about depth: the static model's where it can be trusted, else sparse depth, else none."""
    rays = camera_sparse(sparse, capture.names) if sparse else None
    if static_depth is not None:
        maps = [_depth_map(depth_file(static_depth, name)) for name in capture.names]
        share = trusted_share([trust for _, trust in maps], capture.masks)
        if share >= TRUSTED_SHARE:
            return Depth(variant, maps, None)
        _warn(label, share, "colmap" if rays is not None and len(rays) else "none")
    if sparse is None or rays is None or (static_depth is not None and not len(rays)):
        return Depth("none", None, None)
    return Depth("colmap", None, rays)


def _static_branch(
    section: Dynamic,
    capture: Capture,
    depth: Depth,
    space: SpaceMap,
    session: Session,
    static: Path | None,
) -> StaticField:
    """The static branch of a variant, trained on the cameras' plates."""
    inherited = None
    if depth.trained_as == "inherited":
        assert static is not None  # this variant's
        inherited = _inherit(static, space, capture.videos, session.label)
    branch = _branch_options(section, inherited)
    if inherited is not None and branch.steps == 0:
        return inherited
    videos = capture.videos
    support = [video.support for video in videos]
    cameras, plates = [video.camera for video in videos], [video.plate for video in videos]
    free = free_depths(videos, space, branch.samples)
    data = ImageSet(plates, cameras, support, depth.maps, capture.masks, free)
    return train_static_field(data, depth.sparse, space, branch, session, inherited)


def _warn(label: str, share: float, trained_as: str) -> None:
    print(
        f"warning: {label}: {share:.0%} of the pixels of the static model's depth maps can be trusted, less than the"
        f" {TRUSTED_SHARE:.0%} that are worth learning from, so this is trained as `{trained_as}`. Photos from more"
        " positions would help.",
        file=sys.stderr,
    )


def _branch_options(section: Dynamic, inherited: StaticField | None) -> StaticOptions:
    """How a variant's static branch is trained; an inherited one learns on at its final size, with lower rates."""
    branch = replace(section.static, threads=section.threads, seed=section.seed, device=section.device, amp=section.amp)
    if inherited is None:
        return branch
    rate, cells = section.inherited_rate, inherited.density_grid.resolution
    return replace(
        branch,
        steps=section.inherited_steps,
        start_resolution=cells,
        resolution=cells,
        start_samples=branch.samples,
        grid_rate=rate * branch.grid_rate,
        network_rate=rate * branch.network_rate,
    )


def _depth_map(path: Path) -> tuple[np.ndarray, np.ndarray]:
    part = read_npz(path, depth=("f", "H", "W"), confidence=("f", "H", "W"))
    return part["depth"], part["confidence"]


def _inherit(model: Path, space: SpaceMap, videos: list[Video], label: str) -> StaticField:
    """The static model itself, with the tones of the video cameras fitted where nothing moves."""
    header, static, _ = load_model(model)
    static.to(space.device)
    views = render_views(static, space, [v.camera for v in videos], header["samples"], f"{label}, static views")
    static.tone = Tone(len(videos)).to(space.device)
    with torch.no_grad():
        for index, (video, view) in enumerate(zip(videos, views, strict=True)):
            still = ~video.moving & (view.opacity > 0.9)
            still = still if video.valid is None else still & video.valid
            gain, offset = fit_tone(view.rgb[still], video.plate[still].astype(np.float32) / 255)
            static.tone.gain[index] = torch.from_numpy(np.log(gain)).float()
            static.tone.offset[index] = torch.from_numpy(offset).float()
    return static
