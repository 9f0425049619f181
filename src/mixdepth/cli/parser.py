"""The command line: what the rules do, by the same functions, into the same files, for those without Snakemake.

Every command imports what it needs when it runs. ``prepare`` leaves the scene, with its settings, in scene.json; with
that ``train`` and ``render`` work on a GPU node that has only what docs/architecture.md, "Importing", names.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import mixdepth
from mixdepth.cli.commands import (
    MODELS,
    PROGRAM,
    Job,
    evaluate,
    export,
    prepare,
    render,
    train,
    verify,
    view,
)
from mixdepth.cli.received import read_scene, refuse_outside
from mixdepth.doctor import doctor
from mixdepth.errors import ConfigurationError, Interrupted, UserError, listed, nearest
from mixdepth.exports.kinds import KINDS
from mixdepth.files.io import disk_errors
from mixdepth.results import Results
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.variants import TABLE, VARIANTS
from mixdepth.workflow.out_of_memory import memory_errors
from mixdepth.workflow.start import without_gpu


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status.

    0: done. 1: a mistake that the user can mend, told in one line, or `verify` found other results. 2: the command line
    is wrong. 130: interrupted.
    """
    defaults = argparse.Namespace(config=None, scene=None, results=Path("results"), force=False)
    args = _parser().parse_args(arguments, defaults)
    try:
        if args.run in (verify, doctor.answer):  # of folders that may be nobody's scene here
            return args.run(args)
        scene = _configured(args) if args.config else _prepared(args)
        job = Job(scene, args.results / scene.name, args.force)
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
    except ModuleNotFoundError as error:
        module = (error.name or "mixdepth").split(".")[0]
        if module == "mixdepth":
            raise
        lacking = f"`{args.run.__name__}` needs {module}, which is not installed"
        print(f"mixdepth: error: {lacking}; `pip install 'mixdepth[pipeline]'` adds all that it needs", file=sys.stderr)
        return 1
    return 0


# Scenes


def _configured(args: argparse.Namespace) -> Scene:
    """The scene of the configuration that --config names."""
    from mixdepth.scene.schema import read_yaml

    scenes = load_config(read_yaml(args.config))
    scene = scenes[_one_of(list(scenes), args.scene, str(args.config))]
    if args.run is prepare and (
        mistake := without_gpu(scenes.cuda_key(scene.name, v) for v in (None, *scene.variants))
    ):
        print(f"mixdepth: warning: to be trained on another machine: {mistake}", file=sys.stderr)
    return scene


def _prepared(args: argparse.Namespace) -> Scene:
    """The scene that `prepare` left below --results."""
    if args.run is prepare:
        raise ConfigurationError(
            f"which capture? Name its configuration: {PROGRAM} --config config/kitchen.yaml prepare"
        )
    found = {path.parent.name: path for path in sorted(args.results.glob(f"*/{Results('').scene}"))}
    if not found:
        raise ConfigurationError(
            f"{args.results}: no scene is prepared there. Run `{PROGRAM} --config FILE prepare` first, or name another"
            " folder with --results"
        )
    path = found[_one_of(list(found), args.scene, str(args.results))]
    scene = read_scene(path)
    refuse_outside(scene, args.run is evaluate, vars(args).get("path") or [] if args.run is render else [])
    return scene


def _one_of(scenes: Sequence[str], name: str | None, where: str) -> str:
    """The scene that --scene names; without it the only one there is."""
    if name is None and len(scenes) == 1:
        return scenes[0]
    if name is None:
        raise ConfigurationError(f"{where}: which scene? Choose one with --scene: {listed(scenes)}")
    if name not in scenes:
        raise ConfigurationError(
            f'{where}: there is no scene "{name}"{nearest(name, scenes)}; there are {listed(scenes)}'
        )
    return name


# The parser


Commands = argparse._SubParsersAction  # the type has no public name


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

    _add_steps(commands)
    _add_others(commands)
    return parser


def _add_steps(commands: Commands) -> None:
    """The commands that make files of a scene, in the order in which they follow each other."""

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
    variants = ", ".join(f"{variant.name} ({variant.meaning})" for variant in TABLE.values())
    added = command(
        train,
        "train the static model or a variant",
        f"Variants: {variants}. Those that learn from the static model need `train static` first.",
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
        "look at models, cameras and points in a browser, until Ctrl-C",
        "Needs `prepare`; models are there once they are trained (`train`), clouds for the cameras that were rendered "
        "(`render`). Only who knows "
        "the address that it prints is served: it has a token of its own each time, and works on this machine alone.",
    )
    added.add_argument("variant", nargs="?", choices=VARIANTS, metavar="VARIANT", help="default: that of the video")
    added.add_argument("--port", type=int, default=8080, help="the next free one where it is taken (default: 8080)")


def _add_others(commands: Commands) -> None:
    """The commands that only look."""
    text = "compare results with their record (provenance.json): inputs, settings, outputs, versions, machine"
    status = "Status 0: inputs, settings and outputs are the same; 1: they are not."
    added = commands.add_parser(
        "verify", help=text, description=f"{text}. Reads every file that the record names. {status}"
    )
    added.set_defaults(run=verify)
    added.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="configuration to compare the settings with (default: config/config.yaml, where the scene is in it)",
    )
    added.add_argument("folder", type=Path, metavar="FOLDER", help="results/<scene>")
    added.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="compare its record with this other one instead, reading no results",
    )
    added.add_argument("--json", action="store_true", help="every difference, for programs")
    text = "what this machine lacks, and what scenes will cost"
    more = "Before anything is installed, Python 3.11 alone answers it: PYTHONPATH=src python3 -m mixdepth doctor"
    added = commands.add_parser("doctor", help=text, description=f"{text}. {more}", parents=[_scene_options()])
    added.set_defaults(run=doctor.answer)
    doctor.add_options(added)


def _scene_options() -> _Parser:
    """Options that may stand before and after the command."""
    options = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration; without it, the scene that prepare left in --results",
    )
    options.add_argument("--scene", metavar="NAME", help="which scene, where there are several")
    options.add_argument("--results", type=Path, metavar="DIR", help="folder of all results (default: results)")
    return options
