"""The training stages: from the files of a scene to models and depth maps. File names are those of
docs/architecture.md.

Cameras and photos that COLMAP left out (``poses.allow_missing``) are absent from cameras.json and photos.json, and then
train nothing. Pixels of undistorted images that have no source count nowhere.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.space import Space
from mixdepth.compute.device import training_device, use_cpu
from mixdepth.errors import UserError
from mixdepth.fields.static import StaticField, Tone
from mixdepth.fields.storage import dynamic_name, join_models, load_model, save_model, saved_header
from mixdepth.files.io import read_npz, write_npz
from mixdepth.frames.masks import load_masks
from mixdepth.frames.store import FrameStore, motion_map
from mixdepth.progress import Progress
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import StaticView, render_static
from mixdepth.train.agreement import confidence
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import train_dynamic_field
from mixdepth.train.options import DynamicOptions, StaticOptions, from_mapping
from mixdepth.train.segments import segments
from mixdepth.train.session import Session, discard, fingerprint
from mixdepth.train.static import train_static_field
from mixdepth.train.tone import fit_tone
from mixdepth.train.video import Video

if TYPE_CHECKING:
    from mixdepth.scene.scene import Scene

TRUSTED = 0.5  # confidence from which on a pixel's depth counts as trusted
# Share of trusted pixels that distilled depth must have. Sound static models had .54 to .96 (arc8, demo, basketball,
# with photos or sparse depth), failed ones 0 to .07 (three cameras, or walls without texture, and neither).
TRUSTED_SHARE = 0.25
SPARSE = {"uv": ("f", "N", 2), "z": ("f", "N"), "sigma": ("f", "N")}
ASKED_PHOTOS = 6  # photos whose depth is compared with the cameras'; each is rendered once


def train_static(scene: "Scene", folder: Path, output: Path) -> None:
    """Train the static model on photos that train, or on the training cameras' medians, with COLMAP's sparse depth."""
    images = read_npz(folder / "static/set.npz")
    group = "photos" if scene.photos else "cameras"
    cameras = load_cameras(folder / f"{group}.json")
    names = with_pose(sorted(images), cameras, group)
    options = from_mapping(StaticOptions, scene.options["static"])
    valid = load_masks(folder / "lenses.json", group, cameras, names)
    data = ImageSet([images[name] for name in names], [cameras[name] for name in names], valid=valid)
    sparse = photo_sparse(folder, names) if scene.photos else camera_sparse(folder, names)
    space = SpaceMap(Space.load(folder / "space.json"))
    run = folder / "runs/static"
    session = Session(run, f"static {scene.name}", _identity(options, folder, "static/set.npz", "colmap_depth"))
    field = train_static_field(data, sparse, space, options, session)
    save_model(output, {"images": names, "samples": options.samples, "options": asdict(options)}, static=field)
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
        raise UserError(f"{group}.json: none of {', '.join(names)} has a pose, so there is nothing to train on")
    return [name for name in names if name in cameras]


def camera_sparse(folder: Path, names: list[str]) -> SparseRays:
    """Sparse COLMAP depth of the video cameras ``names``, which become cameras 0, 1, ...

    None of it is of movers: what moves in a video is masked before its key points are matched.
    """
    parts = [read_npz(folder / f"colmap_depth/{name}.npz", **SPARSE) for name in names]
    index = np.concatenate([np.full(len(part["z"]), i) for i, part in enumerate(parts)])
    return _sparse(index, *(np.concatenate([part[key] for part in parts]) for key in ("uv", "z", "sigma")))


def photo_sparse(folder: Path, names: list[str]) -> SparseRays:
    """Sparse COLMAP depth of the photos ``names``, which become cameras 0, 1, ..."""
    part = read_npz(folder / "colmap_depth/photos.npz", names=("U", "P"), image=("i", "N"), **SPARSE)
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


def extract_depth(scene: "Scene", folder: Path, output: Path) -> None:
    """Write ``<camera>.npz`` (depth, confidence: [H, W] float32) for every training camera, never for a held-out one;
    [0, 0] for one without a pose.

    Confidence asks all training cameras, and about ``ASKED_PHOTOS`` of the photos that the static model learnt from.
    """
    header, field, _ = load_model(folder / "static/model.safetensors")
    space = SpaceMap(Space.load(folder / "space.json"), training_device(scene.options["static"]["device"]))
    cameras = load_cameras(folder / "cameras.json")
    names = with_pose(scene.train_cameras, cameras, "cameras")
    others = load_cameras(folder / "photos.json") if scene.photos else {}
    photos = [name for name in header["images"] if name in others]
    photos = photos[:: max(1, len(photos) // ASKED_PHOTOS)]
    asked = [cameras[name] for name in names] + [others[name] for name in photos]
    valid = load_masks(folder / "lenses.json", "cameras", cameras, names)
    valid += load_masks(folder / "lenses.json", "photos", others, photos)
    use_cpu(scene.options["static"]["threads"])
    views = render_views(field.to(space.device), space, asked, header["samples"], f"static depth {scene.name}")
    for name in scene.train_cameras:
        depth = trust = np.zeros((0, 0), np.float32)
        if name in names:
            index = names.index(name)
            depth, trust = views[index].depth, confidence(index, asked, views, valid)
        write_npz(output / f"{name}.npz", {"depth": depth, "confidence": trust})


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


def train_dynamic(scene: "Scene", variant: str, folder: Path, output: Path) -> None:
    """Train one variant: its static branch (or the inherited one), then the dynamic branch in front of it.

    Where the static model's depth deserves no confidence (:func:`trusted_share`), ``distilled`` and ``inherited`` are
    trained as ``colmap``, or as ``none`` where there is no sparse depth either; the model's header says so.
    """
    cameras = load_cameras(folder / "cameras.json")
    names = with_pose(scene.train_cameras, cameras, "cameras")
    masks = load_masks(folder / "lenses.json", "cameras", cameras, names)
    videos = [_video(folder, name, cameras[name], valid) for name, valid in zip(names, masks, strict=True)]
    if len({len(video.rgb) for video in videos}) > 1:
        counts = ", ".join(f"{name} {len(video.rgb)}" for name, video in zip(names, videos, strict=True))
        raise UserError(f"{folder}/frames: the cameras have different numbers of frames ({counts}); delete the folder")
    section = scene.options["dynamic"]
    options = from_mapping(DynamicOptions, section)
    space = SpaceMap(Space.load(folder / "space.json"), training_device(options.device))
    use_cpu(options.threads)
    label, run = f"{variant} {scene.name}", folder / "runs" / variant
    depth = [_depth_map(folder, name) for name in names] if variant in ("distilled", "inherited") else None
    sparse = camera_sparse(folder, names) if variant != "none" else None
    trained_as = variant
    if depth is not None and (share := trusted_share([trust for _, trust in depth], masks)) < TRUSTED_SHARE:
        trained_as = "colmap" if len(sparse) else "none"
        _warn(label, share, trained_as)
    depth = depth if trained_as == variant else None
    sparse = sparse if trained_as == "colmap" else None
    inherited = _inherit(folder, space, videos, options, label) if trained_as == "inherited" else None
    branch = _branch_options(section, options, inherited)
    inputs = {
        "colmap": ["colmap_depth"],
        "distilled": ["static/depth"],
        "inherited": ["static/model.safetensors", "static/depth"],
    }.get(trained_as, [])
    learnt = _identity(branch, folder, *inputs, *(f"frames/{name}/median.npy" for name in names))
    static = inherited
    if branch.steps > 0:
        threshold, agreement = options.moving_threshold, section["median_agreement"]
        weight = [v.median_weight(threshold, agreement, space.device) for v in videos]
        data = ImageSet([v.median for v in videos], [v.camera for v in videos], weight, depth, masks)
        session = Session(run / "static", f"{label}, static", learnt)
        static = train_static_field(data, sparse, space, branch, session, inherited)
    identity = {**_identity(options, folder, *(f"frames/{name}" for name in names)), "static branch": learnt}
    runs = segments(len(videos[0].rgb), section["segment"])
    parts = [run / "static.safetensors"]
    save_model(parts[0], {}, static=static)
    for index, (first, last) in enumerate(runs):
        parts.append(run / f"{dynamic_name(index)}.safetensors")
        mine = {**identity, "segment": [first, last]}
        if saved_header(parts[-1]) != mine:  # else finished before an interrupt
            place, part, own = run / "dynamic", videos, f"{label}, dynamic"
            if len(runs) > 1:
                place, part = place / str(index), [v.part(first, last, space.device) for v in videos]
                own = f"{own}, frames {first} to {last - 1}"
            dynamic = train_dynamic_field(part, static, space, options, Session(place, own, mine))
            save_model(parts[-1], mine, **{dynamic_name(index): dynamic})
            discard(place)
    header = {"cameras": names, "variant": variant, "trained_as": trained_as, "segments": runs}
    join_models(output, {**header, "samples": options.samples, "options": asdict(options)}, parts)
    discard(run)
    for part in parts:
        part.unlink()


def _warn(label: str, share: float, trained_as: str) -> None:
    print(
        f"warning: {label}: {share:.0%} of the pixels of the static model's depth maps can be trusted, less than the"
        f" {TRUSTED_SHARE:.0%} that are worth learning from, so this is trained as `{trained_as}`. Photos from more"
        " positions would help.",
        file=sys.stderr,
    )


def _branch_options(section: Mapping, options: DynamicOptions, inherited: StaticField | None) -> StaticOptions:
    """How a variant's static branch is trained; an inherited one learns on at its final size, with lower rates."""
    shared = {"threads": options.threads, "seed": options.seed, "device": options.device, "amp": options.amp}
    branch = from_mapping(StaticOptions, {**section["static"], **shared})
    if inherited is None:
        return branch
    rate, cells = section["inherited_rate"], inherited.density_grid.resolution
    return replace(
        branch,
        steps=section["inherited_steps"],
        start_resolution=cells,
        resolution=cells,
        start_samples=branch.samples,
        grid_rate=rate * branch.grid_rate,
        network_rate=rate * branch.network_rate,
    )


def _identity(options: StaticOptions | DynamicOptions, folder: Path, *inputs: str) -> dict:
    """What a checkpoint must have been made with: settings, and inputs below ``folder``."""
    paths = [folder / name for name in ("cameras.json", "photos.json", "space.json", *inputs)]
    return {**asdict(options), "inputs": fingerprint([path for path in paths if path.exists()])}


def _video(folder: Path, name: str, camera: Camera, valid: np.ndarray | None) -> Video:
    store = FrameStore.open(folder / "frames" / name)
    return Video(camera, store.rgb, np.asarray(store.median), motion_map(np.asarray(store.std)), valid)


def _depth_map(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    part = read_npz(folder / f"static/depth/{name}.npz", depth=("f", "H", "W"), confidence=("f", "H", "W"))
    return part["depth"], part["confidence"]


def _inherit(folder: Path, space: SpaceMap, videos: list[Video], options: DynamicOptions, label: str) -> StaticField:
    """The static model itself, with the tones of the video cameras fitted where nothing moves."""
    header, static, _ = load_model(folder / "static/model.safetensors")
    static.to(space.device)
    views = render_views(static, space, [v.camera for v in videos], header["samples"], f"{label}, static views")
    static.tone = Tone(len(videos)).to(space.device)
    with torch.no_grad():
        for index, (video, view) in enumerate(zip(videos, views, strict=True)):
            still = ~video.moving(options.moving_threshold) & (view.opacity > 0.9)
            still = still if video.valid is None else still & video.valid
            gain, offset = fit_tone(view.rgb[still], video.median[still].astype(np.float32) / 255)
            static.tone.gain[index] = torch.from_numpy(np.log(gain)).float()
            static.tone.offset[index] = torch.from_numpy(offset).float()
    return static
