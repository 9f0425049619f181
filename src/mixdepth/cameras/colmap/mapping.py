"""COLMAP through pycolmap: two-view geometries, incremental mapping, and its models.

Only modules of this package import pycolmap. Everything runs on the CPU in one thread with a seed, so that two runs on
one machine write the same bytes (with two threads the number of points changes from run to run). The models written are
in pixels of the ORIGINAL images, whose pixel centres are at +0.5 in COLMAP as here.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

# Before pycolmap: it sees to it that Pillow is imported first.
from mixdepth.cameras.colmap.features import Features  # isort: skip
import numpy as np
import pycolmap

from mixdepth.cameras.colmap.matching import match, match_groups, near_epipolar_line
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.errors import CaptureError, OutOfRoom
from mixdepth.files.certificate import refuse_changed
from mixdepth.files.images import camera_tags
from mixdepth.files.io import atomic, reading
from mixdepth.progress import Progress
from mixdepth.results import MODEL_FILES

RATIO = 0.7  # Lowe's, of matches that poses are found from; COLMAP's 0.8 lets half as many false ones more through
MIN_INLIERS = 15  # verified matches that a pair of images needs (COLMAP's default)
ROBUST = 1.0  # detection pixels
TWO_SCALES = 1.005  # ratio of the factors of both axes above which they are no rounding
GUIDED_ERROR = 4.0  # detection pixels from the epipolar line for guided matching (COLMAP's default)

Pairs = dict[tuple[str, str], np.ndarray]  # sorted names of two images -> [M, 2] uint32 indices of matched key points
Geometries = dict[tuple[str, str], pycolmap.TwoViewGeometry]

pycolmap.logging.minloglevel = int(pycolmap.logging.ERROR)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for a database.

    Raises:
        UserError: no space is left there.
    """
    with tempfile.TemporaryDirectory(prefix="mixdepth-") as folder:
        try:
            yield Path(folder)
        except RuntimeError as error:
            # SQLITE_FULL, which COLMAP only says; of a database that cannot even be begun it does not say why.
            if "disk is full" not in str(error) and shutil.disk_usage(folder).free > 1 << 20:
                raise
            raise OutOfRoom(
                f"{folder}: no space left on the device for COLMAP's database. Free some space there, or set TMPDIR to"
                " a folder on another disk, and run the same command again; what is finished is kept."
            ) from error


class Database:
    """A COLMAP database of features, cameras, images (each a rig and frame of its own) and verified pairs."""

    def __init__(self, path: Path):
        self.database = pycolmap.Database.open(path)
        self.image_ids: dict[str, int] = {}

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

    def add_pair(self, pair: tuple[str, str], geometry: pycolmap.TwoViewGeometry) -> None:
        """Write what was verified of the matches of two images."""
        one, two = (self.image_ids[name] for name in pair)
        self.database.write_matches(one, two, geometry.inlier_matches)
        self.database.write_two_view_geometry(one, two, geometry)

    def close(self) -> None:
        self.database.close()


def initial_cameras(
    images: Mapping[str, Path], features: Mapping[str, Features], options: Mapping, known: Mapping[str, Lens]
) -> dict[str, pycolmap.Camera]:
    """Each image's camera in detection pixels; images that share intrinsics have one object.

    Args:
        images: image name to file; what stands before the "/" is the group within which intrinsics may be shared.
        features: of these images.
        options: the scene's ``colmap`` section: camera_model, share_intrinsics.
        known: lenses that are known, by image name. The others are guessed: the focal length from EXIF, else 1.2 times
            the longer side (COLMAP's default).

    Raises:
        UserError: a known lens is of another size than its image.
    """
    shared: dict[object, pycolmap.Camera] = {}
    cameras = {}
    for name in sorted(images):
        lens = known.get(name)
        key = lens or (
            *_sharing(name, images[name], features[name].size, options["share_intrinsics"]),
            features[name].detection_size,  # cameras with pixels of another shape are others
        )
        if key not in shared:
            camera = _known_camera(lens, features[name], images[name]) if lens else None
            shared[key] = camera or _guessed_camera(images[name], features[name], options["camera_model"])
        cameras[name] = shared[key]
    return cameras


def _sharing(name: str, path: Path, size: tuple[int, int], share: str) -> tuple:
    """Images with one key share intrinsics."""
    if share == "none":
        return (name,)
    key = (name.split("/")[0], *size)
    if share == "size":
        return key
    return (*key, *map(str, camera_tags(path)))


def _guessed_camera(path: Path, features: Features, model: str) -> pycolmap.Camera:
    camera = pycolmap.infer_camera_from_image(path, pycolmap.ImageReaderOptions(camera_model=model))
    if (camera.width, camera.height) != features.size:  # stored lying on its side
        prior, focal = camera.has_prior_focal_length, camera.mean_focal_length()
        camera = pycolmap.Camera.create_from_model_name(1, model, focal, *features.size)
        camera.has_prior_focal_length = prior
    across, down = np.divide(features.detection_size, features.size)
    if max(across / down, down / across) > TWO_SCALES:  # pixels that are not square were made so
        focal = camera.mean_focal_length() * max(across, down)
        return pycolmap.Camera.create_from_model_name(1, model, focal, *features.detection_size)
    camera.rescale(*features.detection_size)
    return camera


def _known_camera(lens: Lens, features: Features, path: Path) -> pycolmap.Camera:
    """``lens`` in detection pixels, marked as known."""
    if (lens.width, lens.height) != features.size:
        raise CaptureError(
            f"{path}: the image is {features.size[0]}x{features.size[1]} pixels, its camera {lens.width}x"
            f"{lens.height}. Expected the original image: do not resize it after the camera was calibrated."
        )
    camera = colmap_camera(lens)
    camera.has_prior_focal_length = True
    return _rescaled(camera, features.detection_size)


def _rescaled(camera: pycolmap.Camera, size: tuple[int, int]) -> pycolmap.Camera:
    """``camera`` for its image scaled to ``size``; with two focal lengths where it had one and the axes are scaled
    differently."""
    across, down = size[0] / camera.width, size[1] / camera.height
    # By rounding they differ a little, which COLMAP takes the mean of.
    if max(across / down, down / across) > TWO_SCALES and len(camera.focal_length_idxs()) == 1:
        lens = Lens(camera.model_name, camera.width, camera.height, tuple(map(float, camera.params)))
        prior, number = camera.has_prior_focal_length, camera.camera_id
        camera = colmap_camera(lens.with_two_focal_lengths())
        camera.has_prior_focal_length, camera.camera_id = prior, number
    camera.rescale(*size)
    return camera


def known_cameras(
    images: Mapping[str, Path], features: Mapping[str, Features], lenses: Mapping[str, Lens]
) -> dict[str, pycolmap.Camera]:
    """A camera of its own for each image, in detection pixels, from its known lens.

    Raises:
        UserError: a lens is of another size than its image.
    """
    return {name: _known_camera(lenses[name], features[name], images[name]) for name in sorted(images)}


def match_pairs(
    pairs: Collection[tuple[str, str]],
    features: Mapping[str, Features],
    *max_ratios: float,
    groups: Mapping[str, np.ndarray] | None = None,
) -> tuple[Pairs, ...]:
    """The matches of pairs of images, once for each of the ratios (Lowe 2004) that they may have at most; with
    ``groups``, one number per key point of each image, only within a group."""
    found: tuple[Pairs, ...] = tuple({} for _ in max_ratios)
    for pair in Progress("colmap matches", len(pairs)).over(pairs):
        one, two = (features[name].descriptors for name in pair)
        if groups:
            indices, ratio = match_groups((one, two), (groups[pair[0]], groups[pair[1]]), max(max_ratios))
        else:
            indices, ratio = match(one, two, max_ratio=max(max_ratios))
        for matches, limit in zip(found, max_ratios, strict=True):
            matches[pair] = indices[ratio < limit]
    return found


def verify_pairs(
    matches: Pairs, features: Mapping[str, Features], cameras: Mapping[str, pycolmap.Camera], seed: int
) -> Geometries:
    """The epipolar geometry that most matches of a pair agree with (COLMAP's RANSAC), and which these are; without
    the pairs of which nothing is left."""
    settings = pycolmap.TwoViewGeometryOptions()
    settings.min_num_inliers = MIN_INLIERS
    settings.ransac.random_seed = seed
    found = {}
    for (one, two), indices in matches.items():
        geometry = pycolmap.estimate_two_view_geometry(
            cameras[one], features[one].xy, cameras[two], features[two].xy, indices, settings
        )
        if len(geometry.inlier_matches):
            found[one, two] = geometry
    return found


def inliers(geometries: Geometries) -> Pairs:
    """The verified matches alone."""
    return {pair: geometry.inlier_matches for pair, geometry in geometries.items()}


def epipolar(
    geometry: pycolmap.TwoViewGeometry,
    xy: tuple[np.ndarray, np.ndarray],
    cameras: tuple[pycolmap.Camera, pycolmap.Camera],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """What tells the epipolar lines of two images: the matrix, their key points ``xy`` [N, 2] in its unit, and
    GUIDED_ERROR in it; None where the geometry is a homography."""
    kinds = pycolmap.TwoViewGeometryConfiguration
    if geometry.config == kinds.CALIBRATED:
        assert geometry.E is not None
        one, two = (camera.cam_from_img(own) for camera, own in zip(cameras, xy, strict=True))
        focal = (cameras[0].mean_focal_length() + cameras[1].mean_focal_length()) / 2
        return geometry.E, one, two, GUIDED_ERROR / focal
    if geometry.config == kinds.UNCALIBRATED:
        assert geometry.F is not None
        return geometry.F, *xy, GUIDED_ERROR
    return None


def match_guided(
    geometries: Geometries, features: Mapping[str, Features], cameras: Mapping[str, pycolmap.Camera], seed: int
) -> Geometries:
    """Match verified pairs again, only along their epipolar lines, which a match in a crowd of look-alikes survives.

    Pairs whose geometry is a homography keep their matches. The new matches are verified anew.
    """
    found = dict(geometries)
    progress = Progress("colmap guided matches", len(geometries))
    for (one, two), geometry in progress.over(geometries.items()):
        lines = epipolar(geometry, (features[one].xy, features[two].xy), (cameras[one], cameras[two]))
        if lines is None:
            continue
        near = near_epipolar_line(*lines)
        matches, _ = match(features[one].descriptors, features[two].descriptors, near)
        again = verify_pairs({(one, two): matches}, features, cameras, seed)
        if again and len(again[one, two].inlier_matches) > len(geometry.inlier_matches):
            found |= again
    return found


def map_images(
    features: Mapping[str, Features],
    cameras: Mapping[str, pycolmap.Camera],
    geometries: Geometries,
    fixed: Collection[str],
    seed: int,
) -> pycolmap.Reconstruction | None:
    """Incremental mapping (Schoenberger & Frahm 2016) in one thread.

    Args:
        features: of the images to map, and of no others.
        cameras: of these images, detection pixels.
        geometries: verified pairs; those of other images are left out.
        fixed: images whose cameras are known and stay as they are.
        seed: of COLMAP's random draws.

    Returns:
        The model with most images, in pixels of the originals; None where there is none.
    """
    pycolmap.set_random_seed(seed)
    with scratch() as folder:
        path = folder / "database.db"
        database = Database(path)
        numbers: dict[int, int] = {}  # by the camera object's identity
        for name in sorted(features):
            if id(cameras[name]) not in numbers:
                numbers[id(cameras[name])] = database.add_camera(cameras[name])
            database.add_image(name, numbers[id(cameras[name])], features[name])
        for pair, geometry in sorted(geometries.items()):
            if features.keys() >= set(pair):
                database.add_pair(pair, geometry)
        database.close()
        settings = pipeline_options(seed)
        settings.min_model_size = 2
        settings.triangulation.ignore_two_view_tracks = False  # two views constrain each other's poses as well
        known = [cameras[name] for name in fixed if name in features]
        settings.constant_cameras = {numbers[id(camera)] for camera in known}
        # Else COLMAP leaves out the images of known lenses with larger terms.
        terms = [abs(camera.params[index]) for camera in known for index in camera.extra_params_idxs()]
        settings.max_extra_param = max([settings.max_extra_param, *(1.01 * term for term in terms)])
        progress = Progress("colmap mapping", len(features))
        models = pycolmap.incremental_mapping(
            path,
            folder,
            folder,
            settings,
            initial_image_pair_callback=lambda: progress.update(2),
            next_image_callback=lambda: progress.update(),
        )
    model = max(models.values(), key=lambda m: (m.num_reg_images(), m.num_points3D()), default=None)
    if model is not None:
        _adjust_robustly(model, settings.constant_cameras)
        _drop_points_of_two_views(model)
        to_original_pixels(model, features)
    return model


def _adjust_robustly(model: pycolmap.Reconstruction, constant_cameras: Collection[int]) -> None:
    """Bundle adjustment in place with a loss that grows linearly beyond ROBUST pixels (Triggs et al. 2000): the mapper
    minimises squares, in which the false matches that are left among those of two views weigh most."""
    config = pycolmap.BundleAdjustmentConfig()
    for image in model.images.values():
        if image.has_pose:
            config.add_image(image.image_id)
    for number in constant_cameras:
        config.set_constant_cam_intrinsics(number)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = pycolmap.BundleAdjustmentOptions(print_summary=False)
    options.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    options.ceres.loss_function_scale = ROBUST
    options.ceres.solver_options.num_threads = 1
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()


def _drop_points_of_two_views(model: pycolmap.Reconstruction) -> None:
    """Delete, in place, points that no third image bears out, where there are more than two images: together they help
    the poses, each by itself may be a chance match."""
    if model.num_reg_images() > 2:
        for number in list(model.point3D_ids()):
            if len({element.image_id for element in model.point3D(number).track.elements}) < 3:
                model.delete_point3D(number)


def pipeline_options(seed: int) -> pycolmap.IncrementalPipelineOptions:
    """COLMAP's mapping in one thread with a seed."""
    settings = pycolmap.IncrementalPipelineOptions()
    settings.num_threads = settings.mapper.num_threads = 1
    settings.random_seed = settings.mapper.random_seed = settings.triangulation.random_seed = seed
    settings.extract_colors = False
    return settings


def to_original_pixels(model: pycolmap.Reconstruction, features: Mapping[str, Features]) -> None:
    """Scale cameras and key points of ``model`` from the detection size to the original size, in place."""
    sizes = {image.camera_id: features[image.name].size for image in model.images.values()}
    for camera_id, size in sizes.items():
        rescaled = _rescaled(model.camera(camera_id), size)
        model.camera(camera_id).model = rescaled.model
        model.camera(camera_id).params = list(rescaled.params)
        model.camera(camera_id).width, model.camera(camera_id).height = size
    for image in model.images.values():
        factor = np.divide(features[image.name].size, features[image.name].detection_size)
        for point in image.points2D:
            point.xy = point.xy * factor
    model.update_point_3d_errors()


def colmap_camera(lens: Lens) -> pycolmap.Camera:
    """``lens`` as a pycolmap camera, without a number; where COLMAP does not have it, the nearest that it has."""
    lens, _ = lens.colmaps
    return pycolmap.Camera(model=lens.model, width=lens.width, height=lens.height, params=list(lens.params))


def write_model(model: pycolmap.Reconstruction, output: Path) -> None:
    """Write ``model`` as binary files into the folder ``output``, each whole or not at all.

    Raises:
        UserError: no space left on the device.
    """
    # By way of memory: COLMAP does not notice a full disk, and reading what it has cut short can take it minutes.
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        files = {}
        for name in MODEL_FILES:
            files[name] = opened.enter_context(open(os.memfd_create(name), "rb"))  # noqa: PTH123 (a descriptor)
            (Path(folder) / name).symlink_to(f"/proc/self/fd/{files[name].fileno()}")
        model.write_binary(folder)
        for name, file in files.items():
            with atomic(output / name) as temporary:
                temporary.write_bytes(file.read())


def read_model(path: Path) -> Model:
    """Read a binary COLMAP model.

    Raises:
        UserError: there is none at ``path``, or it is damaged.
    """
    with reading(path, "a COLMAP model", "Delete this folder and run the same command again."):
        for file in sorted(path.glob("*.bin")):
            refuse_changed(file)
        return as_arrays(pycolmap.Reconstruction(path))


def as_arrays(model: pycolmap.Reconstruction) -> Model:
    """``model`` without what has no pose."""
    images = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    lenses, poses = {}, {}
    for image in images:
        camera = image.camera
        lenses[image.name] = Lens(camera.model_name, camera.width, camera.height, tuple(map(float, camera.params)))
        poses[image.name] = np.vstack([image.cam_from_world().inverse().matrix(), [0, 0, 0, 1.0]])
    index = {image.image_id: i for i, image in enumerate(images)}
    points = [model.point3D(point_id) for point_id in sorted(model.point3D_ids())]
    seen = [
        (number, index[element.image_id], *model.image(element.image_id).point2D(element.point2D_idx).xy)
        for number, point in enumerate(points)
        for element in point.track.elements
    ]
    track = np.array(seen, dtype=np.float64).reshape(-1, 4)
    return Model(
        lenses,
        poses,
        np.array([point.xyz for point in points]).reshape(-1, 3),
        np.array([point.error for point in points], dtype=np.float64),
        track[:, 0].astype(int),
        track[:, 1].astype(int),
        track[:, 2:],
    )
