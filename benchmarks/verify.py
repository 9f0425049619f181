#!/usr/bin/env python3
"""How well the verification tells good cameras from bad: prints a Markdown table and the margin of every check.

.venv/bin/python benchmarks/verify.py [--seeds 5] [found given spoilt long broken basketball]

found: COLMAP's poses of four good captures. given: right poses of the same and of basketball. spoilt: given poses with
one mistake each. long: the 27 training cameras of basketball's 150 frames as the pipeline verifies them, right and with
each camera in turn turned, moved or swapped with its neighbour. broken: COLMAP on the demo with pictures that do not
belong. basketball: COLMAP without given poses, by pycolmap itself in the three ways of the data's README, and by the
steps of our own ladder. Minutes per seed, most of them for basketball (RANSAC on its look-alike panels); the groups can
run side by side, and `--seed` runs one.
"""

import argparse
import itertools
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# First: it sees to it that Pillow is imported before pycolmap.
from mixdepth.cameras.colmap import mapping as colmap  # isort: skip
from mixdepth.cameras.colmap import ladder, triangulation  # isort: skip
import av
import numpy as np
import pycolmap
from PIL import Image, ImageOps

from mixdepth.cameras.formats.llff import read_poses_bounds
from mixdepth.cameras.formats.panoptic import read_panoptic
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.cameras.tasks import camera_image, pictures_of
from mixdepth.cameras.verification.verify import Verification, verify
from mixdepth.files.io import read_npz
from mixdepth.frames.reference import write_references
from mixdepth.results import Reference
from mixdepth.scene.config import load_config

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
LOW_PEAK = 0.002  # of SIFT, that basketball's plain walls need
HELD_OUT = [f"cameras/cam{number:02d}.jpg" for number in (0, 10, 15, 30)]
RIGHT = 2.0  # degrees off the truth that a right pose may be
FIGURES = ("joint", "support", "prediction", "parallax")
Images = dict[str, Path]


@dataclass(frozen=True)
class Run:
    """One verification and what it should have said."""

    good: bool
    verification: Verification
    registered: str
    rotations: np.ndarray | None = None  # [N] degrees off the truth, where that is known


class Table:
    """Runs by case."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Run]] = defaultdict(list)

    def add(self, case: str, run: Run) -> None:
        self.runs[case].append(run)
        found = run.verification
        print(f"{case}: {found.verdict}, score {found.score:.2f}. {found.reason}", file=sys.stderr, flush=True)

    def show(self) -> None:
        head = ["case", "runs", "registered", "rotations off", "trusted", "score", *FIGURES]
        print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
        for case, runs in self.runs.items():
            right = sum(run.verification.trusted == run.good for run in runs)
            off = [run.rotations for run in runs if run.rotations is not None]
            row = [
                case, str(len(runs)), runs[0].registered,
                f"{np.median(np.concatenate(off)):.1f}, largest {max(map(max, off)):.1f}" if off else "",
                f"{sum(run.verification.trusted for run in runs)} of {len(runs)}{'' if right == len(runs) else ' (!)'}",
                span([run.verification.score for run in runs]),
                *(span(values(runs, name)) for name in FIGURES),
            ]  # fmt: skip
            print("| " + " | ".join(row) + " |")
        every = [run for runs in self.runs.values() for run in runs]
        good, bad = ([run for run in every if run.good is wanted] for wanted in (True, False))
        alarms, misses = sum(not r.verification.trusted for r in good), sum(r.verification.trusted for r in bad)
        print(f"\n{len(good)} good, {alarms} false alarms; {len(bad)} bad, {misses} missed.\n")
        self.show_margins(good, bad)

    def show_margins(self, good: Sequence[Run], bad: Sequence[Run]) -> None:
        """Per check, its limit, the worst good case, and the mildest of the bad cases that it flags."""
        print("| check | limit | worst good | mildest flagged | flagged |\n|---|---|---|---|---|")
        for name, worst, mildest in (("joint", min, max), ("prediction", max, min)):
            limit = next(c["limit"] for run in good + bad for c in run.verification.checks if c["name"] == name)
            flagged = [value for run in bad if (value := failed(run, name)) is not None]
            fine = values(good, name)
            print(
                f"| {name} | {limit:.3g} | {worst(fine) if fine else np.nan:.3g} | "
                f"{mildest(flagged) if flagged else np.nan:.3g} | {len(flagged)} |"
            )


def values(runs: Iterable[Run], name: str) -> list[float]:
    found = [check["value"] for run in runs for check in run.verification.checks if check["name"] == name]
    return [value for value in found if value is not None]


def failed(run: Run, name: str) -> float | None:
    """The value of a check that the run did not pass."""
    return next((c["value"] for c in run.verification.checks if c["name"] == name and not c["passed"]), None)


def span(found: Sequence[float]) -> str:
    if not found:
        return ""
    low, high = (f"{value:.3g}" for value in (min(found), max(found)))
    return low if low == high else f"{low} to {high}"


# Captures


def demo_images(work: Path) -> Images:
    images = {f"photos/{path.name}": path for path in sorted((ROOT / "data/demo/photos").glob("*.jpg"))}
    for path in sorted((ROOT / "data/demo/videos").glob("*.mp4")):
        target = work / f"{path.stem}.png"
        with av.open(str(path)) as video:
            next(video.decode(video=0)).to_image().save(target)
        images[f"cameras/{path.stem}.png"] = target
    return images


def capture(name: str, work: Path) -> Images:
    """The images of a good capture, by COLMAP name."""
    if name == "demo":
        return demo_images(work)
    if name == "arc8":
        frames = {f"cameras/{path.name}.png": path / "0001.png" for path in sorted((DATA / "arc8/frames").iterdir())}
        return frames | {f"photos/{path.name}": path for path in sorted((DATA / "arc8/plates").glob("*.png"))[1:]}
    if name == "basketball":
        folders = sorted((DATA / "panoptic_basketball/ims").iterdir(), key=lambda path: int(path.name))
        return {f"cameras/cam{int(path.name):02d}.jpg": path / "000000.jpg" for path in folders}
    folder = {"flame_steak5": "images", "fern": "images_4"}[name]
    return {f"photos/{path.name}": path for path in sorted((DATA / name / folder).glob("*.[jp][pn]g"))}


def given(name: str, images: Images) -> Model:
    """The right cameras: the truth, or what was published."""
    if name == "demo":
        truth = read_npz(ROOT / "data/demo/truth.npz")
        names = sorted(image for image in images if image.startswith("cameras/"))
        focal = float(truth["focal"])
        lens = Lens("PINHOLE", 320, 240, (focal, focal, 160.0, 120.0))
        return bare(dict.fromkeys(names, lens), dict(zip(names, truth["c2w_opencv"], strict=True)))
    if name == "basketball":
        posed = read_panoptic(DATA / "panoptic_basketball")
        found = {image: posed[Path(image).stem] for image in images}
    elif name == "arc8":
        rows = read_poses_bounds(DATA / "arc8/poses_bounds.npy", [f"cam{number:02d}" for number in range(8)])
        found = {image: rows[Path(image).stem] for image in images}
    else:
        found = read_poses_bounds(DATA / name / "poses_bounds.npy", sorted(images))
    lenses = {image: fit(posed.lens, images[image]) for image, posed in found.items()}
    return bare(lenses, {image: posed.c2w for image, posed in found.items()})


def fit(lens: Lens, path: Path) -> Lens:
    """A pinhole lens at the size of the image."""
    with Image.open(path) as image:
        width, height = image.size
    (fx, fy), (cx, cy) = lens.focal, lens.principal_point
    x, y = width / lens.width, height / lens.height
    return Lens("PINHOLE", width, height, (fx * x, fy * y, cx * x, cy * y))


def bare(lenses: Mapping[str, Lens], c2w: Mapping[str, np.ndarray]) -> Model:
    """A model without points."""
    none = np.zeros(0, int)
    return Model(dict(lenses), dict(c2w), np.zeros((0, 3)), np.zeros(0), none, none, np.zeros((0, 2)))


def subset(model: Model, names: Iterable[str]) -> Model:
    return replace(model, **{key: {name: getattr(model, key)[name] for name in names} for key in ("lenses", "c2w")})


def options(**changed: object) -> dict:
    """The defaults of the ``colmap`` section."""
    scenes = load_config({"scenes": {"x": {"data": str(ROOT)}}})
    return {**scenes._options["x"]["colmap"], **changed}


def climbers(
    images: Images, seeds: Sequence[int], known: Mapping[str, Lens] | None = None, **changed: object
) -> Iterator[tuple[int, ladder.Ladder]]:
    """A ladder per seed; what does not depend on the seed is computed once."""
    files = {name: [path] for name, path in images.items()}
    evidence: dict = {}
    for seed in seeds:
        climber = ladder.Ladder(files, options(seed=seed, **changed), {}, known or {})
        climber.evidence = {key: replace(value, geometries={}) for key, value in evidence.items()}
        yield seed, climber
        evidence = climber.evidence


def rotations_off(ours: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> np.ndarray:
    """Degrees between rotations, after the turn of the world that lets most cameras agree (that of one of them)."""
    names = sorted(set(ours) & set(truth))
    one, two = (np.array([poses[name][:3, :3] for name in names]) for poses in (ours, truth))
    best = np.full(len(names), 180.0)
    for a, b in zip(one, two, strict=True):
        trace = np.einsum("nij,nij->n", (b @ a.T) @ one, two)
        off = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
        best = off if np.median(off) < np.median(best) else best
    return best


# Groups


def found(table: Table, seeds: Sequence[int], work: Path) -> None:
    for name in ("flame_steak5", "fern", "arc8", "demo"):
        images = capture(name, work)
        truth = given(name, images).c2w
        for _, climber in climbers(images, seeds):
            attempt = climber.climb(next(climber.rungs()), images)
            table.add(f"{name}, COLMAP's poses", of_attempt(True, attempt, len(images), truth))


def of_attempt(good: bool, attempt: ladder.Attempt, count: int, truth: Mapping | None = None) -> Run:
    off = rotations_off(attempt.arrays.c2w, truth) if truth else None
    return Run(good, attempt.verification, f"{len(attempt.arrays.c2w)} of {count}", off)


def evidence(climber: ladder.Ladder, known_lenses: bool) -> tuple[dict[str, np.ndarray], colmap.Pairs]:
    """Key points and matches, verified without poses, at the configured settings."""
    pairs = colmap.inliers(climber.verified(known_lenses=known_lenses))
    return {name: features.uv for name, features in climber.gather().features.items()}, pairs


def right_poses(table: Table, seeds: Sequence[int], work: Path) -> None:
    for name, model, keypoints, pairs in posed(seeds, work):
        names = sorted(model.c2w)
        table.add(f"{name}, right poses", Run(True, verify(model, keypoints, pairs, names), f"{len(names)}"))
        if name == "basketball":
            names = sorted(set(names) - set(HELD_OUT))
            fewer = subset(model, names)
            table.add(f"{name}, 27 training cameras", Run(True, verify(fewer, keypoints, pairs, names), "27"))


def posed(seeds: Sequence[int], work: Path) -> Iterator[tuple[str, Model, dict[str, np.ndarray], colmap.Pairs]]:
    """Every capture with given cameras, with its key points and matches, per seed."""
    for name in ("flame_steak5", "fern", "arc8", "demo", "basketball"):
        images = capture(name, work)
        model = given(name, images)
        images = {image: images[image] for image in sorted(model.c2w)}
        changed = {"peak_threshold": LOW_PEAK} if name == "basketball" else {}
        for _, climber in climbers(images, seeds, model.lenses, **changed):
            yield name, model, *evidence(climber, known_lenses=True)


def spoilt(table: Table, seeds: Sequence[int], work: Path) -> None:
    for name, model, keypoints, pairs in posed(seeds[:1], work):
        if name == "arc8":  # a plate takes its camera's pose, so only the frames can be wrong alone
            model = subset(model, [image for image in model.c2w if image.startswith("cameras/")])
        for mistake, wrong in mistakes(model):
            table.add(f"{name}, {mistake}", Run(False, verify(wrong, keypoints, pairs, sorted(model.c2w)), ""))


def long(table: Table, seeds: Sequence[int], work: Path) -> None:
    """What does not depend on the poses is computed once: the task looks its poses up in ``cameras`` each time."""
    folders = sorted((DATA / "panoptic_basketball/ims").iterdir(), key=lambda path: int(path.name))
    folders = [path for path in folders if f"cameras/cam{int(path.name):02d}.jpg" not in HELD_OUT]
    posed = read_panoptic(DATA / "panoptic_basketball")
    images, cameras, references = {}, {}, []
    for folder in folders:
        name = f"cam{int(folder.name):02d}"
        write_references(folder, range(150), 3, work / name)
        references.append(work / name)
        images[camera_image(name)] = Reference(work / name).frames[1]
        cameras[camera_image(name)] = fit(posed[name].lens, images[camera_image(name)]), posed[name].c2w
    right = dict(cameras)
    for seed in seeds[:1]:
        settings = options(peak_threshold=LOW_PEAK, seed=seed)
        task = triangulation._Task(images, cameras, settings, pictures_of(images, references))
        table.add("basketball, 150 frames", Run(True, task.verify(), f"{len(images)}"))
        for name in images:
            for mistake, wrong in wrong_poses({image: pose for image, (_, pose) in right.items()}, name):
                cameras |= {image: (right[image][0], pose) for image, pose in wrong.items()}
                table.add(f"basketball, 150 frames, {mistake}", Run(False, task.verify(), ""))
                cameras |= right


def wrong_poses(poses: Mapping[str, np.ndarray], name: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """One camera turned by 3 degrees or moved by 5 % of the extent, along each of its axes, or swapped with the
    nearest: the poses that change."""
    pose, centres = poses[name], {image: c2w[:3, 3] for image, c2w in poses.items()}
    extent = max(np.linalg.norm(one - two) for one, two in itertools.combinations(centres.values(), 2))
    for axis in range(3):
        turned, moved = pose.copy(), pose.copy()
        turned[:3, :3] = pose[:3, :3] @ turn(axis, 3)
        moved[:3, 3] += 0.05 * extent * pose[:3, axis]
        yield "one turned by 3 degrees", {name: turned}
        yield "one moved by 5 % of the extent", {name: moved}
    other = min(set(poses) - {name}, key=lambda image: (np.linalg.norm(centres[image] - centres[name]), image))
    yield "one swapped with its neighbour", {name: poses[other], other: pose}


def mistakes(model: Model) -> Iterator[tuple[str, Model]]:
    """Given cameras with one mistake each."""
    names = sorted(model.c2w)
    centres = np.array([model.c2w[name][:3, 3] for name in names])
    extent = np.linalg.norm(centres[:, None] - centres, axis=-1).max()
    for name, axis in itertools.product({names[0], names[len(names) // 2], names[-1]}, range(3)):
        for degrees in (1, 3):
            turned = model.c2w[name].copy()
            turned[:3, :3] = turned[:3, :3] @ turn(axis, degrees)
            yield f"one camera turned by {degrees} degrees", with_poses(model, {name: turned})
        moved = model.c2w[name].copy()
        moved[:3, 3] += 0.05 * extent * moved[:3, axis]
        yield "one camera moved by 5 % of the extent", with_poses(model, {name: moved})
    for factor in (0.9, 1.1):
        for name in {names[0], names[len(names) // 2], names[-1]}:
            yield "one focal length 10 % off", with_focal(model, [name], factor)
        yield "all focal lengths 10 % off", with_focal(model, names, factor)
    one, two = names[1], names[2]
    orders = [
        [two if name == one else one if name == two else name for name in names],
        names[::-1],
        [*names[1:], names[0]],
    ]
    for order in orders:
        yield (
            "poses in a wrong order",
            with_poses(model, {name: model.c2w[other] for name, other in zip(names, order, strict=True)}),
        )


def turn(axis: int, degrees: float) -> np.ndarray:
    """A rotation about one of the camera's axes, [3, 3]."""
    one, two = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.eye(3)
    rotation[[one, two], [one, two]] = np.cos(np.radians(degrees))
    rotation[two, one] = np.sin(np.radians(degrees))
    rotation[one, two] = -rotation[two, one]
    return rotation


def with_poses(model: Model, c2w: Mapping[str, np.ndarray]) -> Model:
    return replace(model, c2w={**model.c2w, **c2w})


def with_focal(model: Model, names: Iterable[str], factor: float) -> Model:
    wrong = {}
    for name in names:
        fx, fy, cx, cy = model.lenses[name].params
        wrong[name] = replace(model.lenses[name], params=(factor * fx, factor * fy, cx, cy))
    return replace(model, lenses=model.lenses | wrong)


def broken(table: Table, seeds: Sequence[int], work: Path) -> None:
    images = capture("demo", work)

    def picture(path: Path, change: Callable[[Image.Image], Image.Image]) -> Path:
        target = work / f"broken{len(list(work.iterdir()))}.png"
        with Image.open(path) as image:
            change(image.convert("RGB")).save(target)
        return target

    def elsewhere(path: Path) -> Path:
        return picture(path, lambda image: ImageOps.fit(image, (320, 240)))

    fern, arc8, ball = (list(capture(name, work).values()) for name in ("fern", "arc8", "basketball"))
    cases = {
        f"two photos of {name} in the demo": {f"photos/other{i}.png": elsewhere(others[3 + i]) for i in (0, 1)}
        for name, others in (("fern", fern), ("arc8", arc8))
    }
    for photo in ("photos/photo01.jpg", "photos/photo05.jpg", "photos/photo09.jpg"):
        cases[f"demo, {photo} mirrored"] = {photo: picture(images[photo], ImageOps.mirror)}
    for name, others in (("fern", fern), ("arc8", arc8), ("basketball", ball)):
        cases[f"demo, cam02 shows {name}"] = {"cameras/cam02.png": elsewhere(others[5])}
    for case, changed in cases.items():
        mixed = images | changed
        for _, climber in climbers(mixed, seeds):
            attempt = climber.climb(next(climber.rungs()), mixed)
            table.add(case, of_attempt(False, attempt, len(mixed)))
            if not all(name in attempt.verification.reason for name in changed):
                print(f"{case}: NOT NAMED", file=sys.stderr)


def basketball(table: Table, seeds: Sequence[int], work: Path) -> None:
    images = capture("basketball", work)
    truth = given("basketball", images)
    (work / "cameras").mkdir()
    for name, path in images.items():
        shutil.copy(path, work / name)
    for seed, climber in climbers(images, seeds, truth.lenses, peak_threshold=LOW_PEAK):
        keypoints, pairs = evidence(climber, known_lenses=False)
        for way in ("default", "low threshold, guided", "low threshold, guided, intrinsics"):
            model = colmap.as_arrays(by_pycolmap(way, work, truth.lenses, seed))
            found = verify(model, keypoints, pairs, sorted(images))
            table.add(f"basketball, pycolmap: {way}", against_truth(model, found, truth))
    for _, climber in climbers(images, seeds, truth.lenses):
        for rung in climber.rungs():
            attempt = climber.climb(rung, images)
            if attempt:
                run = against_truth(attempt.arrays, attempt.verification, truth)
                table.add(f"basketball, our step: {rung.name}", run)


def against_truth(model: Model, found: Verification, truth: Model) -> Run:
    """A run that is good where every image has a pose within RIGHT degrees of the truth."""
    off = rotations_off(model.c2w, truth.c2w)
    good = len(off) == len(truth.c2w) and off.max() < RIGHT
    return Run(bool(good), found, f"{len(off)} of {len(truth.c2w)}", off)


def by_pycolmap(way: str, images: Path, lenses: Mapping[str, Lens], seed: int) -> pycolmap.Reconstruction:
    """COLMAP's own pipeline: the model with most images."""
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    extraction.num_threads = matching.num_threads = 1
    extraction.use_gpu = matching.use_gpu = False
    if way != "default":
        extraction.sift.peak_threshold, matching.guided_matching = LOW_PEAK, True
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    mapping = colmap.pipeline_options(seed)
    mapping.min_model_size = 2
    known = "intrinsics" in way
    mapping.ba_refine_focal_length = mapping.ba_refine_extra_params = not known
    mode = pycolmap.CameraMode.PER_IMAGE if known else pycolmap.CameraMode.SINGLE
    reader = pycolmap.ImageReaderOptions(camera_model="PINHOLE" if known else "SIMPLE_RADIAL")
    pycolmap.set_random_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "database.db"
        pycolmap.extract_features(path, images, sorted(lenses), mode, reader, extraction, pycolmap.Device.cpu)
        if known:
            database = pycolmap.Database.open(path)
            for image in database.read_all_images():
                camera = database.read_camera(image.camera_id)
                camera.params, camera.has_prior_focal_length = list(lenses[image.name].params), True
                database.update_camera(camera)
            database.close()
        pycolmap.match_exhaustive(path, matching, verification_options=verification, device=pycolmap.Device.cpu)
        models = pycolmap.incremental_mapping(path, images, folder, mapping)
    return max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()))


GROUPS = {
    "found": found, "given": right_poses, "spoilt": spoilt, "long": long, "broken": broken, "basketball": basketball,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="what to run; all without")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds")
    parser.add_argument("--seed", type=int, help="this seed alone")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds) if arguments.seed is None else [arguments.seed]
    table = Table()
    for group in arguments.groups or GROUPS:
        with tempfile.TemporaryDirectory() as work:
            GROUPS[group](table, seeds, Path(work))
    table.show()


if __name__ == "__main__":
    main()
