"""COLMAP through pycolmap: features, matches, triangulation; and the cameras stage that calls it, on a small place."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mixdepth.cameras.colmap import mapping as colmap  # isort: skip  (imports Pillow first)
from mixdepth.cameras.colmap import triangulation as colmap_triangulation  # isort: skip  (imports Pillow first)
from mixdepth.cameras import tasks  # isort: skip  (imports Pillow first)
from PIL import Image

from helpers.place import (
    FOCAL,
    HEIGHT,
    NAMES,
    OPTIONS,
    WIDTH,
    place_camera,
    place_images,
    place_lens,
    place_view,
    true_cameras,
    write_place,
)
from helpers.stages import work
from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.colmap.features import detect
from mixdepth.cameras.colmap.matching import epipolar_error, match, near_epipolar_line
from mixdepth.cameras.formats.llff import write_poses_bounds
from mixdepth.cameras.lens import Lens, load_lenses
from mixdepth.cameras.model import Model
from mixdepth.cameras.sparse_depth import SparseDepth, depth_bounds, point_covariances, sparse_depth
from mixdepth.errors import UserError
from mixdepth.files.io import read_json, write_json
from mixdepth.scene.settings import Settings


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with cam00.png ... cam03.png and the photo cam04.jpg."""
    return write_place(tmp_path_factory.mktemp("place"))


def videos(place: Path) -> dict[str, Path]:
    """The reference images of the video cameras, by COLMAP's name."""
    return {name: path for name, path in place_images(place).items() if name.startswith("cameras/")}


@pytest.fixture(scope="module")
def triangulated(place, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("sparse")
    colmap_triangulation.triangulate(videos(place), true_cameras(), output, OPTIONS)
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# The process


def test_a_png_can_be_written_after_importing_what_imports_pycolmap(tmp_path):
    # With pycolmap imported before Pillow this aborts (pycolmap 4.2.1, Pillow 13.0.0).
    for module in ("colmap.features", "colmap.mapping", "tasks"):
        code = (
            f"import mixdepth.cameras.{module}, numpy\nfrom PIL import Image\n"
            "pixels = numpy.random.default_rng(0).integers(0, 255, (50, 60, 3)).astype('uint8')\n"
            f"Image.fromarray(pixels).save({str(tmp_path / 'a.png')!r})\nprint('written')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "written" in done.stdout


# Features


def test_an_image_stored_on_its_side_has_the_features_of_the_upright_one(place, tmp_path):
    upright = Image.open(place / "cam00.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    found = detect({"a": place / "cam00.png", "b": tmp_path / "side.png"}, OPTIONS)
    assert found["b"].size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(found["a"].keypoints, found["b"].keypoints)


def test_nothing_is_found_on_moving_pixels(place, tmp_path):
    moving = np.zeros((HEIGHT, WIDTH), np.uint8)
    moving[:, : WIDTH // 2] = 255
    Image.fromarray(moving).save(tmp_path / "moving.png")
    options = {**OPTIONS, "upscale_to": 400}
    one = {"a": place / "cam00.png"}
    everything, still = detect(one, options)["a"], detect(one, options, {"a": tmp_path / "moving.png"})["a"]
    assert still.detection_size == (2 * WIDTH, 2 * HEIGHT)
    right = everything.uv[:, 0] >= WIDTH // 2
    assert 100 < right.sum() < len(right) - 100
    np.testing.assert_array_equal(still.keypoints, everything.keypoints[right])
    np.testing.assert_array_equal(still.descriptors, everything.descriptors[right])
    Image.fromarray(moving[1:]).save(tmp_path / "moving.png")
    with pytest.raises(UserError, match=r"moving\.png: 200x149 pixels, its image 200x150"):
        detect(one, options, {"a": tmp_path / "moving.png"})


def test_several_processes_find_the_same_features(place):
    images = videos(place)
    one, two = detect(images, OPTIONS), detect(images, OPTIONS, threads=2)
    for name in images:
        np.testing.assert_array_equal(one[name].keypoints, two[name].keypoints)
        np.testing.assert_array_equal(one[name].descriptors, two[name].descriptors)


# Intrinsics


def test_intrinsics_are_shared_as_configured(place, tmp_path):
    images = place_images(place)
    for name, focal in (("same", 4.0), ("wide", 4.0), ("tele", 9.0)):
        exif = Image.Exif()
        exif[0x0110] = "phone"  # model
        exif.get_ifd(0x8769)[0x920A] = focal  # focal length, mm
        images[f"photos/{name}.jpg"] = tmp_path / f"{name}.jpg"
        Image.new("L", (WIDTH, HEIGHT)).save(images[f"photos/{name}.jpg"], exif=exif)
    features = detect({"any": place / "cam00.png"}, OPTIONS)["any"]

    def groups(share: str) -> list[set[str]]:
        options = {**OPTIONS, "share_intrinsics": share}
        cameras = colmap.initial_cameras(images, dict.fromkeys(images, features), options, {})
        found: dict[int, set[str]] = {}
        for name, camera in cameras.items():
            found.setdefault(id(camera), set()).add(Path(name).stem)
        return sorted(found.values(), key=sorted)

    assert groups("size") == [set(NAMES), {"cam04", "same", "tele", "wide"}]
    assert groups("exif") == [set(NAMES), {"cam04"}, {"same", "wide"}, {"tele"}]
    assert len(groups("none")) == 8


def test_a_known_lens_is_taken_as_it_is_and_must_fit_its_image(place):
    images = {"cameras/cam00.png": place / "cam00.png"}
    features = detect(images, {**OPTIONS, "upscale_to": 400})
    fisheye = Lens("OPENCV_FISHEYE", WIDTH, HEIGHT, (190.0, 191.0, 100.0, 75.0, 0.01, 0.0, 0.0, 0.0))
    camera = colmap.initial_cameras(images, features, OPTIONS, {"cameras/cam00.png": fisheye})["cameras/cam00.png"]
    assert camera.model_name == "OPENCV_FISHEYE"
    np.testing.assert_allclose(camera.params, [380, 382, 200, 150, 0.01, 0, 0, 0])
    small = replace(fisheye, width=100)
    with pytest.raises(UserError, match=r"cam00\.png: the image is 200x150 pixels, its camera 100x150"):
        colmap.initial_cameras(images, features, OPTIONS, {"cameras/cam00.png": small})


# Matching


def test_matches_are_mutual_nearest_neighbours_that_pass_the_ratio_test():
    rng = np.random.default_rng(0)
    vectors = rng.exponential(size=(6, 128))
    descriptors = (512 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.uint8)
    order = [3, 1, 4, 0, 2]
    expected = sorted([number, place] for place, number in enumerate(order))
    matches, ratio = match(descriptors[:5], descriptors[order])
    assert matches.tolist() == expected
    assert ratio.max() < 0.25  # the same descriptor, rounded
    # A twin in the second image makes the match ambiguous, wherever the chunks end.
    twins, _ = match(descriptors[:5], np.concatenate([descriptors[order], descriptors[4:5]]))
    assert twins.tolist() == [pair for pair in expected if pair[0] != 4]
    assert match(descriptors[:0], descriptors)[0].shape == (0, 2)


def essential_matrix(one: Camera, two: Camera) -> np.ndarray:
    """[t]x R (Hartley & Zisserman 2004, eq. 9.12)."""
    relative = np.linalg.inv(two.c2w) @ one.c2w
    x, y, z = relative[:3, 3]
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]


def test_epipolar_error_is_zero_for_a_point_and_grows_with_its_shift():
    one, two = place_camera(0), place_camera(3)
    essential = essential_matrix(one, two)
    points = np.random.default_rng(0).uniform([-1, -1, 4], [1, 1, 6], (20, 3))
    xy = [(camera.project(points)[0] - [100, 75]) / FOCAL for camera in (one, two)]
    assert epipolar_error(essential, *xy).max() < 1e-12
    shifted = epipolar_error(essential, xy[0], xy[1] + [0, 0.01])
    assert (shifted > 0.005).all()
    assert (shifted < 0.01).all()


def test_matches_are_kept_by_their_ratio(place):
    images = videos(place)
    features = detect({name: images[name] for name in list(images)[:2]}, OPTIONS)
    pair = tuple(sorted(features))
    loose, strict = colmap.match_pairs([pair], features, 0.8, 0.6)
    (alone,) = colmap.match_pairs([pair], features, 0.6)
    np.testing.assert_array_equal(strict[pair], alone[pair])
    assert 100 < len(strict[pair]) < len(loose[pair])
    assert {tuple(row) for row in strict[pair]} < {tuple(row) for row in loose[pair]}


def test_guided_matching_asks_only_partners_on_the_epipolar_line():
    rng = np.random.default_rng(0)
    vectors = rng.exponential(size=(4, 128))
    descriptors = (512 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.uint8)
    # Two cameras side by side: matches lie in the same row. Each descriptor has a twin in another row.
    sideways = np.array([[0, 0, 0], [0, 0, -1.0], [0, 1, 0]])
    xy1 = np.array([[10.0, 10], [20, 20], [30, 30], [40, 40]])
    xy2 = np.concatenate([xy1 + np.array([5, 1]), xy1 + np.array([5, 30])])
    twins = np.concatenate([descriptors, descriptors])
    assert len(match(descriptors, twins)[0]) == 0
    near = near_epipolar_line(sideways, xy1, xy2, 2.0)
    assert match(descriptors, twins, near)[0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert len(match(descriptors, twins, near_epipolar_line(sideways, xy1, xy2, 0.5))[0]) == 0
    # The gate is the Sampson distance.
    error = epipolar_error(sideways, np.repeat(xy1, 8, axis=0), np.tile(xy2, (4, 1))).reshape(4, 8)
    np.testing.assert_array_equal(near(slice(0, 4)), error <= 2)


def test_guided_matching_finds_more_and_the_same_geometry(place):
    images = videos(place)
    features = detect(images, OPTIONS)
    cameras = colmap.known_cameras(images, features, {name: place_lens() for name in images})
    pairs = [("cameras/cam00.png", "cameras/cam01.png"), ("cameras/cam00.png", "cameras/cam03.png")]
    (matches,) = colmap.match_pairs(pairs, features, 0.7)
    plain = colmap.verify_pairs(matches, features, cameras, 0)
    guided = colmap.match_guided(plain, features, cameras, 0)
    for pair in pairs:
        assert len(guided[pair].inlier_matches) > 1.1 * len(plain[pair].inlier_matches)
        one, two = (place_camera(int(Path(name).stem[-2:])) for name in pair)
        matched = [features[name].uv[guided[pair].inlier_matches[:, side]] for side, name in enumerate(pair)]
        xy = [(uv - [WIDTH / 2, HEIGHT / 2]) / FOCAL for uv in matched]
        error = FOCAL * epipolar_error(essential_matrix(one, two), *xy)
        assert np.median(error) < 0.5
        assert np.mean(error < 2) > 0.97


# Triangulation and sparse depth


def test_triangulation_keeps_poses_and_intrinsics(triangulated):
    model = colmap.read_model(triangulated)
    for name, (lens, c2w) in true_cameras().items():
        assert model.lenses[name] == lens
        np.testing.assert_allclose(model.c2w[name], c2w, rtol=0, atol=1e-12)


def test_triangulated_depth_is_true_and_its_sigma_honest(triangulated):
    model = colmap.read_model(triangulated)
    cameras = {f"cameras/{name}.png": place_camera(number) for number, name in enumerate(NAMES)}
    errors, sigmas = [], []
    for name, depth in sparse_depth(model, cameras).items():
        true = place_view(cameras[name])[1]
        column, row = depth.uv.astype(int).T
        errors.append((depth.z - true[row, column]) / depth.z)
        sigmas.append(depth.sigma / depth.z)
    error, sigma = np.abs(np.concatenate(errors)), np.concatenate(sigmas)
    assert len(error) > 500
    assert np.median(error) < 0.01
    # A normal distribution has 68 % within one and 95 % within two; allow for board edges and the floor.
    assert 0.5 < np.mean(error < sigma) < 0.98
    assert np.mean(error < 3 * sigma) > 0.9


def test_triangulation_is_the_same_every_time(place, triangulated, tmp_path):
    colmap_triangulation.triangulate(videos(place), true_cameras(), tmp_path, OPTIONS)
    assert contents(tmp_path) == contents(triangulated)


def test_points_with_a_large_error_or_a_small_angle_are_dropped(place, triangulated, tmp_path):
    options = {**OPTIONS, "max_reprojection_error": 0.2, "min_angle": 10}
    colmap_triangulation.triangulate(videos(place), true_cameras(), tmp_path, options)
    model = colmap.read_model(tmp_path)
    assert 0 < len(model.points) < len(colmap.read_model(triangulated).points)
    assert model.error.max() <= 0.2
    centres = np.array([model.c2w[name][:3, 3] for name in sorted(model.c2w)])
    for point, xyz in enumerate(model.points):
        rays = xyz - centres[model.track_image[model.track_point == point]]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        assert np.degrees(np.arccos((rays @ rays.T).min())) >= 10


def test_images_without_features_give_an_empty_model(tmp_path):
    images = {}
    for name in ("cameras/cam00.png", "cameras/cam01.png"):
        images[name] = tmp_path / Path(name).name
        Image.fromarray(np.full((HEIGHT, WIDTH), 128, np.uint8)).save(images[name])
    colmap_triangulation.triangulate(images, true_cameras(), tmp_path / "sparse", OPTIONS)
    model = colmap.read_model(tmp_path / "sparse")
    assert len(model.points) == 0
    assert sorted(model.lenses) == sorted(images)
    depth = sparse_depth(model, {name: place_camera(0) for name in images})
    assert all(len(value.z) == 0 for value in depth.values())


def test_an_image_of_another_size_than_its_camera_is_refused(place, tmp_path):
    Image.open(place / "cam00.png").resize((100, 75)).save(tmp_path / "cam00.png")
    images = {"cameras/cam00.png": tmp_path / "cam00.png", "cameras/cam01.png": place / "cam01.png"}
    with pytest.raises(UserError, match=r"cam00\.png: the image is 100x75 pixels, its camera 200x150"):
        colmap_triangulation.triangulate(images, true_cameras(), tmp_path / "sparse", OPTIONS)


def shifted(cameras: dict, name: str) -> dict:
    """``cameras`` with one turned by 20 degrees about the axis it looks along."""
    lens, c2w = cameras[name]
    turn, angle = np.eye(4), np.radians(20)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return cameras | {name: (lens, c2w @ turn)}


def test_given_poses_are_verified_by_what_the_images_show(place, tmp_path):
    good = colmap_triangulation.triangulate(videos(place), true_cameras(), tmp_path, OPTIONS)
    assert good.verdict == "trusted", good.reason
    wrong = shifted(true_cameras(), "cameras/cam02.png")
    bad = colmap_triangulation.triangulate(videos(place), wrong, tmp_path, OPTIONS)
    assert bad.verdict == "contradicted"
    assert "cam02" in bad.reason


def test_held_out_poses_are_checked_against_the_others(place):
    assert colmap_triangulation.check_poses(videos(place), true_cameras(), OPTIONS).verdict == "trusted"
    wrong = shifted(true_cameras(), "cameras/cam00.png")
    assert colmap_triangulation.check_poses(videos(place), wrong, OPTIONS).verdict == "contradicted"


def test_covariance_of_a_point_worked_out_by_hand():
    # Two cameras with f = 100 at x = -1 and 1 see (0, 0, 10) without residual, so each coordinate has the floor's s.
    # J^T J: x: 2 (f/z)^2 = 200, y: 200, z: 2 (f x / z^2)^2 = 2; the covariance is s^2 over these.
    c2w = {"a": np.eye(4), "b": np.eye(4)}
    c2w["a"][0, 3], c2w["b"][0, 3] = -1, 1
    lens = Lens("PINHOLE", 200, 100, (100.0, 100.0, 100.0, 50.0))
    uv = np.array([[110.0, 50.0], [90.0, 50.0]])
    model = Model(
        {"a": lens, "b": lens}, c2w, np.array([[0, 0, 10.0]]), np.zeros(1), np.zeros(2, int), np.arange(2), uv
    )
    expected = 0.3**2 * np.diag([1 / 200, 1 / 200, 1 / 2])
    np.testing.assert_allclose(point_covariances(model)[0], expected, atol=1e-12)
    depth = sparse_depth(model, {"a": Camera(100, 50, 50, 50, 50, 25, c2w["a"])})["a"]
    np.testing.assert_allclose(depth.uv, [[55, 25]])
    np.testing.assert_allclose(depth.z, [10])
    np.testing.assert_allclose(depth.sigma, [0.3 / np.sqrt(2)])
    # One pixel off in y in opposite directions: 2 residuals of 1 over 2 * 2 - 3 degrees of freedom.
    model.track_uv[:, 1] += [1, -1]
    np.testing.assert_allclose(point_covariances(model)[0][2, 2], 2 / 2)


def bare_model(points: np.ndarray, views: list[int]) -> Model:
    """A model of five cameras at the origin; point i is observed by the first ``views[i]`` of them."""
    names = "abcde"
    lens = Lens("PINHOLE", 100, 50, (50.0, 50.0, 50.0, 25.0))
    point = np.repeat(np.arange(len(points)), views)
    image = np.concatenate([np.zeros(0, int), *(np.arange(count) for count in views)])
    poses = {name: np.eye(4) for name in names}
    return Model(
        dict.fromkeys(names, lens), poses, points, np.zeros(len(points)), point, image, np.zeros((len(point), 2))
    )


def on_axis(z: np.ndarray) -> np.ndarray:
    return np.stack([np.zeros_like(z), np.zeros_like(z), z], axis=1)


def test_bounds_come_from_the_points_a_camera_sees_else_from_those_in_its_image():
    camera = Camera(100, 50, 50, 50, 50, 25, np.eye(4))
    z = np.linspace(2, 12, 1001)
    seen = {"cam00": SparseDepth(np.zeros((1001, 2)), z, z, np.full(1001, 3))}
    points = np.array([[0, 0, 3.0], [0, 0, 5.0], [0, 0, -1.0], [100, 0, 1.0]])
    backwards = Camera(100, 50, 50, 50, 50, 25, np.diag([-1.0, 1, -1, 1]))
    cameras = {"cam00": camera, "cam01": camera, "cam02": backwards}
    bounds = depth_bounds(cameras, seen, bare_model(points[:2], [2, 3]))
    np.testing.assert_allclose(bounds["cam00"], (2.01, 11.99))
    np.testing.assert_allclose(bounds["cam01"], (3.002, 4.998))
    assert bounds["cam02"] is None
    outside = depth_bounds({"cam01": camera}, {}, bare_model(points, [2, 2, 2, 2]))
    np.testing.assert_allclose(outside["cam01"], (3.002, 4.998))


def test_one_point_of_two_views_does_not_spoil_bounds():
    camera = Camera(100, 50, 50, 50, 50, 25, np.eye(4))
    z, views = np.append(np.linspace(2, 12, 1001), 0.1), np.append(np.full(1001, 3), 2)
    bounds = depth_bounds({"a": camera}, {"a": SparseDepth(np.zeros((1002, 2)), z, z, views)}, bare_model(z[:0], []))
    np.testing.assert_allclose(bounds["a"], (2.01, 11.99))


def test_points_of_two_views_far_from_what_is_well_seen_are_strays():
    model = bare_model(on_axis(np.array([2.0, 8.0, 1.7, 9.5, 1.5, 11.0, 1.0])), [3, 4, 2, 2, 2, 2, 3])
    # Point 6 is near, but three cameras see it, so it sets the range: 0.8 to 10.
    kept = model.without_strays()
    np.testing.assert_array_equal(kept.points[:, 2], [2, 8, 1.7, 9.5, 1.5, 1])
    np.testing.assert_array_equal(kept.views, [3, 4, 2, 2, 2, 3])
    np.testing.assert_array_equal(kept.track_depth[kept.track_point == 4], [1.5, 1.5])


# The stage


@pytest.fixture(scope="module")
def results(place, tmp_path_factory) -> Path:
    """The scene's results after structure from motion."""
    folder = tmp_path_factory.mktemp("results")
    write_references(place, folder)
    work(tasks.structure_from_motion, "structure_from_motion", scene(place), folder)
    return folder


def write_references(place: Path, folder: Path, names: list[str] = NAMES) -> None:
    """What the reference stage writes: here nothing moves, and the plate is the picture."""
    for name in names:
        (folder / "reference" / name).mkdir(parents=True)
        shutil.copy(place / f"{name}.png", folder / "reference" / name / "plate.png")
        shutil.copy(place / f"{name}.png", folder / "reference" / name / "frame_0000.png")
        for mask in ("moving", "unsure", "moving_0000"):
            Image.new("L", (WIDTH, HEIGHT)).save(folder / "reference" / name / f"{mask}.png")


class Place(SimpleNamespace):
    """A scene as far as these stages look at it."""

    @property
    def config(self) -> Settings:
        return Settings.of(self.options)

    @property
    def poses_given(self) -> bool:
        return self.config.poses.source != "colmap"


def scene(place: Path, **changes: object) -> Place:
    values = {
        "name": "place",
        "data": place,
        "cameras": {name: str(place / f"{name}.png") for name in NAMES},
        "photos": {"cam04": str(place / "cam04.jpg")},
        "train_cameras": NAMES[1:],
        "test_cameras": NAMES[:1],
        "train_photos": ["cam04"],
        "test_photos": [],
        "poses_path": None,
        "intrinsics_path": None,
        **changes,
    }
    values["used_cameras"] = sorted(values["cameras"])
    poses = {"source": "colmap", "path": None, "intrinsics": None, "allow_missing": False, "trust": False}
    world = {"up": None, "baseline": None}
    options = {"scale": 1.0, "photo_scale": 1.0, "poses": poses, "world": world, "near": None, "far": None}
    values["options"] = {**options, "colmap": OPTIONS, **changes.get("options", {})}
    return Place(**values)


def capture(scene: Place, size: tuple[int, int] = (WIDTH, HEIGHT)) -> dict:
    entry = {"width": size[0], "height": size[1]}
    return {"cameras": dict.fromkeys(scene.cameras, entry), "photos": dict.fromkeys(scene.photos, entry)}


def test_the_stage_from_images_to_depth_files(place, results, tmp_path):
    one, folder = scene(place, options={"scale": 0.5}), tmp_path / "results"
    shutil.copytree(results, folder)
    work(tasks.write_cameras, "cameras", one, folder, capture(one))
    model, cameras = colmap.read_model(folder / "sfm"), load_cameras(folder / "cameras.json")
    assert list(cameras) == NAMES
    assert (cameras["cam02"].width, cameras["cam02"].height) == (100, 75)
    np.testing.assert_allclose(cameras["cam02"].fx, model.lenses["cameras/cam02.png"].focal[0] / 2)
    assert load_lenses(folder / "lenses.json")["photos"]["cam04"] == model.lenses["photos/cam04.jpg"]
    # The world is moved, turned and scaled: the cameras stand to each other as they did.
    ours = [np.linalg.inv(cameras["cam01"].c2w) @ cameras[name].c2w for name in NAMES]
    theirs = [model.c2w[f"cameras/{name}.png"] for name in NAMES]
    theirs = [np.linalg.inv(theirs[1]) @ pose for pose in theirs]
    scale = read_json(folder / "world.json")["scale"]
    for ours_relative, theirs_relative in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(ours_relative[:3, :3], theirs_relative[:3, :3], atol=1e-9)
        np.testing.assert_allclose(ours_relative[:3, 3], scale * theirs_relative[:3, 3], atol=1e-9)

    work(tasks.write_sparse, "triangulate", one, folder)
    sparse = colmap.read_model(folder / "sparse")
    # The held-out camera is not among what was triangulated from.
    assert sorted(sparse.lenses) == [*(f"cameras/{name}.png" for name in NAMES[1:]), "photos/cam04.jpg"]
    report = read_json(folder / "cameras_report.json")
    assert report["verdict"] == "trusted"
    assert report["ladder"]["used"] == "configured"
    assert "cameras/cam00.png" in report["images"]  # COLMAP found it too

    work(tasks.write_depth, "colmap_depth", one, folder)
    files = sorted(str(path.relative_to(folder)) for path in folder.glob("colmap_depth/**/*.npz"))
    assert files == [*(f"colmap_depth/{name}.npz" for name in NAMES[1:]), "colmap_depth/photos/points.npz"]
    depth = np.load(folder / "colmap_depth/cam02.npz")
    assert len(depth["z"]) > 100
    assert (depth["uv"].max(axis=0) < [100, 75]).all()
    # An observed key point, halved, is where the halved camera projects its point.
    of_camera = sparse.track_image == sorted(sparse.lenses).index("cameras/cam02.png")
    observed = sparse.track_uv[of_camera] / 2
    nearest = np.linalg.norm(depth["uv"][:, None] - observed[None], axis=-1).min(axis=1)
    assert np.median(nearest) < 0.3
    photos = np.load(folder / "colmap_depth/photos/points.npz")
    assert len(photos["image"]) == len(photos["z"]) > 100
    assert not photos["image"].any()
    bounds = read_json(folder / "bounds.json")
    assert sorted(bounds["cameras"]) == NAMES
    rows = np.load(folder / "poses_bounds.npy")
    assert rows.shape == (4, 17)
    np.testing.assert_array_equal(rows[:, 15:], [bounds["cameras"][name] for name in NAMES])


def test_cameras_that_are_not_trusted_stop_the_run_unless_overridden(place, results, tmp_path, capsys):
    one, folder = scene(place), tmp_path / "results"
    shutil.copytree(results, folder)
    work(tasks.write_cameras, "cameras", one, folder, capture(one))
    work(tasks.write_sparse, "triangulate", one, folder)
    report = read_json(folder / "cameras_report.json")
    write_json(folder / "cameras_report.json", report | {"verdict": "unproven", "reason": "cam02 stands alone."})
    with pytest.raises(UserError, match=r"scene place: .*cam02 stands alone.*poses: \{trust: true\}"):
        work(tasks.write_depth, "colmap_depth", one, folder)
    one.options["poses"]["trust"] = True
    work(tasks.write_depth, "colmap_depth", one, folder)
    assert "Going on, because `poses.trust` is set" in capsys.readouterr().err


def given_scene(place: Path, tmp_path: Path, **changes: object) -> Place:
    cameras = {name: place_camera(number) for number, name in enumerate(NAMES)}
    write_poses_bounds(tmp_path / "poses_bounds.npy", cameras, dict.fromkeys(cameras, (2.0, 9.0)))
    shutil.copy(place / "cam02.png", tmp_path / "cam02.png")
    poses = {"source": "llff", "path": None, "trust": False}
    defaults = {"photos": {"cam02": str(tmp_path / "cam02.png")}, "train_photos": ["cam02"], "data": tmp_path}
    defaults |= {"poses_path": tmp_path / "poses_bounds.npy"}
    options = {"poses": poses, **changes.pop("options", {})}
    return scene(place, **{**defaults, **changes}, options=options)


def test_with_given_cameras_a_photo_takes_the_pose_of_the_camera_of_its_name(place, tmp_path):
    one = given_scene(place, tmp_path, options={"photo_scale": 0.5})
    work(tasks.write_cameras, "cameras", one, tmp_path, capture(one))
    photo = load_cameras(tmp_path / "photos.json")["cam02"]
    np.testing.assert_allclose(photo.c2w, place_camera(2).c2w, atol=1e-12)
    assert (photo.width, photo.fx) == (100, FOCAL / 2)
    assert load_lenses(tmp_path / "lenses.json")["cameras"]["cam00"].focal == (FOCAL, FOCAL)


def test_with_given_cameras_bounds_are_the_files_unless_configured(place, tmp_path):
    one = given_scene(place, tmp_path)
    write_references(place, tmp_path)
    work(tasks.write_cameras, "cameras", one, tmp_path, capture(one))
    given = np.load(tmp_path / "poses_bounds.npy")
    work(tasks.write_sparse, "triangulate", one, tmp_path)
    assert read_json(tmp_path / "cameras_report.json")["verdict"] == "trusted"
    work(tasks.verify_held_out, "verify_held_out", one, tmp_path)
    held_out = read_json(tmp_path / "held_out_report.json")
    assert held_out["verdict"] == "trusted"
    assert list(held_out["images"]) == ["cameras/cam00.png"]
    one.poses_path = tmp_path / "given.npy"
    shutil.copy(tmp_path / "poses_bounds.npy", one.poses_path)
    work(tasks.write_depth, "colmap_depth", one, tmp_path)
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam01"] == [2.0, 9.0]
    np.testing.assert_allclose(np.load(tmp_path / "poses_bounds.npy"), given, atol=1e-12)
    one.options["near"] = 3.5
    work(tasks.write_depth, "colmap_depth", one, tmp_path)
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam01"] == [3.5, 9.0]


def test_without_any_point_near_and_far_are_what_given_cameras_share(place, tmp_path, capsys):
    one = given_scene(place, tmp_path, photos={}, train_photos=[])
    write_references(place, tmp_path)
    for name in NAMES:
        for picture in ("frame_0000", "plate"):
            Image.new("L", (WIDTH, HEIGHT), 128).save(tmp_path / "reference" / name / f"{picture}.png")
    work(tasks.write_cameras, "cameras", one, tmp_path, capture(one))
    work(tasks.write_sparse, "triangulate", one, tmp_path)
    assert read_json(tmp_path / "cameras_report.json")["verdict"] == "unproven"  # given poses may be that
    world = read_json(tmp_path / "world.json")  # as of a file that says nothing of near and far
    write_json(tmp_path / "world.json", {**world, "bounds": {"cameras": {}, "photos": {}}})
    work(tasks.write_depth, "colmap_depth", one, tmp_path)
    assert "only 0 points are sure, of 3 images, so near and far" in capsys.readouterr().err
    bounds = read_json(tmp_path / "bounds.json")
    assert bounds["source"] == "shared frusta"
    for near, far in bounds["cameras"].values():  # the board is at 4, the wall at 5.5
        assert 0 < near < 4
        assert 6 < far < 30
    assert bounds["cameras"]["cam00"][1] == max(far for _, far in bounds["cameras"].values())  # it is held out
    cameras = tmp_path / "cameras.json"
    apart = {name: replace(camera, c2w=np.eye(4)) for name, camera in load_cameras(cameras).items()}
    save_cameras(cameras, apart)
    with pytest.raises(UserError, match="no two cameras look at the same place"):
        work(tasks.write_depth, "colmap_depth", one, tmp_path)
    one.options |= {"near": 1.0, "far": 4.0}
    work(tasks.write_depth, "colmap_depth", one, tmp_path)
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam03"] == [1.0, 4.0]
    one.options["far"] = 0.5
    with pytest.raises(UserError, match="expected 0 < near < far"):
        work(tasks.write_depth, "colmap_depth", one, tmp_path)


@pytest.mark.parametrize("name", ["cam02", "cam00"])
def test_a_camera_that_moves_stops_the_run_unless_trusted(place, tmp_path, capsys, name):
    """cam02 trains, cam00 is held out; each is the other's neighbour for the rest of the capture."""
    one = given_scene(place, tmp_path, photos={}, train_photos=[])
    write_references(place, tmp_path)
    for camera in NAMES:
        own = tmp_path / "reference" / camera
        shutil.copy(place / ("cam01.png" if camera == name else f"{camera}.png"), own / "moment_0007.png")
        Image.new("L", (WIDTH, HEIGHT)).save(own / "moving_0007.png")
    work(tasks.write_cameras, "cameras", one, tmp_path, capture(one))
    work(tasks.write_sparse, "triangulate", one, tmp_path)
    told = rf"cameras/{name}\.png moves: from frame 7 on \(frame 0 not yet\)"
    gates = {"cam02": (tasks.write_depth, "colmap_depth"), "cam00": (tasks.verify_held_out, "verify_held_out")}
    with pytest.raises(UserError, match=told):
        work(*gates[name], one, tmp_path)
    one.options["poses"]["trust"] = True
    capsys.readouterr()
    work(*gates[name], one, tmp_path)
    assert f"cameras/{name}.png moves" in capsys.readouterr().err
    report = read_json(tmp_path / ("held_out_report.json" if name == "cam00" else "cameras_report.json"))
    assert report["images"][f"cameras/{name}.png"]["score"] == 0
    assert [check["name"] for check in report["checks"] if not check["passed"]] == ["steady"]


def test_a_photo_without_a_pose_is_named(place, tmp_path):
    one = given_scene(place, tmp_path, photos={"cam02": "cam02.png", "garden": "garden.png"})
    with pytest.raises(UserError, match=r"garden(.|\n)*exclude_photos"):
        work(tasks.write_cameras, "cameras", one, tmp_path, capture(one))


def test_for_a_scene_of_photos_the_rows_are_the_photos(place, tmp_path):
    photos = {name: str(place / f"{name}.png") for name in NAMES}
    one = given_scene(place, tmp_path, cameras={}, photos=photos, train_cameras=[], test_cameras=[])
    one.train_photos = NAMES
    work(tasks.write_cameras, "cameras", one, tmp_path, capture(one))
    assert load_cameras(tmp_path / "cameras.json") == {}
    np.testing.assert_allclose(load_cameras(tmp_path / "photos.json")["cam03"].c2w, place_camera(3).c2w, atol=1e-12)


def test_a_model_that_does_not_fit_the_capture_is_refused(place, results):
    one = scene(place)
    with pytest.raises(UserError, match=r"cameras/cam00\.png is 200x150 pixels, but the capture has 20x15"):
        work(tasks.write_cameras, "cameras", one, results, capture(one, (20, 15)))


@pytest.mark.data
def test_arc8_triangulates_to_its_true_depth(shared_data, tmp_path):
    names = [f"cam{number:02d}" for number in range(1, 8)]
    with np.load(shared_data / "arc8" / "truth.npz") as file:
        truth = {key: file[key] for key in ("depth", "c2w_opencv", "focal")}
    lens = Lens("PINHOLE", 160, 120, (float(truth["focal"]), float(truth["focal"]), 80.0, 60.0))
    images = {f"cameras/{name}.png": shared_data / "arc8" / "frames" / name / "0001.png" for name in names}
    poses = {name: truth["c2w_opencv"][int(name[-2:])] for name in names}
    cameras = {f"cameras/{name}.png": (lens, poses[name]) for name in names}
    colmap_triangulation.triangulate(images, cameras, tmp_path, {**OPTIONS, "upscale_to": 640, "max_features": 8192})
    model = colmap.read_model(tmp_path)
    assert len(model.points) > 500
    pinholes = {f"cameras/{name}.png": Camera(160, 120, *lens.params, poses[name]) for name in names}
    errors, sigmas = [], []
    for name, depth in sparse_depth(model, pinholes).items():
        column, row = depth.uv.astype(int).T
        true = truth["depth"][int(name[-6:-4]), 0][row, column].astype(float)
        errors.append(np.abs(depth.z - true) / true)
        sigmas.append(depth.sigma / true)
    error, sigma = np.concatenate(errors), np.concatenate(sigmas)
    assert np.median(error) < 0.02
    assert np.mean(error < 2 * sigma) > 0.75


def test_large_photos_are_scaled_to_twice_the_videos_unless_configured():
    sizes = {"cameras": {"cam00": (640, 360)}, "photos": {"a": (4000, 3000), "b": (3000, 4000)}}
    options = {"scale": 0.5, "photo_scale": None}
    assert tasks._photo_scale(Place(options=options), sizes) == 640 / 4000
    assert tasks._photo_scale(Place(options={**options, "photo_scale": 0.9}), sizes) == 0.9
    assert tasks._photo_scale(Place(options=options), {"cameras": {}, "photos": {"a": (1008, 756)}}) == 1
