#!/usr/bin/env python3
"""Print a Markdown table of errors and confidences of `mixdepth.frames.sync.sync` on captures whose offsets are known.

.venv/bin/python benchmarks/sync.py [--data ../shared/data] [--geometry basketball room4 game]

A capture's cameras are different viewpoints, cut so that they are -7, 0 and +12 frames out of step (-2, 0 and +5 for
the 24 frames of arc8). Errors are to the most confident camera, in frames.

With --geometry, captures whose poses are given, at half their rate: one camera after the other is -7, 0, +12 and +3.5
frames out of step with all others (which have the even frames of the capture, and at 3.5 it has odd ones); and all are
at once.
"""

import argparse
import functools
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mixdepth.cameras.given import read_given
from mixdepth.demo import materials, render, scene
from mixdepth.demo.rig import HEIGHT, VIDEO_CAMERAS, WIDTH, pixel_rays
from mixdepth.demo.solids import FAR, Ball
from mixdepth.files.images import write_image
from mixdepth.frames.decode import picture_size, read_frames
from mixdepth.frames.encode import write_video
from mixdepth.frames.sync import sync
from mixdepth.frames.sync.sync import TRUSTED, Poses, estimate_offsets
from mixdepth.frames.timing import read_track

SHIFTS = (-7.0, 0.0, 12.0)
HALF_SHIFTS = (-7.0, 0.0, 12.0, 3.5)  # frames at half the rate
SMALL = 160  # pixels, the longer side: what sync looks at
FRAMES = 72
RATE = 12


def demo_movers(frame: float) -> tuple[Ball, ...]:
    """The demo's own motion, all of it in 72 frames: even and slow, which tells little about time."""
    return scene.movers(frame * (scene.FRAMES - 1) / (FRAMES - 1))


def lively_movers(frame: float) -> tuple[Ball, ...]:
    """The demo's ball and balloon at the demo's pace, but stopping and turning at times that do not repeat."""
    t = 2 * np.pi * frame
    x = 1.3 * np.sin(t / 53) + 0.5 * np.sin(t / 23 + 1)
    y = 0.85 + 0.2 * np.sin(t / 31) + 0.12 * np.sin(t / 13 + 2)
    ball = Ball((float(x), -0.94, -4.8), scene.rolled(materials.beach_ball, float(x) / 0.56), radius=0.56)
    z = 1.2 * np.sin(t / 61 + 2) + 0.5 * np.sin(t / 19)
    return ball, Ball((float(z), float(y), -5.2), scene.rolled(materials.balloon, 0.01 * frame), radius=0.38)


class DemoView:
    """A camera of the demo at one ray per pixel and half the size: a ninth of the time."""

    def __init__(self, name: str):
        self.origin, self.direction = self.rays = pixel_rays(VIDEO_CAMERAS[name], render.SUBPIXELS[render.MIDDLE])
        self.samples = render.see(self.rays, render.MIDDLE)
        self.still = render.developed([self.samples.light] * 9)

    def frame(self, balls: Iterable[Ball]) -> np.ndarray:
        """The picture with what moves, [H / 2, W / 2, 3] uint8."""
        picture, reach = self.still.copy(), np.zeros(len(self.still), bool)
        seen = [ball for ball in balls if (ball.hit(self.origin, self.direction) < self.samples.depth).any()]
        for ball in seen:
            reach |= replace(ball, radius=1.1 * ball.radius).hit(self.origin, self.direction) < FAR
            reach |= render.contact(self.samples, ball) < 1
        if seen:
            near = np.flatnonzero(reach)
            rays = self.origin, self.direction[:, near]
            _, light = render.add_movers(self.samples.at(near), rays, render.MIDDLE, tuple(seen))
            picture[near] = render.developed([light] * 9)
        return picture.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)


def demo_capture(
    folder: Path, movers: Callable[[float], tuple[Ball, ...]], offsets: Mapping[str, float], frames: int = FRAMES
) -> dict[str, Path]:
    """Videos of some of the demo's cameras, each showing at frame offset + t what happens at t."""
    paths = {}
    for name, offset in offsets.items():
        view = DemoView(name)
        paths[name] = folder / f"{name}.mp4"
        write_video((view.frame(movers(t - offset)) for t in range(frames)), paths[name], RATE)
    return paths


def cut_capture(folder: Path, cameras: Mapping[str, Path], shifts: Sequence[int], frames: int) -> dict[str, Path]:
    """Folders of links to the images of synchronous folders, cut so that the cameras are ``shifts`` out of step."""
    paths = {}
    for (name, path), shift in zip(cameras.items(), np.resize(shifts, len(cameras)), strict=True):
        files = sorted(path.iterdir())
        first = max(shifts) - int(shift)
        paths[name] = folder / name
        paths[name].mkdir(parents=True)
        for file in files[first : first + frames - (max(shifts) - min(shifts))]:
            (paths[name] / file.name).symlink_to(file.resolve())
    return paths


def pose2sim_capture(folder: Path, source: Path, shifts: Sequence[int]) -> dict[str, Path]:
    """The four videos, shrunk and cut."""
    paths = {}
    for shift, video in zip(np.resize(shifts, 4), sorted(source.glob("*.mp4")), strict=True):
        pictures = list(read_frames(video, range(100), (180, 320)))
        first = max(shifts) - int(shift)
        paths[video.stem] = folder / video.name
        write_video(pictures[first : first + 100 - (max(shifts) - min(shifts))], paths[video.stem], 60)
    return paths


def row(title: str, paths: Mapping[str, Path], shifts: Sequence[float], fps: float | None = None) -> str:
    """Estimate, and compare with the truth."""
    start = time.perf_counter()
    result = estimate_offsets(paths, fps, {})
    seconds = time.perf_counter() - start
    truth = dict(zip(paths, np.resize(shifts, len(paths)), strict=True))
    reference = result["reference"]
    errors, sure = [], []
    for name, camera in result["cameras"].items():
        if name != reference and camera["offset_frames"] is not None:
            errors.append(abs(camera["offset_frames"] - (truth[name] - truth[reference])))
            sure.append(camera["confidence"] >= TRUSTED)
    errors, sure = np.array(errors), np.array(sure, bool)
    confidence = np.array([camera["confidence"] for camera in result["cameras"].values()])
    cells = (
        title,
        len(paths),
        ", ".join(f"{shift:+g}" for shift in shifts),
        len(errors),
        f"{np.median(errors):.2f} / {errors.max():.2f}" if len(errors) else "-",
        f"{sure.sum()}: {errors[sure].max():.2f}" if sure.any() else "0",
        f"{np.median(confidence):.2f} ({confidence.min():.2f} to {confidence.max():.2f})",
        f"{seconds:.1f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def known_capture(data: Path, name: str, folder: Path) -> tuple[dict[str, list[Path]], Poses]:
    """Small pictures of each camera of a capture, written below ``folder``, and the cameras' lenses and poses."""
    if name == "basketball":
        source, poses, root = "panoptic", data / "panoptic_basketball", data / "panoptic_basketball/ims"
    else:
        source, poses, root = "transforms", data / name / "transforms.json", data / name / "videos"
    videos = {path.stem: path for path in sorted(root.iterdir())}
    sizes = {camera: picture_size(path) for camera, path in videos.items()}
    pictures = {}
    for camera, path in videos.items():
        (folder / camera).mkdir(parents=True)
        count, scale = read_track(path).frames, SMALL / max(sizes[camera])
        width, height = (round(side * scale) for side in sizes[camera])
        pictures[camera] = [folder / camera / f"{frame:04d}.png" for frame in range(count)]
        for file, picture in zip(pictures[camera], read_frames(path, range(count), (width, height)), strict=True):
            write_image(file, picture, "PNG")
    given = read_given(source, poses, {"cameras": sizes, "photos": {}}, {n: str(p) for n, p in videos.items()}, {})
    return pictures, {camera: (given.lenses["cameras"][camera], given.c2w["cameras"][camera]) for camera in videos}


def half_rate(folder: Path, pictures: Mapping[str, Sequence[Path]], offsets: Mapping[str, float]) -> dict[str, Path]:
    """Folders of links to every second picture: each shows at its offset what one without offset shows at 0."""
    latest, paths = math.ceil(max(offsets.values())), {}
    for camera, files in pictures.items():
        first = round(2 * (latest - offsets[camera]))
        paths[camera] = folder / camera / str(first)
        if not paths[camera].exists():
            paths[camera].mkdir(parents=True)
            for file in files[first::2]:
                (paths[camera] / file.name).symlink_to(file)
    return paths


def geometry_rows(name: str, data: Path, folder: Path) -> Iterable[str]:
    """A row for each shift of one camera after the other, and one where all are out of step at once."""
    pictures, poses = known_capture(data, name, folder / "pictures")
    still = dict.fromkeys(pictures, 0.0)
    cases = {f"{shift:+g}": [(camera, still | {camera: shift}) for camera in pictures] for shift in HALF_SHIFTS}
    mixed = dict(zip(pictures, np.resize(HALF_SHIFTS, len(pictures)).tolist(), strict=True))
    cases["all at once"] = [(camera, mixed) for camera in pictures]

    @functools.cache
    def estimated(offsets: tuple[tuple[str, float], ...]) -> dict:
        return estimate_offsets(half_rate(folder / "half", pictures, dict(offsets)), None, {}, poses)

    for title, shifted in cases.items():
        answered, errors, trusted, confidence = 0, [], [], []
        for camera, offsets in shifted:
            found = estimated(tuple(offsets.items()))
            apart = {
                n: abs(one["offset_frames"] - (offsets[n] - offsets[found["reference"]]))
                for n, one in found["cameras"].items()
                if one["offset_frames"] is not None
            }
            sure = [n for n in apart if found["cameras"][n]["confidence"] > TRUSTED]
            confidence.append(found["cameras"][camera]["confidence"])
            answered += camera in sure
            errors += [apart[camera]] if camera in apart else []
            trusted += [apart[n] for n in sure]
        cells = (
            name,
            len(pictures),
            title,
            f"{answered} of {len(shifted)}",
            f"{np.median(errors):.2f} / {max(errors):.2f}" if errors else "-",
            f"{max(trusted, default=0):.2f}",
            f"{np.median(confidence):.2f} ({min(confidence):.2f} to {max(confidence):.2f})",
        )
        yield "| " + " | ".join(map(str, cells)) + " |"


def signal_rows(data: Path) -> None:
    """The table without --geometry."""
    print("| capture | cameras | shifts | estimated | error, median / largest | trusted: largest | confidence | s |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for title, movers in (("demo, slowed to 72 frames", demo_movers), ("demo-like, 72 frames", lively_movers)):
            for shifts in (SHIFTS, (0.0, 12.0, -7.0), (0.0, 3.5, -7.0)):
                (folder / "demo").mkdir(exist_ok=True)
                offsets = dict(zip(VIDEO_CAMERAS, map(float, np.resize(shifts, 5)), strict=True))
                print(row(title, demo_capture(folder / "demo", movers, offsets), shifts), flush=True)
        if data.is_dir():
            arc8 = {path.name: path for path in sorted((data / "arc8/frames").iterdir())}
            print(row("arc8", cut_capture(folder / "arc8", arc8, (-2, 0, 5), 24), (-2, 0, 5)), flush=True)
            ims = {path.name: path for path in sorted((data / "panoptic_basketball/ims").iterdir())}
            for shifts in ((-7, 0, 12), (0, 0, 0)):
                paths = cut_capture(folder / f"ims{shifts[2]}", ims, shifts, 75)
                print(row("basketball", paths, shifts, 30.0), flush=True)
            for shifts in ((-7, 0, 12), (0, 0, 0)):
                (folder / "pose").mkdir(exist_ok=True)
                paths = pose2sim_capture(folder / "pose", data / "pose2sim", shifts)
                print(row("pose2sim", paths, shifts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--geometry", nargs="+", metavar="NAME", help="of these captures: basketball, room4, game")
    args = parser.parse_args()
    if args.geometry:
        print("| capture | cameras | shift | answered | error, median / largest | trusted: largest | confidence |")
        print("|---|---|---|---|---|---|---|")
        # The cameras that are in step are the same in most cases.
        sync.seen_signals = functools.cache(sync.seen_signals)
        for name in args.geometry:
            with tempfile.TemporaryDirectory() as temporary:
                for line in geometry_rows(name, args.data, Path(temporary)):
                    print(line, flush=True)
    else:
        signal_rows(args.data)


if __name__ == "__main__":
    main()
