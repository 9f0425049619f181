"""The stages: what each reads and makes, for which cameras and variants it runs, and which settings it may see.

This is the only statement of what depends on what. The rules take their inputs, outputs and params from here, the
command line follows it without Snakemake, the record and the doctor count its jobs. The names of what a stage reads and
makes are those of the parameters of the function that does its work, but for SOURCE, PHOTOS, SIZES and AFTER. Standard
library only.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mixdepth.errors import ConfigurationError, listed, nearest
from mixdepth.exports.kinds import check_kind
from mixdepth.files.kinds import visible
from mixdepth.results import STATIC, Results
from mixdepth.scene.scene import Scene
from mixdepth.variants import TABLE, needs_static
from mixdepth.workflow import segments
from mixdepth.workflow.graph import CAPTURE, PARTS, RIG, STAGES, Files, Job, files, flat, never, photo_files, stage

# The rules that train: the static model, and a variant in one job or in parts.
TRAININGS = ("train_static", "train_branch", "train_segment", "train_dynamic")

# For which cameras and variants.


def with_cameras(scene: Scene) -> list[dict[str, str]]:
    return [{}] if scene.cameras else []


def each_camera(scene: Scene) -> list[dict[str, str]]:
    return [{"camera": camera} for camera in scene.used_cameras]


def each_training_camera(scene: Scene) -> list[dict[str, str]]:
    return [{"camera": camera} for camera in scene.train_cameras]


def each_variant(scene: Scene) -> list[dict[str, str]]:
    return [{"variant": variant} for variant in scene.variants]


def each_scored(scene: Scene) -> list[dict[str, str]]:
    return each_variant(scene) if scene.test_cameras else []


def each_render(scene: Scene) -> list[dict[str, str]]:
    shown = dict.fromkeys([*scene.test_cameras, scene.video_camera])
    return [{"variant": variant, "camera": camera} for camera in shown for variant in scene.variants]


def with_static(scene: Scene) -> list[dict[str, str]]:
    """Where the static model is of use: a variant learns from it, or there is nothing else to train."""
    return [{}] if not scene.cameras or needs_static(scene.variants) else []


def if_found(scene: Scene) -> list[dict[str, str]]:
    """Where COLMAP finds the cameras."""
    return [] if scene.poses_given else [{}]


def if_held_out(scene: Scene) -> list[dict[str, str]]:
    return [{}] if scene.test_cameras else []


def if_given_and_held_out(scene: Scene) -> list[dict[str, str]]:
    return if_held_out(scene) if scene.poses_given else []


# The capture's own files.


def used_camera(scene: Scene, name: str) -> str:
    """``name`` itself, of a camera that trains or is held out; others are left alone."""
    if name not in scene.used_cameras:
        near, used = nearest(name, scene.used_cameras), listed(scene.used_cameras) if scene.used_cameras else "none"
        raise ConfigurationError(f'scene {scene.name} uses no video camera "{name}"{near}; it uses {used}')
    return name


def video_file(scene: Scene, camera: str) -> Path:
    """The video file of a camera; or of its folder of images the one that was changed last: each of 100,000 would cost
    Snakemake a quarter of a millisecond at every start. Which there are is a param (:func:`image_names`)."""
    seen = scene.frame_folders.get(used_camera(scene, camera))
    return seen.last if seen else Path(scene.cameras[camera])


def image_names(scene: Scene, camera: str) -> str:
    """What changes when an image is added to a camera's folder, removed or renamed; "" of a video."""
    seen = scene.frame_folders.get(camera)
    return seen.names if seen else ""


def used_videos(scene: Scene) -> list[Path]:
    """The video or folder of every camera in use (a folder changes when an image is added or removed)."""
    return [Path(scene.cameras[camera]) for camera in scene.used_cameras]


def other_videos(scene: Scene, camera: str) -> list[Path]:
    """The videos and folders of the other cameras in use, for their frame rates and the numbers of their images only:
    the common rate is the lowest."""
    return [Path(scene.cameras[other]) for other in scene.used_cameras if other != camera]


def any_photos(scene: Scene) -> list[str]:
    return list(scene.photos)


def training_photos(scene: Scene) -> list[str]:
    return scene.train_photos


def held_out_photos(scene: Scene) -> list[str]:
    return scene.test_photos


def are_listed(scene: Scene) -> bool:
    """Whether the configuration lists the photos, which rules of others may make."""
    return scene.options.get("photo_files") is not None


def planned_photos(scene: Scene, stems: Sequence[str]) -> list[Path]:
    """What stands for photos in the plan: each where they are listed; of those that were found in a folder the one that
    was changed last, as each of 10,000 would cost Snakemake a tenth of a millisecond for each of six jobs."""
    if are_listed(scene):
        return photo_files(scene, stems)
    return photo_files(scene, [max(stems, key=lambda stem: (scene.photo_facts.get(stem, (0, 0))[1], stem))])


def photo_names(scene: Scene, stems: Sequence[str]) -> str:
    """What changes when a photo that is not listed is added, removed or renamed."""
    names = "\n".join(scene.photo_paths[stem].name for stem in stems)
    return "" if are_listed(scene) else f"{len(stems)} {zlib.crc32(names.encode(errors='surrogateescape')):x}"


def given_poses(scene: Scene) -> list[Path]:
    """The files of given cameras."""
    source, path = scene.config.poses.source, scene.poses_path
    assert path is not None, "asked of given cameras only"
    if source == "panoptic":
        return [path / file for file in ("train_meta.json", "test_meta.json")]
    if source == "easymocap":
        return [path / file for file in ("intri.yml", "extri.yml")]
    if source == "pinf":
        return [file for file in visible(path) if file.suffix == ".npz"]
    if source == "opencv" and path.is_dir():
        kinds = (".yml", ".yaml", ".xml")
        return [file for file in visible(path) if file.stem in ("intrinsics", "extrinsics") and file.suffix in kinds]
    if source == "model":
        # Binary or text, with or without rigs and frames; reading it says what is missing.
        return [file for file in visible(path) if file.suffix.lower() in (".bin", ".txt")]
    return [path]


def filmed(scene: Scene) -> Scene:
    """The scene, of a job that makes no sense without video cameras."""
    if not scene.cameras:
        raise ConfigurationError(
            f"scene {scene.name} has photos only, so there is no video to make or score;"
            f" ask for results/{scene.name}/static/metrics.json instead"
        )
    return scene


# Results that several stages read.


def posed(r: Results) -> Files:
    """Every pose and every lens."""
    return files(cameras=r.cameras, photos=r.photos, lenses=r.lenses)


def references(r: Results, cameras: Sequence[str]) -> list[Path]:
    return [r.reference(camera).folder for camera in cameras]


def stores(r: Results, cameras: Sequence[str]) -> list[Path]:
    return [file for camera in cameras for file in r.store(camera).files]


def motions(r: Results, cameras: Sequence[str]) -> list[Path]:
    return [r.store(camera).motion for camera in cameras]


def scores(r: Results, scene: Scene) -> list[Path]:
    """The scores of every variant, and of the static model where a variant uses it."""
    names = [*scene.variants, *([STATIC] if needs_static(scene.variants) else [])]
    return [r.metrics(name) for name in names]


def renders(r: Results, scene: Scene, variants: Sequence[str], cameras: Sequence[str]) -> list[Path]:
    return [r.renders(variant, camera).folder for variant in variants for camera in cameras]


def held_out_report(r: Results, scene: Scene) -> list[Path]:
    """Given poses of held-out cameras are checked apart: nothing that trains may wait for a held-out camera."""
    return [r.held_out_report] if if_given_and_held_out(scene) else []


# The stages, in the order in which they depend on each other.


@stage(
    lambda r: files(output=r.capture),
    "frames",
    # All but the first only to tell what in the capture is not used, and why.
    [
        "frames",
        "videos",
        "photos",
        "photo_files",
        "exclude_photos",
        "poses.source",
        "poses.path",
        "poses.intrinsics",
        "truth",
    ],
    level=CAPTURE,
    photos=any_photos,
)
def probe(r: Results, scene: Scene) -> Files:
    """First of all jobs, so that a capture that cannot work is refused before anything long has started."""
    return files(source=used_videos(scene))


@stage(
    lambda r, camera: files(output=r.reference(camera).folder),
    "reference",
    ["frames", "colmap.reference_frames"],
    each=each_camera,
    level=CAPTURE,
    folders=["output"],
    images=image_names,
)
def reference(r: Results, scene: Scene, camera: str) -> Files:
    return files(source=video_file(scene, camera), source_sizes=other_videos(scene, camera))


@stage(
    lambda r: files(model=r.sfm_model, report=r.sfm_report),
    "cameras",
    ["colmap", "poses.intrinsics", "poses.allow_missing"],
    each=if_found,
    level=CAPTURE,
    photos=any_photos,
)
def structure_from_motion(r: Results, scene: Scene) -> Files:
    return files(source=scene.intrinsics_path, references=references(r, scene.used_cameras))


@stage(
    lambda r: files(cameras=r.cameras, photos=r.photos, lenses=r.lenses, world=r.world),
    "cameras",
    ["poses.source", "poses.path", "world", "scale", "photo_scale"],
    level=CAPTURE,
    checks=["frames"],
    images=lambda scene: photo_names(scene, any_photos(scene)),
)
def cameras(r: Results, scene: Scene) -> Files:
    """Were the videos not taken for their sizes alone, a touched held-out one would retrain everything; where a size
    does change, frame_store refuses. (Only files that no rule makes may be old: Snakemake does not look at jobs behind
    a job that is to run, even if all that they take from it is ancient.)"""
    return files(
        source=given_poses(scene) if scene.poses_given else None,
        source_sizes=[*used_videos(scene), *(photo_files(scene, scene.photos) if are_listed(scene) else [])],
        sfm_model=None if scene.poses_given else r.sfm_model,
    )


@stage(lambda r: files(output=r.sync), "sync", ["frames"], each=with_cameras, level=CAPTURE)
def sync(r: Results, scene: Scene) -> Files:
    """Whether the videos show the same moments. Reported, never applied: `frames.offsets` is the user's. Only given
    cameras are asked: those that COLMAP finds would have it wait for hours."""
    given = scene.poses_given
    return files(source=used_videos(scene), cameras=r.cameras if given else None, lenses=r.lenses if given else None)


@stage(
    lambda r: files(output=r.held_out_report),
    "cameras",
    ["colmap", "poses.trust", "test_cameras"],
    each=if_given_and_held_out,
    level=CAPTURE,
    photos=training_photos,
)
def verify_held_out(r: Results, scene: Scene) -> Files:
    """Held-out cameras with given poses; those that COLMAP finds are verified together with all others."""
    return files(**posed(r), references=references(r, scene.used_cameras))


@stage(
    lambda r: files(model=r.sparse_model, plates=r.plates_model, report=r.cameras_report),
    "cameras",
    ["colmap", "poses.source"],
    level=RIG,
    photos=training_photos,
)
def triangulate(r: Results, scene: Scene) -> Files:
    return files(
        **posed(r),
        references=references(r, scene.train_cameras),
        sfm_report=None if scene.poses_given else r.sfm_report,
    )


@stage(
    lambda r: files(output=r.colmap_depth, bounds=r.bounds, poses_bounds=r.poses_bounds),
    "cameras",
    ["poses.source", "poses.path", "poses.trust", "near", "far"],
    level=RIG,
    folders=["output"],
)
def colmap_depth(r: Results, scene: Scene) -> Files:
    """The gate: where the cameras cannot be trusted nothing goes on."""
    return files(
        cameras=r.cameras,
        photos=r.photos,
        world=r.world,
        model=r.sparse_model,
        plates=r.plates_model,
        report=r.cameras_report,
    )


@stage(lambda r: files(output=r.space), "cameras", ["space", "near", "far"], level=RIG)
def space(r: Results, scene: Scene) -> Files:
    """World and depth only for the reason in words: what near and far come from."""
    return files(cameras=r.cameras, photos=r.photos, world=r.world, bounds=r.bounds, depth=r.colmap_depth)


@stage(
    lambda r: files(output=r.held_out_depth),
    "cameras",
    ["colmap", "test_cameras"],
    each=if_held_out,
    level=CAPTURE,
    folders=["output"],
    photos=training_photos,
)
def held_out_points(r: Results, scene: Scene) -> Files:
    """Where the held-out cameras see COLMAP's points, for scores of depth without a truth: nothing that trains may
    read it. The same points for every set of training cameras, so that their scores compare."""
    return files(**posed(r), references=references(r, scene.used_cameras))


@stage(
    lambda r, camera: files(rgb=r.store(camera).rgb, median=r.store(camera).median, std=r.store(camera).std),
    "frames",
    ["frames", "scale"],
    each=each_camera,
    level=CAPTURE,
    images=image_names,
)
def frame_store(r: Results, scene: Scene, camera: str) -> Files:
    return files(
        source=video_file(scene, camera), source_sizes=other_videos(scene, camera), cameras=r.cameras, lenses=r.lenses
    )


@stage(
    lambda r, camera: files(output=r.store(camera).motion, moving=r.store(camera).moving),
    "motion",
    each=each_training_camera,
    level=CAPTURE,
)
def motion(r: Results, scene: Scene, camera: str) -> Files:
    return files(rgb=r.store(camera).rgb)


@stage(lambda r: files(output=r.movement), "motion", each=with_cameras, level=RIG)
def movement(r: Results, scene: Scene) -> Files:
    """How much moves, which says how large the dynamic branches are, and in how many segments they are trained."""
    return files(motions=motions(r, filmed(scene).train_cameras), cameras=r.cameras, lenses=r.lenses)


@stage(lambda r: files(output=r.static_set), "frames", each=with_static, level=RIG, photos=training_photos)
def static_set(r: Results, scene: Scene) -> Files:
    """What the static model learns from: training photos, or where there are none the training cameras' plates."""
    return files(
        plates=None if scene.photos else motions(r, scene.train_cameras),
        photos=r.photos,
        lenses=r.lenses,
    )


@stage(
    lambda r: files(output=r.static_test_set),
    "frames",
    each=lambda scene: with_static(scene) if scene.test_photos else [],
    level=CAPTURE,
    photos=held_out_photos,
)
def static_test_set(r: Results, scene: Scene) -> Files:
    return files(photos=r.photos, lenses=r.lenses)


@stage(lambda r: files(output=r.model(STATIC)), "static", ["static", "quality"], each=with_static, compute="static")
def train_static(r: Results, scene: Scene) -> Files:
    return files(images=r.static_set, **posed(r), space=r.space, depth=r.colmap_depth)


@stage(
    lambda r: files(output=r.static_depth),
    "static",
    ["static"],
    each=lambda scene: with_static(scene) if scene.cameras else [],
    folders=["output"],
    compute="static",
)
def static_depth(r: Results, scene: Scene) -> Files:
    """The depth of every training camera; a held-out camera's is never made."""
    return files(model=r.model(STATIC), **posed(r), space=r.space)


def taught(r: Results, scene: Scene) -> Files:
    """What every part of a variant learns from."""
    trained = [r.store(camera) for camera in filmed(scene).train_cameras]
    return files(
        frames=[store.rgb for store in trained],
        motions=[store.motion for store in trained],
        moving=[store.moving for store in trained],
        cameras=r.cameras,
        lenses=r.lenses,
        space=r.space,
    )


@stage(
    lambda r, variant: files(output=r.branch(variant)),
    "dynamic",
    ["dynamic", "quality"],
    each=never,
    compute="dynamic",
)
def train_branch(r: Results, scene: Scene, variant: str) -> Files:
    """The static branch of a variant of several segments: what the variant learns from. This function is why `none` and
    `colmap` never see static/."""
    learns = TABLE[variant]
    return files(
        **taught(r, scene),
        movement=r.movement,
        static=r.model(STATIC) if learns.inherited else None,
        static_depth=r.static_depth if learns.distilled else None,
        # Where the static model's depth cannot be trusted this takes its place.
        sparse=r.colmap_depth if learns.sparse else None,
    )


@stage(
    lambda r, variant, segment: files(output=r.segment(variant, segment)),
    "dynamic",
    ["dynamic", "quality"],
    each=never,
    compute="dynamic",
)
def train_segment(r: Results, scene: Scene, variant: str, segment: str) -> Files:
    """One of several segments; `train_dynamic` asks for as many as there are."""
    return files(**taught(r, scene), branch=r.branch(variant))


@stage(
    lambda r, variant: files(output=r.model(variant)),
    "dynamic",
    ["dynamic", "quality"],
    each=each_variant,
    compute="dynamic",
)
def train_dynamic(r: Results, scene: Scene, variant: str) -> Files:
    """One segment is trained here, in one job with its static branch; of several the parts are joined. The model
    depends on the same either way."""
    count = segments.known(r, scene, variant)
    return files(**train_branch(r, scene, variant), **parts(r, variant, count or 1))


def parts(r: Results, variant: str, count: int) -> Files:
    """What the model of a variant of ``count`` segments is joined from."""
    each = [r.branch(variant), *(r.segment(variant, segment) for segment in range(count))]
    return {PARTS: each} if count > 1 else {}


@stage(
    lambda r, variant, camera: files(output=r.renders(variant, camera).folder),
    "rendering",
    each=each_render,
    folders=["output"],
    compute="dynamic",
)
def render(r: Results, scene: Scene, variant: str, camera: str) -> Files:
    used_camera(scene, camera)
    return files(model=r.model(variant), cameras=r.cameras, space=r.space)


@stage(
    lambda r, variant: files(output=r.metrics(variant)),
    "evaluation",
    lambda scene, variant: scene.score_settings(variant),
    each=each_scored,
    compute="dynamic",
)
def evaluate(r: Results, scene: Scene, variant: str) -> Files:
    """The neighbouring cameras' depth is rendered here. Of the training cameras' frames those of the nearest are read:
    which that is, cameras.json says. Of the capture and the verification nothing is read: scores of videos that do not
    fit together would be worth nothing."""
    if not filmed(scene).test_cameras:
        raise ConfigurationError(
            f"scene {scene.name} holds out no camera, so there is nothing to score; set test_cameras"
        )
    return files(
        model=r.model(variant),
        renders=renders(r, scene, [variant], scene.test_cameras),
        stores=stores(r, scene.test_cameras),
        cameras=r.cameras,
        lenses=r.lenses,
        space=r.space,
        points=r.held_out_depth,
        train_frames=[r.store(camera).rgb for camera in scene.train_cameras],
        source=[*filter(None, [scene.truth]), *lpips_weights(scene)],
        after=[r.capture, *held_out_report(r, scene)],
    )


def lpips_weights(scene: Scene) -> list[Path]:
    """The weights for LPIPS that the configuration names; told at once, not after hours of training."""
    weights = {network: Path(path) for network, path in scene.config.lpips.as_mapping().items() if path}
    for network, path in weights.items():
        if not path.is_file():
            raise ConfigurationError(
                f"scenes.{scene.name}.lpips.{network}: {path} not found; docs/scores.md says how to make it"
            )
    return list(weights.values())


@stage(
    lambda r: files(output=r.metrics(STATIC)),
    "evaluation",
    lambda scene: scene.score_settings(STATIC),
    each=with_static,
    compute="static",
)
def static_metrics(r: Results, scene: Scene) -> Files:
    return files(
        model=r.model(STATIC),
        **posed(r),
        space=r.space,
        test_set=r.static_test_set if scene.test_photos else None,
        depth=r.static_depth if scene.cameras else None,
        source=scene.truth,
    )


@stage(lambda r: files(output=r.video), "rendering", ["frames"], each=with_cameras, threads=2)
def video(r: Results, scene: Scene) -> Files:
    """One variant's renders of one camera, beside that camera's own video."""
    filmed(scene)
    return files(
        renders=r.renders(scene.video_variant, scene.video_camera).folder,
        store=r.store(scene.video_camera).files,
        capture=r.capture,
    )


@stage(lambda r: files(output=r.contact_sheet), "frames", each=with_cameras)
def contact_sheet(r: Results, scene: Scene) -> Files:
    """The capture is not shown: who looks at the sheet wants to know that the videos fit together."""
    return files(stores=stores(r, scene.used_cameras), after=[r.capture])


@stage(lambda r: files(output=r.comparison), "report", ["frames", "truth"], each=with_cameras)
def comparison(r: Results, scene: Scene) -> Files:
    """Every variant's renders of the camera that video.mp4 shows, and that camera's own frames."""
    filmed(scene)
    return files(
        renders=renders(r, scene, scene.variants, [scene.video_camera]),
        store=r.store(scene.video_camera).files,
        scores=scores(r, scene),
        cameras=r.cameras,
        source=scene.truth,
    )


@stage(lambda r: files(output=r.provenance), "report", lambda scene: scene.options, each=with_cameras, threads=2)
def provenance(r: Results, scene: Scene) -> Files:
    """Whatever is made anew, the record is."""
    return files(recorded=recorded(r, filmed(scene)))


@stage(lambda r: files(output=r.report), "report", lambda scene: scene.options, each=with_cameras)
def report_html(r: Results, scene: Scene) -> Files:
    filmed(scene)
    static = needs_static(scene.variants)
    return files(
        scores=scores(r, scene),
        renders=renders(r, scene, scene.variants, [scene.video_camera]),
        store=r.store(scene.video_camera).files,
        source=scene.truth,
        comparison=r.comparison,
        video=r.video,
        contact_sheet=r.contact_sheet,
        provenance=r.provenance,
        capture=r.capture,
        sync=r.sync,
        verified=held_out_report(r, scene),
        verification=r.cameras_report,
        world=r.world,
        cameras=r.cameras,
        photos=r.photos,
        depth=r.colmap_depth,
        # What gives the sparse points their colours: the cameras' medians, and the photos that train.
        medians=[r.store(camera).median for camera in scene.train_cameras],
        static_set=r.static_set if static and scene.train_photos else None,
        static_depth=r.static_depth if static else None,
        space=r.space,
    )


# On demand.


@stage(
    lambda r: files(poses_bounds=r.export.poses_bounds, transforms=r.export.transforms, colmap=r.export.colmap),
    "cameras",
    each=never,
)
def export(r: Results, scene: Scene) -> Files:
    """The cameras as other programs read them, for the original images."""
    return files(**posed(r), world=r.world, bounds=r.bounds, model=r.sparse_model)


def path_settings(scene: Scene, variant: str, path: str) -> dict[str, Any]:
    """What the renders of a camera path depend on."""
    return {"paths": {path: filmed(scene).path(path)}, **scene.settings("frames.step")}


@stage(
    lambda r, variant, path: files(output=r.path(variant, path).folder),
    "rendering",
    path_settings,
    each=never,
    folders=["output"],
    compute="dynamic",
)
def render_path(r: Results, scene: Scene, variant: str, path: str) -> Files:
    """The file is the camera_path.json of a path that comes from one."""
    file = filmed(scene).path(path)["file"]
    return files(
        model=r.model(variant),
        cameras=r.cameras,
        space=r.space,
        capture=r.capture,
        source=scene.data / file if file else None,
    )


@stage(lambda r, variant, path: files(output=r.path_video(variant, path)), "rendering", each=never, threads=2)
def path_video(r: Results, scene: Scene, variant: str, path: str) -> Files:
    return files(renders=r.path(variant, path).folder)


def export_settings(scene: Scene, variant: str, source: str, name: str, kind: str) -> dict[str, Any]:
    """What an export depends on; of a kind that does not exist there is none."""
    check_kind(kind)
    return scene.settings("frames.step", *(["exports"] if kind == "ply" else []))


@stage(
    lambda r, variant, source, name, kind: files(output=r.exported(variant, source, name, kind)),
    "exports",
    export_settings,
    each=never,
    folders=["output"],
    threads=2,
)
def export_renders(r: Results, scene: Scene, variant: str, source: str, name: str, kind: str) -> Files:
    """``source`` and ``name`` are "renders" and a camera, or "paths" and a path."""
    made = r.renders if source == "renders" else r.path
    return files(renders=made(variant, name).folder, cameras=r.cameras, space=r.space, capture=r.capture)


@stage(lambda r: files(output=r.viewer), "viewer", ["frames"], each=never)
def viewer(r: Results, scene: Scene) -> Files:
    """One variant's renders of the video's camera and of a few others."""
    filmed(scene)
    return files(
        renders=renders(r, scene, [scene.video_variant], scene.viewer_cameras), cameras=r.cameras, capture=r.capture
    )


def jobs(scene: Scene) -> Iterator[Job]:
    """Every job behind a scene's own targets, in the order in which they depend on each other."""
    for one in STAGES.values():
        for wildcards in one.each(scene):
            yield Job(one, wildcards)


def targets(results: Results) -> list[Path]:
    """What a look at one scene makes."""
    return [results.video, results.comparison, results.report, results.contact_sheet, results.provenance]


def recorded(results: Results, scene: Scene) -> list[Path]:
    """Every file whose hash provenance.json has, in the order in which they depend on each other: all that is behind
    the scene's own targets. What is made on demand (viewer, paths, exports) may be older or newer than the record."""
    unrecorded = (STAGES["provenance"], STAGES["report_html"])  # the second shows the first
    return [path for job in jobs(scene) if job.stage not in unrecorded for path in flat(job.makes(results))]
