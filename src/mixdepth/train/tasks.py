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

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.space import Space
from mixdepth.compute.device import training_device, use_cpu
from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.static import StaticField, Tone
from mixdepth.fields.storage import dynamic_name, join_models, load_model, save_model, saved_header
from mixdepth.files.certificate import certify, withdraw
from mixdepth.files.io import atomic_folder, read_npz, sweep_folder, write_npz
from mixdepth.frames.masks import load_masks
from mixdepth.frames.motion import Motion
from mixdepth.frames.store import FrameStore
from mixdepth.progress import Progress
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import StaticView, render_static
from mixdepth.results import Store, depth_file, photo_depth_file
from mixdepth.scene.scene import Scene
from mixdepth.scene.settings import Dynamic
from mixdepth.train.agreement import confidence
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import moving_shares, static_surfaces, train_dynamic_field
from mixdepth.train.free_space import free_depths
from mixdepth.train.measure import moving_in, seen_by
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


def with_pose(names: Sequence[str], cameras: Mapping[str, Camera], group: str) -> list[str]:
    """Those of ``names`` that have a camera; the others are named in the log.

    Raises:
        UserError: none has.
    """
    if missing := [name for name in names if name not in cameras]:
        print(f"{group} without a pose, left out: {', '.join(missing)}", file=sys.stderr)
    if len(missing) == len(names):
        raise CaptureError(f"{group}.json: none of {', '.join(names)} has a pose, so there is nothing to train on")
    return [name for name in names if name in cameras]


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
    """The training cameras that have a pose, in order: what they filmed, and where their frames are."""

    names: list[str]
    videos: list[Video]
    stores: list[Store]

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


def train_dynamic(
    scene: Scene,
    variant: str,
    run: Path,
    identity: Mapping[str, Any],
    *,
    stores: Sequence[Path],
    motions: Sequence[Path],
    cameras: Path,
    lenses: Path,
    space: Path,
    output: Path,
    sparse: Path | None = None,
    static_depth: Path | None = None,
    static: Path | None = None,
) -> None:
    """Train one variant: its static branch (or the inherited one), then the dynamic branch in front of it.

    Where the static model's depth deserves no confidence (:func:`trusted_share`), ``distilled`` and ``inherited`` are
    trained as ``colmap``, or as ``none`` where there is no sparse depth either; the model's header says so.

    Args:
        run: folder of the checkpoints, and of finished segments.
        identity: what they must have been made from to be gone on with.
        stores, motions: the files of the training cameras' frames, and what moves in them.
        sparse, static_depth, static: what the variant learns from: folders of depth, the static model.
    """
    capture, quality = _capture(scene, stores, motions, cameras, lenses), scene.config.quality
    mapped = SpaceMap(Space.load(space), training_device(scene.config.dynamic.device))
    seen, moving = seen_by([video.camera for video in capture.videos], mapped), moving_in(capture.videos)
    section = dynamic_section(scene.config.dynamic, quality, seen, moving)
    options = from_mapping(DynamicOptions, section.as_mapping())
    use_cpu(options.threads)
    label = f"{variant} {scene.name}"
    print(f"{label}: {told_dynamic(quality, moving, section)}", file=sys.stderr)
    depth = _depth(variant, capture, label, sparse, static_depth)
    sweep_folder(run)
    branch = _static_branch(
        section, capture, depth, mapped, Session(run / "static", f"{label}, static", identity), static
    )
    parts = [run / "static.safetensors"]
    save_model(parts[0], {}, static=branch)
    certify(parts, {})
    runs, depth_maps, told = segments(capture.frames, section.segment), None, []
    for index, (first, last) in enumerate(runs):
        parts.append(run / f"{dynamic_name(index)}.safetensors")
        mine = {**identity, "segment": [first, last]}
        if finished := _finished(parts[-1], mine):
            told.append(finished)
            continue
        place, videos, own = run / "dynamic", capture.videos, f"{label}, dynamic"
        if len(runs) > 1:
            place, own = place / str(index), f"{own}, frames {first} to {last - 1}"
            videos = [video.frames(first, last) for video in videos]
        if depth_maps is None:
            depth_maps = static_surfaces(capture.videos, branch, mapped, options.samples, f"{label}, static depth")
        session = Session(place, own, mine)
        field = train_dynamic_field(videos, branch, mapped, options, session, depth_maps, capture.names)
        told.append(_told(videos, field))
        save_model(parts[-1], {"identity": mine, "told": told[-1]}, **{dynamic_name(index): field})
        certify(parts[-1:], {})
        discard(place)
    header = {"cameras": capture.names, "variant": variant, "trained_as": depth.trained_as, "segments": runs}
    header |= _learning(capture, told)
    sizes = {"quality": quality, "seen": seen._asdict(), "moving": moving._asdict()}
    about = {"samples": options.samples, "options": section.as_mapping(), "sizes": sizes}
    join_models(output, {**header, **about}, parts)
    discard(run)
    for part in parts:
        part.unlink()
        withdraw(part)


def _told(videos: Sequence[Video], field: DynamicField) -> dict[str, Any]:
    """Of one segment: per camera which share of the pixels moves, and how much of it the hull explains; and the PSNR of
    what moves in the training pictures."""
    return {"moving": moving_shares(videos), "explained": field.region.explained, "psnr": field.reproduced}


def _finished(part: Path, identity: dict) -> dict[str, Any] | None:
    """What :func:`_told` said of a segment that was finished before an interrupt; None where it was not."""
    header = saved_header(part) or {}
    return header["told"] if header.get("identity") == identity else None


def _learning(capture: Capture, segments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What :func:`_told` said of the ``segments``, together: by camera the share of its pixels that move and how much
    of them the hulls explain (None where nothing moves), and the PSNR of the worst segment."""
    moving = np.array([segment["moving"] for segment in segments])
    met = np.array([[share or 0.0 for share in segment["explained"]] for segment in segments])
    total = moving.sum(0)
    shares = [float(a / b) if b else None for a, b in zip((moving * met).sum(0), total, strict=True)]
    each: dict[str, Sequence[float | None]] = {"moving_share": moving_shares(capture.videos), "explained": shares}
    hull = {key: dict(zip(capture.names, one, strict=True)) for key, one in each.items()}
    worst = min((segment["psnr"] for segment in segments if segment["psnr"] is not None), default=None)
    return {"hull": hull, "training_psnr": worst}


def _capture(scene: Scene, stores: Sequence[Path], motions: Sequence[Path], cameras: Path, lenses: Path) -> Capture:
    """The training cameras with a pose, their frame stores opened.

    Raises:
        UserError: they have different numbers of frames.
    """
    posed = load_cameras(cameras)
    names = with_pose(scene.train_cameras, posed, "cameras")
    folders = {path.parent.name: path.parent for path in stores}
    masks = load_masks(lenses, "cameras", posed, names)
    moves = {path.parent.name: path for path in motions}
    videos = [
        Video.of(posed[name], FrameStore.open(folders[name]).rgb, Motion.load(moves[name]), valid)
        for name, valid in zip(names, masks, strict=True)
    ]
    if len({len(video.rgb) for video in videos}) > 1:
        counts = ", ".join(f"{name} {len(video.rgb)}" for name, video in zip(names, videos, strict=True))
        folder = folders[names[0]].parent
        raise DamagedFile(f"{folder}: the cameras have different numbers of frames ({counts}); delete the folder")
    return Capture(names, videos, [Store(folders[name]) for name in names])


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
