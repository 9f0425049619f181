"""``python -m mixdepth doctor``: what this machine lacks, and what scenes will cost, before anything starts.

It needs nothing but a Python, of any version from 3.6 on: the standard library, and no syntax that is newer. Where the
packages are there it also reads the configuration and looks into the videos.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from mixdepth.compute import machine
from mixdepth.doctor.checks import PYTHON, ROOT, Finding, checks, has_module, size_text
from mixdepth.scene.sizes import photo_scale
from mixdepth.workflow.costs import Size, cost, jobs, scene_cost, size_of

TELL = "name its --config FILE, or tell a size: doctor --cameras 20 --frames 300 --size 1352x1014 --photos 40"
TELEPHONE = (4000, 3000)  # pixels of a photo of which nothing is known
DEMO = Path("data/demo")
SPARE = 1.1  # times the memory and disk that a scene is predicted to need should be there
SCALES = (0.75, 0.5, 0.35, 0.25, 0.15, 0.1)  # that are tried where a scene does not fit


class Scene(NamedTuple):
    """A scene and what it will cost; without a size, why nobody knows."""

    name: str
    size: Size
    assumed: str = ""  # what is not known of it
    problem: str = ""


def scenes(args):
    """The scenes that are asked for, or all that are known here, each a :class:`Scene`."""
    given = {"cameras": args.cameras, "frames": args.frames, "photos": args.photos, "scale": args.scale}
    given = {name: value for name, value in given.items() if value is not None}
    if args.size:
        given["width"], given["height"] = args.size
    if given:
        return [_described(args.scenes, given)]
    configured = _configured(args)
    if isinstance(configured, Scene):
        return [configured]
    there = sorted(path.parent.name for path in args.results.glob("*/capture.json"))
    if configured is not None:
        known = list(configured)
        return [
            _planned(configured, name, args.results) if name in known else _recorded(args.results / name)
            for name in args.scenes or known
        ]
    return [_recorded(args.results / name) for name in args.scenes or there]


def _described(names, given):
    """The scene that the options describe."""
    size = Size(**given)
    if size.photos:
        share = photo_scale(max(size.width, size.height), max(TELEPHONE), size.scale)
        size = size._replace(photo_width=TELEPHONE[0], photo_height=TELEPHONE[1], photo_scale=share)
        size = size._replace(variants=4, static=True)
    size = size._replace(held_out=min(1, size.cameras), variants=size.variants if size.cameras else 0)
    return Scene(names[0] if names else "as given", size, "default settings")


def _recorded(folder):
    """A scene of which only capture.json is known."""
    try:
        capture = json.loads((folder / "capture.json").read_text())
        cameras, photos = list(capture["cameras"].values()), list(capture["photos"].values())
        given = {"cameras": len(cameras), "photos": len(photos), "held_out": min(1, len(cameras))}
        given["frames"] = min([camera["frames"] for camera in cameras] or [0])
        for prefix, images in (("", cameras), ("photo_", photos)):
            sides = [(image["width"], image["height"]) for image in images]
            given[prefix + "width"], given[prefix + "height"] = max(sides, default=(0, 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        problem = TELL
        return Scene(folder.name, None, problem=problem)
    given["variants"] = (4 if photos else 2) if cameras else 0
    return Scene(folder.name, Size(static=bool(photos), **given), "default settings, all frames at full size")


def _configured(args):
    """The scenes of the configuration; None where this Python cannot read one, a :class:`Scene` where it is wrong."""
    path = args.config or Path("config/config.yaml")
    if sys.version_info < PYTHON or not all(map(has_module, ("yaml", "jsonschema"))) or not path.exists():
        return None
    from mixdepth.errors import UserError
    from mixdepth.scene.config import load_config
    from mixdepth.scene.schema import read_yaml

    try:
        return load_config(read_yaml(path), ROOT / "workflow/schemas/config.schema.yaml")
    except UserError as error:
        return Scene(str(path), None, problem=str(error))


def _planned(configured, name, results):
    """A scene of the configuration, from its capture.json, else from the headers of its files."""
    from mixdepth.errors import UserError

    try:
        scene = configured[name]
        try:
            return Scene(name, size_of(scene, json.loads((results / name / "capture.json").read_text())))
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


def _demo_capture():
    """What capture.json will hold of the demo, whose videos and photos the workflow makes itself."""
    from mixdepth.demo.rig import HEIGHT, PHOTO_CAMERAS, VIDEO_CAMERAS, WIDTH
    from mixdepth.demo.scene import FRAMES

    image = {"width": WIDTH, "height": HEIGHT, "frames": FRAMES}
    return {"cameras": dict.fromkeys(VIDEO_CAMERAS, image), "photos": dict.fromkeys(PHOTO_CAMERAS, image)}


def judge(scene, asked, cores, memory, free, gpus):
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
        f"{_described_size(size)}: about {_time(whole.seconds)} on {cores} core{'s' * (cores > 1)}"
        f"{' and a GPU, which is a guess' if size.cuda else ''},"
        f" {size_text(whole.memory_mb * 1e6)} of memory, {size_text(whole.bytes)} of disk"
    )
    found += f" ({scene.assumed})" if scene.assumed else ""
    if size.cuda and not gpus:
        return Finding(scene.name, "missing", found, "`device: cuda` is set and there is no GPU; set auto or cpu")
    if _fits(size, cores, memory, free):
        return Finding(scene.name, "ok", found)
    return Finding(scene.name, "warning", found, _advice(size, cores, memory, free))


def _fits(size, cores, memory, free):
    whole = scene_cost(size, cores)
    return (memory is None or SPARE * whole.memory_mb * 1e6 <= memory) and SPARE * whole.bytes <= free


def _advice(size, cores, memory, free):
    """What there is too little of, and what to do about it."""
    told, lower = [], []
    if not _fits(size, cores, None, free):
        told.append(f"more than the {size_text(free)} that are free")
        lower += ["`scale`", "`frames.count`"]
    if not _fits(size, cores, memory, float("inf")):
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


def _settings(rule):
    """The settings that the memory of a rule grows with."""
    if sys.version_info < PYTHON:
        return ["`scale`"]
    from mixdepth.workflow.out_of_memory import OTHERS, SETTINGS

    # What helps most comes first: memory follows the pixels.
    return [f"`{name}`" for name in sorted(SETTINGS.get(rule, OTHERS), key=lambda name: "scale" not in name)]


def table(size):
    """What every rule costs, as lines."""
    lines = [f"    {'rule':24}{'jobs':>5}{'memory':>10}{'time each':>12}{'disk each':>11}"]
    for rule, count in jobs(size).items():
        one = cost(rule, size)
        told = f"{size_text(one.memory_mb * 1e6):>10}{_time(one.seconds):>12}{size_text(one.bytes):>11}"
        lines.append(f"    {rule:24}{count:5}{told}")
    return lines


def _described_size(size):
    told = f"{size.cameras} cameras x {size.frames} frames of {size.width}x{size.height}" if size.cameras else ""
    told += f" at {size.scale:g} of the size" if told and size.scale != 1 else ""
    if size.photos:
        told += f"{', ' * bool(told)}{size.photos} photos of {size.photo_width}x{size.photo_height}"
    return told


# The command


def add_options(parser):
    """The options of ``doctor``; those of scenes (--config, --results) are the caller's."""
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="scenes to tell the costs of (default: all known)")
    parser.add_argument("--cameras", type=_number, metavar="N", help="in place of a capture: how many video cameras")
    parser.add_argument("--frames", type=_number, metavar="N", help="frames of each")
    parser.add_argument("--size", type=_pair, metavar="WxH", help="size of the videos, pixels")
    parser.add_argument("--photos", type=_number, metavar="N", help="how many photos")
    parser.add_argument("--scale", type=_share, metavar="S", help="the setting `scale`, above 0 to 1")
    parser.add_argument("--cores", type=_number, metavar="N", help="of --cores later (default: all there are)")
    parser.add_argument("--verbose", action="store_true", help="what every rule costs")
    parser.add_argument("--json", action="store_true", help="the same for programs")


def main(arguments=None):
    """Answer on the command line; the exit status: 1 where something is missing, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m mixdepth doctor", description="What this machine lacks, and what scenes will cost."
    )
    add_options(parser)
    text = "configuration (default: config/config.yaml)"
    parser.add_argument("--config", "--configfile", type=Path, metavar="FILE", help=text)
    parser.add_argument("--results", type=Path, metavar="DIR", default=Path("results"), help="folder of all results")
    return answer(parser.parse_args(arguments))


def answer(args):
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
        print("\n".join([one.line(width)] + (table(scene.size) if args.verbose and scene.size else [])))
    if not judged:
        print("  none is known; " + TELL)
    if lacking:
        print(f"To be mended first, from the top: {', '.join(lacking)}.")
    else:
        print("Nothing is missing" + ("; see the warning." if any(o.state == "warning" for o in every) else "."))
    return 1 if lacking else 0


def _cores(args):
    return args.cores or machine.cores()


def _judged(args):
    """Every scene with its line."""
    memory, gpus = machine.memory()[0], len(machine.gpus())
    free = shutil.disk_usage(str(machine.nearest_folder(args.results))).free
    found = []
    for scene in scenes(args):
        room = free + machine.used(args.results / scene.name)  # what is written already need not be written again
        found.append((scene, judge(scene, bool(args.scenes), _cores(args), memory, room, gpus)))
    return found


def _numbers(size, cores):
    """Size and costs of a scene for programs."""
    if size is None:
        return {}
    rules = {rule: {"jobs": count, **cost(rule, size)._asdict()} for rule, count in jobs(size).items()}
    return {"size": size._asdict(), "cores": cores, "cost": scene_cost(size, cores)._asdict(), "rules": rules}


# Words and values


def _time(seconds):
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def _number(text):
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _pair(text):
    if not re.match("[1-9][0-9]*x[1-9][0-9]*$", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1352x1014")
    return [int(part) for part in text.split("x")]


def _share(text):
    if not re.match(r"(0?\.[0-9]*[1-9][0-9]*|1(\.0*)?)$", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, at most 1")
    return float(text)
