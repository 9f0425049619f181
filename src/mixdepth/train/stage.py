"""The training stages: from the files of a scene to models and depth maps. File names are those of
docs/architecture.md."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.space import Space
from mixdepth.errors import UserError
from mixdepth.fields.static import StaticField, Tone
from mixdepth.fields.storage import load_model, save_model
from mixdepth.frames.store import FrameStore, motion_map
from mixdepth.io import read_npz, write_npz
from mixdepth.progress import Progress
from mixdepth.rendering.rays import SpaceMap
from mixdepth.rendering.static_view import StaticView, render_static
from mixdepth.train.agreement import confidence
from mixdepth.train.data import ImageSet, SparseRays
from mixdepth.train.dynamic import Video, train_dynamic_field
from mixdepth.train.options import DynamicOptions, StaticOptions, from_mapping
from mixdepth.train.static import train_static_field
from mixdepth.train.tone import fit_tone

if TYPE_CHECKING:
    from mixdepth.config import Scene

ASKED_PHOTOS = 6  # photos whose depth is compared with the cameras'; each is rendered once


def train_static(scene: "Scene", folder: Path, output: Path) -> None:
    """Train the static model on photos that train, or on the training cameras' medians, with COLMAP's sparse depth."""
    images = read_npz(folder / "static/set.npz")
    names = sorted(images)
    cameras = load_cameras(folder / ("photos.json" if scene.photos else "cameras.json"))
    options = from_mapping(StaticOptions, scene.options["static"])
    chosen = [cameras[name] for name in names]
    data = ImageSet([images[name] for name in names], chosen)
    sparse = photo_sparse(folder, names, scene.train_photos) if scene.photos else camera_sparse(folder, names)
    space = SpaceMap(Space.load(folder / "space.json"))
    field = train_static_field(data, sparse, space, options, f"static {scene.name}")
    save_model(output, {"images": names, "samples": options.samples, "options": asdict(options)}, static=field)


def camera_sparse(folder: Path, names: list[str]) -> SparseRays:
    """Sparse COLMAP depth of the video cameras ``names``, which become cameras 0, 1, ..."""
    parts = [read_npz(folder / f"colmap_depth/{name}.npz") for name in names]
    index = np.concatenate([np.full(len(part["z"]), i) for i, part in enumerate(parts)])
    return _sparse(index, *(np.concatenate([part[key] for part in parts]) for key in ("uv", "z", "sigma")))


def photo_sparse(folder: Path, names: list[str], train_photos: list[str]) -> SparseRays:
    """Sparse COLMAP depth of the photos ``names``; the file counts them as ``train_photos``, sorted."""
    part = read_npz(folder / "colmap_depth/photos.npz")
    place = {stem: names.index(stem) for stem in train_photos if stem in names}
    index = np.array([place.get(stem, -1) for stem in sorted(train_photos)], dtype=np.int64)[part["image"].astype(int)]
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
    """Write ``<camera>.npz`` (depth, confidence: [H, W] float32) for every training camera, never for a held-out one.

    Confidence asks all training cameras, and about ``ASKED_PHOTOS`` of the photos that the static model learnt from.
    """
    header, field, _ = load_model(folder / "static/model.safetensors")
    space = SpaceMap(Space.load(folder / "space.json"))
    cameras = load_cameras(folder / "cameras.json")
    others = load_cameras(folder / "photos.json") if scene.photos else {}
    photos = [others[name] for name in header["images"] if name in others]
    asked = [cameras[name] for name in scene.train_cameras] + photos[:: max(1, len(photos) // ASKED_PHOTOS)]
    torch.set_num_threads(scene.options["static"]["threads"])
    views = render_views(field, space, asked, header["samples"], f"static depth {scene.name}")
    for index, name in enumerate(scene.train_cameras):
        arrays = {"depth": views[index].depth, "confidence": confidence(index, asked, views)}
        write_npz(output / f"{name}.npz", arrays)


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
    """Train one variant: its static branch (or the inherited one), then the dynamic branch in front of it."""
    cameras = load_cameras(folder / "cameras.json")
    names = scene.train_cameras
    videos = [_video(folder, name, cameras[name]) for name in names]
    if len({len(video.rgb) for video in videos}) > 1:
        counts = ", ".join(f"{name} {len(video.rgb)}" for name, video in zip(names, videos, strict=True))
        raise UserError(f"{folder}/frames: the cameras have different numbers of frames ({counts}); delete the folder")
    section = scene.options["dynamic"]
    options = from_mapping(DynamicOptions, section)
    branch = from_mapping(StaticOptions, {**section["static"], "threads": options.threads, "seed": options.seed})
    space = SpaceMap(Space.load(folder / "space.json"))
    label = f"{variant} {scene.name}"
    if variant == "inherited":
        static = _inherit(folder, space, videos, options, label)
    else:
        sparse = _still(camera_sparse(folder, names), videos, options) if variant == "colmap" else None
        depth = [_depth_map(folder, name) for name in names] if variant == "distilled" else None
        weight = [v.median_weight(options.moving_threshold, section["median_agreement"]) for v in videos]
        data = ImageSet([v.median for v in videos], [v.camera for v in videos], weight, depth)
        static = train_static_field(data, sparse, space, branch, f"{label}, static branch")
    dynamic = train_dynamic_field(videos, static, space, options, f"{label}, dynamic branch")
    header = {"cameras": names, "variant": variant, "samples": options.samples, "options": asdict(options)}
    save_model(output, header, static=static, dynamic=dynamic)


def _video(folder: Path, name: str, camera: Camera) -> Video:
    store = FrameStore.open(folder / "frames" / name)
    return Video(camera, store.rgb, np.asarray(store.median), motion_map(np.asarray(store.std)))


def _still(sparse: SparseRays, videos: list[Video], options: DynamicOptions) -> SparseRays:
    """The sparse depths that do not lie on moving pixels: a point of a mover is no static geometry."""
    keep = torch.ones(len(sparse), dtype=torch.bool)
    for index, video in enumerate(videos):
        mine = sparse.camera == index
        column, row = sparse.uv[mine].long().unbind(-1)
        keep[mine] = ~torch.from_numpy(video.moving(options.moving_threshold))[row, column]
    return SparseRays(sparse.camera[keep], sparse.uv[keep], sparse.z[keep], sparse.sigma[keep])


def _depth_map(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    part = read_npz(folder / f"static/depth/{name}.npz")
    return part["depth"], part["confidence"]


def _inherit(folder: Path, space: SpaceMap, videos: list[Video], options: DynamicOptions, label: str) -> StaticField:
    """The static model itself, frozen, with the tones of the video cameras fitted where nothing moves."""
    header, static, _ = load_model(folder / "static/model.safetensors")
    torch.set_num_threads(options.threads)
    views = render_views(static, space, [v.camera for v in videos], header["samples"], f"{label}, static views")
    static.tone = Tone(len(videos))
    with torch.no_grad():
        for index, (video, view) in enumerate(zip(videos, views, strict=True)):
            still = ~video.moving(options.moving_threshold) & (view.opacity > 0.9)
            gain, offset = fit_tone(view.rgb[still], video.median[still].astype(np.float32) / 255)
            static.tone.gain[index] = torch.from_numpy(np.log(gain)).float()
            static.tone.offset[index] = torch.from_numpy(offset).float()
    return static
