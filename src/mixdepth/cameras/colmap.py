"""COLMAP through pycolmap: structure from motion, triangulation with given poses, and reading its models.

The only module that imports pycolmap. Everything runs on the CPU in one thread with a seed, so that two runs on one
machine write the same bytes (with two threads the number of points changes from run to run; parallelise by process).

All detection, matching and mapping happens at the *detection size*: small images are enlarged by a whole factor first,
because SIFT finds little on them and because COLMAP's thresholds are meant for images of about this size. The models
written are in pixels of the ORIGINAL images, whose pixel centres are at +0.5 in COLMAP as here.
"""

import itertools
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# Pillow first: with pycolmap imported before it, a later PNG write aborts the process (pycolmap 4.2.1, Pillow 13.0.0).
from PIL import Image, UnidentifiedImageError  # isort: skip
import numpy as np
import pycolmap

from mixdepth.cameras.lens import Lens
from mixdepth.cameras.matching import epipolar_error, match
from mixdepth.cameras.model import Model
from mixdepth.errors import UserError
from mixdepth.progress import Progress

LARGEST_SIDE = 3200  # pixels; larger images are shrunk for detection (COLMAP's own default for SIFT)
MIN_INLIERS = 15  # verified matches that a pair of images needs (COLMAP's default)
MIN_INLIERS_GIVEN = 8  # the same with given poses, where every match is checked by itself (fewer are mostly chance)
EPIPOLAR_ERROR = 2.0  # detection pixels within which matches must agree with known poses
VERIFIED = int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED)

pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)


@dataclass(frozen=True)
class Features:
    """SIFT features of one image, at its detection size."""

    size: tuple[int, int]  # (width, height) of the original, pixels
    detection_size: tuple[int, int]  # (width, height) that SIFT saw
    keypoints: np.ndarray  # [N, 4] float32: x, y (detection pixels, centres at +0.5), scale, orientation
    descriptors: np.ndarray  # [N, 128] uint8


def _read_gray(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("L")
    except FileNotFoundError:
        raise UserError(f"{path}: image not found") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace it or leave it out") from None


def _detection_size(width: int, height: int, upscale_to: int) -> tuple[int, int]:
    if max(width, height) > LARGEST_SIDE:
        shrink = LARGEST_SIDE / max(width, height)
        return round(width * shrink), round(height * shrink)
    factor = max(1, math.ceil(upscale_to / width))  # whole, so that no pixel centre has to be rounded
    return width * factor, height * factor


def detect(images: Mapping[str, Path], options: Mapping) -> dict[str, Features]:
    """SIFT features (Lowe 2004) of every image.

    Args:
        images: image name to file.
        options: the scene's ``colmap`` section: max_features, peak_threshold, upscale_to.

    Raises:
        UserError: an image is missing or unreadable.
    """
    settings = pycolmap.FeatureExtractionOptions()
    settings.num_threads = 1
    settings.use_gpu = False
    settings.sift.max_num_features = options["max_features"]
    settings.sift.peak_threshold = options["peak_threshold"]
    extractor = pycolmap.FeatureExtractor.create(settings, pycolmap.Device.cpu)
    progress = Progress("colmap features", len(images))
    found = {}
    for name, path in sorted(images.items()):
        image = _read_gray(path)
        size = _detection_size(*image.size, options["upscale_to"])
        pixels = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
        keypoints, descriptors = extractor.extract_from_uint8_array(np.asarray(pixels))
        found[name] = Features(image.size, size, pycolmap.keypoints_to_matrix(keypoints), descriptors.data)
        progress.update(features=len(found[name].keypoints))
    return found


class _Database:
    """A COLMAP database of features, cameras, images (each a rig and frame of its own) and verified pairs."""

    def __init__(self, path: Path):
        self.database = pycolmap.Database.open(path)
        self.image_ids: dict[str, int] = {}
        self.inliers: dict[tuple[str, str], int] = {}  # verified matches per pair of images

    def add_camera(self, camera: pycolmap.Camera) -> int:
        """Write a camera (detection pixels) with a rig of its own; its number."""
        camera.camera_id = self.database.write_camera(camera)
        rig = pycolmap.Rig(rig_id=camera.camera_id)
        rig.add_ref_sensor(camera.sensor_id)
        self.database.write_rig(rig, use_rig_id=True)
        return camera.camera_id

    def add_image(self, name: str, camera_id: int, features: Features) -> None:
        """Write an image with its frame and key points."""
        image = pycolmap.Image(name=name, camera_id=camera_id)
        image.image_id = self.image_ids[name] = self.database.write_image(image)
        frame = pycolmap.Frame(frame_id=image.image_id, rig_id=camera_id)
        frame.add_data_id(image.data_id)
        self.database.write_frame(frame, use_frame_id=True)
        self.database.write_keypoints(image.image_id, features.keypoints)

    def add_pair(self, one: str, two: str, matches: np.ndarray, geometry: pycolmap.TwoViewGeometry) -> None:
        """Write the matches of two images and what of them was verified."""
        ids = self.image_ids[one], self.image_ids[two]
        self.database.write_matches(*ids, matches)
        self.database.write_two_view_geometry(*ids, geometry)
        if len(geometry.inlier_matches):
            self.inliers[one, two] = len(geometry.inlier_matches)


def _pairs(names: Mapping[str, Features], label: str) -> Iterator[tuple[str, str]]:
    pairs = list(itertools.combinations(sorted(names), 2))
    progress = Progress(label, len(pairs))
    for pair in pairs:
        yield pair
        progress.update()


def _shared_cameras(images: Mapping[str, Path], features: Mapping[str, Features], options: Mapping) -> dict[str, tuple]:
    """Image name to the key of its camera: images with one key share intrinsics."""
    if not options["share_intrinsics"]:
        return {name: (name,) for name in images}
    return {name: (name.split("/")[0], *features[name].size) for name in images}


def _guessed_camera(path: Path, features: Features, model: str) -> pycolmap.Camera:
    """Intrinsics in detection pixels: focal length from EXIF, else 1.2 times the longer side (COLMAP's default)."""
    camera = pycolmap.infer_camera_from_image(path, pycolmap.ImageReaderOptions(camera_model=model))
    if (camera.width, camera.height) != features.size:
        prior, focal = camera.has_prior_focal_length, camera.mean_focal_length()
        camera = pycolmap.Camera.create_from_model_name(1, model, focal, *features.size)
        camera.has_prior_focal_length = prior
    camera.rescale(*features.detection_size)
    return camera


def _match_and_verify(database: _Database, features: Mapping[str, Features], cameras: Mapping, seed: int) -> None:
    """Match all pairs and verify them by an estimated epipolar geometry (COLMAP's RANSAC)."""
    settings = pycolmap.TwoViewGeometryOptions()
    settings.min_num_inliers = MIN_INLIERS
    settings.ransac.random_seed = seed
    for one, two in _pairs(features, "colmap matches"):
        matches = match(features[one].descriptors, features[two].descriptors)
        points = [features[name].keypoints[:, :2].astype(np.float64) for name in (one, two)]
        geometry = pycolmap.estimate_two_view_geometry(
            cameras[one], points[0], cameras[two], points[1], matches, settings
        )
        database.add_pair(one, two, matches, geometry)


def _map(database: Path, work: Path, count: int, seed: int) -> pycolmap.Reconstruction | None:
    """Incremental mapping (Schoenberger & Frahm 2016) in one thread; the model with most images, if any."""
    settings = pycolmap.IncrementalPipelineOptions()
    settings.num_threads = settings.mapper.num_threads = 1
    settings.random_seed = settings.mapper.random_seed = settings.triangulation.random_seed = seed
    settings.extract_colors = False
    settings.min_model_size = 2
    progress = Progress("colmap mapping", count)
    models = pycolmap.incremental_mapping(
        database,
        work,
        work,
        settings,
        initial_image_pair_callback=lambda: progress.update(2),
        next_image_callback=lambda: progress.update(),
    )
    return max(models.values(), key=lambda m: (m.num_reg_images(), m.num_points3D()), default=None)


def _to_original_pixels(model: pycolmap.Reconstruction, features: Mapping[str, Features]) -> None:
    """Scale cameras and key points of ``model`` from the detection size to the original size, in place."""
    sizes = {image.camera_id: features[image.name].size for image in model.images.values()}
    for camera_id, size in sizes.items():
        model.camera(camera_id).rescale(*size)
    for image in model.images.values():
        factor = np.divide(features[image.name].size, features[image.name].detection_size)
        for point in image.points2D:
            point.xy = point.xy * factor
    model.update_point_3d_errors()


def _check_registered(model: pycolmap.Reconstruction | None, database: _Database) -> None:
    """Raise a UserError that names every image that is not in ``model`` and the matches it had."""
    registered = set() if model is None else {image.name for image in model.images.values() if image.has_pose}
    missing = sorted(set(database.image_ids) - registered)
    if not missing:
        return
    lines, total = [], len(database.image_ids)
    for name in missing:
        counts = [count for pair, count in database.inliers.items() if name in pair]
        lines.append(f"  {name}: {sum(counts)} verified matches with {len(counts)} of {total - 1} images")
    found = "no model at all" if model is None else f"a model of {len(registered)} of {total} images"
    raise UserError(
        f"COLMAP found {found}. Not registered:\n" + "\n".join(lines) + "\n"
        "Expected every image in one model. An image needs some 30 matches with images that overlap it: take photos "
        "in between, leave the image out (`cameras`, `exclude_photos`), choose another `colmap.reference_frame`, lower "
        "`colmap.peak_threshold` or raise `colmap.upscale_to`, or give the cameras (`poses.source`)."
    )


def run_sfm(images: Mapping[str, Path], output: Path, options: Mapping) -> None:
    """Find the cameras of ``images``: SIFT, exhaustive matching, incremental mapping.

    Args:
        images: COLMAP image name ("cameras/cam00.png", "photos/x.jpg") to file; what stands before the "/" is the
            group that shares intrinsics.
        output: folder for the binary model, in pixels of the original images; world as COLMAP leaves it.
        options: the scene's ``colmap`` section.

    Raises:
        UserError: fewer than two images, an unreadable image, or images that could not be registered.
    """
    if len(images) < 2:
        raise UserError(
            f"COLMAP was given {len(images)} image(s) ({', '.join(images)}); it needs at least 2: add photos"
        )
    features = detect(images, options)
    pycolmap.set_random_seed(options["seed"])
    with tempfile.TemporaryDirectory() as folder:
        database = _Database(Path(folder) / "database.db")
        keys = _shared_cameras(images, features, options)
        shared: dict[tuple, pycolmap.Camera] = {}
        for name in sorted(images):
            if keys[name] not in shared:
                shared[keys[name]] = _guessed_camera(images[name], features[name], options["camera_model"])
                database.add_camera(shared[keys[name]])
            database.add_image(name, shared[keys[name]].camera_id, features[name])
        _match_and_verify(database, features, {name: shared[keys[name]] for name in images}, options["seed"])
        database.database.close()
        model = _map(Path(folder) / "database.db", Path(folder), len(images), options["seed"])
    _check_registered(model, database)
    _to_original_pixels(model, features)
    output.mkdir(parents=True, exist_ok=True)
    model.write_binary(output)


def _match_with_poses(database: _Database, features: Mapping[str, Features], model: pycolmap.Reconstruction) -> None:
    """Match all pairs; what agrees with the known poses counts as verified.

    Matching along the epipolar lines only (guided matching) was tried and dropped: it finds a tenth more points, but a
    quarter of those seen from two places are wrong (arc8; else 4 %), as chance matches on a line agree with it.
    """
    images = {image.name: image for image in model.images.values()}
    points = {
        name: image.camera.cam_from_img(features[name].keypoints[:, :2].astype(np.float64)).reshape(-1, 2)
        for name, image in images.items()
    }
    centres = np.array([image.projection_center() for image in images.values()])
    extent = np.linalg.norm(centres - centres.mean(axis=0), axis=1).max(initial=0)
    for one, two in _pairs(features, "colmap matches (given poses)"):
        relative = images[two].cam_from_world() * images[one].cam_from_world().inverse()
        if np.linalg.norm(relative.translation) <= 1e-6 * extent:  # a photo from a camera's place: no parallax
            continue
        matches = match(features[one].descriptors, features[two].descriptors)
        essential = pycolmap.essential_matrix_from_pose(relative)
        error = epipolar_error(essential, points[one][matches[:, 0]], points[two][matches[:, 1]])
        focal = (images[one].camera.mean_focal_length() + images[two].camera.mean_focal_length()) / 2
        verified = matches[error * focal <= EPIPOLAR_ERROR]
        if len(verified) >= MIN_INLIERS_GIVEN:
            geometry = pycolmap.TwoViewGeometry(config=VERIFIED, E=essential, inlier_matches=verified)
            database.add_pair(one, two, matches, geometry)


def triangulate(
    images: Mapping[str, Path], cameras: Mapping[str, tuple[Lens, np.ndarray]], output: Path, options: Mapping
) -> None:
    """Triangulate SIFT features with the poses and intrinsics held fixed.

    Args:
        images: COLMAP image name to file; only these are looked at.
        cameras: image name to (lens at the original size, c2w [4, 4]).
        output: folder for the binary model, in pixels of the original images; its points have a mean reprojection
            error up to ``max_reprojection_error`` (original pixels), a triangulation angle of at least ``min_angle``
            and lie before every camera of their track. No points is not an error: the model is then empty.
        options: the scene's ``colmap`` section.
    """
    features = detect(images, options)
    for name in sorted(images):
        lens, (width, height) = cameras[name][0], features[name].size
        if (lens.width, lens.height) != (width, height):
            raise UserError(
                f"{images[name]}: the image is {width}x{height} pixels, its camera {lens.width}x{lens.height}. "
                "Expected the original image: do not resize it after the cameras were found."
            )
    pycolmap.set_random_seed(options["seed"])
    with tempfile.TemporaryDirectory() as folder:
        database = _Database(Path(folder) / "database.db")
        model = _known_model(database, features, cameras)
        _match_with_poses(database, features, model)
        database.database.close()
        if database.inliers:
            model = _triangulate(model, Path(folder) / "database.db", Path(folder), options["seed"])
    _to_original_pixels(model, features)
    _drop_bad_points(model, options)
    count = model.num_points3D()
    print(f"colmap triangulation: {count} points from {len(images)} images", file=sys.stderr, flush=True)
    if not count:
        print("warning: no point was found, so there is no sparse depth; lower colmap.peak_threshold", file=sys.stderr)
    output.mkdir(parents=True, exist_ok=True)
    model.write_binary(output)


def _known_model(
    database: _Database, features: Mapping[str, Features], cameras: Mapping[str, tuple[Lens, np.ndarray]]
) -> pycolmap.Reconstruction:
    """A model without points, at the detection size; its cameras and images are written to ``database`` too."""
    model = pycolmap.Reconstruction()
    for name in sorted(features):
        lens, c2w = cameras[name]
        camera = colmap_camera(lens)
        camera.rescale(*features[name].detection_size)
        database.add_camera(camera)
        database.add_image(name, camera.camera_id, features[name])
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(
            name=name,
            keypoints=features[name].keypoints[:, :2].astype(np.float64),
            camera_id=camera.camera_id,
            image_id=database.image_ids[name],
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.linalg.inv(c2w)[:3]))
    return model


def _triangulate(model: pycolmap.Reconstruction, database: Path, work: Path, seed: int) -> pycolmap.Reconstruction:
    settings = pycolmap.IncrementalPipelineOptions()
    settings.num_threads = settings.mapper.num_threads = 1
    settings.random_seed = settings.mapper.random_seed = settings.triangulation.random_seed = seed
    settings.extract_colors = False
    settings.fix_existing_frames = settings.mapper.fix_existing_frames = True
    settings.min_num_matches = MIN_INLIERS_GIVEN
    settings.triangulation.ignore_two_view_tracks = False
    return pycolmap.triangulate_points(model, database, work, work, True, settings, refine_intrinsics=False)


def _drop_bad_points(model: pycolmap.Reconstruction, options: Mapping) -> None:
    """Delete points with a large reprojection error, a small angle or behind a camera, in place."""
    centres = {image_id: image.projection_center() for image_id, image in model.images.items()}
    for point_id in list(model.point3D_ids()):
        point = model.point3D(point_id)
        seen_by = sorted({element.image_id for element in point.track.elements})
        rays = np.array([point.xyz - centres[image_id] for image_id in seen_by])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        angle = np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1)))
        before = all((model.image(image_id).cam_from_world() * point.xyz)[2] > 0 for image_id in seen_by)
        if point.error > options["max_reprojection_error"] or angle < options["min_angle"] or not before:
            model.delete_point3D(point_id)


def colmap_camera(lens: Lens) -> pycolmap.Camera:
    """``lens`` as a pycolmap camera, without a number."""
    return pycolmap.Camera(model=lens.model, width=lens.width, height=lens.height, params=list(lens.params))


def read_model(path: Path) -> Model:
    """Read a binary COLMAP model.

    Raises:
        UserError: there is none at ``path``.
    """
    try:
        model = pycolmap.Reconstruction(path)
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(f"{path}: not a readable COLMAP model ({error})") from None
    images = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    lenses, poses = {}, {}
    for image in images:
        camera = image.camera
        lenses[image.name] = Lens(camera.model_name, camera.width, camera.height, tuple(map(float, camera.params)))
        poses[image.name] = np.vstack([image.cam_from_world().inverse().matrix(), [0, 0, 0, 1.0]])
    index = {image.image_id: i for i, image in enumerate(images)}
    points = [model.point3D(point_id) for point_id in sorted(model.point3D_ids())]
    track = [
        (number, index[element.image_id], *model.image(element.image_id).point2D(element.point2D_idx).xy)
        for number, point in enumerate(points)
        for element in point.track.elements
    ]
    track = np.array(track, dtype=np.float64).reshape(-1, 4)
    return Model(
        lenses,
        poses,
        np.array([point.xyz for point in points]).reshape(-1, 3),
        np.array([point.error for point in points], dtype=np.float64),
        track[:, 0].astype(int),
        track[:, 1].astype(int),
        track[:, 2:],
    )
