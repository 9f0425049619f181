# What the rules share: the scenes, and functions that name the files a job needs.
import json
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from mixdepth.cameras import MODEL_FILES
from mixdepth.scene.capture import IMAGE_SUFFIXES
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import VARIANTS
from mixdepth.workflow.dates import check_dates
from mixdepth.errors import UserError
from mixdepth.exports.kinds import check_kind
from mixdepth.workflow.costs import UNKNOWN, memory_mb, minutes, size_of
from mixdepth.workflow.start import unplaced_trainings
from mixdepth.workflow.versions import STAGE_VERSIONS

# What `snakemake` without a target, and a look at one scene, makes.
SCENE_TARGETS = ("video.mp4", "comparison.png", "report.html", "contact_sheet.jpg", "provenance.json")
UNRECORDED = ("provenance.json", "report.html")  # the second shows the first

STORE_FILES = ("rgb.npy", "median.npy", "std.npy")
ABLATION_FIGURES = ("cameras", "time", "frames")


def load_scenes():
    """The configured scenes. Those that the command line asks for are looked up at once, so that a mistake in one of
    them is told before anything starts; the others may lie on another machine."""
    asked = [re.match(r"(?:\./)?results/([^/]+)/", argument) for argument in sys.argv[1:]]
    try:
        scenes = load_config(config, Path(workflow.basedir) / "workflow" / "schemas" / "config.schema.yaml")
        asked = {match[1] for match in asked if match}
        for name in asked - {"ablation"}:
            if workflow.is_main_process:
                check_dates(scenes[name].files, Path("results") / name)
        if "ablation" in asked and not [name for name in scenes if scenes.ablation(name)]:
            raise UserError("no scene is in the ablation: set scenes.<name>.ablation, as config/config.yaml does")
        return scenes
    except UserError as error:
        raise WorkflowError(str(error)) from None


SCENES = load_scenes()


def scenes_at_hand():
    """The scenes whose captures are on this machine."""
    found = []
    for name in SCENES:
        try:
            found.append(SCENES[name])
        except UserError:
            continue
    return found


def ablations():
    """The parts of the ablation's matrix, of the scenes whose captures are on this machine."""
    found = []
    for name in SCENES:
        try:
            found += filter(None, [SCENES.ablation(name)])
        except UserError:
            continue
    return found


ABLATIONS = ablations()
CAMERA_SETS = [scene for part in ABLATIONS for scene in part.camera_sets.values()]
MEMBERS = [scene for part in ABLATIONS for scene in part.members.values()]
CAPTURED = {derived: part.scene.name for part in ABLATIONS for derived in [*part.camera_sets, *part.members]}


def one_of(*scenes):
    """The wildcard constraint of a rule that makes what other scenes adopt (rules/ablation.smk)."""
    return "|".join(map(re.escape, scenes))


def tag(scene):
    """A scene's name as part of a rule's name."""
    return re.sub("[/]", "_", scene.name)


CONFIGURED = one_of(*SCENES)
WITH_OWN_CAMERAS = one_of(*SCENES, *(scene.name for scene in CAMERA_SETS))


wildcard_constraints:
    scene=one_of(*SCENES, *(scene.name for scene in CAMERA_SETS + MEMBERS)),
    variant="|".join(VARIANTS),
    camera="[^/]+",
    path="[A-Za-z0-9_-]+",
    source="renders|paths",
    name="[^/]+",
    kind="[^/]+",


def of(wildcards):
    """The scene of a job."""
    return SCENES[wildcards.scene]


def known_camera(wildcards):
    """The scene of a job whose camera must be one that trains or is held out; others are left alone."""
    scene = of(wildcards)
    if wildcards.camera not in scene.used_cameras:
        names = ", ".join(scene.used_cameras) or "none"
        raise UserError(f'scene {scene.name} uses no video camera "{wildcards.camera}"; it uses {names}')
    return scene


def filmed(wildcards):
    """The scene of a job that makes no sense without video cameras."""
    scene = of(wildcards)
    if not scene.cameras:
        raise UserError(
            f"scene {scene.name} has photos only, so there is no video to make or score;"
            f" ask for results/{scene.name}/static/metrics.json instead"
        )
    return scene


# Params. The settings that a stage reads are declared by its params. Changing one of them re-runs the stage, and a script
# cannot reach any other (mixdepth.workflow.job.Settings).


def settings(*names):
    """Params function: these sections of the scene's options, or single keys of them ("poses.trust"); for a variant's
    job, `dynamic` is that variant's."""
    return lambda wildcards: of(wildcards).settings(*names, variant=wildcards.get("variant"))


def all_settings(wildcards):
    return of(wildcards).options


def score_settings(wildcards):
    """What the scores of a variant, or of the static model, depend on and are recorded with."""
    return of(wildcards).score_settings(wildcards.get("variant", "static"))


def training_threads(section):
    """Threads function: what the options say (the result may depend on it), whatever --cores is."""
    return lambda wildcards: settings(section)(wildcards)[section]["threads"]


def gpus(section):
    """Resources function: one GPU where the options ask for one. With `auto` a job takes what it is given, so it asks for
    none: where a cluster has no GPU, a job that asks for one would wait for ever."""
    return lambda wildcards: int(settings(section)(wildcards)[section]["device"] == "cuda")


def scene_size(wildcards):
    """The size of a job's scene, from what rule `probe` found; before that, a large one. Snakemake works resources out
    again once the inputs of a job are there, so that only the jobs beside `probe` ask for what a large one needs."""
    name = wildcards.get("scene")
    try:
        path = Path("results") / CAPTURED.get(name, name) / "capture.json"
        return size_of(SCENES[name], json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return UNKNOWN


def memory(rule):
    """Resources function: memory for a job of this rule, more with every retry."""
    return lambda wildcards, attempt: memory_mb(rule, scene_size(wildcards), attempt)


def run_time(rule):
    """Resources function: the longest that a job of this rule may take, more with every retry where it starts anew."""
    return lambda wildcards, attempt: minutes(rule, scene_size(wildcards), attempt)


# Input files.


def folder_images(folder):
    """The images of a camera that is a folder, so that a change to any of them is noticed."""
    return sorted(str(p) for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != ".")


def video_files(wildcards):
    """The video file of a camera, or the images of its folder."""
    path = known_camera(wildcards).cameras[wildcards.camera]
    return folder_images(path) if Path(path).is_dir() else path


def used_videos(wildcards):
    """The video or folder of every camera in use (a folder changes when an image is added or removed)."""
    scene = of(wildcards)
    return [scene.cameras[camera] for camera in scene.used_cameras]


def other_videos(wildcards):
    """The videos of the other cameras in use, for their frame rates only: the common rate is the lowest of them."""
    scene = of(wildcards)
    others = [scene.cameras[camera] for camera in scene.used_cameras if camera != wildcards.camera]
    return [path for path in others if not Path(path).is_dir()]


def photo_files(stems):
    """Input function: the photos that `stems(scene)` names."""

    def files(wildcards):
        scene = of(wildcards)
        return [scene.photos[stem] for stem in stems(scene)]

    return files


def references(cameras):
    """Input function: the reference images of the cameras that `cameras(scene)` names."""
    return lambda wildcards: [f"results/{wildcards.scene}/reference/{c}" for c in cameras(of(wildcards))]


def stores(cameras):
    """Input function: the frame stores of the cameras that `cameras(scene)` names."""
    return lambda wildcards: store_files(wildcards.scene, cameras(of(wildcards)))


def store_files(scene, cameras):
    return [f"results/{scene}/frames/{camera}/{file}" for camera in cameras for file in STORE_FILES]


def given_poses(wildcards):
    """The file or files that cameras come from: COLMAP's model, or what the configuration names."""
    scene = of(wildcards)
    source, path = scene.options["poses"]["source"], scene.poses_path
    if source == "colmap":
        return [f"results/{scene.name}/sfm/{file}" for file in MODEL_FILES]
    if source == "panoptic":
        return [str(path / file) for file in ("train_meta.json", "test_meta.json")]
    if source == "model":
        # Binary or text, with or without rigs and frames; reading it says what is missing.
        return [str(file) for file in sorted(path.glob("*")) if file.suffix in (".bin", ".txt")]
    return [str(path)]


def given_bounds(wildcards):
    """The file that says how near and far things are, where the configuration names one (llff)."""
    return given_poses(wildcards) if of(wildcards).options["poses"]["source"] == "llff" else []


def known_lenses(wildcards):
    """The file of known lenses that COLMAP may hold fixed."""
    path = of(wildcards).intrinsics_path
    return str(path) if path else []


def ladder(wildcards):
    """How COLMAP came to its poses, where it found them."""
    scene = of(wildcards)
    return f"results/{scene.name}/sfm/report.json" if scene.options["poses"]["source"] == "colmap" else []


def verified_held_out(wildcards):
    """Given poses of held-out cameras are checked apart: nothing that trains may wait for a held-out camera."""
    scene = of(wildcards)
    given = scene.options["poses"]["source"] != "colmap" and scene.test_cameras
    return f"results/{scene.name}/held_out_report.json" if given else []


def truth(wildcards):
    """The truth, where the configuration names one; for scoring only."""
    path = of(wildcards).truth
    return str(path) if path else []


def lpips_weights(wildcards):
    """The weights for LPIPS that the configuration names; told at once, not after hours of training."""
    weights = {network: path for network, path in of(wildcards).options["lpips"].items() if path}
    for network, path in weights.items():
        if not Path(path).is_file():
            key = f"scenes.{wildcards.scene}.lpips.{network}"
            raise UserError(f"{key}: {path} not found; docs/scores.md says how to make it")
    return list(weights.values())


def held_out_depth_files(scene):
    """COLMAP's points that held-out cameras see, for scoring only."""
    return [f"results/{scene.name}/held_out_depth/{camera}.npz" for camera in scene.test_cameras]


def held_out_depth(wildcards):
    return held_out_depth_files(of(wildcards))


def sparse_depth_files(scene):
    """Sparse depth of everything that trains: of the training cameras, and of the photos."""
    return [f"results/{scene.name}/colmap_depth/{name}.npz" for name in [*scene.train_cameras, "photos"]]


def static_depth_files(scene):
    return [f"results/{scene.name}/static/depth/{camera}.npz" for camera in scene.train_cameras]


def sparse_depth(wildcards):
    return sparse_depth_files(of(wildcards))


def static_depth(wildcards):
    return static_depth_files(of(wildcards))


def static_set_sources(wildcards):
    """What the static model learns from: training photos, or where there are none the training cameras' medians."""
    scene = of(wildcards)
    if scene.photos:
        return [scene.photos[stem] for stem in scene.train_photos]
    return store_files(scene.name, scene.train_cameras)


def held_out_photos(wildcards):
    scene = of(wildcards)
    return f"results/{scene.name}/static/test_set.npz" if scene.test_photos else []


def variant_depth(wildcards):
    """The depth that a variant learns from. This function is why `none` and `colmap` never see static/."""
    scene = of(wildcards)
    if wildcards.variant == "none":
        return []
    sparse = [f"results/{scene.name}/colmap_depth/{camera}.npz" for camera in scene.train_cameras]
    if wildcards.variant == "colmap":
        return sparse
    # Where the static model's depth cannot be trusted the sparse depth takes its place.
    return static_depth_files(scene) + sparse


def inherited_model(wildcards):
    return f"results/{wildcards.scene}/static/model.safetensors" if wildcards.variant == "inherited" else []


def rendered_cameras(wildcards):
    return f"results/{known_camera(wildcards).name}/cameras.json"


def path_settings(wildcards):
    """What the renders of a camera path depend on."""
    scene = filmed(wildcards)
    return {"paths": {wildcards.path: scene.path(wildcards.path)}, **scene.settings("frames.step")}


def path_file(wildcards):
    """The camera_path.json of a path, where it comes from one."""
    scene = filmed(wildcards)
    file = scene.path(wildcards.path)["file"]
    return str(scene.data / file) if file else []


def export_settings(wildcards):
    """What an export depends on; of a kind that does not exist there is none."""
    check_kind(wildcards.kind)
    return of(wildcards).settings("frames.step", *(["exports"] if wildcards.kind == "ply" else []))


def renders(wildcards):
    """A variant's renders of every held-out camera."""
    scene = filmed(wildcards)
    if not scene.test_cameras:
        raise UserError(f"scene {scene.name} holds out no camera, so there is nothing to score; set test_cameras")
    return [f"results/{scene.name}/{wildcards.variant}/renders/{camera}" for camera in scene.test_cameras]


def video_sources(wildcards):
    """What video.mp4 shows: one variant's renders of one camera, beside that camera's own video."""
    scene = filmed(wildcards)
    shown = f"results/{scene.name}/{scene.video_variant}/renders/{scene.video_camera}"
    return [shown, *store_files(scene.name, [scene.video_camera])]


def viewer_renders(wildcards):
    """What viewer.html is made of: one variant's renders of the video's camera and of a few others."""
    scene = filmed(wildcards)
    return [f"results/{scene.name}/{scene.video_variant}/renders/{camera}" for camera in scene.viewer_cameras]


def compared_renders(wildcards):
    """Every variant's renders of the camera that video.mp4 shows, and that camera's own frames."""
    scene = filmed(wildcards)
    shown = [f"results/{scene.name}/{variant}/renders/{scene.video_camera}" for variant in scene.variants]
    return [*shown, *store_files(scene.name, [scene.video_camera])]


def point_colours(wildcards):
    """What gives the report's sparse points their colours: the cameras' medians, and the photos that train."""
    scene = filmed(wildcards)
    medians = [f"results/{scene.name}/frames/{camera}/median.npy" for camera in scene.train_cameras]
    photos = scene.train_photos and uses_static(scene)
    return medians + [f"results/{scene.name}/static/set.npz"] * bool(photos)


def report_static_depth(wildcards):
    """The static model's depth maps, where a variant learns from them, to say how sure they are."""
    scene = filmed(wildcards)
    return static_depth_files(scene) if uses_static(scene) else []


def uses_static(scene):
    """Whether a variant learns anything from the static model."""
    return bool({"distilled", "inherited"} & set(scene.variants))


def scores(wildcards):
    """The scores of every variant, and of the static model where a variant uses it."""
    scene = filmed(wildcards)
    metrics = [f"results/{scene.name}/{variant}/metrics.json" for variant in scene.variants]
    return metrics + [f"results/{scene.name}/static/metrics.json"] * uses_static(scene)


def recorded(wildcards):
    """Every file whose hash provenance.json has, in the order in which they depend on each other: all that is behind
    the scene's own targets. What is made on demand (viewer, paths, exports) may be older or newer than the record."""
    scene = filmed(wildcards)
    given = scene.options["poses"]["source"] != "colmap"
    names = ["capture.json", "sync.json", *(f"reference/{camera}" for camera in scene.used_cameras)]
    names += [] if given else [f"sfm/{file}" for file in (*MODEL_FILES, "report.json")]
    names += ["cameras.json", "photos.json", "lenses.json", "world.json"]
    names += ["held_out_report.json"] * bool(verified_held_out(wildcards))
    names += [*(f"sparse/{file}" for file in MODEL_FILES), "cameras_report.json"]
    files = [f"results/{scene.name}/{name}" for name in names] + sparse_depth_files(scene)
    files += [f"results/{scene.name}/{name}" for name in ("bounds.json", "poses_bounds.npy", "space.json")]
    files += [*held_out_depth_files(scene), *store_files(scene.name, scene.used_cameras)]
    if uses_static(scene):
        files += [f"results/{scene.name}/static/{name}" for name in ("set.npz", "model.safetensors")]
        files += static_depth_files(scene)
        files += [held_out_photos(wildcards)] * bool(scene.test_photos)
    files += [f"results/{scene.name}/{variant}/model.safetensors" for variant in scene.variants]
    for camera in dict.fromkeys([*scene.test_cameras, scene.video_camera]):
        files += [f"results/{scene.name}/{variant}/renders/{camera}" for variant in scene.variants]
    files += scores(wildcards)
    return files + [f"results/{scene.name}/{name}" for name in SCENE_TARGETS if name not in UNRECORDED]


# The ablation.


def ablation_runs():
    """Every run of the matrix, as plain values."""
    return [run.row() for part in ABLATIONS for run in part.runs]


def ablation_scores(wildcards):
    return [f"results/{run['folder']}/{run['variant']}/metrics.json" for run in ablation_runs()]


def ablation_views(wildcards):
    """What the maps of the depth errors show: the first seed's renders of one held-out camera, where there is a truth."""
    files = []
    for part in ABLATIONS:
        if part.scene.truth:
            files += [str(part.scene.truth), f"results/{part.scene.name}/cameras.json"]
            files += store_files(part.scene.name, [part.camera])
            first = [run for run in part.runs if run.seed == part.seeds[0]]
            files += [f"results/{run.folder}/{run.variant}/renders/{part.camera}" for run in first]
    return files


def ablation_maps(suffix):
    """The maps' files, one per scene with a truth."""
    scenes = [part.scene.name for part in ABLATIONS if part.scene.truth]
    return [f"results/ablation/figures/depth.{scene}.{suffix}" for scene in scenes]


def ablation_settings(wildcards):
    return {part.scene.name: part.scene.settings("frames", "truth") for part in ABLATIONS}
