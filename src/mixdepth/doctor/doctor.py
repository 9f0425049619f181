"""``python -m mixdepth doctor``: what this machine lacks, and what scenes will cost, before anything starts.

It needs nothing but Python's standard library. Where the packages are there it also reads the configuration and looks
into the videos.
"""

import argparse
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mixdepth.compute import machine
from mixdepth.doctor.checks import Finding, checks, has_module, size_text
from mixdepth.errors import UserError
from mixdepth.results import Results
from mixdepth.scene.quality import QUALITIES
from mixdepth.scene.sizes import photo_scale
from mixdepth.words import counted
from mixdepth.workflow.costs import Size, cost, jobs, scene_cost, size_of
from mixdepth.workflow.out_of_memory import OTHERS, SETTINGS

TELL = "name its --config FILE, or tell a size: doctor --cameras 20 --frames 300 --size 1352x1014 --photos 40"
TELEPHONE = (4000, 3000)  # pixels of a photo of which nothing is known
DEMO = Path("data/demo")
SPARE = 1.1  # times the memory and disk that a scene is predicted to need should be there
SCALES = (0.75, 0.5, 0.35, 0.25, 0.15, 0.1)  # that are tried where a scene does not fit


class Scene(NamedTuple):
    """A scene and what it will cost; without a size, why nobody knows."""

    name: str
    size: Size | None
    assumed: str = ""  # what is not known of it
    problem: str = ""


def scenes(args: argparse.Namespace) -> list[Scene]:
    """The scenes that are asked for, or all that are known here, each a :class:`Scene`."""
    given = {name: getattr(args, name) for name in ("cameras", "frames", "photos", "scale", "quality")}
    given = {name: value for name, value in given.items() if value is not None}
    if args.size:
        given["width"], given["height"] = args.size
    if given:
        return [_described(args.scenes, given)]
    configured = _configured(args)
    if isinstance(configured, Scene):
        return [configured]
    there = sorted(folder.name for folder in args.results.glob("*") if Results(folder).capture.exists())
    if configured is not None:
        known = list(configured)
        return [
            _planned(configured, name, args.results) if name in known else _recorded(args.results / name)
            for name in args.scenes or known
        ]
    return [_recorded(args.results / name) for name in args.scenes or there]


def _described(names: Sequence[str], given: Mapping[str, Any]) -> Scene:
    """The scene that the options describe."""
    size = Size(**given)
    if size.photos:
        share = photo_scale(max(size.width, size.height), max(TELEPHONE), size.scale)
        size = size._replace(photo_width=TELEPHONE[0], photo_height=TELEPHONE[1], photo_scale=share)
        size = size._replace(variants=4, static=True)
    size = size._replace(held_out=min(1, size.cameras), variants=size.variants if size.cameras else 0)
    return Scene(names[0] if names else "as given", size, "default settings")


def _recorded(folder: Path) -> Scene:
    """A scene of which only capture.json is known."""
    try:
        capture = json.loads(Results(folder).capture.read_text())
        cameras, photos = list(capture["cameras"].values()), list(capture["photos"].values())
        given: dict[str, Any] = {"cameras": len(cameras), "photos": len(photos), "held_out": min(1, len(cameras))}
        given["frames"] = min([camera["frames"] for camera in cameras] or [0])
        for prefix, images in (("", cameras), ("photo_", photos)):
            sides = [(image["width"], image["height"]) for image in images]
            given[prefix + "width"], given[prefix + "height"] = max(sides, default=(0, 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Scene(folder.name, None, problem=TELL)
    given["variants"] = (4 if photos else 2) if cameras else 0
    return Scene(folder.name, Size(static=bool(photos), **given), "default settings, all frames at full size")


def _configured(args: argparse.Namespace) -> Mapping[str, Any] | Scene | None:
    """The scenes of the configuration; None where nothing can read one, a :class:`Scene` where it is wrong."""
    path = args.config or Path("config/config.yaml")
    if not all(map(has_module, ("yaml", "jsonschema"))) or not path.exists():
        return None
    from mixdepth.scene.config import load_config
    from mixdepth.scene.schema import read_yaml

    try:
        return load_config(read_yaml(path))
    except UserError as error:
        return Scene(str(path), None, problem=str(error))


def _planned(configured: Mapping[str, Any], name: str, results: Path) -> Scene:
    """A scene of the configuration, from its capture.json, else from the headers of its files."""
    try:
        scene = configured[name]
        try:
            return Scene(name, size_of(scene, json.loads(Results(results / name).capture.read_text())))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            from mixdepth.frames.probe import probe_capture
        if scene.data == DEMO and not DEMO.exists():
            return Scene(name, size_of(scene, _demo_capture()))
        videos = {camera: Path(scene.cameras[camera]) for camera in scene.used_cameras}
        photos = {stem: Path(path) for stem, path in scene.photos.items()}
        capture = probe_capture(videos, photos, scene.options["frames"], scene.cameras)
        return Scene(name, size_of(scene, capture))
    except UserError as error:
        return Scene(name, None, problem=str(error))
    except ImportError as error:
        return Scene(name, None, problem=f"its files cannot be looked into, as {error.name} is not installed")


def _demo_capture() -> dict[str, Any]:
    """What capture.json will hold of the demo, whose videos and photos the workflow makes itself."""
    from mixdepth.demo.rig import HEIGHT, PHOTO_CAMERAS, VIDEO_CAMERAS, WIDTH
    from mixdepth.demo.scene import FRAMES

    image = {"width": WIDTH, "height": HEIGHT, "frames": FRAMES}
    return {"cameras": dict.fromkeys(VIDEO_CAMERAS, image), "photos": dict.fromkeys(PHOTO_CAMERAS, image)}


def judge(scene: Scene, asked: bool, cores: int, memory: float | None, free: float, gpus: int) -> Finding:
    """The line of one scene: what it costs, and what of it is not there.

    Args:
        asked: whether it was named; else it does no harm that its files are not here.
        cores: that the run may use.
        memory: bytes there are; None where nobody knows.
        free: bytes free on the disk of the results.
        gpus: number of GPUs.
    """
    if scene.size is None:
        return Finding(scene.name, "missing" if asked else "note", "its size is not known", scene.problem)
    size = scene.size
    whole = scene_cost(size, cores)
    found = (
        f"{_described_size(size)}: about {_time(whole.seconds)} on {counted(cores, 'core')}"
        f"{' and a GPU, which is a guess' if size.cuda else ''},"
        f" {size_text(whole.memory_mb * 1e6)} of memory, {size_text(whole.bytes)} of disk"
    )
    if scene.assumed:
        found += f" ({scene.assumed})"
    found += _others(size, cores)
    if size.cuda and not gpus:
        return Finding(scene.name, "missing", found, "`device: cuda` is set and there is no GPU; set auto or cpu")
    if _fits(size, cores, memory, free):
        return Finding(scene.name, "ok", found)
    return Finding(scene.name, "warning", found, _advice(size, cores, memory, free))


def _others(size: Size, cores: int) -> str:
    """What the other qualities would take, where they come to anything else."""
    times = {quality: _time(scene_cost(size._replace(quality=quality), cores).seconds) for quality in QUALITIES}
    own = times.pop(size.quality)
    others = ", ".join(f"{quality} {time}" for quality, time in times.items() if time != own)
    return f"; quality {size.quality}{f', else {others}' if others else ''}"


def _fits(size: Size, cores: int, memory: float | None, free: float) -> bool:
    whole = scene_cost(size, cores)
    return (memory is None or SPARE * whole.memory_mb * 1e6 <= memory) and SPARE * whole.bytes <= free


def _advice(size: Size, cores: int, memory: float | None, free: float) -> str:
    """What there is too little of, and what to do about it."""
    told, lower = [], []
    if not _fits(size, cores, None, free):
        told.append(f"more than the {size_text(free)} that are free")
        lower += ["`scale`", "`frames.count`"]
    if memory is not None and not _fits(size, cores, memory, float("inf")):
        fewer = [count for count in range(1, cores) if _fits(size, count, memory, free)]
        if fewer:
            return f"more memory than the {size_text(memory)} there is; it fits with --cores {fewer[-1]}"
        rule = max(jobs(size), key=lambda rule: cost(rule, size).memory_mb)
        told.append(f"more memory than the {size_text(memory)} there is, in {rule}")
        lower += _settings(rule)
    scales = [size.scale * share for share in SCALES]
    fitting = [scale for scale in scales if _fits(size._replace(scale=scale), cores, memory, free)]
    hint = f" (`scale: {fitting[0]:.2g}` would do)" if fitting else ""
    return f"{', and '.join(told)}; lower {' or '.join(dict.fromkeys(lower))}{hint}"


def _settings(rule: str) -> list[str]:
    """The settings that the memory of a rule grows with."""
    # What helps most comes first: memory follows the pixels.
    return [f"`{name}`" for name in sorted(SETTINGS.get(rule, OTHERS), key=lambda name: "scale" not in name)]


def table(size: Size) -> list[str]:
    """What every rule costs, as lines."""
    lines = [f"    {'rule':24}{'jobs':>5}{'memory':>10}{'time each':>12}{'disk each':>11}"]
    for rule, count in jobs(size).items():
        one = cost(rule, size)
        told = f"{size_text(one.memory_mb * 1e6):>10}{_time(one.seconds):>12}{size_text(one.bytes):>11}"
        lines.append(f"    {rule:24}{count:5}{told}")
    return lines


def _described_size(size: Size) -> str:
    parts = []
    if size.cameras:
        scaled = f" at {size.scale:g} of the size" if size.scale != 1 else ""
        parts.append(f"{size.cameras} cameras x {size.frames} frames of {size.width}x{size.height}{scaled}")
    if size.photos:
        parts.append(f"{size.photos} photos of {size.photo_width}x{size.photo_height}")
    return ", ".join(parts)


# The command


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``doctor``; those of scenes (--config, --results) are the caller's."""
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="scenes to tell the costs of (default: all known)")
    parser.add_argument("--cameras", type=_number, metavar="N", help="in place of a capture: how many video cameras")
    parser.add_argument("--frames", type=_number, metavar="N", help="frames of each")
    parser.add_argument("--size", type=_pair, metavar="WxH", help="size of the videos, pixels")
    parser.add_argument("--photos", type=_number, metavar="N", help="how many photos")
    parser.add_argument("--scale", type=_share, metavar="S", help="the setting `scale`, above 0 to 1")
    parser.add_argument("--quality", choices=QUALITIES, help="the setting `quality` (default: standard)")
    parser.add_argument("--cores", type=_number, metavar="N", help="of --cores later (default: all there are)")
    parser.add_argument("--verbose", action="store_true", help="what every rule costs")
    parser.add_argument("--json", action="store_true", help="the same for programs")


def main(arguments: list[str] | None = None) -> int:
    """Answer on the command line; the exit status: 1 where something is missing, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m mixdepth doctor", description="What this machine lacks, and what scenes will cost."
    )
    add_options(parser)
    text = "configuration (default: config/config.yaml)"
    parser.add_argument("--config", "--configfile", type=Path, metavar="FILE", help=text)
    parser.add_argument("--results", type=Path, metavar="DIR", default=Path("results"), help="folder of all results")
    return answer(parser.parse_args(arguments))


def answer(args: argparse.Namespace) -> int:
    """Look at everything and print it; the exit status."""
    found = checks(args.results)
    if not args.json:  # at once: looking into many videos takes a while
        print("\n".join(["This machine", *(one.line() for one in found), "Scenes"]), flush=True)
    judged = _judged(args)
    every = found + [one for _, one in judged]
    lacking = [one.name for one in every if one.state == "missing"]
    if args.json:
        told = [{**one._asdict(), **_numbers(scene.size, _cores(args))} for scene, one in judged]
        print(json.dumps({"ok": not lacking, "checks": [one._asdict() for one in found], "scenes": told}, indent=1))
        return 1 if lacking else 0
    width = max([8] + [len(scene.name) for scene, _ in judged])
    for scene, one in judged:
        print(one.line(width))
        if args.verbose and scene.size:
            print("\n".join(table(scene.size)))
    if not judged:
        print("  none is known; " + TELL)
    if lacking:
        print(f"To be mended first, from the top: {', '.join(lacking)}.")
    else:
        warned = any(one.state == "warning" for one in every)
        print("Nothing is missing; see the warning." if warned else "Nothing is missing.")
    return 1 if lacking else 0


def _cores(args: argparse.Namespace) -> int:
    return args.cores or machine.cores()


def _judged(args: argparse.Namespace) -> list[tuple[Scene, Finding]]:
    """Every scene with its line."""
    memory, gpus = machine.memory()[0], len(machine.gpus())
    free = shutil.disk_usage(machine.nearest_folder(args.results)).free
    found = []
    for scene in scenes(args):
        room = free + machine.used(args.results / scene.name)  # what is written already need not be written again
        found.append((scene, judge(scene, bool(args.scenes), _cores(args), memory, room, gpus)))
    return found


def _numbers(size: Size | None, cores: int) -> dict[str, Any]:
    """Size and costs of a scene for programs."""
    if size is None:
        return {}
    rules = {rule: {"jobs": count, **cost(rule, size)._asdict()} for rule, count in jobs(size).items()}
    return {"size": size._asdict(), "cores": cores, "cost": scene_cost(size, cores)._asdict(), "rules": rules}


# Words and values


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def _number(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _pair(text: str) -> list[int]:
    if not re.fullmatch("[1-9][0-9]*x[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1352x1014")
    return [int(part) for part in text.split("x")]


def _share(text: str) -> float:
    if not re.fullmatch(r"0?\.[0-9]*[1-9][0-9]*|1(\.0*)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, at most 1")
    return float(text)
