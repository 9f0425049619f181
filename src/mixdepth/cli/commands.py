"""What the command line's commands do: what the rules do, by the same functions, into the same files."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mixdepth.errors import ConfigurationError, UserError
from mixdepth.files.certificate import certify
from mixdepth.files.io import read_json, sweep, write_json
from mixdepth.files.shapes import CAPTURE
from mixdepth.results import STATIC, Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.scene.schema import read_yaml
from mixdepth.variants import VARIANTS
from mixdepth.workflow import graph, stages
from mixdepth.workflow.graph import flat
from mixdepth.workflow.made import certified, checkpoint_identity, outdated

PROGRAM = "mixdepth" if Path(sys.argv[0]).name == "mixdepth" else "python -m mixdepth"  # as it was called
MODELS = (STATIC, *VARIANTS)


@dataclass(frozen=True)
class Job:
    """What a command works on."""

    scene: Scene
    folder: Path  # the scene's results
    force: bool  # whether to make anew what exists
    checked: set[Path] = field(default_factory=set)  # results that were found to be as the scene is configured

    @property
    def results(self) -> Results:
        return Results(self.folder)

    def make(self, work: graph.Job, function: Callable, *args: Any, anew: bool = False) -> bool:
        """Let ``function`` do the work of one stage unless all that it makes exists; whether it was called.

        It is given the scene with the settings that the stage declares, ``args`` and the stage's files. What is
        finished is never lost without ``force`` (or ``anew``), not even where an input is newer: copying results to
        another machine makes times meaningless.

        Raises:
            UserError: what the stage reads is not there, or what it makes is there and was made from something else
                (:func:`mixdepth.workflow.made.outdated`); with the command that mends it.
        """
        reads, outputs = work.reads(self.results, self.scene), work.makes(self.results)
        inputs, there = graph.given(reads), flat(outputs)
        if not (self.force or anew) and all(path.exists() for path in there):
            if reason := outdated(work, self.scene, self.results):
                raise ConfigurationError(f"{there[0]}: {reason}. The same command with --force makes it anew")
            self._refuse_outdated(inputs)
            print(f"{there[0]}: exists, skipped (--force makes it anew)", file=sys.stderr)
            return False
        for path in flat(inputs):
            if not path.exists():
                raise ConfigurationError(f"{path}: not there yet; run `{PROGRAM} {self._maker(path)}` first")
        self._refuse_outdated(inputs)
        print(f"{there[0]}: being made", file=sys.stderr)
        for path in there:
            sweep(path)
        own = self._declared(work)
        certified(work.stage, own, reads, outputs, lambda: function(own, *args, **inputs, **outputs))
        return True

    def identity(self, work: graph.Job) -> dict[str, Any]:
        """What the checkpoints of a training must have been made from."""
        reads, outputs = work.reads(self.results, self.scene), work.makes(self.results)
        return checkpoint_identity(work.stage, self._declared(work), reads, outputs)

    def _declared(self, work: graph.Job) -> Scene:
        """The scene with the settings that a stage declares, and no others."""
        return replace(self.scene, options=work.stage.settings(self.scene, **work.wildcards))

    def _refuse_outdated(self, inputs: graph.Files) -> None:
        """Refuse results that were not made as the scene is configured now, or what they were made from was not.

        Raises:
            ConfigurationError: one of them; with the command that makes it anew.
        """
        wanted = flat(inputs)
        while wanted:
            path = wanted.pop()
            if path in self.checked or (work := self._makers.get(path)) is None:
                continue
            made = flat(work.makes(self.results))
            if reason := outdated(work, self.scene, self.results):
                command = f"{PROGRAM} {self._maker(made[0])} --force"
                raise ConfigurationError(f"{made[0]}: {reason}. `{command}` makes it anew")
            self.checked.update(made)
            wanted += flat(work.read(self.results, self.scene))

    @cached_property
    def _makers(self) -> dict[Path, graph.Job]:
        """What makes each of the scene's files, whichever variants it has."""
        scene = replace(self.scene, variants=list(VARIANTS)) if self.scene.cameras else self.scene
        return {path: work for work in stages.jobs(scene) for path in flat(work.makes(self.results))}

    def _maker(self, path: Path) -> str:
        """The command that makes one of the scene's files."""
        results = self.results
        if path in (results.model(STATIC), results.static_depth):
            return f"train {STATIC}"
        for variant in VARIANTS:
            if path == results.model(variant):
                return f"train {variant}"
            for option, folder in (("camera", results.renders), ("path", results.path)):
                if path == folder(variant, path.name).folder:
                    return f"render {variant} --{option} {path.name}"
        return "prepare"


def prepare(job: Job, _: argparse.Namespace) -> None:
    """Everything up to training: probe, sync, reference images, cameras, sparse depth, space, frames, static sets."""
    from mixdepth.cameras import tasks as cameras
    from mixdepth.frames import tasks as frames

    def write_cameras(scene: Scene, **files: Any) -> None:
        cameras.write_cameras(scene, read_json(job.results.capture, CAPTURE), **files)

    work: dict[str, Callable] = {
        "probe": frames.probe,
        "sync": frames.sync,
        "reference": frames.reference,
        "structure_from_motion": cameras.structure_from_motion,
        "cameras": write_cameras,
        "verify_held_out": cameras.verify_held_out,
        "triangulate": cameras.write_sparse,
        "colmap_depth": cameras.write_depth,
        "space": cameras.write_space,
        "held_out_points": cameras.write_held_out_points,
        "frame_store": frames.frame_store,
        "motion": frames.motion,
        "movement": frames.movement,
        "static_set": frames.static_set,
        "static_test_set": frames.static_test_set,
    }
    # Whatever the scene's variants are: any of them may be trained next.
    for one in stages.jobs(replace(job.scene, variants=list(VARIANTS))):
        if one.stage.name in work:
            job.make(one, work[one.stage.name], *one.wildcards.values())
    # At the end: it says that all of this is there, made with these settings.
    write_json(job.results.scene, as_json(job.scene))
    certify([job.results.scene], {})


def train(job: Job, args: argparse.Namespace) -> None:
    """Train the static model (and read its depth out), or one variant."""
    from mixdepth.train import tasks

    name = args.model
    run = job.results.run(name)
    if name == STATIC:
        work = graph.Job.of("train_static")
        made = job.make(work, tasks.train_static, run, job.identity(work))
        if job.scene.train_cameras:
            job.make(graph.Job.of("static_depth"), tasks.extract_depth, anew=made)
        return
    refuse_photos_only(job.scene)
    work = graph.Job.of("train_dynamic", variant=name)
    if job.force or not job.results.model(name).exists():
        for part in work.reads(job.results, job.scene).get(graph.PARTS, []):
            train_part(job, name, part)
    job.make(work, tasks.train_dynamic, name, run, job.identity(work))


def train_part(job: Job, variant: str, part: Path) -> None:
    """Train the static branch of a variant of several segments, or one of these. What is finished, and was made as is
    configured, is kept even with ``force``: an interrupted command goes on."""
    from mixdepth.train import tasks

    train: Callable
    if part == job.results.branch(variant):
        work, train, which = graph.Job.of("train_branch", variant=variant), tasks.train_branch, []
    else:
        work = graph.Job.of("train_segment", variant=variant, segment=part.stem)
        train, which = tasks.train_segment, [int(part.stem)]
    if not part.exists() or outdated(work, job.scene, job.results):
        job.make(work, train, variant, *which, job.results.run(variant), job.identity(work), anew=True)


def render(job: Job, args: argparse.Namespace) -> None:
    """Render what a variant sees from cameras and along camera paths."""
    from mixdepth.rendering.tasks import render_camera, render_path

    scene, variant = job.scene, args.variant
    refuse_photos_only(scene)
    paths = [name for name in args.path or [] if scene.path(name)]
    cameras = args.camera or ([] if paths else scene.test_cameras or [scene.video_camera])
    for camera in [stages.used_camera(scene, name) for name in cameras]:
        job.make(graph.Job.of("render", variant=variant, camera=camera), render_camera, variant, camera)
    for path in paths:
        job.make(graph.Job.of("render_path", variant=variant, path=path), render_path, variant, path)


def export(job: Job, args: argparse.Namespace) -> None:
    """Write renders of cameras and paths as other programs read them."""
    from mixdepth.exports.kinds import check_kind
    from mixdepth.exports.tasks import export_renders

    scene = job.scene
    refuse_photos_only(scene)
    sources = [("renders", stages.used_camera(scene, name)) for name in args.camera or []]
    sources += [("paths", name) for name in args.path or [] if scene.path(name)]
    kinds = [check_kind(kind) for part in args.kind for kind in part.split(",")]
    if not sources:
        raise ConfigurationError("which renders? Name them with --camera or --path, which may be repeated")
    for source, name in sources:
        for kind in kinds:
            work = graph.Job.of("export_renders", variant=args.variant, source=source, name=name, kind=kind)
            job.make(work, export_renders, kind)


def evaluate(job: Job, args: argparse.Namespace) -> None:
    """Score a variant on the held-out cameras, or the static model on the held-out photos."""
    from mixdepth.evaluation.shortcomings import shortcomings
    from mixdepth.evaluation.tasks import evaluate_static, evaluate_variant, tell

    name, output = args.model, job.results.metrics(args.model)
    if name == STATIC:
        job.make(graph.Job.of("static_metrics"), evaluate_static)
        scores = read_json(output)
    else:
        refuse_photos_only(job.scene)
        made = job.make(graph.Job.of("evaluate", variant=name), evaluate_variant, name)
        scores = read_json(output)
        if not made:  # else it was said
            tell(job.scene.name, shortcomings(name, scores))
    told = [f"{label} {scores[key]:.2f}" for key, label in (("psnr", "PSNR"), ("ssim", "SSIM")) if scores.get(key)]
    told += [f"{kind} {found['psnr']:.2f}" for kind, found in scores.get("trivial", {}).items() if found["psnr"]]
    print(f"{output}: {', '.join(told) or 'no image is held out'}")


def view(job: Job, args: argparse.Namespace) -> None:
    """Show the models from where one looks, the rig, the points and the rendered clouds in a browser."""
    scene, results, variant = job.scene, job.results, args.variant or job.scene.video_variant
    refuse_photos_only(scene)
    if not results.cameras.exists():
        raise ConfigurationError(f"{results.cameras}: not there yet; run `{PROGRAM} prepare` first")
    rendered = [camera for camera in scene.used_cameras if results.renders(variant, camera).depth.exists()]
    if args.variant and not (rendered or results.model(variant).exists()):
        raise ConfigurationError(f"{results.model(variant)}: not there yet; run `{PROGRAM} train {variant}` first")
    from mixdepth.viewer.live import view_scene

    view_scene(scene, variant, results, args.port)


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
    wrong = [] if args.against else reproduction.contradictions(record, folder)
    if args.json:
        told = {"same": reproduction.same(found), "settings": unknown or "compared"}
        told |= {"certificates": wrong}
        print(json.dumps({**told, "differences": [asdict(one) for one in found]}, indent=1))
    else:
        broken = [] if args.against else reproduction.damaged(found, folder)
        print(reproduction.told(found, record, bool(args.against), broken, unknown, wrong))
    return 0 if reproduction.same(found) and not wrong else 1


def _scene_now(args: argparse.Namespace, name: str) -> tuple[Scene | None, str]:
    """The scene of this name as it is configured now; None where that is not known, and why."""
    default = Path("config/config.yaml")
    config = args.config or (default if default.exists() else None)
    if config is None:
        return None, "not compared, --config FILE names the configuration"
    try:
        return load_config(read_yaml(config))[name], ""
    except UserError as error:
        if args.config:
            raise
        return None, f"not compared ({error}); --config FILE names another configuration"


# What the commands share


def as_json(scene: Scene) -> dict[str, Any]:
    """The scene as scene.json has it."""
    return json.loads(json.dumps({**asdict(scene), "data": str(scene.data)}))


def refuse_photos_only(scene: Scene) -> None:
    if not scene.cameras:
        raise ConfigurationError(
            f"scene {scene.name} has photos only, so there is no video to learn; use `{PROGRAM} train static` and"
            " `evaluate static`"
        )
