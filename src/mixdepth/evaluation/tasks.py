"""The evaluation stages: renders and static model against the held-out images, and depth against the truth. Parameters
after the star are files, named as in mixdepth/workflow/stages.py."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.errors import DamagedFile
from mixdepth.evaluation.colour import ColourScore, score_colour
from mixdepth.evaluation.consistency import (
    FEWEST_POINTS,
    Score,
    Scores,
    differences,
    neighbours,
    point_errors,
    pooled_scores,
    reduced,
    spread,
)
from mixdepth.evaluation.depth import DEPTH_PASSES, DepthBlocks, depth_errors, relative_median, usable_pairs
from mixdepth.evaluation.pictures import MEASURES, Measure
from mixdepth.evaluation.protocol import COLOUR, DEFINITIONS, colour_reasons, depth_reasons, few_points
from mixdepth.evaluation.shortcomings import Shortcoming, shortcomings
from mixdepth.evaluation.trivial import Trivial, background, nearest_camera, score_trivial
from mixdepth.evaluation.truth import load_truth
from mixdepth.evaluation.view import DEPTH_KEYS, View, open_view
from mixdepth.fields.storage import saved_header
from mixdepth.files.certificate import read_certificate
from mixdepth.files.io import read_npz, write_json
from mixdepth.frames.masks import load_masks
from mixdepth.frames.store import MOVING_STD
from mixdepth.progress import Progress
from mixdepth.results import depth_file
from mixdepth.scene.scene import Scene
from mixdepth.variants import TABLE
from mixdepth.words import first_of


def evaluate_variant(
    scene: Scene,
    variant: str,
    *,
    model: Path,
    renders: Sequence[Path],
    stores: Sequence[Path],
    cameras: Path,
    lenses: Path,
    space: Path,
    points: Path,
    train_frames: Sequence[Path],
    output: Path,
) -> None:
    """Score a variant's renders of the held-out cameras: over all of them, per camera and frame by frame. Where it does
    no better than pictures that no model made, that is said.

    The keys are explained in docs/scores.md. Pixels of the undistorted images that have no source do not count. No
    times, no hosts.

    Args:
        renders, stores: folders, one of each held-out camera; the files of their own frames.
        points: folder of COLMAP's points that they see.
        train_frames: frames of the training cameras, of which the nearest is compared with.

    Raises:
        UserError: files are missing, damaged or do not fit together, or the truth does not fit the capture.
    """
    header = saved_header(model)
    _refuse_seen(scene.test_cameras, (header or {}).get("cameras") or [], model)
    posed = load_cameras(cameras)
    views = _open_views(scene, renders, stores, cameras, lenses)
    measures = MEASURES | lpips_measures(scene)
    nearest = {view.name: nearest_camera(view.name, posed, scene.train_cameras) for view in views}
    others = {path.parent.name: path for path in train_frames}
    one_by_one = Progress(f"trivial pictures {scene.name}", len(views)).over(views)
    trivial = {view.name: score_trivial(view, others[nearest[view.name]]) for view in one_by_one}
    progress = Progress(f"scores {scene.name} {variant}", sum(len(view.rgb) for view in views))
    colours = {view.name: _score_view(view, measures, progress) for view in views}
    near = {view.name: neighbours(view.name, posed, scene.used_cameras) for view in views}
    at_points = point_scores(views, points)
    consistency = consistency_scores(views, model if header else None, space, posed, near)

    own = {}
    for name, view in zip(scene.test_cameras, views, strict=True):
        mine = {"depth_points": at_points.cameras[name], "depth_consistency": consistency.cameras[name]}
        own[name] = _summary(colours[name], trivial[name], [view], measures, mine)
    whole = dict(own[views[0].name])
    if len(views) > 1:
        every = {"depth_points": at_points.whole, "depth_consistency": consistency.whole}
        whole = _summary(reduce(add, colours.values()), reduce(add, trivial.values()), views, measures, every)
    for view in views:
        own[view.name] |= {"frames": colours[view.name].frames | {"depth_median": _depth_by_frame(view)}}
    about = {"neighbours": near, "nearest": nearest, "background": {view.name: background(view) for view in views}}
    about |= {"trained_as": (header or {}).get("trained_as", variant)}
    about |= {name: (header or {}).get(name) for name in ("hull", "training_psnr", "sizes")}
    about |= {"trained": (header or {}).get("options")}
    metrics = {**whole, "cameras": own, "settings": _settings(scene, variant, views) | trained(scene, model) | about}
    write_json(output, metrics)
    tell(scene.name, shortcomings(variant, metrics))


def _summary(
    colour: ColourScore,
    trivial: Trivial,
    views: list[View],
    measures: Mapping[str, Measure],
    without_truth: Mapping[str, Score],
) -> dict[str, Any]:
    """All scores of ``views`` together by name, and why some are None."""
    found, depths = colour.summary(), _depth_scores(views)
    reasons = colour_reasons(found, [view.size for view in views], len(views[0].rgb), measures)
    reasons |= depth_reasons(depths, views[0].truth is not None)
    reasons |= {name: score.reason for name, score in without_truth.items() if score.reason is not None}
    depths |= {name: score.value for name, score in without_truth.items()}
    return {**found, **depths, **trivial.summary(), "reasons": reasons}


def tell(scene: str, found: Iterable[Shortcoming]) -> None:
    """Say what a model of ``scene`` does no better than no model."""
    for one in found:
        print(f"{'warning' if one.serious else 'note'}: {scene}: {one.text}", file=sys.stderr)


def _open_views(
    scene: Scene, renders: Sequence[Path], stores: Sequence[Path], cameras: Path, lenses: Path
) -> list[View]:
    """The held-out cameras, as they were rendered and as they are."""
    truth = load_truth(scene, scene.test_cameras, video=True)
    scale = truth.similarity(cameras).scale if truth else 1.0
    own_frames = {path.parent.name: path.parent for path in stores}
    masks = load_masks(lenses, "cameras", load_cameras(cameras), [folder.name for folder in renders])
    seen = [open_view(scene, folder.name, folder, own_frames[folder.name], truth, scale) for folder in renders]
    return [replace(view, valid=valid) for view, valid in zip(seen, masks, strict=True)]


def lpips_measures(scene: Scene) -> dict[str, Measure]:
    """LPIPS with the weights that the configuration names, by the score's name.

    Raises:
        UserError: a file is missing, or does not hold the weights of its network.
    """
    given = {name: path for name, path in scene.config.lpips.as_mapping().items() if path}
    if not given:
        return {}
    from mixdepth.evaluation.lpips import load_lpips

    return {f"lpips_{name}": load_lpips(name, Path(path)) for name, path in given.items()}


def _score_view(view: View, measures: Mapping[str, Measure], progress: Progress) -> ColourScore:
    import torch

    torch.set_num_threads(1)  # sums of several threads differ in the last bits

    def renders() -> Iterator[np.ndarray]:
        for index, image in enumerate(progress.over(view.rgb)):
            if not np.isfinite(view.depth[index]).all():
                raise ValueError(f"{view.name}, frame {index}: a rendered depth is not finite")
            yield np.asarray(image)

    return score_colour(renders(), map(np.asarray, view.store.rgb), view.moving(), view.valid, measures)


def _depth_scores(views: list[View]) -> dict[str, Any]:
    """The scores DEPTH_KEYS of all pixels of ``views``; None without a truth."""
    if views[0].truth is None:
        return dict.fromkeys(DEPTH_KEYS)

    frames = sum(len(view.rgb) for view in views)
    steps = len(DEPTH_KEYS) * DEPTH_PASSES * frames
    progress = Progress(f"depth scores {', '.join(view.name for view in views)}", steps)

    def blocks(which: str) -> DepthBlocks:
        return lambda: chain.from_iterable(progress.over(view.depth_pairs(which)) for view in views)

    return {key: depth_errors(blocks(key)) for key in DEPTH_KEYS}


def _depth_by_frame(view: View) -> list[float | None] | None:
    """Median absolute error of each frame, truth's units; None without a truth."""
    if view.truth is None:
        return None
    pairs = usable_pairs(lambda: view.depth_pairs("depth"))
    return [float(np.median(np.abs(z - true))) if len(z) else None for z, true in pairs]


def point_scores(views: list[View], points: Path) -> Scores:
    """Errors against COLMAP's points."""
    paths = {view.name: depth_file(points, view.name) for view in views}
    missing = {name: Score(None, f"{path} is not there") for name, path in paths.items() if not path.is_file()}
    errors = {view.name: point_errors(view.depth, paths[view.name]) for view in views if view.name not in missing}
    if not errors:
        return Scores(missing, whole=missing[views[0].name])
    found = pooled_scores(errors, "points", FEWEST_POINTS, few_points)
    return Scores(missing | found.cameras, found.whole)


def consistency_scores(
    views: list[View],
    model: Path | None,
    space: Path,
    cameras: Mapping[str, Camera],
    near: Mapping[str, list[str]],
) -> Scores:
    """Consistency with neighbouring cameras.

    Args:
        model: None where there is none to render the neighbours' depth with.
        near: names of each camera's neighbours.
    """
    names = sorted({other for others in near.values() for other in others})
    if model is None or not names:
        said = "there is no model to render neighbours with" if names else "no other camera looks the same way"
        return Scores(dict.fromkeys(near, Score(None, said)), whole=Score(None, said))
    from mixdepth.rendering.tasks import render_depths

    frames = spread(len(views[0].depth), 3)
    smaller = {name: reduced(cameras[name]) for name in names}
    depths = render_depths(smaller, frames, model=model, space=space)
    found = {}
    for view in views:
        parts = [np.zeros(0)]
        for other in near[view.name]:
            for index, frame in enumerate(frames):
                there = smaller[other], depths[other][index]
                parts.append(differences(cameras[view.name], view.depth[frame], *there, view.valid))
        found[view.name] = np.concatenate(parts)
    return pooled_scores(found, "pixels", 1, lambda _: "no pixel is seen by a neighbouring camera too")


def _settings(scene: Scene, variant: str, views: list[View]) -> dict[str, Any]:
    frames = views[0].frames
    said = f"standard deviation over the frames above {MOVING_STD}, the same pixels in every frame"
    return {
        "variant": variant,
        "test_cameras": scene.test_cameras,
        "train_photos": scene.train_photos if TABLE[variant].needs_static else [],
        "frames": {"start": frames.start, "count": len(frames), "step": frames.step},
        "resolution": {view.name: [view.size[1], view.size[0]] for view in views},
        "colour": COLOUR,
        "moving": said if views[0].truth is None else "the truth's mask",
        "depth_scale": None if views[0].truth is None else views[0].scale,
        "metrics": DEFINITIONS,
    }


def trained(scene: Scene, model: Path) -> dict[str, Any]:
    """The settings that scores are recorded with: those that the model was trained with, as its certificate says, and
    of the moment what only scoring depends on. ``train_cameras``: who trained it."""
    made = read_certificate(model) or {}
    roles = made.get("roles", {})
    return {
        "train_cameras": roles.get("train_cameras", scene.train_cameras),
        "options": {**scene.options, **made.get("settings", {})},
    }


def _refuse_seen(held_out: Sequence[str], seen: Sequence[str], model: Path) -> None:
    """Refuse to score a model on what it has learnt from.

    Raises:
        DamagedFile: it trained on one of ``held_out``.
    """
    if both := sorted({*held_out} & {*seen}):
        raise DamagedFile(
            f"{model}: it was trained on {first_of(both)}, which is held out now: its scores would be worth nothing."
            " Delete it and run the same command again"
        )


def evaluate_static(
    scene: Scene,
    *,
    model: Path,
    cameras: Path,
    photos: Path,
    lenses: Path,
    space: Path,
    output: Path,
    test_set: Path | None = None,
    depth: Path | None = None,
) -> None:
    """Score the static model.

    Keys: ``psnr`` (pooled over the held-out photos), ``psnr_mean`` (the mean of the photos' PSNRs, as published figures
    are), ``ssim``, ``photos`` (the same by stem); null and empty where no photo is held out. Where the truth has a
    ``static_depth``: ``depth`` (errors of the folder ``depth`` over the training cameras' pixels, truth's units),
    ``depth_relative_median`` (median of abs(z - truth) / truth), ``depth_known`` (share of the pixels with a depth;
    only those count) and the same by camera in ``cameras``; else null. And ``settings``. Pixels without a source and
    images without a pose do not count.

    Raises:
        UserError: files are missing, damaged or do not fit together, or the truth does not fit the capture.
    """
    header = saved_header(model) or {}
    if scene.photos:
        _refuse_seen(scene.test_photos, header.get("images") or [], model)
    scored = _score_photos(scene, test_set, lenses, model=model, photos=photos, space=space) if test_set else {}
    colours = {stem: _photo_summary([score]) for stem, score in scored.items()}
    truth = load_truth(scene, scene.train_cameras, video=False) if scene.cameras else None
    if truth is not None and not truth.static_depth:
        truth = None
    scale = truth.similarity(cameras).scale if truth else None
    depths = {}
    posed = load_cameras(cameras) if truth else {}
    names = [name for name in scene.train_cameras if name in posed]  # COLMAP may have left some out
    for name, valid in zip(names, load_masks(lenses, "cameras", posed, names), strict=True):
        assert truth is not None  # there are names with a truth alone,
        assert depth is not None  # and a truth with cameras alone
        z = read_npz(depth_file(depth, name))["depth"]
        pair = z * np.float64(scale), truth.static(name, z.shape)
        depths[name] = pair if valid is None else (pair[0][valid], pair[1][valid])
    write_json(
        output,
        {
            **_photo_summary(list(scored.values())),
            **_static_depth_scores(list(depths.values())),
            "photos": colours,
            "cameras": {name: _static_depth_scores([pair]) for name, pair in depths.items()},
            "settings": {
                "train": scene.train_photos or scene.train_cameras,
                "test_photos": scene.test_photos,
                "depth_scale": scale,
                "options": trained(scene, model)["options"],
                "sizes": header.get("sizes"),
                "trained": header.get("options"),
            },
        },
    )


def _score_photos(
    scene: Scene, test_set: Path, lenses: Path, *, model: Path, photos: Path, space: Path
) -> dict[str, ColourScore]:
    """Scores of the held-out photos by stem."""
    from mixdepth.rendering.tasks import render_photos

    renders, truths = render_photos(scene, model=model, photos=photos, space=space), read_npz(test_set)
    cameras = load_cameras(photos)
    names = [stem for stem in scene.test_photos if stem in cameras]  # COLMAP may have left some out
    scores = {}
    for stem, valid in zip(names, load_masks(lenses, "photos", cameras, names), strict=True):
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
