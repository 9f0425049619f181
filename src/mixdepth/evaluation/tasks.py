"""The evaluation stage: renders and static model against the held-out images, and depth against the truth."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.evaluation.colour import ColourScore, score_colour
from mixdepth.evaluation.consistency import (
    FEWEST_POINTS,
    differences,
    neighbours,
    point_errors,
    reduced,
    relative_scores,
    spread,
)
from mixdepth.evaluation.depth import DEPTH_PASSES, DepthBlocks, depth_errors, relative_median
from mixdepth.evaluation.pictures import MEASURES, Measure
from mixdepth.evaluation.protocol import COLOUR, DEFINITIONS, colour_reasons, depth_reasons, few_points
from mixdepth.evaluation.truth import load_truth
from mixdepth.evaluation.view import DEPTH_KEYS, MOVING_STD, View, open_view
from mixdepth.fields.storage import saved_header
from mixdepth.files.io import read_npz, write_json
from mixdepth.frames.masks import load_masks
from mixdepth.progress import Progress
from mixdepth.scene.scene import Scene


def evaluate_variant(scene: Scene, variant: str, folder: Path, output: Path) -> None:
    """Score a variant's renders of the held-out cameras and write metrics.json.

    Its keys are explained in docs/scores.md: colour scores, ``depth``, ``depth_moving`` and ``depth_still`` (against
    the truth), ``depth_points`` and ``depth_consistency`` (without one), over all held-out cameras; ``reasons``, a
    sentence for each that is null; in ``cameras`` the same per camera, and ``frames``, its scores frame by frame; and
    ``settings``, the protocol. Pixels of the undistorted images that have no source do not count. No times, no hosts.

    Args:
        scene: the scene.
        variant: none, colmap, distilled or inherited.
        folder: the scene's results.
        output: the metrics.json.

    Raises:
        UserError: files are missing, damaged or do not fit together, or the truth does not fit the capture.
    """
    header = saved_header(folder / variant / "model.safetensors")
    truth = load_truth(scene, scene.test_cameras, video=True)
    scale = truth.similarity(folder / "cameras.json").scale if truth else 1.0
    cameras = load_cameras(folder / "cameras.json")
    masks = load_masks(folder / "lenses.json", "cameras", cameras, scene.test_cameras)
    views = [
        replace(open_view(scene, variant, camera, folder, truth, scale), valid=valid)
        for camera, valid in zip(scene.test_cameras, masks, strict=True)
    ]
    measures = MEASURES | lpips_measures(scene)
    progress = Progress(f"scores {scene.name} {variant}", sum(len(view.rgb) for view in views))
    colours = {view.name: _score_view(view, measures, progress) for view in views}
    sizes, frames = {view.name: view.size for view in views}, len(views[0].rgb)
    near = {view.name: neighbours(view.name, cameras, scene.used_cameras) for view in views}
    without_truth = [
        point_scores(views, folder),
        consistency_scores(views, variant if header else None, cameras, near, folder),
    ]

    def scores(colour: ColourScore, chosen: list[View], key: str | None) -> dict[str, Any]:
        found, depths = colour.summary(), _depth_scores(chosen)
        reasons = colour_reasons(found, [sizes[view.name] for view in chosen], frames, measures)
        reasons |= depth_reasons(depths, truth is not None)
        for name, by_camera in zip(("depth_points", "depth_consistency"), without_truth, strict=True):
            depths[name] = value = by_camera[key]
            if isinstance(value, str):
                depths[name], reasons[name] = None, value
        return {**found, **depths, "reasons": reasons}

    own = {view.name: scores(colours[view.name], [view], view.name) for view in views}
    whole = own[views[0].name] if len(views) == 1 else scores(reduce(add, colours.values()), views, None)
    by_frame = {view.name: colours[view.name].frames | {"depth_median": _depth_by_frame(view)} for view in views}
    settings = _settings(scene, variant, views)
    settings |= {"neighbours": near, "trained_as": (header or {}).get("trained_as", variant)}
    cameras_scores = {name: {**found, "frames": by_frame[name]} for name, found in own.items()}
    write_json(output, {**whole, "cameras": cameras_scores, "settings": settings})


def lpips_measures(scene: Scene) -> dict[str, Measure]:
    """LPIPS with the weights that the configuration names, by the score's name.

    Raises:
        UserError: a file is missing, or does not hold the weights of its network.
    """
    given = {name: path for name, path in (scene.options.get("lpips") or {}).items() if path}
    if not given:
        return {}
    from mixdepth.evaluation.lpips import load_lpips

    return {f"lpips_{name}": load_lpips(name, Path(path)) for name, path in given.items()}


def _score_view(view: View, measures: Mapping[str, Measure], progress: Progress) -> ColourScore:
    import torch

    torch.set_num_threads(1)  # sums of several threads differ in the last bits

    def renders() -> Iterator[np.ndarray]:
        for index, image in enumerate(view.rgb):
            if not np.isfinite(view.depth[index]).all():
                raise ValueError(f"{view.name}, frame {index}: a rendered depth is not finite")
            yield np.asarray(image)
            progress.update()

    return score_colour(renders(), map(np.asarray, view.store.rgb), view.moving(), view.valid, measures)


def _depth_scores(views: list[View]) -> dict[str, Any]:
    """The scores DEPTH_KEYS of all pixels of ``views``; None without a truth."""
    if views[0].truth is None:
        return dict.fromkeys(DEPTH_KEYS)

    frames = sum(len(view.rgb) for view in views)
    steps = len(DEPTH_KEYS) * DEPTH_PASSES * frames
    progress = Progress(f"depth scores {', '.join(view.name for view in views)}", steps)

    def blocks(which: str) -> DepthBlocks:
        return lambda: chain.from_iterable(view.depth_pairs(which, progress) for view in views)

    return {key: depth_errors(blocks(key)) for key in DEPTH_KEYS}


def _depth_by_frame(view: View) -> list[float | None] | None:
    """Median absolute error of each frame, truth's units; None without a truth."""
    if view.truth is None:
        return None
    pairs = ((z[np.isfinite(t) & (t > 0)], t[np.isfinite(t) & (t > 0)]) for z, t in view.depth_pairs("depth"))
    return [float(np.median(np.abs(z - true.astype(np.float64)))) if len(z) else None for z, true in pairs]


def point_scores(views: list[View], folder: Path) -> dict[str | None, Any]:
    """Errors against COLMAP's points by camera, and under None of all cameras; a sentence where there are none."""
    found, errors = {}, [np.zeros(0)]
    for view in views:
        path = folder / "held_out_depth" / f"{view.name}.npz"
        if not path.is_file():
            found[view.name] = f"{path} is not there"
            continue
        errors.append(point_errors(view.depth, path))
        found[view.name] = errors[-1]
    found[None] = np.concatenate(errors) if len(errors) > 1 else found[views[0].name]
    return {
        name: value
        if isinstance(value, str)
        else few_points(len(value))
        if len(value) < FEWEST_POINTS
        else relative_scores(value, "points")
        for name, value in found.items()
    }


def consistency_scores(
    views: list[View],
    variant: str | None,
    cameras: Mapping[str, Camera],
    near: Mapping[str, list[str]],
    folder: Path,
) -> dict[str | None, Any]:
    """Consistency with neighbouring cameras by camera, and under None of all; a sentence where there is none.

    Args:
        variant: None where there is no model to render the neighbours' depth with.
        near: names of each camera's neighbours.
    """
    names = sorted({other for others in near.values() for other in others})
    if variant is None or not names:
        said = "there is no model to render neighbours with" if names else "no other camera looks the same way"
        return dict.fromkeys([None, *near], said)
    from mixdepth.rendering.tasks import render_depths

    frames = spread(len(views[0].depth), 3)
    smaller = {name: reduced(cameras[name]) for name in names}
    depths = render_depths(variant, smaller, frames, folder)
    found: dict[str | None, Any] = {}
    for view in views:
        found[view.name] = np.concatenate(
            [np.zeros(0)]
            + [
                differences(cameras[view.name], view.depth[frame], smaller[other], depths[other][index], view.valid)
                for other in near[view.name]
                for index, frame in enumerate(frames)
            ]
        )
    found[None] = np.concatenate(list(found.values()))
    return {
        name: relative_scores(value, "pixels") if len(value) else "no pixel is seen by a neighbouring camera too"
        for name, value in found.items()
    }


def _settings(scene: Scene, variant: str, views: list[View]) -> dict[str, Any]:
    frames = views[0].frames
    said = f"standard deviation over the frames above {MOVING_STD}, the same pixels in every frame"
    learns_from_photos = variant in ("distilled", "inherited")
    return {
        "variant": variant,
        "test_cameras": scene.test_cameras,
        "train_cameras": scene.train_cameras,
        "train_photos": scene.train_photos if learns_from_photos else [],
        "frames": {"start": frames.start, "count": len(frames), "step": frames.step},
        "resolution": {view.name: [view.size[1], view.size[0]] for view in views},
        "colour": COLOUR,
        "moving": said if views[0].truth is None else "the truth's mask",
        "depth_scale": None if views[0].truth is None else views[0].scale,
        "metrics": DEFINITIONS,
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
    from mixdepth.rendering.tasks import render_photos

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
