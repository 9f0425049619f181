"""The cameras stage, as the workflow calls it: structure from motion, camera files, triangulation, sparse depth.

In COLMAP's models the image of video camera ``cam01`` is "cameras/cam01.png", that of a photo "photos/<file name>".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

# Before numpy and everything else: it sees to it that Pillow is imported before pycolmap.
from mixdepth.cameras import colmap  # isort: skip
import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.lens import Lens, load_lenses, save_lenses
from mixdepth.cameras.llff import read_poses_bounds, write_poses_bounds
from mixdepth.cameras.model import Model
from mixdepth.cameras.panoptic import read_panoptic
from mixdepth.cameras.sparse_depth import SparseDepth, depth_bounds, sparse_depth
from mixdepth.errors import UserError
from mixdepth.io import write_json, write_npz

if TYPE_CHECKING:
    from mixdepth.config import Scene

PHOTO_SIDE = 1600  # pixels: longer side of photos of a scene without video, unless `photo_scale` says otherwise
Size = tuple[int, int]  # (width, height), pixels
Bounds = dict[str, tuple[float, float]]  # name to (near, far), world units


def camera_image(name: str) -> str:
    """COLMAP's name for the reference image of a video camera."""
    return f"cameras/{name}.png"


def photo_image(path: str | Path) -> str:
    """COLMAP's name for a photo."""
    return f"photos/{Path(path).name}"


def structure_from_motion(
    references: Mapping[str, Path], photos: Mapping[str, Path], output: Path, options: Mapping
) -> None:
    """One COLMAP model of all video cameras' reference images and all photos.

    Args:
        references: camera name to its reference image.
        photos: stem to file.
        output: folder for the model.
        options: the scene's ``colmap`` section.

    Raises:
        UserError: an image could not be registered (it is named, with its matches), or is unreadable.
    """
    images = {camera_image(name): Path(path) for name, path in references.items()}
    images |= {photo_image(path): Path(path) for path in photos.values()}
    colmap.run_sfm(images, output, options)


def write_cameras(
    scene: "Scene", capture: Mapping, model: Path | None, cameras_json: Path, photos_json: Path, lenses_json: Path
) -> None:
    """Write the cameras of videos and photos, scaled to the size that trains, and the lenses of the originals.

    Args:
        scene: the scene and its settings (``poses``, ``scale``, ``photo_scale``).
        capture: capture.json: the original sizes of the cameras and photos in use.
        model: COLMAP's model where ``poses.source`` is colmap, else None.
        cameras_json, photos_json, lenses_json: the files to write (docs/architecture.md).

    Raises:
        UserError: given cameras that do not fit the capture, or a camera or photo without a pose.
    """
    sizes = {group: _sizes(capture[group]) for group in ("cameras", "photos")}
    if scene.options["poses"]["source"] == "colmap":
        lenses, poses = _from_model(scene, sizes, model)
    else:
        lenses, poses = _from_given(scene, sizes)
    scales = {"cameras": scene.options["scale"], "photos": _photo_scale(scene, sizes)}
    for group, path in (("cameras", cameras_json), ("photos", photos_json)):
        save_cameras(
            path, {name: _scaled(lens, poses[group][name], scales[group]) for name, lens in lenses[group].items()}
        )
    save_lenses(lenses_json, lenses)


def write_sparse(
    scene: "Scene",
    cameras_json: Path,
    photos_json: Path,
    lenses_json: Path,
    references: Mapping[str, Path],
    output: Path,
) -> None:
    """Triangulate points with the cameras fixed, from images that may train and from nothing else.

    Args:
        references: camera name to reference image; only training cameras' are read.
        output: folder for the COLMAP model.
    """
    lenses, c2w = load_lenses(lenses_json), {}
    for group, path in (("cameras", cameras_json), ("photos", photos_json)):
        c2w[group] = {name: camera.c2w for name, camera in load_cameras(path).items()}
    images: dict[str, Path] = {}
    cameras: dict[str, tuple[Lens, np.ndarray]] = {}
    for name in scene.train_cameras:
        images[camera_image(name)] = Path(references[name])
        cameras[camera_image(name)] = lenses["cameras"][name], c2w["cameras"][name]
    for stem in scene.train_photos:
        images[photo_image(scene.photos[stem])] = Path(scene.photos[stem])
        cameras[photo_image(scene.photos[stem])] = lenses["photos"][stem], c2w["photos"][stem]
    colmap.triangulate(images, cameras, output, scene.options["colmap"])


def write_depth(
    scene: "Scene",
    cameras_json: Path,
    photos_json: Path,
    lenses_json: Path,
    model: Path,
    depth_dir: Path,
    bounds_json: Path,
    poses_bounds: Path,
) -> None:
    """Write what training cameras and photos see of the points, every camera's near and far, and poses_bounds.npy.

    Args:
        model: the triangulated COLMAP model.
        depth_dir: folder for ``<camera>.npz`` of every training camera, and photos.npz.
        bounds_json: ``{"cameras": {name: [near, far]}, "photos": {...}}``, world units.
        poses_bounds: LLFF rows of the video cameras, or of the photos where there is no video.

    Raises:
        UserError: near and far are neither given nor can be found.
    """
    cameras, photos = load_cameras(cameras_json), load_cameras(photos_json)
    points = colmap.read_model(model).without_strays()
    training = {camera_image(name): cameras[name] for name in scene.train_cameras}
    training |= {photo_image(scene.photos[stem]): photos[stem] for stem in scene.train_photos}
    seen = sparse_depth(points, training)
    for name in scene.train_cameras:
        depth = seen[camera_image(name)]
        write_npz(depth_dir / f"{name}.npz", {"uv": depth.uv, "z": depth.z, "sigma": depth.sigma})
    stems = sorted(scene.train_photos)
    _write_photo_depth(depth_dir / "photos.npz", stems, [seen[photo_image(scene.photos[stem])] for stem in stems])

    by_name = {"cameras": {}, "photos": {stem: seen[photo_image(scene.photos[stem])] for stem in stems}}
    by_name["cameras"] = {name: seen[camera_image(name)] for name in scene.train_cameras}
    given = _given_bounds(scene, load_lenses(lenses_json))
    bounds = {
        group: _bounds(scene, found, by_name[group], points, given.get(group, {}))
        for group, found in (("cameras", cameras), ("photos", photos))
    }
    write_json(bounds_json, bounds)
    group = "cameras" if cameras else "photos"
    write_poses_bounds(poses_bounds, cameras or photos, bounds[group])


def _sizes(entries: Mapping[str, Mapping]) -> dict[str, Size]:
    return {name: (int(entry["width"]), int(entry["height"])) for name, entry in entries.items()}


def _photo_scale(scene: "Scene", sizes: Mapping[str, Mapping[str, Size]]) -> float:
    """The configured scale of photos, else one that keeps what they teach and not the memory of a large camera: at
    most twice the videos' longer side, ``PHOTO_SIDE`` pixels where there is no video."""
    if scene.options["photo_scale"] is not None or not sizes["photos"]:
        return scene.options["photo_scale"] or 1.0
    videos = [side for size in sizes["cameras"].values() for side in size]
    limit = 2 * scene.options["scale"] * max(videos) if videos else PHOTO_SIDE
    return min(1.0, limit / max(side for size in sizes["photos"].values() for side in size))


def _scaled(lens: Lens, c2w: np.ndarray, scale: float) -> Camera:
    """The pinhole camera after undistortion: the lens's own pinhole part, at ``scale`` times its size."""
    camera = Camera(lens.width, lens.height, *lens.focal, *lens.principal_point, c2w)
    return camera.resized(max(1, round(lens.width * scale)), max(1, round(lens.height * scale)))


def _pinhole(camera: Camera) -> Lens:
    return Lens("PINHOLE", camera.width, camera.height, (camera.fx, camera.fy, camera.cx, camera.cy))


def _from_model(scene: "Scene", sizes: Mapping[str, Mapping[str, Size]], path: Path) -> tuple[dict, dict]:
    """Lenses and c2w, by group and name, of COLMAP's model."""
    model = colmap.read_model(path)
    images = {
        "cameras": {name: camera_image(name) for name in sizes["cameras"]},
        "photos": {stem: photo_image(path) for stem, path in scene.photos.items()},
    }
    lenses, poses = {"cameras": {}, "photos": {}}, {"cameras": {}, "photos": {}}
    for group, names in images.items():
        for name, image in names.items():
            if image not in model.lenses:
                raise UserError(f"{path}: COLMAP's model has no image {image}; delete the folder to run COLMAP again.")
            lens = model.lenses[image]
            if (lens.width, lens.height) != sizes[group][name]:
                raise UserError(
                    f"{path}: image {image} is {lens.width}x{lens.height} pixels, but the capture has "
                    f"{sizes[group][name][0]}x{sizes[group][name][1]}; delete the folder to run COLMAP again."
                )
            lenses[group][name], poses[group][name] = lens, model.c2w[image]
    return lenses, poses


def _from_given(scene: "Scene", sizes: Mapping[str, Mapping[str, Size]]) -> tuple[dict, dict]:
    """Lenses and c2w, by group and name, of given cameras; photos take the pose of the camera of their name."""
    if not scene.cameras:
        found = {"cameras": {}, "photos": _read_given(scene, sizes["photos"])[0]}
    else:
        every = _read_given(scene, _video_sizes(scene, sizes["cameras"]))[0]
        if homeless := sorted(set(scene.photos) - set(every)):
            raise UserError(
                f"photos without a pose: {', '.join(homeless)}. With given cameras (`poses.source: "
                f"{scene.options['poses']['source']}`) a photo takes the pose of the camera of its name "
                f"({', '.join(every)}). Exclude them (`exclude_photos`), or use COLMAP (`poses.source: colmap`)."
            )
        found = {
            "cameras": {name: every[name] for name in sizes["cameras"]},
            "photos": {stem: _plate(stem, every[stem], sizes["photos"][stem]) for stem in scene.photos},
        }
    lenses = {group: {name: _pinhole(camera) for name, camera in found[group].items()} for group in found}
    poses = {group: {name: camera.c2w for name, camera in found[group].items()} for group in found}
    return lenses, poses


def _plate(stem: str, camera: Camera, size: Size) -> Camera:
    """The camera of a photo that was taken with video camera ``camera``, at the photo's own size."""
    if abs(size[0] * camera.height / (size[1] * camera.width) - 1) > 0.01:
        raise UserError(
            f"photo {stem} is {size[0]}x{size[1]} pixels, camera {stem} {camera.width}x{camera.height}: another "
            "aspect, so it cannot be the same view. Use an uncropped photo, or exclude it (`exclude_photos`)."
        )
    return camera.resized(*size)


def _video_sizes(scene: "Scene", used: Mapping[str, Size]) -> dict[str, Size]:
    """A size for every video camera: those that are left alone (not in the capture) stand in with another's, because a
    poses_bounds.npy has a row for them too."""
    return {name: used.get(name) or next(iter(used.values())) for name in scene.cameras}


def _read_given(scene: "Scene", sizes: Mapping[str, Size]) -> tuple[dict[str, Camera], Bounds]:
    """The given cameras of ``sizes``' names at the original size, and their bounds if the source has some."""
    source, path = scene.options["poses"]["source"], scene.options["poses"]["path"]
    if source == "llff":
        return read_poses_bounds(Path(scene.data) / (path or "poses_bounds.npy"), sizes)
    return read_panoptic(Path(scene.data) / (path or ""), sizes, sizes), {}


def _given_bounds(scene: "Scene", lenses: Mapping[str, Mapping[str, Lens]]) -> dict[str, Bounds]:
    """Bounds by group and name of a given poses_bounds.npy; a photo has those of the camera of its name."""
    if scene.options["poses"]["source"] != "llff":
        return {}
    sizes = {group: {name: (lens.width, lens.height) for name, lens in lenses[group].items()} for group in lenses}
    if not scene.cameras:
        return {"photos": _read_given(scene, sizes["photos"])[1]}
    bounds = _read_given(scene, _video_sizes(scene, sizes["cameras"]))[1]
    return {"cameras": bounds, "photos": bounds}


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


def _write_photo_depth(path: Path, stems: list[str], depths: list[SparseDepth]) -> None:
    """One file for all photos: ``image`` [N] says which, an index into ``names``, the sorted stems that train."""
    counts = [len(depth.z) for depth in depths]
    write_npz(
        path,
        {
            "names": np.array(stems, dtype=str),
            "image": np.repeat(np.arange(len(depths)), counts).astype(np.int64),
            "uv": np.concatenate([np.zeros((0, 2)), *(depth.uv for depth in depths)]),
            "z": np.concatenate([np.zeros(0), *(depth.z for depth in depths)]),
            "sigma": np.concatenate([np.zeros(0), *(depth.sigma for depth in depths)]),
        },
    )
