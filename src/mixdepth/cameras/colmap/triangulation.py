"""Triangulation by COLMAP with poses and intrinsics held fixed, and what the images themselves say about the poses."""

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

# Before pycolmap: it sees to it that Pillow is imported first.
from mixdepth.cameras.colmap.features import Features, thorough  # isort: skip
import numpy as np
import pycolmap

from mixdepth.cameras.colmap.mapping import (
    RATIO,
    Database,
    Pairs,
    inliers,
    known_cameras,
    match_pairs,
    pipeline_options,
    scratch,
    to_original_pixels,
    verify_pairs,
    write_model,
)
from mixdepth.cameras.colmap.matching import epipolar_error, has_twin
from mixdepth.cameras.colmap.moments import STILL, Picture, gather
from mixdepth.cameras.colmap.overlay import laid_over
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.cameras.verification.borne_out import around_lines, borne_out
from mixdepth.cameras.verification.verify import Verification, verify
from mixdepth.cameras.verification.view import View

MIN_INLIERS_GIVEN = 8  # matches that a pair needs where each is checked by itself (fewer are mostly chance)
EPIPOLAR_ERROR = 2.0  # detection pixels within which matches must agree with known poses
LOOSE_RATIO = 0.8  # Lowe's (COLMAP's default), of matches that known poses can sort out
VERIFIED = int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED)

Posed = tuple[Lens, np.ndarray]  # lens at the original size, c2w [4, 4]


def triangulate(
    images: Mapping[str, Path],
    cameras: Mapping[str, Posed],
    output: Path,
    options: Mapping,
    pictures: Mapping[str, Sequence[Picture]] | None = None,
    still: Path | None = None,
) -> Verification:
    """Triangulate SIFT features with the poses and intrinsics held fixed.

    Args:
        images: COLMAP image name to file, all of one moment; the verification is of these.
        cameras: image name to (lens at the original size, c2w [4, 4]).
        output: folder for the binary model, in pixels of the original images; its points have a mean reprojection
            error up to ``max_reprojection_error`` (original pixels), a triangulation angle of at least ``min_angle``
            and lie before every camera of their track. No points is not an error: the model is then empty.
        options: the scene's ``colmap`` section.
        pictures: of the same images, which the points are of: several moments. Those of ``images`` unless given.
        still: folder for the model of those points that stand still.

    Returns:
        whether the images agree with the poses.

    Raises:
        UserError: an image is missing, unreadable, or of another size than its camera.
    """
    task = _Task(images, cameras, options, pictures)
    model = task.points(task.every)
    write_model(model, output)
    if still:
        _drop_movers(model, task.every)
        write_model(model, still)
    return task.verify()


def triangulated(images: Mapping[str, Path], cameras: Mapping[str, Posed], options: Mapping) -> pycolmap.Reconstruction:
    """The model of :func:`triangulate`, which says what its arguments and errors are, unwritten and unverified."""
    task = _Task(images, cameras, options)
    return task.points(task.one)


def check_poses(
    images: Mapping[str, Path],
    cameras: Mapping[str, Posed],
    options: Mapping,
    pictures: Mapping[str, Sequence[Picture]] | None = None,
) -> Verification:
    """Whether the images agree with given poses; arguments and errors as :func:`triangulate`."""
    return _Task(images, cameras, options, pictures).verify()


@dataclass(frozen=True)
class _Evidence:
    """What the images say without the poses, detection pixels."""

    features: dict[str, Features]
    lenses: dict[str, pycolmap.Camera]
    matches: Pairs  # with a ratio up to LOOSE_RATIO
    strict: Pairs  # with a ratio up to RATIO
    moments: dict[str, np.ndarray]  # by image, the moment of each key point (mixdepth.cameras.colmap.moments)
    seed: int  # of RANSAC's draws

    @cached_property
    def pairs(self) -> Pairs:
        """The matches of each pair that agree with a geometry of its own (RANSAC), which knows nothing of the poses."""
        return inliers(verify_pairs(self.strict, self.features, self.lenses, self.seed))

    @cached_property
    def distinct(self) -> Pairs:
        """Those of the ``pairs`` whose key points have no look-alike in their own image."""
        twins = {name: has_twin(features.descriptors, features.xy) for name, features in self.features.items()}
        return {(a, b): own[~twins[a][own[:, 0]] & ~twins[b][own[:, 1]]] for (a, b), own in self.pairs.items()}

    @property
    def keypoints(self) -> dict[str, np.ndarray]:
        """Pixels of the original, by image."""
        return {name: features.uv for name, features in self.features.items()}


@dataclass(frozen=True)
class _Task:
    """Images with poses, each pair of which is looked at."""

    images: Mapping[str, Path]
    cameras: Mapping[str, Posed]
    options: Mapping
    pictures: Mapping[str, Sequence[Picture]] | None = None

    @cached_property
    def one(self) -> _Evidence:
        """Of one moment."""
        return self._gather(self._moment, self.options)

    @cached_property
    def thorough(self) -> _Evidence:
        """The same with more features."""
        return self._gather(self._moment, thorough(self.options))

    @cached_property
    def every(self) -> _Evidence:
        """Of all pictures."""
        return self._gather(self.pictures, self.options) if self.pictures else self.one

    @property
    def _moment(self) -> dict[str, list[Picture]]:
        return {name: [Picture(path)] for name, path in self.images.items()}

    def _gather(self, pictures: Mapping[str, Sequence[Picture]], options: Mapping) -> _Evidence:
        pairs = list(itertools.combinations(sorted(self.images), 2))
        seen = gather(pictures, options)
        features = {name: sighting.features for name, sighting in seen.items()}
        moments = {name: sighting.moment for name, sighting in seen.items()}
        lenses = known_cameras(self.images, features, {name: self.cameras[name][0] for name in self.images})
        loose, strict = match_pairs(pairs, features, LOOSE_RATIO, RATIO, groups=moments)
        while over := laid_over(strict, features, lenses, self.options["seed"]):
            features |= {name: features[name].subset(~own) for name, own in over.items()}
            moments |= {name: moments[name][~own] for name, own in over.items()}
            loose, strict = match_pairs(pairs, features, LOOSE_RATIO, RATIO, groups=moments)
        return _Evidence(features, lenses, loose, strict, moments, self.options["seed"])

    def points(self, evidence: _Evidence) -> pycolmap.Reconstruction:
        """The points that the matches make with the cameras fixed, in pixels of the original images."""
        with scratch() as folder:
            path = folder / "database.db"
            database = Database(path)
            model = _posed_model(database, evidence, self.cameras)
            verified = _agreeing_matches(evidence, model)
            for pair, geometry in verified.items():
                database.add_pair(pair, geometry)
            database.close()
            if verified:
                model = _triangulate(model, path, folder, self.options["seed"])
        to_original_pixels(model, evidence.features)
        _drop_bad_points(model, self.options)
        count = model.num_points3D()
        print(f"colmap triangulation: {count} points from {len(self.images)} images", file=sys.stderr, flush=True)
        if not count:
            told = "warning: no point was found, so there is no sparse depth; lower colmap.peak_threshold"
            print(told, file=sys.stderr)
        return model

    def verify(self) -> Verification:
        """Verify the poses by one moment; where that is not enough by all pictures, and by more features."""
        found = self._verify(self.one)
        if not found.trusted:
            found = self._second_opinion(found)
        return self._verify(self.thorough) if found.verdict == "unproven" else found

    def _verify(self, evidence: _Evidence) -> Verification:
        """By matches; where these contradict, what those say that are of no pattern that repeats."""
        found = verify(self._model, evidence.keypoints, evidence.pairs, sorted(self.images))
        if found.verdict != "contradicted":
            return found
        again = verify(self._model, evidence.keypoints, evidence.distinct, sorted(self.images))
        told = "Only look-alikes contradict the poses, which their own image shows more than once."
        return found if again.verdict == "contradicted" else replace(again, reason=f"{told} {again.reason}")

    @property
    def _model(self) -> Model:
        """The cameras, without points."""
        none, names = np.zeros(0, int), sorted(self.images)
        lenses = {name: self.cameras[name][0] for name in names}
        poses = {name: self.cameras[name][1] for name in names}
        return Model(lenses, poses, np.zeros((0, 3)), np.zeros(0), none, none, np.zeros((0, 2)))

    def _second_opinion(self, first: Verification) -> Verification:
        """``first``, unless the matches of all pictures bear out every pose: then what those along the epipolar lines
        say, in which look-alikes have no voice."""
        uv = self.every.keypoints
        views = {name: View.of(*self.cameras[name], uv[name]) for name in uv}
        if borne_out(views, self.every.strict) != set(views):
            return first
        pairs = {
            (one, two): around_lines(views[one], views[two], found) for (one, two), found in self.every.strict.items()
        }
        found = verify(self._model, uv, pairs, sorted(views))
        told = "One moment says too little, or shows look-alikes, but matches of several moments bear out the poses."
        return replace(found, reason=f"{told} {found.reason}") if found.trusted else first


def _drop_movers(model: pycolmap.Reconstruction, evidence: _Evidence) -> None:
    """Delete, in place, the points that any image saw at one moment only, on something that moves."""
    moments = {image_id: evidence.moments[image.name] for image_id, image in model.images.items()}
    for point_id in list(model.point3D_ids()):
        track = model.point3D(point_id).track.elements
        if any(moments[element.image_id][element.point2D_idx] != STILL for element in track):
            model.delete_point3D(point_id)


def _posed_model(database: Database, evidence: _Evidence, cameras: Mapping[str, Posed]) -> pycolmap.Reconstruction:
    """A model without points, at the detection size; its cameras and images are written to ``database`` too."""
    features, lenses = evidence.features, evidence.lenses
    model = pycolmap.Reconstruction()
    for name in sorted(features):
        lens, pose = lenses[name], pycolmap.Rigid3d(np.linalg.inv(cameras[name][1])[:3])
        database.add_image(name, database.add_camera(lens), features[name])
        model.add_camera_with_trivial_rig(lens)
        image = pycolmap.Image(
            name=name, keypoints=features[name].xy, camera_id=lens.camera_id, image_id=database.image_ids[name]
        )
        model.add_image_with_trivial_frame(image, pose)
    return model


def _agreeing_matches(
    evidence: _Evidence, model: pycolmap.Reconstruction
) -> dict[tuple[str, str], pycolmap.TwoViewGeometry]:
    """The matches that agree with the known poses, for pairs with enough of them.

    Matching along the epipolar lines only (guided matching) was tried and dropped: it finds a tenth more points, but a
    quarter of those seen from two places are wrong (arc8; else 4 %), as chance matches on a line agree with it.
    """
    images, features = {image.name: image for image in model.images.values()}, evidence.features
    points = {name: image.camera.cam_from_img(features[name].xy).reshape(-1, 2) for name, image in images.items()}
    centres = np.array([image.projection_center() for image in images.values()])
    extent = np.linalg.norm(centres - centres.mean(axis=0), axis=1).max(initial=0)
    found = {}
    for (one, two), indices in evidence.matches.items():
        relative = images[two].cam_from_world() * images[one].cam_from_world().inverse()
        if np.linalg.norm(relative.translation) <= 1e-6 * extent:  # a photo from a camera's place: no parallax
            continue
        essential = pycolmap.essential_matrix_from_pose(relative)
        error = epipolar_error(essential, points[one][indices[:, 0]], points[two][indices[:, 1]])
        focal = (images[one].camera.mean_focal_length() + images[two].camera.mean_focal_length()) / 2
        agreeing = indices[error * focal <= EPIPOLAR_ERROR]
        if len(agreeing) >= MIN_INLIERS_GIVEN:
            found[one, two] = pycolmap.TwoViewGeometry(config=VERIFIED, E=essential, inlier_matches=agreeing)
    return found


def _triangulate(model: pycolmap.Reconstruction, database: Path, work: Path, seed: int) -> pycolmap.Reconstruction:
    settings = pipeline_options(seed)
    settings.fix_existing_frames = settings.mapper.fix_existing_frames = True
    settings.min_num_matches = MIN_INLIERS_GIVEN
    settings.triangulation.ignore_two_view_tracks = False
    # Lenses are known: COLMAP would leave out the images of those whose terms are above 1 or whose focal length is odd.
    settings.max_extra_param = settings.max_focal_length_ratio = 1e9
    settings.min_focal_length_ratio = 1e-9
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
