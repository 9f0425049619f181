"""The cameras stage as the workflow calls it: structure from motion, camera files, triangulation, depth, export.

In COLMAP's models the image of video camera ``cam01`` is "cameras/cam01.png", that of a photo "photos/<file name>".
File names below the scene's folder of results are those of docs/architecture.md.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

# Before numpy and everything else: it sees to it that Pillow is imported before pycolmap.
from mixdepth.cameras.colmap import mapping as colmap  # isort: skip
from mixdepth.cameras.colmap import triangulation as colmap_triangulation  # isort: skip
from mixdepth.cameras.colmap import ladder  # isort: skip
import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.export import export_cameras
from mixdepth.cameras.formats.llff import write_poses_bounds
from mixdepth.cameras.given import Given, read_given, read_lenses
from mixdepth.cameras.lens import Lens, load_lenses, save_lenses
from mixdepth.cameras.model import Model
from mixdepth.cameras.sparse_depth import SparseDepth, depth_bounds, sparse_depth
from mixdepth.cameras.world import world_transform
from mixdepth.errors import UserError
from mixdepth.files.images import image_size, read_image
from mixdepth.files.io import read_json, seal, write_json, write_npz
from mixdepth.files.shapes import BOUNDS, VERIFICATION, WORLD
from mixdepth.scene.sizes import photo_scale

if TYPE_CHECKING:
    from mixdepth.scene.scene import Scene

GROUPS = ("cameras", "photos")
NOTHING = SparseDepth(np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0, int))
Size = tuple[int, int]  # (width, height), pixels
Bounds = dict[str, tuple[float, float]]  # name to (near, far), world units


def camera_image(name: str) -> str:
    """COLMAP's name for the image of a video camera."""
    return f"cameras/{name}.png"


def photo_image(path: str | Path) -> str:
    """COLMAP's name for a photo."""
    return f"photos/{Path(path).name}"


def image_names(scene: "Scene") -> dict[str, dict[str, str]]:
    """COLMAP's names of the cameras and photos in use, by group and name."""
    return {
        "cameras": {name: camera_image(name) for name in scene.used_cameras},
        "photos": {stem: photo_image(path) for stem, path in scene.photos.items()},
    }


def structure_from_motion(scene: "Scene", folder: Path, output: Path) -> None:
    """One COLMAP model of all video cameras and all photos, and report.json beside it: how it was come by.

    Args:
        scene: the scene and its settings (``colmap``, ``poses.intrinsics``, ``poses.allow_missing``).
        folder: the scene's results, with the reference images.
        output: folder for the model.

    Raises:
        UserError: an image that may not be left out could not be registered (it is named, with its matches), or is
            unreadable.
    """
    candidates = {camera_image(name): _candidates(folder / "reference" / name) for name in scene.used_cameras}
    candidates |= {photo_image(path): [Path(path)] for path in scene.photos.values()}
    masks = {camera_image(name): folder / "reference" / name / "moving.png" for name in scene.used_cameras}
    known = {}
    if scene.intrinsics_path:
        sizes = {name: image_size(candidates[camera_image(name)][0]) for name in scene.used_cameras}
        known = {camera_image(name): lens for name, lens in read_lenses(scene.intrinsics_path, sizes).items()}
    optional = set(candidates) - {camera_image(name) for name in scene.test_cameras}
    optional -= {photo_image(scene.photos[stem]) for stem in scene.test_photos}
    report = ladder.run_sfm(
        candidates,
        output,
        scene.options["colmap"],
        masks=masks,
        known=known,
        optional=optional if scene.options["poses"]["allow_missing"] else (),
    )
    write_json(output / "report.json", report)


def _candidates(folder: Path) -> list[Path]:
    """The median first: it shows what stands still, and most of all if people walk through the frames."""
    return [folder / "median.png", *sorted(folder.glob("frame_*.png"))]


def write_cameras(scene: "Scene", capture: Mapping, folder: Path) -> None:
    """Write the cameras of videos and photos, scaled to the size that trains, the lenses of the originals, the world.

    Args:
        scene: the scene and its settings (``poses.source``, ``poses.path``, ``world``, ``scale``, ``photo_scale``).
        capture: capture.json: the original sizes of the cameras and photos in use.
        folder: the scene's results; cameras.json, photos.json, lenses.json and world.json are written there.

    Raises:
        UserError: given cameras that do not fit the capture, or a camera or photo without a pose.
    """
    sizes = {group: _sizes(capture[group]) for group in GROUPS}
    source = scene.options["poses"]["source"]
    if source == "colmap":
        lenses, poses = _from_model(scene, sizes, folder / "sfm")
    else:
        given = _given(scene, sizes)
        for note in given.notes:
            print(f"note: {note}", file=sys.stderr)
        lenses, poses = given.lenses, given.c2w
    world, reason = world_transform(poses, scene.options["world"], source)
    scales = {"cameras": scene.options["scale"], "photos": _photo_scale(scene, sizes)}
    for group in GROUPS:
        cameras = {n: (lens, world.apply_pose(poses[group][n])) for n, lens in lenses[group].items()}
        save_cameras(folder / f"{group}.json", {n: _scaled(*posed, scales[group]) for n, posed in cameras.items()})
    save_lenses(folder / "lenses.json", lenses)
    matrices = {"rotation": world.rotation.tolist(), "translation": world.translation.tolist()}
    write_json(folder / "world.json", {"reason": reason, "scale": world.scale, **matrices})


def write_sparse(scene: "Scene", folder: Path) -> None:
    """Triangulate points with the cameras fixed, from images that may train and from nothing else, into sparse/; write
    cameras_report.json: whether the cameras can be trusted.

    COLMAP's cameras were verified, held-out ones too, where they were found; given ones are verified here.
    """
    images, cameras = _posed_images(scene, folder, scene.train_cameras)
    options = scene.options["colmap"]
    verification = colmap_triangulation.triangulate(images, cameras, folder / "sparse", options)
    report, steps = asdict(verification), None
    if scene.options["poses"]["source"] == "colmap":
        steps = read_json(folder / "sfm/report.json", {"verification": VERIFICATION})
        report = steps.pop("verification")
    write_json(folder / "cameras_report.json", {"source": scene.options["poses"]["source"], **report, "ladder": steps})
    _tell(report)


def verify_held_out(scene: "Scene", folder: Path, output: Path) -> None:
    """Check the given poses of the held-out cameras together with the training images; write what was found.

    Raises:
        UserError: they contradict what the images show, and ``poses.trust`` is not set.
    """
    images, cameras = _posed_images(scene, folder, scene.used_cameras)
    held_out = {camera_image(name) for name in scene.test_cameras}
    # All images: where panels look alike, false matches of a held-out image are outvoted by its neighbours only.
    report = asdict(colmap_triangulation.check_poses(images, cameras, scene.options["colmap"]))
    report["images"] = {name: value for name, value in report["images"].items() if name in held_out}
    _tell(report)
    _refuse_distrusted(report, {"contradicted"}, scene, "")
    write_json(output, report)


def write_held_out_points(scene: "Scene", folder: Path) -> None:
    """Write the points that stand still and that each held-out camera itself sees, for scoring alone
    (held_out_depth/<camera>.npz, as colmap_depth/).

    They are triangulated from held-out and training images together, with the cameras fixed; nothing that trains may
    read them.
    """
    images, posed = _posed_images(scene, folder, scene.used_cameras)
    points = colmap_triangulation.triangulated(images, posed, scene.options["colmap"]).without_strays()
    cameras = load_cameras(folder / "cameras.json")
    masks = {camera_image(n): folder / "reference" / n / "moving.png" for n in scene.used_cameras if n in cameras}
    held_out = {camera_image(name): cameras[name] for name in scene.test_cameras if name in cameras}
    seen = sparse_depth(points.subset(_still(points, masks)), held_out)
    for name in scene.test_cameras:
        _write_camera_depth(folder / f"held_out_depth/{name}.npz", seen.get(camera_image(name), NOTHING))


def _tell(report: Mapping) -> None:
    print(f"verification of the cameras: {report['verdict']}, score {report['score']:.2f}: {report['reason']}")


def _posed_images(
    scene: "Scene", folder: Path, names: list[str]
) -> tuple[dict[str, Path], dict[str, tuple[Lens, np.ndarray]]]:
    """Image file and (lens, c2w), by COLMAP's name, of the video cameras ``names`` and the photos that train; those
    without a pose are left out.

    Videos show one moment, the middle one of their reference frames, with all that moves in it: near and far must hold
    the movers too, and at one moment they are as rigid as the rest.
    """
    lenses = load_lenses(folder / "lenses.json")
    posed = {group: load_cameras(folder / f"{group}.json") for group in GROUPS}
    images: dict[str, Path] = {}
    cameras: dict[str, tuple[Lens, np.ndarray]] = {}
    for name in names:
        if name in posed["cameras"]:
            image = camera_image(name)
            moments = sorted((folder / "reference" / name).glob("frame_*.png"))
            images[image] = moments[len(moments) // 2]
            cameras[image] = lenses["cameras"][name], posed["cameras"][name].c2w
    for stem in scene.train_photos:
        if stem in posed["photos"]:
            image = photo_image(scene.photos[stem])
            images[image] = Path(scene.photos[stem])
            cameras[image] = lenses["photos"][stem], posed["photos"][stem].c2w
    return images, cameras


def _refuse_distrusted(report: Mapping, verdicts: set[str], scene: "Scene", where: str) -> None:
    """Raise a UserError where the verdict on the cameras is one of ``verdicts``, unless the user overrides it."""
    if report["verdict"] not in verdicts:
        return
    told = f"scene {scene.name}: the cameras are not to be trusted (score {report['score']:.2f}): {report['reason']}"
    if scene.options["poses"]["trust"]:
        print(f"warning: {told} Going on, because `poses.trust` is set.", file=sys.stderr)
        return
    raise UserError(
        f"{told}{where} Nothing was trained. Mend the images or poses it names (leave images out with `cameras` and "
        "`exclude_photos`, add photos in between, give the cameras with `poses.source`), or set `poses: {trust: true}` "
        "to go on all the same."
    )


def write_depth(scene: "Scene", folder: Path) -> None:
    """Write what training cameras and photos see of the points that stand still (colmap_depth/), every camera's near
    and far (bounds.json; movers count), and poses_bounds.npy.

    This is the gate: where the cameras are not trusted, nothing goes on.

    Raises:
        UserError: the cameras are not trusted, or near and far are neither given nor can be found.
    """
    report = read_json(folder / "cameras_report.json", VERIFICATION)
    given = scene.options["poses"]["source"] != "colmap"
    stops = {"contradicted"} if given else {"contradicted", "unproven"}
    _refuse_distrusted(report, stops, scene, f" Image by image: {folder / 'cameras_report.json'}.")
    cameras, photos = load_cameras(folder / "cameras.json"), load_cameras(folder / "photos.json")
    points = colmap.read_model(folder / "sparse").without_strays()
    training = {camera_image(name): cameras[name] for name in scene.train_cameras if name in cameras}
    training |= {photo_image(scene.photos[stem]): photos[stem] for stem in scene.train_photos if stem in photos}
    every = sparse_depth(points, training)
    masks = {camera_image(n): folder / "reference" / n / "moving.png" for n in scene.train_cameras if n in cameras}
    seen = sparse_depth(points.subset(_still(points, masks)), training)
    for name in scene.train_cameras:
        _write_camera_depth(folder / f"colmap_depth/{name}.npz", seen.get(camera_image(name), NOTHING))
    stems = sorted(stem for stem in scene.train_photos if stem in photos)
    _write_photo_depth(
        folder / "colmap_depth/photos.npz", {stem: seen[photo_image(scene.photos[stem])] for stem in stems}
    )

    of_photos = {stem: every[photo_image(scene.photos[stem])] for stem in stems}
    of_cameras = {name: every[camera_image(name)] for name in scene.train_cameras if name in cameras}
    known = _given_bounds(scene, folder)
    bounds = {
        group: _bounds(scene, found, depths, points, known.get(group, {}))
        for group, found, depths in (("cameras", cameras, of_cameras), ("photos", photos, of_photos))
    }
    write_json(folder / "bounds.json", bounds)
    group = "cameras" if cameras else "photos"
    write_poses_bounds(folder / "poses_bounds.npy", cameras or photos, bounds[group])
    seal(folder / "poses_bounds.npy")


def _still(points: Model, masks: Mapping[str, Path]) -> np.ndarray:
    """Which points stand still, [P] bool: those that no image with a mask sees where its mask says that it moves."""
    still = np.ones(len(points.points), bool)
    for index, name in enumerate(sorted(points.lenses)):
        if name in masks:
            moving = read_image(masks[name])[..., 0] > 0
            here = points.track_image == index
            column, row = np.clip(points.track_uv[here].astype(int), 0, np.array(moving.shape[::-1]) - 1).T
            still[points.track_point[here][moving[row, column]]] = False
    print(f"sparse depth: {int((~still).sum())} of {len(still)} points lie where something moves and are left out")
    return still


def export(scene: "Scene", folder: Path, output: Path) -> None:
    """Write the cameras of the original images as poses_bounds.npy, transforms.json and a COLMAP model with the sparse
    points; print what each format cannot hold."""
    lenses = load_lenses(folder / "lenses.json")
    c2w = {g: {n: camera.c2w for n, camera in load_cameras(folder / f"{g}.json").items()} for g in GROUPS}
    images = {g: {n: image for n, image in named.items() if n in c2w[g]} for g, named in image_names(scene).items()}
    points = colmap.read_model(folder / "sparse")
    for line in export_cameras(lenses, c2w, read_json(folder / "bounds.json", BOUNDS), images, output, points):
        print(f"export: {line}", file=sys.stderr)


def _sizes(entries: Mapping[str, Mapping]) -> dict[str, Size]:
    return {name: (int(entry["width"]), int(entry["height"])) for name, entry in entries.items()}


def _photo_scale(scene: "Scene", sizes: Mapping[str, Mapping[str, Size]]) -> float:
    """The configured scale of photos, else that of :func:`mixdepth.scene.sizes.photo_scale`."""
    sides = {group: max((side for size in sizes[group].values() for side in size), default=0) for group in GROUPS}
    return scene.options["photo_scale"] or photo_scale(sides["cameras"], sides["photos"], scene.options["scale"])


def _scaled(lens: Lens, c2w: np.ndarray, scale: float) -> Camera:
    """The pinhole camera after undistortion: the lens's own pinhole part, at ``scale`` times its size."""
    camera = Camera(lens.width, lens.height, *lens.focal, *lens.principal_point, c2w)
    return camera.resized(max(1, round(lens.width * scale)), max(1, round(lens.height * scale)))


def _from_model(scene: "Scene", sizes: Mapping[str, Mapping[str, Size]], path: Path) -> tuple[dict, dict]:
    """Lenses and c2w, by group and name, of COLMAP's model; what it was allowed to leave out is not in them."""
    model = colmap.read_model(path)
    lenses: dict[str, dict[str, Lens]] = {group: {} for group in GROUPS}
    poses: dict[str, dict[str, np.ndarray]] = {group: {} for group in GROUPS}
    for group, names in image_names(scene).items():
        for name, image in names.items():
            if image not in model.lenses:
                print(f"warning: {image} has no pose and is left out", file=sys.stderr)
                continue
            lens = model.lenses[image]
            if (lens.width, lens.height) != sizes[group][name]:
                raise UserError(
                    f"{path}: image {image} is {lens.width}x{lens.height} pixels, but the capture has "
                    f"{sizes[group][name][0]}x{sizes[group][name][1]}; delete the folder to run COLMAP again."
                )
            lenses[group][name], poses[group][name] = lens, model.c2w[image]
    return lenses, poses


def _given(scene: "Scene", sizes: Mapping[str, Mapping[str, Size]]) -> Given:
    return read_given(scene.options["poses"]["source"], scene.poses_path, sizes, scene.cameras, scene.photos)


def _given_bounds(scene: "Scene", folder: Path) -> dict[str, Bounds]:
    """Near and far by group and name, world units, where the file of given cameras has them."""
    if scene.options["poses"]["source"] != "llff":
        return {}
    lenses = load_lenses(folder / "lenses.json")
    sizes = {group: {name: (lens.width, lens.height) for name, lens in lenses[group].items()} for group in GROUPS}
    unit = read_json(folder / "world.json", WORLD)["scale"]
    bounds = _given(scene, sizes).bounds
    return {group: {name: (near * unit, far * unit) for name, (near, far) in bounds[group].items()} for group in GROUPS}


def _bounds(
    scene: "Scene",
    cameras: Mapping[str, Camera],
    seen: Mapping[str, SparseDepth],
    model: Model,
    given: Mapping[str, tuple[float, float]],
) -> Bounds:
    """(near, far) of each camera: the configuration's, else the given, else the points'.

    A camera with no point in its image takes the widest range of the others.
    """
    near, far = scene.options["near"], scene.options["far"]
    found = depth_bounds(cameras, seen, model) | {name: given[name] for name in cameras if name in given}
    known = [value for value in found.values() if value is not None]
    if cameras and not known and (near is None or far is None):
        raise UserError(
            f"scene {scene.name}: no point could be triangulated, so how near and far things are is unknown. Set "
            "`near` and `far` (world units) in the scene's configuration, or lower `colmap.peak_threshold`."
        )
    widest = (min(low for low, _ in known), max(high for _, high in known)) if known else (near, far)
    result = {}
    for name, value in found.items():
        low, high = value or widest
        result[name] = (near if near is not None else low, far if far is not None else high)
        if not 0 < result[name][0] < result[name][1]:
            raise UserError(
                f"scene {scene.name}: camera {name}: near {result[name][0]:g}, far {result[name][1]:g}; expected "
                "0 < near < far. Set both `near` and `far` (world units)."
            )
    return result


def _write_camera_depth(path: Path, depth: SparseDepth) -> None:
    write_npz(path, {"uv": depth.uv, "z": depth.z, "sigma": depth.sigma})


def _write_photo_depth(path: Path, depths: Mapping[str, SparseDepth]) -> None:
    """One file for all photos: ``image`` [N] says which, an index into ``names``, the sorted stems that train."""
    counts = [len(depth.z) for depth in depths.values()]
    write_npz(
        path,
        {
            "names": np.array(list(depths), dtype=str),
            "image": np.repeat(np.arange(len(depths)), counts).astype(np.int64),
            "uv": np.concatenate([np.zeros((0, 2)), *(depth.uv for depth in depths.values())]),
            "z": np.concatenate([np.zeros(0), *(depth.z for depth in depths.values())]),
            "sigma": np.concatenate([np.zeros(0), *(depth.sigma for depth in depths.values())]),
        },
    )
