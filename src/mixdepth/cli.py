"""The command line: what the rules do, by the same functions, into the same files, for those without Snakemake.

Every command imports what it needs when it runs. ``prepare`` leaves the scene, with its settings, in scene.json; with
that ``train`` and ``render`` work on a GPU node that has only what docs/architecture.md, "Importing", names.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import mixdepth
from mixdepth.config import VARIANTS, Scene, load_config
from mixdepth.errors import Interrupted, UserError, listed, nearest
from mixdepth.exports.kinds import KINDS
from mixdepth.io import disk_errors, read_json, write_json
from mixdepth.memory import memory_errors
from mixdepth.shapes import CAPTURE

PROGRAM = "python -m mixdepth"
SCHEMA = Path(mixdepth.__file__).resolve().parents[2] / "workflow" / "schemas" / "config.schema.yaml"
MODELS = ("static", *VARIANTS)
# Options that `prepare` does not depend on.
LATER = (
    "preset",
    "static",
    "dynamic",
    "variant_options",
    "variants",
    "video_variant",
    "video_camera",
    "viewer_cameras",
    "truth",
    "lpips",
    "paths",
    "exports",
    "ablation",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status.

    0: done. 1: a mistake that the user can mend, told in one line. 2: the command line is wrong. 130: interrupted.
    """
    defaults = argparse.Namespace(config=None, scene=None, results=Path("results"), force=False)
    args = _parser().parse_args(arguments, defaults)
    try:
        scene = _configured(args) if args.config else _prepared(args)
        job = Job(scene, args.results / scene.name, args.force)
        if not (args.run is prepare and args.force):
            _refuse_other_settings(job)
        with disk_errors(job.folder), memory_errors(args.run.__name__):
            args.run(job, args)
    except Interrupted as stopped:
        print(f"mixdepth: {stopped}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("mixdepth: interrupted; what is finished is kept, the same command goes on", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"mixdepth: error: {error}", file=sys.stderr)
        return 1
    return 0


# Scenes


def _configured(args: argparse.Namespace) -> Scene:
    """The scene of the configuration that --config names."""
    if not SCHEMA.exists():
        raise UserError(f"{SCHEMA}: file not found; --config needs a checkout of mixdepth, not its package alone")
    from mixdepth.schema import read_yaml

    scenes = load_config(read_yaml(args.config), SCHEMA)
    return scenes[_one_of(list(scenes), args.scene, str(args.config))]


def _prepared(args: argparse.Namespace) -> Scene:
    """The scene that `prepare` left below --results."""
    if args.run is prepare:
        raise UserError(f"which capture? Name its configuration: {PROGRAM} --config config/kitchen.yaml prepare")
    found = {path.parent.name: path for path in sorted(args.results.glob("*/scene.json"))}
    if not found:
        raise UserError(
            f"{args.results}: no scene is prepared there. Run `{PROGRAM} --config FILE prepare` first, or name another"
            " folder with --results"
        )
    path = found[_one_of(list(found), args.scene, str(args.results))]
    values = read_json(path)
    try:
        return Scene(**{**values, "data": Path(values["data"])})
    except (TypeError, KeyError) as error:
        raise UserError(f"{path}: not a scene of this version ({error}); run prepare again") from None


def _one_of(scenes: Sequence[str], name: str | None, where: str) -> str:
    """The scene that --scene names; without it the only one there is."""
    if name is None and len(scenes) == 1:
        return scenes[0]
    if name is None:
        raise UserError(f"{where}: which scene? Choose one with --scene: {listed(scenes)}")
    if name not in scenes:
        raise UserError(f'{where}: there is no scene "{name}"{nearest(name, scenes)}; there are {listed(scenes)}')
    return name


# Commands


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
    from mixdepth.cameras import stage as cameras
    from mixdepth.cameras.space import write_space
    from mixdepth.frames import stage as frames

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
    depth = _sparse_depth(scene)
    bounds = ["bounds.json", "poses_bounds.npy"]
    make([*depth, *bounds], [*posed, "cameras_report.json"], cameras.write_depth, scene, folder)
    paths = [folder / name for name in ("cameras.json", "photos.json", "bounds.json", "space.json")]
    if scene.test_cameras:
        make(_held_out_depth(scene), [*posed, *references], cameras.write_held_out_points, scene, folder)
    make(["space.json"], [*posed, *bounds], write_space, scene, *paths, [folder / name for name in depth])
    for camera in scene.used_cameras:
        make(_store(camera), ["cameras.json", "lenses.json"], frames.frame_store, scene, camera, folder)
    sources = ["photos.json", "lenses.json"] if scene.photos else _stores(scene)
    make(["static/set.npz"], sources, frames.static_set, scene, folder, folder / "static/set.npz")
    if scene.test_photos:
        output = "static/test_set.npz"
        make([output], ["photos.json", "lenses.json"], frames.static_test_set, scene, folder, folder / output)
    # At the end: it says that all of this is there, made with these settings.
    write_json(folder / "scene.json", _as_json(scene))


def train(job: Job, args: argparse.Namespace) -> None:
    """Train the static model (and read its depth out), or one variant."""
    from mixdepth.train import stage

    scene, folder, name = job.scene, job.folder, args.model
    model = f"{name}/model.safetensors"
    if name == "static":
        inputs = ["static/set.npz", "space.json", *_sparse_depth(scene)]
        job.need(inputs, "prepare")
        made = job.make([model], inputs, stage.train_static, scene, folder, folder / model)
        if scene.train_cameras:
            output = folder / "static/depth"
            job.make(_static_depth(scene), [model], stage.extract_depth, scene, folder, output, anew=made)
        return
    _refuse_photos_only(scene)
    frames = [*_stores(scene), "space.json"]
    static = ["static/model.safetensors"] if name == "inherited" else []
    static += _static_depth(scene) if name in ("distilled", "inherited") else []
    sparse = _sparse_depth(scene) if name != "none" else []
    job.need(frames, "prepare")
    job.need(static, "train static")
    job.need(sparse, "prepare")
    own = replace(scene, options=scene.settings("dynamic", variant=name))
    job.make([model], [*frames, *static, *sparse], stage.train_dynamic, own, name, folder, folder / model)


def render(job: Job, args: argparse.Namespace) -> None:
    """Render what a variant sees from cameras and along camera paths."""
    from mixdepth.rendering.stage import render_camera, render_path

    scene, folder, variant = job.scene, job.folder, args.variant
    _refuse_photos_only(scene)
    model = f"{variant}/model.safetensors"
    job.need([model], f"train {variant}")
    paths = [name for name in args.path or [] if scene.path(name)]
    cameras = args.camera or ([] if paths else scene.test_cameras or [scene.video_camera])
    for camera in [_camera(scene, name) for name in cameras]:
        output = folder / variant / "renders" / camera
        job.make(_renders(variant, camera), [model], render_camera, scene, variant, camera, folder, output)
    for path in paths:
        outputs = [f"{variant}/paths/{path}/{name}" for name in ("rgb.npy", "depth.npy", "cameras.json", "path.json")]
        output = folder / variant / "paths" / path
        job.make(outputs, [model], render_path, scene, variant, path, folder, output)


def export(job: Job, args: argparse.Namespace) -> None:
    """Write renders of cameras and paths as other programs read them."""
    from mixdepth.exports.kinds import check_kind
    from mixdepth.exports.stage import export_renders

    scene, folder, variant = job.scene, job.folder, args.variant
    _refuse_photos_only(scene)
    sources = [f"renders/{_camera(scene, name)}" for name in args.camera or []]
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
    from mixdepth.evaluation.stage import evaluate_static, evaluate_variant

    scene, folder, name = job.scene, job.folder, args.model
    output = folder / name / "metrics.json"
    scored = replace(scene, options=scene.score_settings(name))
    if name == "static":
        inputs = ["static/model.safetensors", *_static_depth(scene)]
        job.need(inputs, "train static")
        job.make(["static/metrics.json"], inputs, evaluate_static, scored, folder, output)
    else:
        _refuse_photos_only(scene)
        if not scene.test_cameras:
            raise UserError(f"scene {scene.name} holds out no camera, so there is nothing to score; set test_cameras")
        inputs = [path for camera in scene.test_cameras for path in _renders(name, camera)]
        job.need(inputs, f"render {name}")
        job.need(_held_out_depth(scene), "prepare")
        job.make([f"{name}/metrics.json"], inputs, evaluate_variant, scored, name, folder, output)
    scores = read_json(output)
    told = [f"{label} {scores[key]:.2f}" for key, label in (("psnr", "PSNR"), ("ssim", "SSIM")) if scores.get(key)]
    print(f"{output}: {', '.join(told) or 'no image is held out'}")


def view(job: Job, args: argparse.Namespace) -> None:
    """Show the rig, the points and the rendered clouds in a browser."""
    scene, folder, variant = job.scene, job.folder, args.variant or job.scene.video_variant
    _refuse_photos_only(scene)
    job.need(["cameras.json"], "prepare")
    if args.variant and not list((folder / variant / "renders").glob("*/depth.npy")):
        raise UserError(f"{folder / variant}/renders: nothing there yet; run `{PROGRAM} render {variant}` first")
    try:
        import viser  # noqa: F401

        from mixdepth.report.live import view_scene
    except ImportError as error:
        raise UserError(f"`view` needs the package {error.name}; `pip install {error.name}` adds it") from None
    view_scene(scene, variant, folder, args.port)


# What the commands share


def _store(camera: str) -> list[str]:
    return [f"frames/{camera}/{name}.npy" for name in ("rgb", "median", "std")]


def _stores(scene: Scene) -> list[str]:
    """The frames of everything that trains."""
    return [path for camera in scene.train_cameras for path in _store(camera)]


def _sparse_depth(scene: Scene) -> list[str]:
    return [f"colmap_depth/{name}.npz" for name in [*scene.train_cameras, "photos"]]


def _held_out_depth(scene: Scene) -> list[str]:
    return [f"held_out_depth/{name}.npz" for name in scene.test_cameras]


def _static_depth(scene: Scene) -> list[str]:
    return [f"static/depth/{camera}.npz" for camera in scene.train_cameras]


def _camera(scene: Scene, name: str) -> str:
    """``name`` itself, of a camera that is in use."""
    if name not in scene.used_cameras:
        known, near = listed(scene.used_cameras), nearest(name, scene.used_cameras)
        raise UserError(f'scene {scene.name} uses no video camera "{name}"{near}; it uses {known}')
    return name


def _renders(variant: str, camera: str) -> list[str]:
    return [f"{variant}/renders/{camera}/{name}.npy" for name in ("rgb", "depth")]


def _as_json(scene: Scene) -> dict[str, Any]:
    """The scene as scene.json has it."""
    return json.loads(json.dumps({**asdict(scene), "data": str(scene.data)}))


def _refuse_photos_only(scene: Scene) -> None:
    if not scene.cameras:
        raise UserError(
            f"scene {scene.name} has photos only, so there is no video to learn; use `{PROGRAM} train static` and"
            " `evaluate static`"
        )


def _refuse_other_settings(job: Job) -> None:
    """What was prepared with other settings must not be mixed with what these settings make."""
    path = job.folder / "scene.json"
    if not path.exists():
        return
    before, now = ({**scene, **scene.get("options", {})} for scene in (read_json(path), _as_json(job.scene)))
    keys = sorted({*before, *now} - {*LATER, "options"})
    if changed := [key for key in keys if before.get(key) != now.get(key)]:
        raise UserError(
            f"{job.folder} was prepared with other settings (changed: {', '.join(changed)}). `prepare --force` makes"
            " it anew; another folder with --results keeps both"
        )


# The parser


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, and what may have been meant."""

    def error(self, message: str) -> NoReturn:
        if wrong := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            message += nearest(wrong[1], re.findall(r"[\w-]+", wrong[2]))
        self.exit(2, f"mixdepth: error: {message} (help: {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="From synchronised videos (and photos) to a free-viewpoint video, step by step, without Snakemake.",
        epilog=(
            f"In this order: {PROGRAM} --config config/kitchen.yaml prepare; then, without --config, `train static`,"
            " `train inherited`, `render inherited`, `evaluate inherited`. Results are where Snakemake puts them; both"
            " can be used in turn. What exists is kept; an interrupted training goes on where it was."
        ),
        parents=[_scene_options()],
    )
    parser.add_argument("--version", action="version", version=f"mixdepth {mixdepth.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(function: Callable, text: str, more: str = "") -> argparse.ArgumentParser:
        name = function.__name__
        added = commands.add_parser(name, help=text, description=f"{text}. {more}", parents=[_scene_options()])
        added.add_argument("--force", action="store_true", help="make anew what exists", default=argparse.SUPPRESS)
        added.set_defaults(run=function)
        return added

    command(
        prepare,
        "everything up to training: cameras, sparse depth, frames",
        "Needs --config. Stops with the reason where the capture cannot work or the cameras cannot be trusted.",
    )
    variants = "Variants: none (no depth), colmap (sparse depth), distilled (depth maps of the static model), inherited"
    added = command(
        train,
        "train the static model or a variant",
        f"{variants} (the static model itself, with the moving things added). The last two need `train static` first.",
    )
    added.add_argument("model", choices=MODELS, metavar="MODEL", help="|".join(MODELS))
    added = command(
        render, "what a trained variant sees from cameras or along paths: rgb.npy and depth.npy of every frame"
    )
    added.add_argument("variant", choices=VARIANTS, metavar="VARIANT", help="|".join(VARIANTS))
    added.add_argument(
        "--camera",
        action="append",
        metavar="NAME",
        help="a camera of the capture, may be repeated (default: the held-out ones)",
    )
    added.add_argument("--path", action="append", metavar="NAME", help="a camera path (spiral, ...), may be repeated")
    added = command(
        export,
        "renders as mp4, PNG, EXR, PLY, ...",
        f"Kinds: {', '.join(KINDS)}. The renders must be there (`render`).",
    )
    added.add_argument("variant", choices=VARIANTS, metavar="VARIANT", help="|".join(VARIANTS))
    added.add_argument("--camera", action="append", metavar="NAME", help="renders of a camera, may be repeated")
    added.add_argument("--path", action="append", metavar="NAME", help="renders of a camera path, may be repeated")
    added.add_argument("--kind", action="append", required=True, metavar="KIND,...", help="what to write")
    added = command(
        evaluate,
        "score a variant on held-out cameras, the static model on held-out photos",
        "A variant's renders of the held-out cameras must be there (`render`).",
    )
    added.add_argument("model", choices=MODELS, metavar="MODEL", help="|".join(MODELS))
    added = command(
        view,
        "look at cameras, points and rendered clouds in a browser, until Ctrl-C",
        "Needs `prepare`; clouds are there for the cameras that were rendered (`render`). Serves this machine only.",
    )
    added.add_argument("variant", nargs="?", choices=VARIANTS, metavar="VARIANT", help="default: that of the video")
    added.add_argument("--port", type=int, default=8080, help="the next free one where it is taken (default: 8080)")
    return parser


def _scene_options() -> argparse.ArgumentParser:
    """Options that may stand before and after the command."""
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration; without it, the scene that prepare left in --results",
    )
    options.add_argument("--scene", metavar="NAME", help="which scene, where there are several")
    options.add_argument("--results", type=Path, metavar="DIR", help="folder of all results (default: results)")
    return options
