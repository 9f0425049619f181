"""The evaluation stage: renders and static model against the held-out images, and depth against the truth."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain, repeat
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.cameras.camera import load_cameras
from mixdepth.config import Scene
from mixdepth.errors import UserError
from mixdepth.evaluation.metrics import (
    DEPTH_PASSES,
    ColourScore,
    DepthBlocks,
    depth_errors,
    relative_median,
    score_colour,
)
from mixdepth.evaluation.truth import Truth, load_truth
from mixdepth.fields.storage import saved_header
from mixdepth.frames.masks import load_masks
from mixdepth.frames.store import FrameStore
from mixdepth.io import read_npz, write_json
from mixdepth.progress import Progress
from mixdepth.rendering.renders import open_renders

# A pixel moves where its temporal standard deviation (colours in 0..1) exceeds this, unless the truth says it.
MOVING_STD = 0.02
DEPTH_KEYS = ("depth", "depth_moving")


@dataclass(frozen=True)
class View:
    """One held-out camera: what was rendered and what it should be."""

    name: str
    rgb: np.ndarray  # [T, H, W, 3] uint8, rendered
    depth: np.ndarray  # [T, H, W] float32, rendered z-depth, world units
    store: FrameStore
    truth: Truth | None
    frames: range  # indices of the frames in the whole video
    scale: float  # rendered depth times this is in the truth's units
    valid: np.ndarray | None = None  # [H, W] bool: pixels that count; None counts all

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), pixels."""
        return self.rgb.shape[1], self.rgb.shape[2]

    def moving(self) -> Iterator[np.ndarray]:
        """Pixels that show something that moves, [H, W] bool per frame."""
        if self.truth is None:
            return repeat(self.store.std > MOVING_STD, len(self.rgb))
        return (mask for _, mask in self.truth.frames(self.name, self.frames, self.size))

    def depth_pairs(self, moving_only: bool, progress: Progress) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rendered, true) z-depth per frame, [N] each, in the truth's units. Only where there is a truth."""
        assert self.truth is not None
        true_frames = self.truth.frames(self.name, self.frames, self.size)
        for rendered, (true, mask) in zip(self.depth, true_frames, strict=True):
            chosen = mask if moving_only else np.ones(self.size, bool)
            if self.valid is not None:
                chosen = chosen & self.valid
            yield rendered[chosen].astype(np.float64) * self.scale, true[chosen]
            progress.update()


def evaluate_variant(scene: Scene, variant: str, folder: Path, output: Path) -> None:
    """Score a variant's renders of the held-out cameras and write metrics.json.

    Keys: ``psnr``, ``psnr_moving``, ``psnr_still``, ``psnr_affine`` (dB), ``ssim``, ``depth`` and ``depth_moving``
    (each with ``median``, ``mae``, ``abs_rel``, ``within_5_percent``, in the truth's units; null without a truth); the
    same per camera in ``cameras``; and ``settings``. Over several cameras, PSNR pools the squared error, depth pools
    the pixels and SSIM is the mean over all frames. ``psnr_affine`` is after a gain and offset per camera and colour
    channel fitted to all its frames. Identical images have 100 dB; what no pixel counts for is null. Pixels of the
    undistorted images that have no source do not count, nor do SSIM's windows that touch them. No times, no hosts.

    Args:
        scene: the scene.
        variant: none, colmap, distilled or inherited.
        folder: the scene's results.
        output: the metrics.json.

    Raises:
        UserError: files are missing, damaged or do not fit together, or the truth does not fit the capture.
    """
    trained_as = (saved_header(folder / variant / "model.safetensors") or {}).get("trained_as", variant)
    truth = load_truth(scene, scene.test_cameras, video=True)
    scale = truth.similarity(folder / "cameras.json").scale if truth else 1.0
    cameras = load_cameras(folder / "cameras.json")
    masks = load_masks(folder / "lenses.json", "cameras", cameras, scene.test_cameras)
    views = [
        replace(open_view(scene, variant, camera, folder, truth, scale), valid=valid)
        for camera, valid in zip(scene.test_cameras, masks, strict=True)
    ]
    progress = Progress(f"scores {scene.name} {variant}", sum(len(view.rgb) for view in views))
    colours = {view.name: _score_view(view, progress) for view in views}
    depths = {view.name: _depth_scores([view]) for view in views}
    write_json(
        output,
        {
            **reduce(add, colours.values()).summary(),
            **(depths[views[0].name] if len(views) == 1 else _depth_scores(views)),
            "cameras": {name: {**colours[name].summary(), **depths[name]} for name in colours},
            "settings": {**_settings(scene, variant, views), "trained_as": trained_as},
        },
    )


def open_view(scene: Scene, variant: str, camera: str, folder: Path, truth: Truth | None, scale: float) -> View:
    """A variant's renders of ``camera``, memory-mapped, with the camera's own frames.

    Raises:
        UserError: a file is missing or damaged, or the sizes differ.
    """
    renders = folder / variant / "renders" / camera
    rgb, depth = open_renders(renders)
    store = FrameStore.open(folder / "frames" / camera)
    if rgb.shape != store.rgb.shape:
        raise UserError(
            f"{renders}: rgb.npy {rgb.shape} does not fit the camera's frames {store.rgb.shape};"
            " delete this folder and run the same command again"
        )
    start, step = scene.options["frames"]["start"], scene.options["frames"]["step"]
    return View(camera, rgb, depth, store, truth, range(start, start + step * len(rgb), step), scale)


def _score_view(view: View, progress: Progress) -> ColourScore:
    def renders() -> Iterator[np.ndarray]:
        for index, image in enumerate(view.rgb):
            if not np.isfinite(view.depth[index]).all():
                raise ValueError(f"{view.name}, frame {index}: a rendered depth is not finite")
            yield np.asarray(image)
            progress.update()

    return score_colour(renders(), map(np.asarray, view.store.rgb), view.moving(), view.valid)


def _depth_scores(views: list[View]) -> dict[str, Any]:
    """``depth`` and ``depth_moving`` of all pixels of ``views``; None without a truth."""
    if views[0].truth is None:
        return dict.fromkeys(DEPTH_KEYS)

    frames = sum(len(view.rgb) for view in views)
    progress = Progress(f"depth scores {', '.join(view.name for view in views)}", 2 * DEPTH_PASSES * frames)

    def blocks(moving_only: bool) -> DepthBlocks:
        return lambda: chain.from_iterable(view.depth_pairs(moving_only, progress) for view in views)

    return {"depth": depth_errors(blocks(False)), "depth_moving": depth_errors(blocks(True))}


def _settings(scene: Scene, variant: str, views: list[View]) -> dict[str, Any]:
    frames = views[0].frames
    said = f"standard deviation over the frames above {MOVING_STD}, the same pixels in every frame"
    return {
        "variant": variant,
        "test_cameras": scene.test_cameras,
        "train_cameras": scene.train_cameras,
        "frames": {"start": frames.start, "count": len(frames), "step": frames.step},
        "resolution": {view.name: [view.size[1], view.size[0]] for view in views},
        "moving": said if views[0].truth is None else "the truth's mask",
        "depth_scale": None if views[0].truth is None else views[0].scale,
        "options": dict(scene.options),
    }


def evaluate_static(scene: Scene, folder: Path, output: Path) -> None:
    """Score the static model and write static/metrics.json.

    Keys: ``psnr`` (pooled over the held-out photos), ``psnr_mean`` (the mean of the photos' PSNRs, as published figures
    are), ``ssim``, ``photos`` (the same by stem); null and empty where no photo is held out. Where the truth has a
    ``static_depth``: ``depth`` (errors of static/depth over the training cameras' pixels, truth's units),
    ``depth_relative_median`` (median of abs(z - truth) / truth), ``depth_known`` (share of the pixels with a depth;
    only those count) and the same by camera in ``cameras``; else null. And ``settings``. Pixels without a source and
    images without a pose do not count.

    Raises:
        UserError: files are missing, damaged or do not fit together, or the truth does not fit the capture.
    """
    photos = _score_photos(scene, folder)
    colours = {stem: _photo_summary([score]) for stem, score in photos.items()}
    truth = load_truth(scene, scene.train_cameras, video=False) if scene.cameras else None
    if truth is not None and not truth.static_depth:
        truth = None
    scale = truth.similarity(folder / "cameras.json").scale if truth else None
    depths = {}
    cameras = load_cameras(folder / "cameras.json") if truth else {}
    names = [name for name in scene.train_cameras if name in cameras]  # COLMAP may have left some out
    for name, valid in zip(names, load_masks(folder / "lenses.json", "cameras", cameras, names), strict=True):
        z = read_npz(folder / "static" / "depth" / f"{name}.npz")["depth"]
        pair = z * np.float64(scale), truth.static(name, z.shape)
        depths[name] = pair if valid is None else (pair[0][valid], pair[1][valid])
    write_json(
        output,
        {
            **_photo_summary(list(photos.values())),
            **_static_depth_scores(list(depths.values())),
            "photos": colours,
            "cameras": {name: _static_depth_scores([pair]) for name, pair in depths.items()},
            "settings": {
                "train": scene.train_photos or scene.train_cameras,
                "test_photos": scene.test_photos,
                "depth_scale": scale,
                "options": dict(scene.options),
            },
        },
    )


def _score_photos(scene: Scene, folder: Path) -> dict[str, ColourScore]:
    """Scores of the held-out photos by stem."""
    if not scene.test_photos:
        return {}
    from mixdepth.rendering.stage import render_photos

    renders, truths = render_photos(scene, folder), read_npz(folder / "static" / "test_set.npz")
    cameras = load_cameras(folder / "photos.json")
    names = [stem for stem in scene.test_photos if stem in cameras]  # COLMAP may have left some out
    scores = {}
    for stem, valid in zip(names, load_masks(folder / "lenses.json", "photos", cameras, names), strict=True):
        render, truth = renders[stem][0], truths[stem]
        if render.shape != truth.shape:
            raise ValueError(f"photo {stem}: rendered {render.shape}, the photo is {truth.shape}")
        scores[stem] = score_colour([render], [truth], [np.zeros(truth.shape[:2], bool)], valid)
    return scores


def _photo_summary(scores: list[ColourScore]) -> dict[str, float | None]:
    if not scores:
        return dict.fromkeys(("psnr", "psnr_mean", "ssim"))
    whole = reduce(add, scores).summary()
    mean = float(np.mean([score.every.psnr for score in scores]))
    return {"psnr": whole["psnr"], "psnr_mean": mean, "ssim": whole["ssim"]}


def _static_depth_scores(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Scores of the pairs (depth, true depth), [...] each; a depth that is not finite does not count."""
    if not pairs:
        return dict.fromkeys(("depth", "depth_relative_median", "depth_known"))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return ((z[np.isfinite(z)], true[np.isfinite(z)]) for z, true in pairs)

    known = sum(int(np.isfinite(z).sum()) for z, _ in pairs) / sum(z.size for z, _ in pairs)
    return {
        "depth": depth_errors(blocks),
        "depth_relative_median": relative_median(blocks),
        "depth_known": known,
    }
