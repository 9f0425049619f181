"""The cameras stages as the workflow calls them: structure from motion, camera files, triangulation, depth, export.

In COLMAP's models the image of video camera ``cam01`` is "cameras/cam01.png", that of a photo "photos/<file name>".
Parameters after the star are files, named as in mixdepth/workflow/stages.py: ``references`` the folders of the cameras'
reference images, ``model`` the files of a COLMAP model, all in one folder.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

# Before numpy and everything else: it sees to it that Pillow is imported before pycolmap.
from mixdepth.cameras.colmap import ladder, mapping, steady, triangulation  # isort: skip
from mixdepth.cameras.colmap.moments import Picture  # isort: skip
import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras, moved, save_cameras
from mixdepth.cameras.export import export_cameras
from mixdepth.cameras.formats.llff import write_poses_bounds
from mixdepth.cameras.given import read_given, read_lenses
from mixdepth.cameras.lens import Lens, load_lenses, save_lenses
from mixdepth.cameras.model import Model
from mixdepth.cameras.space import FAR_PAD, NEAR_PAD, choose_space, shared_bounds
from mixdepth.cameras.sparse_depth import FEWEST, MANY_VIEWS, SparseDepth, depth_bounds, sparse_depth
from mixdepth.cameras.world import world_transform
from mixdepth.errors import CaptureError, ConfigurationError
from mixdepth.files.images import image_size, read_image
from mixdepth.files.io import atomic_folder, read_json, read_npz, write_json, write_npz
from mixdepth.files.shapes import BOUNDS, VERIFICATION, WORLD
from mixdepth.results import Reference, depth_file, photo_depth_file
from mixdepth.scene.scene import Scene
from mixdepth.scene.sizes import photo_scale

GROUPS = ("cameras", "photos")
# A file's near and far are wrong where this share of the triangulated depths lies outside, or where they are this many
# times the depths' own: placeholders and another unit are, those of another run of COLMAP are not.
OUTSIDE, TIMES = 0.05, 4.0
NOTHING = SparseDepth(np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0, int))
Size = tuple[int, int]  # (width, height), pixels
Bounds = dict[str, tuple[float, float]]  # name to (near, far), world units


def camera_image(name: str) -> str:
    """COLMAP's name for the image of a video camera."""
    return f"cameras/{name}.png"


def photo_image(path: str | Path) -> str:
    """COLMAP's name for a photo."""
    return f"photos/{Path(path).name}"


def image_names(scene: Scene, cameras: Iterable[str], photos: Iterable[str]) -> dict[str, dict[str, str]]:
    """COLMAP's names of the images of these cameras and photos, by group and name."""
    return {
        "cameras": {name: camera_image(name) for name in cameras},
        "photos": {stem: photo_image(scene.photos[stem]) for stem in photos},
    }


def _load(cameras: Path, photos: Path) -> dict[str, dict[str, Camera]]:
    """The cameras of videos and photos, by group and name; what COLMAP left out is not in them."""
    return {"cameras": load_cameras(cameras), "photos": load_cameras(photos)}


def _posed(
    scene: Scene, loaded: Mapping[str, Mapping[str, Camera]], cameras: Iterable[str], photos: Iterable[str]
) -> dict[str, dict[str, tuple[str, Camera]]]:
    """COLMAP's name of the image, and the camera, of those of these cameras and photos that have a pose, by group and
    name."""
    return {
        group: {name: (image, loaded[group][name]) for name, image in images.items() if name in loaded[group]}
        for group, images in image_names(scene, cameras, photos).items()
    }


def structure_from_motion(scene: Scene, *, references: Sequence[Path], model: Sequence[Path], report: Path) -> None:
    """One COLMAP model of all video cameras and all photos, and how it was come by.

    Args:
        scene: the scene and its settings (``colmap``, ``poses.intrinsics``, ``poses.allow_missing``).

    Raises:
        UserError: an image that may not be left out could not be registered (it is named, with its matches), or is
            unreadable.
    """
    of = _by_camera(references)
    candidates = {camera_image(name): [of[name].plate, *of[name].frames] for name in scene.used_cameras}
    candidates |= {photo_image(path): [Path(path)] for path in scene.photos.values()}
    masks = {camera_image(name): of[name].moving for name in scene.used_cameras}
    known = {}
    if scene.intrinsics_path:
        sizes = {name: image_size(candidates[camera_image(name)][0]) for name in scene.used_cameras}
        known = {camera_image(name): lens for name, lens in read_lenses(scene.intrinsics_path, sizes).items()}
    optional = set(candidates) - {camera_image(name) for name in scene.test_cameras}
    optional -= {photo_image(scene.photos[stem]) for stem in scene.test_photos}
    found = ladder.run_sfm(
        candidates,
        model[0].parent,
        scene.config.colmap.as_mapping(),
        masks=masks,
        known=known,
        optional=optional if scene.config.poses.allow_missing else (),
    )
    _check_steady(found["verification"], scene, scene.used_cameras, references)
    write_json(report, found)


def _check_steady(report: dict, scene: Scene, names: Iterable[str], references: Sequence[Path]) -> None:
    """Add to a verification, in place, whether these video cameras stand still; where one does not, no pose is right
    for all of its frames, and it is contradicted."""
    of = _by_camera(references)
    moves = steady.find_moves({camera_image(n): of[n].moments for n in names}, scene.config.colmap.as_mapping())
    worst = max((move.share for move in moves.values()), default=0.0)
    meaning = (
        "how far a camera's picture goes between its first, middle and last frames, share of the diagonal: the worst"
    )
    check = {"name": "steady", "value": worst, "limit": steady.LIMIT, "passed": not moves, "meaning": meaning}
    report["checks"] = [*report["checks"], check]
    if moves:
        told = " ".join(f"{name} {move}." for name, move in moves.items())
        told += " Cameras must not move: leave it out, or select frames before or after that (`frames`)."
        before = "" if report["verdict"] == "trusted" else f" {report['reason']}"
        report |= {"verdict": "contradicted", "score": 0.0, "reason": told + before}
        alone = {name: {**report["images"].get(name, {}), "score": 0.0, "reason": str(m)} for name, m in moves.items()}
        report["images"] = {**report["images"], **alone}


def _by_camera(folders: Sequence[Path]) -> dict[str, Reference]:
    """Reference images by camera. The plate is the first to try: it shows what stands still, and most of all if people
    walk through the frames."""
    return {folder.name: Reference(folder) for folder in folders}


def write_cameras(
    scene: Scene,
    capture: Mapping,
    *,
    cameras: Path,
    photos: Path,
    lenses: Path,
    world: Path,
    sfm_model: Sequence[Path] = (),
) -> None:
    """Write the cameras of videos and photos, scaled to the size that trains, the lenses of the originals, the world.

    Args:
        scene: the scene and its settings (``poses.source``, ``poses.path``, ``world``, ``scale``, ``photo_scale``).
        capture: what capture.json holds: the original sizes of the cameras and photos in use.
        sfm_model: the files of COLMAP's model, where it found the cameras.

    Raises:
        UserError: given cameras that do not fit the capture, or a camera or photo without a pose.
    """
    sizes: dict[str, dict[str, Size]] = {
        group: {name: (entry["width"], entry["height"]) for name, entry in capture[group].items()} for group in GROUPS
    }
    source = scene.config.poses.source
    bounds: dict[str, Bounds] = {group: {} for group in GROUPS}
    if scene.poses_given:
        turned = {group: {name: entry.get("rotation", 0) for name, entry in capture[group].items()} for group in GROUPS}
        ratios = {n: entry["pixel_ratio"] for n, entry in capture["cameras"].items() if "pixel_ratio" in entry}
        assert scene.poses_path is not None  # asked for where cameras are given only
        given = read_given(source, scene.poses_path, sizes, scene.cameras, scene.photos, turned, ratios)
        bounds = given.bounds
        for note in given.notes:
            print(f"note: {note}", file=sys.stderr)
        found, poses = given.lenses, given.c2w
    else:
        found, poses = _from_model(scene, sizes, sfm_model[0].parent)
    transform, origin, reason = world_transform(poses, scene.config.world.as_mapping(), source)
    scales = {"cameras": scene.config.scale, "photos": _photo_scale(scene, sizes)}
    for group, output in zip(GROUPS, (cameras, photos), strict=True):
        posed = {n: (lens, transform.apply_pose(poses[group][n])) for n, lens in found[group].items()}
        save_cameras(output, {n: _scaled(*one, scales[group]) for n, one in posed.items()})
    save_lenses(lenses, found)
    unit = transform.scale
    matrices = {"rotation": transform.rotation.tolist(), "translation": transform.translation.tolist()}
    scaled = {group: {n: (near * unit, far * unit) for n, (near, far) in own.items()} for group, own in bounds.items()}
    write_json(world, {"reason": reason, "scale": unit, **matrices, "origin": origin.tolist(), "bounds": scaled})


def write_sparse(
    scene: Scene,
    *,
    cameras: Path,
    photos: Path,
    lenses: Path,
    references: Sequence[Path],
    model: Sequence[Path],
    plates: Sequence[Path],
    report: Path,
    sfm_report: Path | None = None,
) -> None:
    """Triangulate points with the cameras fixed, from images that may train and from nothing else; write ``report``:
    whether the cameras can be trusted.

    Into ``model`` go the points of several moments, movers included, into ``plates`` those of what stands still.

    COLMAP's cameras were verified, held-out ones too, where they were found (``sfm_report``); given ones are verified
    here.
    """
    images, posed = _posed_images(scene, scene.train_cameras, cameras, photos, lenses, references)
    options, pictures = scene.config.colmap.as_mapping(), pictures_of(images, references)
    verification = triangulation.triangulate(images, posed, model[0].parent, options, pictures, still=plates[0].parent)
    found, steps = asdict(verification), None
    if sfm_report:
        steps = read_json(sfm_report, {"verification": VERIFICATION})
        found = steps.pop("verification")
    else:
        _check_steady(found, scene, scene.train_cameras, references)
    write_json(report, {"source": scene.config.poses.source, **found, "ladder": steps})
    _tell(found)


def verify_held_out(
    scene: Scene, *, cameras: Path, photos: Path, lenses: Path, references: Sequence[Path], output: Path
) -> None:
    """Check the given poses of the held-out cameras together with the training images; write what was found.

    Raises:
        UserError: they contradict what the images show, and ``poses.trust`` is not set.
    """
    images, posed = _posed_images(scene, scene.used_cameras, cameras, photos, lenses, references)
    held_out, options = {camera_image(name) for name in scene.test_cameras}, scene.config.colmap.as_mapping()
    # All images: where panels look alike, false matches of a held-out image are outvoted by its neighbours only.
    report = asdict(triangulation.check_poses(images, posed, options, pictures_of(images, references)))
    report["images"] = {name: value for name, value in report["images"].items() if name in held_out}
    _check_steady(report, scene, scene.test_cameras, references)
    _tell(report)
    _refuse_distrusted(report, {"contradicted"}, scene, "")
    write_json(output, report)


def write_held_out_points(
    scene: Scene, *, cameras: Path, photos: Path, lenses: Path, references: Sequence[Path], output: Path
) -> None:
    """Write the points that stand still and that each held-out camera itself sees, for scoring alone
    (<camera>.npz, as the sparse depth of those that train).

    They are triangulated from held-out and training images together, with the cameras fixed; nothing that trains may
    read them.
    """
    images, posed = _posed_images(scene, scene.used_cameras, cameras, photos, lenses, references)
    found = triangulation.triangulated(images, posed, scene.config.colmap.as_mapping())
    points = mapping.as_arrays(found).without_strays()
    held_out = dict(_posed(scene, _load(cameras, photos), scene.test_cameras, [])["cameras"].values())
    seen = sparse_depth(points.subset(_still(points, references)), held_out)
    with atomic_folder(output) as folder:
        for name in scene.test_cameras:
            _write_camera_depth(depth_file(folder, name), seen.get(camera_image(name), NOTHING))


def _tell(report: Mapping) -> None:
    print(f"verification of the cameras: {report['verdict']}, score {report['score']:.2f}: {report['reason']}")


def _posed_images(
    scene: Scene, names: list[str], cameras: Path, photos: Path, lenses: Path, references: Sequence[Path]
) -> tuple[dict[str, Path], dict[str, tuple[Lens, np.ndarray]]]:
    """Image file and (lens, c2w), by COLMAP's name, of the video cameras ``names`` and the photos that train; those
    without a pose are left out.

    Videos show one moment, the middle one of their reference frames, with all that moves in it: near and far must hold
    the movers too, and at one moment they are as rigid as the rest.
    """
    known, of = load_lenses(lenses), _by_camera(references)
    images: dict[str, Path] = {}
    found: dict[str, tuple[Lens, np.ndarray]] = {}
    for group, own in _posed(scene, _load(cameras, photos), names, scene.train_photos).items():
        for name, (image, camera) in own.items():
            moments = of[name].frames if group == "cameras" else [Path(scene.photos[name])]
            images[image] = moments[len(moments) // 2]
            found[image] = known[group][name], camera.c2w
    return images, found


def pictures_of(images: Mapping[str, Path], references: Sequence[Path]) -> dict[str, list[Picture]]:
    """By COLMAP's name, what points come from: of a video the plate, the moment of ``images``, and others."""
    found = {name: [Picture(path)] for name, path in images.items()}
    for camera, own in _by_camera(references).items():
        if (name := camera_image(camera)) in images:
            moments = [Picture(path, own.moving_at(number), number) for number, path in own.moments.items()]
            moments.sort(key=lambda picture: picture.path != images[name])
            found[name] = [Picture(own.plate, own.unsure), *moments]
    return found


def _refuse_distrusted(report: Mapping, verdicts: set[str], scene: Scene, where: str) -> None:
    """Raise a UserError where the verdict on the cameras is one of ``verdicts``, unless the user overrides it."""
    if report["verdict"] not in verdicts:
        return
    told = f"scene {scene.name}: the cameras are not to be trusted (score {report['score']:.2f}): {report['reason']}"
    if scene.config.poses.trust:
        print(f"warning: {told} Going on, because `poses.trust` is set.", file=sys.stderr)
        return
    raise CaptureError(
        f"{told}{where} Nothing was trained. Mend the images or poses it names (leave images out with `cameras` and "
        "`exclude_photos`, add photos in between, give the cameras with `poses.source`), or set `poses: {trust: true}` "
        "to go on all the same."
    )


def write_depth(
    scene: Scene,
    *,
    cameras: Path,
    photos: Path,
    world: Path,
    model: Sequence[Path],
    plates: Sequence[Path],
    report: Path,
    output: Path,
    bounds: Path,
    poses_bounds: Path,
) -> None:
    """Write what training cameras and photos see of the points that stand still (a file each in the folder ``output``,
    and one for all photos), every camera's near and far (``bounds``; movers count), and ``poses_bounds``.

    This is the gate: where the cameras are not trusted, nothing goes on.

    Raises:
        UserError: the cameras are not trusted, or near and far are neither given nor can be found.
    """
    stops = {"contradicted"} if scene.poses_given else {"contradicted", "unproven"}
    _refuse_distrusted(read_json(report, VERIFICATION), stops, scene, f" Image by image: {report}.")
    loaded = _load(cameras, photos)
    points = mapping.read_model(model[0].parent).without_strays()
    posed = _posed(scene, loaded, scene.train_cameras, sorted(scene.train_photos))
    training = dict(pair for own in posed.values() for pair in own.values())
    every = sparse_depth(points, training)
    seen = sparse_depth(mapping.read_model(plates[0].parent).without_strays(), training)
    with atomic_folder(output) as folder:
        for name in scene.train_cameras:
            _write_camera_depth(depth_file(folder, name), seen.get(camera_image(name), NOTHING))
        _write_photo_depth(photo_depth_file(folder), {n: seen[image] for n, (image, _) in posed["photos"].items()})

    given, source = read_json(world, WORLD)["bounds"], "sparse points"
    seen_by = {group: {n: every[image] for n, (image, _) in own.items()} for group, own in posed.items()}
    found = {group: depth_bounds(own, seen_by[group], points) for group, own in loaded.items()}
    told = {group: _believed(scene, own, seen_by[group], given[group]) for group, own in found.items()}
    if all(name in told[group] for group, own in loaded.items() for name in own):
        source = "given file"
    elif shared := _shared_bounds(scene, posed, points):
        source = "shared frusta"
        found = {group: {name: shared.get((group, name)) for name in own} for group, own in loaded.items()}
    ranges = {group: _bounds(scene, own | told[group]) for group, own in found.items()}
    write_json(bounds, {**ranges, "source": source})
    group = "cameras" if loaded["cameras"] else "photos"
    write_poses_bounds(poses_bounds, loaded[group], ranges[group])


def write_space(
    scene: Scene, *, cameras: Path, photos: Path, world: Path, bounds: Path, depth: Path, output: Path
) -> None:
    """Choose the space from every camera and photo of ``scene`` that trains or is rendered and has a pose; write it.

    Args:
        world: what coordinates outside have more than ours.
        depth: the folder of the sparse depth behind ``bounds``, whose points the reason counts.
    """
    ranges, loaded = read_json(bounds, BOUNDS), _load(cameras, photos)
    train = _posed(scene, loaded, scene.train_cameras, scene.train_photos)
    test = _posed(scene, loaded, scene.test_cameras, scene.test_photos)
    posed = [camera for part in (train, test) for own in part.values() for _, camera in own.values()]
    seen = [tuple(ranges[group][name]) for group, own in train.items() for name in own]
    files = [*(depth_file(depth, name) for name in scene.train_cameras), photo_depth_file(depth)]
    count = sum(len(read_npz(file)["z"]) for file in files)
    source = {"shared frusta": "two and more of them", "given file": "as the file of poses has it"}
    said = source.get(ranges.get("source", ""), f"{count} sparse depths")
    config = scene.config
    chosen = choose_space(posed, seen, config.space, config.near, config.far, said)
    replace(chosen, origin=read_json(world, WORLD)["origin"]).save(output)


def _still(points: Model, references: Sequence[Path]) -> np.ndarray:
    """Which points stand still, [P] bool: those that no video camera sees where its mask says that something moves."""
    masks = {camera_image(name): one.moving for name, one in _by_camera(references).items()}
    still = np.ones(len(points.points), bool)
    for index, name in enumerate(sorted(points.lenses)):
        if name in masks:
            moving = read_image(masks[name])[..., 0] > 0
            here = points.track_image == index
            column, row = np.clip(points.track_uv[here].astype(int), 0, np.array(moving.shape[::-1]) - 1).T
            still[points.track_point[here][moving[row, column]]] = False
    print(f"sparse depth: {int((~still).sum())} of {len(still)} points lie where something moves and are left out")
    return still


def export(
    scene: Scene,
    *,
    cameras: Path,
    photos: Path,
    lenses: Path,
    world: Path,
    bounds: Path,
    model: Sequence[Path],
    poses_bounds: Path,
    transforms: Path,
    colmap: Sequence[Path],
) -> None:
    """Write the cameras of the original images as poses_bounds.npy, transforms.json and a COLMAP model with the sparse
    points; print what each format cannot hold."""
    posed = _posed(scene, _load(cameras, photos), scene.used_cameras, scene.photos)
    origin = np.array(read_json(world, WORLD)["origin"])
    c2w = {
        group: {name: moved(camera.c2w, origin) for name, (_, camera) in own.items()} for group, own in posed.items()
    }
    images = {group: {name: image for name, (image, _) in own.items()} for group, own in posed.items()}
    known, ranges, points = load_lenses(lenses), read_json(bounds, BOUNDS), mapping.read_model(model[0].parent)
    points = replace(points, points=points.points + origin)
    for line in export_cameras(known, c2w, ranges, images, transforms.parent, points):
        print(f"export: {line}", file=sys.stderr)


def _photo_scale(scene: Scene, sizes: Mapping[str, Mapping[str, Size]]) -> float:
    """The configured scale of photos, else that of :func:`mixdepth.scene.sizes.photo_scale`."""
    sides = {group: max((side for size in sizes[group].values() for side in size), default=0) for group in GROUPS}
    return scene.config.photo_scale or photo_scale(sides["cameras"], sides["photos"], scene.config.scale)


def _scaled(lens: Lens, c2w: np.ndarray, scale: float) -> Camera:
    """The pinhole camera after undistortion: the lens's own pinhole part, at ``scale`` times its size."""
    camera = Camera(lens.width, lens.height, *lens.focal, *lens.principal_point, c2w)
    return camera.resized(max(1, round(lens.width * scale)), max(1, round(lens.height * scale)))


def _from_model(scene: Scene, sizes: Mapping[str, Mapping[str, Size]], path: Path) -> tuple[dict, dict]:
    """Lenses and c2w, by group and name, of COLMAP's model; what it was allowed to leave out is not in them."""
    model = mapping.read_model(path)
    lenses: dict[str, dict[str, Lens]] = {group: {} for group in GROUPS}
    poses: dict[str, dict[str, np.ndarray]] = {group: {} for group in GROUPS}
    for group, names in image_names(scene, scene.used_cameras, scene.photos).items():
        for name, image in names.items():
            if image not in model.lenses:
                print(f"warning: {image} has no pose and is left out", file=sys.stderr)
                continue
            lens = model.lenses[image]
            if (lens.width, lens.height) != sizes[group][name]:
                raise CaptureError(
                    f"{path}: image {image} is {lens.width}x{lens.height} pixels, but the capture has "
                    f"{sizes[group][name][0]}x{sizes[group][name][1]}; delete the folder to run COLMAP again."
                )
            lenses[group][name], poses[group][name] = lens, model.c2w[image]
    return lenses, poses


def _shared_bounds(
    scene: Scene, posed: Mapping[str, Mapping[str, tuple[str, Camera]]], points: Model
) -> dict[tuple[str, str], tuple[float, float] | None]:
    """By group and name, what given cameras that train share of their frusta, where there are next to no ``points`` of
    which near and far could be had (of two views they may be chance matches); a warning says so. Else nothing."""
    training = {(group, name): camera for group, own in posed.items() for name, (_, camera) in own.items()}
    count = int((points.views >= min(MANY_VIEWS, len(training))).sum())
    if not scene.poses_given or count >= FEWEST * len(training):
        return {}
    found = dict(zip(training, shared_bounds(list(training.values())), strict=True))
    if not any(found.values()):
        return {}
    told = f"warning: scene {scene.name}: only {count} points are sure, of {len(training)} images"
    if scene.config.near is None or scene.config.far is None:
        told += (
            ", so near and far are those of the part of space that two and more of the given cameras look at. Set "
            "`near` and `far` (world units) where you know better"
        )
    print(f"{told}.", file=sys.stderr)
    return found


def _bounds(scene: Scene, found: Mapping[str, tuple[float, float] | None]) -> Bounds:
    """(near, far) of each camera: the configuration's, else what was ``found``.

    A camera of which nothing was found takes the widest range of the others.
    """
    near, far = scene.config.near, scene.config.far
    known = [value for value in found.values() if value is not None]
    if found and not known and (near is None or far is None):
        raise CaptureError(
            f"scene {scene.name}: no point could be triangulated, and no two cameras look at the same place, so how "
            "near and far things are is unknown. Set `near` and `far` (world units) in the scene's configuration, or "
            "lower `colmap.peak_threshold`."
        )
    # Where none is known, both are configured, and the widest range is not looked at.
    widest = min((low for low, _ in known), default=0.0), max((high for _, high in known), default=0.0)
    result: Bounds = {}
    for name, value in found.items():
        low, high = value or widest
        result[name] = (near if near is not None else low, far if far is not None else high)
        if not 0 < result[name][0] < result[name][1]:
            raise ConfigurationError(
                f"scene {scene.name}: camera {name}: near {result[name][0]:g}, far {result[name][1]:g}; expected "
                "0 < near < far. Set both `near` and `far` (world units)."
            )
    return result


def _believed(
    scene: Scene,
    found: Mapping[str, tuple[float, float] | None],
    seen: Mapping[str, SparseDepth],
    given: Mapping[str, Sequence[float]],
) -> Bounds:
    """Those of the ``given`` near and far that no points are against; a warning names the others."""
    wrong = _contradicted(found, seen, given)
    if wrong and (scene.config.near is None or scene.config.far is None):
        told = [min(given[name][0] for name in wrong), max(given[name][1] for name in wrong)]
        print(
            f"warning: {scene.poses_path}: near and far of {', '.join(wrong)} ({told[0]:.4g} to {told[1]:.4g}) are "
            "against the depths that were triangulated, which count. Correct them, or set `near` and `far`.",
            file=sys.stderr,
        )
    return {name: (near, far) for name, (near, far) in given.items() if name in found and name not in wrong}


def _contradicted(
    found: Mapping[str, tuple[float, float] | None],
    seen: Mapping[str, SparseDepth],
    given: Mapping[str, Sequence[float]],
) -> list[str]:
    """Cameras whose ``given`` near and far the points are against, by name: by the depths that a camera has ``seen``,
    and where most of those that have seen enough are wrong, all for which there are points (``found``)."""
    wrong, told = [], [name for name in sorted(given) if name in seen and len(seen[name].z) >= FEWEST]
    for name in told:
        (near, far), own = given[name], found[name]
        assert own is not None  # it has points
        outside = np.mean((seen[name].z < NEAR_PAD * near) | (seen[name].z > FAR_PAD * far))
        if outside > OUTSIDE or near * TIMES < own[0] or far > own[1] * TIMES:
            wrong.append(name)
    return [name for name in sorted(given) if found.get(name)] if 2 * len(wrong) > len(told) else wrong


def _write_camera_depth(path: Path, depth: SparseDepth) -> None:
    write_npz(path, {"uv": depth.uv, "z": depth.z, "sigma": depth.sigma})


def _write_photo_depth(path: Path, depths: Mapping[str, SparseDepth]) -> None:
    """One file for all photos: ``image`` [N] says which, an index into ``names``, the sorted stems that train."""
    counts, parts = [len(depth.z) for depth in depths.values()], [NOTHING, *depths.values()]
    write_npz(
        path,
        {
            "names": np.array(list(depths), dtype=str),
            "image": np.repeat(np.arange(len(depths)), counts).astype(np.int64),
            **{key: np.concatenate([getattr(depth, key) for depth in parts]) for key in ("uv", "z", "sigma")},
        },
    )
