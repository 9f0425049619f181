"""What the command line's commands do: what the rules do, by the same functions, into the same files."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mixdepth
from mixdepth.errors import UserError, listed, nearest
from mixdepth.files.io import read_json, write_json
from mixdepth.files.shapes import CAPTURE
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import VARIANTS, Scene
from mixdepth.scene.schema import read_yaml

PROGRAM = "python -m mixdepth"
MODELS = ("static", *VARIANTS)
SCHEMA = Path(mixdepth.__file__).resolve().parents[2] / "workflow" / "schemas" / "config.schema.yaml"


@dataclass(frozen=True)
class Job:
    """What a command works on."""

    scene: Scene
    folder: Path  # the scene's results
    force: bool  # whether to make anew what exists

    def make(
        self, outputs: Sequence[str], inputs: Sequence[str], function: Callable, *args: Any, anew: bool = False
    ) -> bool:
        """Call ``function`` unless all outputs exist; whether it was called.

        What is finished is never lost without ``force`` (or ``anew``), not even where an input is newer: copying
        results to another machine makes times meaningless. That is told.
        """
        there = [self.folder / name for name in outputs]
        if not (self.force or anew) and all(path.exists() for path in there):
            oldest = min(path.stat().st_mtime for path in there)
            newer = [p for p in (self.folder / name for name in inputs) if p.exists() and p.stat().st_mtime > oldest]
            although = f", although {newer[0]} is newer" if newer else ""
            print(f"{there[0]}: exists, skipped{although} (--force makes it anew)", file=sys.stderr)
            return False
        print(f"{there[0]}: being made", file=sys.stderr)
        function(*args)
        return True

    def need(self, names: Sequence[str], command: str) -> None:
        """Refuse to go on without the files ``names``, which ``command`` makes."""
        if missing := [self.folder / name for name in names if not (self.folder / name).exists()]:
            raise UserError(f"{missing[0]}: not there yet; run `{PROGRAM} {command}` first")


def prepare(job: Job, _: argparse.Namespace) -> None:
    """Everything up to training: probe, sync, reference images, cameras, sparse depth, space, frames, static sets."""
    from mixdepth.cameras import tasks as cameras
    from mixdepth.cameras.space import write_space
    from mixdepth.frames import tasks as frames

    scene, folder, make = job.scene, job.folder, job.make
    references = [f"reference/{camera}" for camera in scene.used_cameras]
    posed = ["cameras.json", "photos.json", "lenses.json", "world.json"]
    given = scene.options["poses"]["source"] != "colmap"

    make(["capture.json"], [], frames.probe, scene, folder / "capture.json")
    if scene.used_cameras:
        make(["sync.json"], [], frames.sync, scene, folder / "sync.json")
    for camera in scene.used_cameras:
        name = f"reference/{camera}"
        make([name], [], frames.reference, scene, camera, folder / name)
    if not given:
        make(["sfm/report.json"], references, cameras.structure_from_motion, scene, folder, folder / "sfm")
    source = ["capture.json"] if given else ["sfm/report.json"]
    make(posed, source, lambda: cameras.write_cameras(scene, read_json(folder / "capture.json", CAPTURE), folder))
    if given and scene.test_cameras:
        report = "held_out_report.json"
        make([report], [*posed, *references], cameras.verify_held_out, scene, folder, folder / report)
    make(["cameras_report.json"], [*posed, *references], cameras.write_sparse, scene, folder)
    depth = sparse_depth(scene)
    bounds = ["bounds.json", "poses_bounds.npy"]
    make([*depth, *bounds], [*posed, "cameras_report.json"], cameras.write_depth, scene, folder)
    paths = [folder / name for name in ("cameras.json", "photos.json", "bounds.json", "space.json")]
    if scene.test_cameras:
        make(held_out_depth(scene), [*posed, *references], cameras.write_held_out_points, scene, folder)
    make(["space.json"], [*posed, *bounds], write_space, scene, *paths, [folder / name for name in depth])
    for camera in scene.used_cameras:
        make(store_files(camera), ["cameras.json", "lenses.json"], frames.frame_store, scene, camera, folder)
    sources = ["photos.json", "lenses.json"] if scene.photos else stores(scene)
    make(["static/set.npz"], sources, frames.static_set, scene, folder, folder / "static/set.npz")
    if scene.test_photos:
        output = "static/test_set.npz"
        make([output], ["photos.json", "lenses.json"], frames.static_test_set, scene, folder, folder / output)
    # At the end: it says that all of this is there, made with these settings.
    write_json(folder / "scene.json", as_json(scene))


def train(job: Job, args: argparse.Namespace) -> None:
    """Train the static model (and read its depth out), or one variant."""
    from mixdepth.train import tasks

    scene, folder, name = job.scene, job.folder, args.model
    model = f"{name}/model.safetensors"
    if name == "static":
        inputs = ["static/set.npz", "space.json", *sparse_depth(scene)]
        job.need(inputs, "prepare")
        made = job.make([model], inputs, tasks.train_static, scene, folder, folder / model)
        if scene.train_cameras:
            output = folder / "static/depth"
            job.make(static_depth(scene), [model], tasks.extract_depth, scene, folder, output, anew=made)
        return
    refuse_photos_only(scene)
    frames = [*stores(scene), "space.json"]
    static = ["static/model.safetensors"] if name == "inherited" else []
    static += static_depth(scene) if name in ("distilled", "inherited") else []
    sparse = sparse_depth(scene) if name != "none" else []
    job.need(frames, "prepare")
    job.need(static, "train static")
    job.need(sparse, "prepare")
    own = replace(scene, options=scene.settings("dynamic", variant=name))
    job.make([model], [*frames, *static, *sparse], tasks.train_dynamic, own, name, folder, folder / model)


def render(job: Job, args: argparse.Namespace) -> None:
    """Render what a variant sees from cameras and along camera paths."""
    from mixdepth.rendering.tasks import render_camera, render_path

    scene, folder, variant = job.scene, job.folder, args.variant
    refuse_photos_only(scene)
    model = f"{variant}/model.safetensors"
    job.need([model], f"train {variant}")
    paths = [name for name in args.path or [] if scene.path(name)]
    cameras = args.camera or ([] if paths else scene.test_cameras or [scene.video_camera])
    for camera in [used_camera(scene, name) for name in cameras]:
        output = folder / variant / "renders" / camera
        job.make(render_files(variant, camera), [model], render_camera, scene, variant, camera, folder, output)
    for path in paths:
        outputs = [f"{variant}/paths/{path}/{name}" for name in ("rgb.npy", "depth.npy", "cameras.json", "path.json")]
        output = folder / variant / "paths" / path
        job.make(outputs, [model], render_path, scene, variant, path, folder, output)


def export(job: Job, args: argparse.Namespace) -> None:
    """Write renders of cameras and paths as other programs read them."""
    from mixdepth.exports.kinds import check_kind
    from mixdepth.exports.tasks import export_renders

    scene, folder, variant = job.scene, job.folder, args.variant
    refuse_photos_only(scene)
    sources = [f"renders/{used_camera(scene, name)}" for name in args.camera or []]
    sources += [f"paths/{name}" for name in args.path or [] if scene.path(name)]
    kinds = [check_kind(kind) for part in args.kind for kind in part.split(",")]
    if not sources:
        raise UserError("which renders? Name them with --camera or --path, which may be repeated")
    for source in sources:
        option = "--camera" if source.startswith("renders/") else "--path"
        renders = [f"{variant}/{source}/{name}.npy" for name in ("rgb", "depth")]
        job.need(renders, f"render {variant} {option} {source.split('/')[1]}")
        for kind in kinds:
            output = f"{variant}/exports/{source}/{kind}"
            rendered = folder / variant / source
            job.make([output], renders, export_renders, scene, folder, rendered, kind, folder / output)


def evaluate(job: Job, args: argparse.Namespace) -> None:
    """Score a variant on the held-out cameras, or the static model on the held-out photos."""
    from mixdepth.evaluation.tasks import evaluate_static, evaluate_variant

    scene, folder, name = job.scene, job.folder, args.model
    output = folder / name / "metrics.json"
    scored = replace(scene, options=scene.score_settings(name))
    if name == "static":
        inputs = ["static/model.safetensors", *static_depth(scene)]
        job.need(inputs, "train static")
        job.make(["static/metrics.json"], inputs, evaluate_static, scored, folder, output)
    else:
        refuse_photos_only(scene)
        if not scene.test_cameras:
            raise UserError(f"scene {scene.name} holds out no camera, so there is nothing to score; set test_cameras")
        inputs = [path for camera in scene.test_cameras for path in render_files(name, camera)]
        job.need(inputs, f"render {name}")
        job.need(held_out_depth(scene), "prepare")
        job.make([f"{name}/metrics.json"], inputs, evaluate_variant, scored, name, folder, output)
    scores = read_json(output)
    told = [f"{label} {scores[key]:.2f}" for key, label in (("psnr", "PSNR"), ("ssim", "SSIM")) if scores.get(key)]
    print(f"{output}: {', '.join(told) or 'no image is held out'}")


def view(job: Job, args: argparse.Namespace) -> None:
    """Show the rig, the points and the rendered clouds in a browser."""
    scene, folder, variant = job.scene, job.folder, args.variant or job.scene.video_variant
    refuse_photos_only(scene)
    job.need(["cameras.json"], "prepare")
    if args.variant and not list((folder / variant / "renders").glob("*/depth.npy")):
        raise UserError(f"{folder / variant}/renders: nothing there yet; run `{PROGRAM} render {variant}` first")
    try:
        import viser  # noqa: F401

        from mixdepth.viewer.live import view_scene
    except ImportError as error:
        raise UserError(f"`view` needs the package {error.name}; `pip install {error.name}` adds it") from None
    view_scene(scene, variant, folder, args.port)


def verify(args: argparse.Namespace) -> int:
    """Compare a folder of results with its record, or its record with another; 1 where results differ."""
    from mixdepth.record import reproduction

    folder = args.folder if args.folder.is_dir() else args.folder.parent
    record = reproduction.read_record(args.folder)
    if args.against:
        now, unknown = reproduction.read_record(args.against), ""
    else:
        scene, unknown = _scene_now(args, record["scene"])
        now = reproduction.present(record, folder, scene)
    found = reproduction.differences(record, now)
    if args.json:
        told = {"same": reproduction.same(found), "settings": unknown or "compared"}
        print(json.dumps({**told, "differences": [asdict(one) for one in found]}, indent=1))
    else:
        broken = [] if args.against else reproduction.damaged(found, folder)
        print(reproduction.told(found, record, bool(args.against), broken, unknown))
    return 0 if reproduction.same(found) else 1


def _scene_now(args: argparse.Namespace, name: str) -> tuple[Scene | None, str]:
    """The scene of this name as it is configured now; None where that is not known, and why."""
    default = Path("config/config.yaml")
    config = args.config or (default if default.exists() else None)
    if config is None:
        return None, "not compared, --config FILE names the configuration"
    try:
        return load_config(read_yaml(config), SCHEMA)[name], ""
    except UserError as error:
        if args.config:
            raise
        return None, f"not compared ({error}); --config FILE names another configuration"


# What the commands share


def store_files(camera: str) -> list[str]:
    return [f"frames/{camera}/{name}.npy" for name in ("rgb", "median", "std")]


def stores(scene: Scene) -> list[str]:
    """The frames of everything that trains."""
    return [path for camera in scene.train_cameras for path in store_files(camera)]


def sparse_depth(scene: Scene) -> list[str]:
    return [f"colmap_depth/{name}.npz" for name in [*scene.train_cameras, "photos"]]


def held_out_depth(scene: Scene) -> list[str]:
    return [f"held_out_depth/{name}.npz" for name in scene.test_cameras]


def static_depth(scene: Scene) -> list[str]:
    return [f"static/depth/{camera}.npz" for camera in scene.train_cameras]


def used_camera(scene: Scene, name: str) -> str:
    """``name`` itself, of a camera that is in use."""
    if name not in scene.used_cameras:
        known, near = listed(scene.used_cameras), nearest(name, scene.used_cameras)
        raise UserError(f'scene {scene.name} uses no video camera "{name}"{near}; it uses {known}')
    return name


def render_files(variant: str, camera: str) -> list[str]:
    return [f"{variant}/renders/{camera}/{name}.npy" for name in ("rgb", "depth")]


def as_json(scene: Scene) -> dict[str, Any]:
    """The scene as scene.json has it."""
    return json.loads(json.dumps({**asdict(scene), "data": str(scene.data)}))


def refuse_photos_only(scene: Scene) -> None:
    if not scene.cameras:
        raise UserError(
            f"scene {scene.name} has photos only, so there is no video to learn; use `{PROGRAM} train static` and"
            " `evaluate static`"
        )
