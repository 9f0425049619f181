"""COLMAP through pycolmap, and the cameras stage that calls it, on a small rendered place and on arc8."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mixdepth.cameras import colmap, stage  # isort: skip  (imports Pillow before pycolmap)
from PIL import Image

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.cameras.lens import Lens, load_lenses
from mixdepth.cameras.llff import write_poses_bounds
from mixdepth.cameras.matching import epipolar_error, match
from mixdepth.cameras.model import Model
from mixdepth.cameras.sparse_depth import SparseDepth, depth_bounds, point_covariances, sparse_depth
from mixdepth.errors import UserError
from mixdepth.io import read_json

OPTIONS = {
    "camera_model": "SIMPLE_PINHOLE",
    "share_intrinsics": True,
    "reference_frame": 0,
    "max_features": 2000,
    "peak_threshold": 0.0066667,
    "upscale_to": 200,
    "max_reprojection_error": 2.0,
    "min_angle": 1.5,
    "seed": 0,
}
WIDTH, HEIGHT, FOCAL = 200, 150, 190.0
NAMES = [f"cam{number:02d}" for number in range(4)]


def place_camera(number: int) -> Camera:
    """Cameras on an arc that look at (0, 0, 5)."""
    angle = 0.13 * (number - 2)
    c2w = np.eye(4)
    c2w[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    c2w[:3, 3] = [-5 * np.sin(angle), 0.15 * (number % 2), 5 - 5 * np.cos(angle)]
    return Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, c2w)


def place_view(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """A textured wall at z = 5.5 + x/4 with a textured board at z = 4 before it: image [H, W] uint8 and z-depth."""
    grid = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1).reshape(-1, 2)
    direction = camera.unproject(grid, np.ones(len(grid))) - camera.centre
    origin = camera.centre
    wall = (5.5 + origin[0] / 4 - origin[2]) / (direction[:, 2] - direction[:, 0] / 4)
    board = (4 - origin[2]) / direction[:, 2]
    on_board = np.abs(origin[:2] + board[:, None] * direction[:, :2]).max(axis=1) < 0.8
    depth = np.where(on_board, board, wall)
    at = (origin + depth[:, None] * direction)[:, :2] + np.where(on_board, 40, 10)[:, None]
    # Bilinear look-ups of random tables at three scales.
    colour = np.zeros(len(at))
    for scale, seed in ((3, 0), (8, 1), (16, 2)):
        table = np.random.default_rng(seed).uniform(size=(1024, 1024))
        cell = np.floor(at * scale).astype(int)
        fx, fy = (at * scale - cell).T
        x, y = cell.T
        colour += (table[y, x] * (1 - fx) + table[y, x + 1] * fx) * (1 - fy)
        colour += (table[y + 1, x] * (1 - fx) + table[y + 1, x + 1] * fx) * fy
    return (colour.reshape(HEIGHT, WIDTH) * 85).astype(np.uint8), depth.reshape(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with cam00.png ... cam03.png and the photo cam04.jpg."""
    folder = tmp_path_factory.mktemp("place")
    for number in range(5):
        image = Image.fromarray(place_view(place_camera(number))[0])
        image.save(folder / (f"cam{number:02d}.png" if number < 4 else f"cam{number:02d}.jpg"), quality=95)
    return folder


def references(folder: Path, names: list[str] = NAMES) -> dict[str, Path]:
    return {name: folder / f"{name}.png" for name in names}


@pytest.fixture(scope="module")
def sfm(place, tmp_path_factory) -> Path:
    """COLMAP's model of the place."""
    output = tmp_path_factory.mktemp("sfm")
    stage.structure_from_motion(references(place), {"cam04": place / "cam04.jpg"}, output, OPTIONS)
    return output


@pytest.fixture(scope="module")
def triangulated(place, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("sparse")
    images = {f"cameras/{name}.png": path for name, path in references(place).items()}
    colmap.triangulate(images, true_cameras(), output, OPTIONS)
    return output


def true_cameras() -> dict[str, tuple[Lens, np.ndarray]]:
    lens = Lens("SIMPLE_PINHOLE", WIDTH, HEIGHT, (FOCAL, WIDTH / 2, HEIGHT / 2))
    return {f"cameras/{name}.png": (lens, place_camera(number).c2w) for number, name in enumerate(NAMES)}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def scene(folder: Path, **changes: object) -> SimpleNamespace:
    values = {
        "name": "place",
        "data": folder,
        "cameras": {name: str(folder / f"{name}.png") for name in NAMES},
        "photos": {"cam04": str(folder / "cam04.jpg")},
        "train_cameras": NAMES[1:],
        "test_cameras": NAMES[:1],
        "train_photos": ["cam04"],
        "test_photos": [],
        **changes,
    }
    options = {"scale": 1.0, "photo_scale": 1.0, "poses": {"source": "colmap", "path": None}, "near": None, "far": None}
    values["options"] = {**options, "colmap": OPTIONS, **changes.get("options", {})}
    return SimpleNamespace(**values)


def capture(scene: SimpleNamespace, size: tuple[int, int] = (WIDTH, HEIGHT)) -> dict:
    entry = {"width": size[0], "height": size[1]}
    return {"cameras": dict.fromkeys(scene.cameras, entry), "photos": dict.fromkeys(scene.photos, entry)}


def write_cameras(scene: SimpleNamespace, folder: Path, model: Path | None = None) -> list[Path]:
    files = [folder / name for name in ("cameras.json", "photos.json", "lenses.json")]
    stage.write_cameras(scene, capture(scene), model, *files)
    return files


# The process


def test_a_png_can_be_written_after_importing_the_colmap_module(tmp_path):
    # With pycolmap imported before Pillow this aborts (pycolmap 4.2.1, Pillow 13.0.0).
    for module in ("mixdepth.cameras.colmap", "mixdepth.cameras.stage"):
        code = (
            f"import {module}, numpy\nfrom PIL import Image\n"
            "pixels = numpy.random.default_rng(0).integers(0, 255, (50, 60, 3)).astype('uint8')\n"
            f"Image.fromarray(pixels).save({str(tmp_path / 'a.png')!r})\nprint('written')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "written" in done.stdout


def test_nothing_else_imports_pycolmap():
    source = Path(colmap.__file__).parents[1]
    users = [path.name for path in source.rglob("*.py") if "import pycolmap" in path.read_text()]
    assert users == ["colmap.py"]


# Matching


def test_matches_are_mutual_nearest_neighbours_that_pass_the_ratio_test():
    rng = np.random.default_rng(0)
    vectors = rng.exponential(size=(6, 128))
    descriptors = (512 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.uint8)
    order = [3, 1, 4, 0, 2]
    expected = sorted([number, place] for place, number in enumerate(order))
    assert match(descriptors[:5], descriptors[order]).tolist() == expected
    # A twin in the second image makes the match ambiguous, wherever the chunks end.
    twins = match(descriptors[:5], np.concatenate([descriptors[order], descriptors[4:5]]))
    assert twins.tolist() == [pair for pair in expected if pair[0] != 4]
    assert match(descriptors[:0], descriptors).shape == (0, 2)


def test_epipolar_error_is_zero_for_a_point_and_grows_with_its_shift():
    one, two = place_camera(0), place_camera(3)
    relative = np.linalg.inv(two.c2w) @ one.c2w
    x, y, z = relative[:3, 3]
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ relative[:3, :3]
    points = np.random.default_rng(0).uniform([-1, -1, 4], [1, 1, 6], (20, 3))
    xy = [(camera.project(points)[0] - [100, 75]) / FOCAL for camera in (one, two)]
    assert epipolar_error(essential, *xy).max() < 1e-12
    shifted = epipolar_error(essential, xy[0], xy[1] + [0, 0.01])
    assert (shifted > 0.005).all()
    assert (shifted < 0.01).all()


# Structure from motion


def test_colmap_finds_the_cameras_of_videos_and_photos_together(sfm):
    model = colmap.read_model(sfm)
    assert sorted(model.lenses) == [*(f"cameras/{name}.png" for name in NAMES), "photos/cam04.jpg"]
    found = np.array([model.c2w[name][:3, 3] for name in sorted(model.c2w)])
    true = np.array([place_camera(number).centre for number in range(5)])
    distances = [np.linalg.norm(centres[:, None] - centres[None], axis=-1) for centres in (found, true)]
    scale = distances[1].sum() / distances[0].sum()
    np.testing.assert_allclose(distances[0] * scale, distances[1], atol=0.03 * distances[1].max())
    assert model.lenses["cameras/cam00.png"].focal[0] == pytest.approx(FOCAL, rel=0.1)
    assert model.error.mean() < 1


def test_one_group_shares_intrinsics_and_another_has_its_own(sfm):
    lenses = colmap.read_model(sfm).lenses
    assert len({lenses[f"cameras/{name}.png"].params for name in NAMES}) == 1
    assert lenses["photos/cam04.jpg"].params != lenses["cameras/cam00.png"].params


def test_enlarged_images_give_intrinsics_and_points_in_original_pixels(place, tmp_path):
    options = {**OPTIONS, "upscale_to": 201}
    colmap.run_sfm({f"cameras/{name}.png": path for name, path in references(place).items()}, tmp_path, options)
    model = colmap.read_model(tmp_path)
    lens = model.lenses["cameras/cam00.png"]
    assert (lens.width, lens.height) == (WIDTH, HEIGHT)
    assert lens.focal[0] == pytest.approx(FOCAL, rel=0.1)
    assert (model.track_uv >= 0).all()
    assert (model.track_uv <= [WIDTH, HEIGHT]).all()
    assert model.error.mean() < 0.5


def test_same_seed_same_bytes(place, sfm, tmp_path):
    stage.structure_from_motion(references(place), {"cam04": place / "cam04.jpg"}, tmp_path, OPTIONS)
    assert contents(tmp_path) == contents(sfm)


def test_an_unregistered_image_is_named_with_its_matches(place, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cam09.png")
    with pytest.raises(UserError) as error:
        stage.structure_from_motion(
            references(place) | {"cam09": tmp_path / "cam09.png"}, {}, tmp_path / "sfm", OPTIONS
        )
    message = str(error.value)
    assert "a model of 4 of 5 images" in message
    assert "cameras/cam09.png: 0 verified matches with 0 of 4 images" in message
    assert "cam00.png" not in message
    assert not (tmp_path / "sfm").exists()


def test_no_model_at_all_names_every_image(tmp_path):
    images = {}
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
        images[f"photos/{number}.png"] = tmp_path / f"{number}.png"
    with pytest.raises(UserError, match="no model at all") as error:
        colmap.run_sfm(images, tmp_path / "sfm", OPTIONS)
    assert "photos/0.png: 0 verified matches" in str(error.value)
    assert "photos/1.png: 0 verified matches" in str(error.value)


def test_too_few_or_unreadable_images_are_refused(place, tmp_path):
    with pytest.raises(UserError, match=r"1 image.*needs at least 2"):
        colmap.run_sfm({"cameras/cam00.png": place / "cam00.png"}, tmp_path, OPTIONS)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad\.png: not a readable image"):
        colmap.run_sfm({"photos/a.png": place / "cam00.png", "photos/b.png": tmp_path / "bad.png"}, tmp_path, OPTIONS)
    with pytest.raises(UserError, match=r"none\.png: image not found"):
        colmap.run_sfm({"photos/a.png": place / "cam00.png", "photos/b.png": tmp_path / "none.png"}, tmp_path, OPTIONS)
    with pytest.raises(UserError, match="not a readable COLMAP model"):
        colmap.read_model(tmp_path / "nowhere")


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
    images = {f"cameras/{name}.png": path for name, path in references(place).items()}
    colmap.triangulate(images, true_cameras(), tmp_path, OPTIONS)
    assert contents(tmp_path) == contents(triangulated)


def test_points_with_a_large_error_or_a_small_angle_are_dropped(place, triangulated, tmp_path):
    images = {f"cameras/{name}.png": path for name, path in references(place).items()}
    colmap.triangulate(images, true_cameras(), tmp_path, {**OPTIONS, "max_reprojection_error": 0.2, "min_angle": 10})
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
    colmap.triangulate(images, true_cameras(), tmp_path / "sparse", OPTIONS)
    model = colmap.read_model(tmp_path / "sparse")
    assert len(model.points) == 0
    assert sorted(model.lenses) == sorted(images)
    depth = sparse_depth(model, {name: place_camera(0) for name in images})
    assert all(len(value.z) == 0 for value in depth.values())


def test_an_image_of_another_size_than_its_camera_is_refused(place, tmp_path):
    Image.open(place / "cam00.png").resize((100, 75)).save(tmp_path / "cam00.png")
    images = {"cameras/cam00.png": tmp_path / "cam00.png", "cameras/cam01.png": place / "cam01.png"}
    with pytest.raises(UserError, match=r"cam00\.png: the image is 100x75 pixels, its camera 200x150"):
        colmap.triangulate(images, true_cameras(), tmp_path / "sparse", OPTIONS)


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


def test_the_stage_from_images_to_depth_files(place, sfm, tmp_path):
    one = scene(place, options={"scale": 0.5})
    files = write_cameras(one, tmp_path, sfm)
    model, cameras = colmap.read_model(sfm), load_cameras(files[0])
    assert list(cameras) == NAMES
    assert (cameras["cam02"].width, cameras["cam02"].height) == (100, 75)
    np.testing.assert_allclose(cameras["cam02"].fx, model.lenses["cameras/cam02.png"].focal[0] / 2)
    np.testing.assert_array_equal(cameras["cam02"].c2w, model.c2w["cameras/cam02.png"])
    assert load_lenses(files[2])["photos"]["cam04"] == model.lenses["photos/cam04.jpg"]

    stage.write_sparse(one, *files, references(place), tmp_path / "sparse")
    sparse = colmap.read_model(tmp_path / "sparse")
    # The held-out camera is not among what was triangulated from.
    assert sorted(sparse.lenses) == [*(f"cameras/{name}.png" for name in NAMES[1:]), "photos/cam04.jpg"]

    folder = tmp_path / "colmap_depth"
    stage.write_depth(one, *files, tmp_path / "sparse", folder, tmp_path / "bounds.json", tmp_path / "poses_bounds.npy")
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{name}.npz" for name in NAMES[1:]), "photos.npz"]
    depth = np.load(folder / "cam02.npz")
    assert len(depth["z"]) > 100
    assert (depth["uv"].max(axis=0) < [100, 75]).all()
    # An observed key point, halved, is where the halved camera projects its point.
    of_camera = sparse.track_image == sorted(sparse.lenses).index("cameras/cam02.png")
    observed = sparse.track_uv[of_camera] / 2
    nearest = np.linalg.norm(depth["uv"][:, None] - observed[None], axis=-1).min(axis=1)
    assert np.median(nearest) < 0.3
    photos = np.load(folder / "photos.npz")
    assert len(photos["image"]) == len(photos["z"]) > 100
    assert not photos["image"].any()
    bounds = read_json(tmp_path / "bounds.json")
    assert sorted(bounds["cameras"]) == NAMES
    rows = np.load(tmp_path / "poses_bounds.npy")
    assert rows.shape == (4, 17)
    np.testing.assert_array_equal(rows[:, 15:], [bounds["cameras"][name] for name in NAMES])


def given_scene(folder: Path, tmp_path: Path, **changes: object) -> SimpleNamespace:
    cameras = {name: place_camera(number) for number, name in enumerate(NAMES)}
    write_poses_bounds(tmp_path / "poses_bounds.npy", cameras, dict.fromkeys(cameras, (2.0, 9.0)))
    Image.open(folder / "cam02.png").save(tmp_path / "cam02.png")
    defaults = {"photos": {"cam02": str(tmp_path / "cam02.png")}, "train_photos": ["cam02"], "data": tmp_path}
    options = {"poses": {"source": "llff", "path": None}, **changes.pop("options", {})}
    return scene(folder, **{**defaults, **changes}, options=options)


def test_with_given_cameras_a_photo_takes_the_pose_of_the_camera_of_its_name(place, tmp_path):
    one = given_scene(place, tmp_path, options={"photo_scale": 0.5})
    files = write_cameras(one, tmp_path)
    photo = load_cameras(files[1])["cam02"]
    np.testing.assert_allclose(photo.c2w, place_camera(2).c2w, atol=1e-12)
    assert (photo.width, photo.fx) == (100, FOCAL / 2)
    assert load_lenses(files[2])["cameras"]["cam00"] == Lens("PINHOLE", 200, 150, (FOCAL, FOCAL, 100.0, 75.0))


def test_with_given_cameras_bounds_are_the_files_unless_configured(place, tmp_path):
    one = given_scene(place, tmp_path)
    files = write_cameras(one, tmp_path)
    stage.write_sparse(one, *files, references(place), tmp_path / "sparse")
    outputs = [tmp_path / "depth", tmp_path / "bounds.json", tmp_path / "out.npy"]
    stage.write_depth(one, *files, tmp_path / "sparse", *outputs)
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam01"] == [2.0, 9.0]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), np.load(tmp_path / "poses_bounds.npy"), atol=1e-12)
    one.options["near"] = 3.5
    stage.write_depth(one, *files, tmp_path / "sparse", *outputs)
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam01"] == [3.5, 9.0]


def test_without_any_point_near_and_far_are_asked_for(place, tmp_path):
    flat = Image.fromarray(np.full((HEIGHT, WIDTH), 128, np.uint8))
    paths = references(tmp_path)
    for path in paths.values():
        flat.save(path)
    one = given_scene(place, tmp_path, photos={}, train_photos=[])
    files = write_cameras(one, tmp_path)
    stage.write_sparse(one, *files, paths, tmp_path / "sparse")
    one.options["poses"] = {"source": "panoptic", "path": None}
    outputs = [tmp_path / "depth", tmp_path / "bounds.json", tmp_path / "out.npy"]
    with pytest.raises(UserError, match="Set `near` and `far`"):
        stage.write_depth(one, *files, tmp_path / "sparse", *outputs)
    one.options |= {"near": 1.0, "far": 4.0}
    stage.write_depth(one, *files, tmp_path / "sparse", *outputs)
    assert read_json(tmp_path / "bounds.json")["cameras"]["cam03"] == [1.0, 4.0]
    one.options["far"] = 0.5
    with pytest.raises(UserError, match="expected 0 < near < far"):
        stage.write_depth(one, *files, tmp_path / "sparse", *outputs)


def test_a_photo_without_a_pose_is_named(place, tmp_path):
    one = given_scene(place, tmp_path, photos={"cam02": "cam02.png", "garden": "garden.png"})
    with pytest.raises(UserError, match=r"photos without a pose: garden.*exclude_photos"):
        write_cameras(one, tmp_path)


def test_for_a_scene_of_photos_the_rows_are_the_photos(place, tmp_path):
    photos = {name: str(place / f"{name}.png") for name in NAMES}
    one = given_scene(place, tmp_path, cameras={}, photos=photos, train_cameras=[], test_cameras=[])
    one.train_photos = NAMES
    files = write_cameras(one, tmp_path)
    assert load_cameras(files[0]) == {}
    np.testing.assert_allclose(load_cameras(files[1])["cam03"].c2w, place_camera(3).c2w, atol=1e-12)


def test_a_model_that_does_not_fit_the_capture_is_refused(place, sfm, tmp_path):
    files = [tmp_path / name for name in "abc"]
    one = scene(place)
    with pytest.raises(UserError, match=r"cameras/cam00\.png is 200x150 pixels, but the capture has 20x15"):
        stage.write_cameras(one, capture(one, (20, 15)), sfm, *files)
    one = scene(place, photos={"other": "other.jpg"})
    with pytest.raises(UserError, match=r"no image photos/other\.jpg"):
        stage.write_cameras(one, capture(one), sfm, *files)


@pytest.mark.data
def test_arc8_triangulates_to_its_true_depth(shared_data, tmp_path):
    names = [f"cam{number:02d}" for number in range(1, 8)]
    with np.load(shared_data / "arc8" / "truth.npz") as file:
        truth = {key: file[key] for key in ("depth", "c2w_opencv", "focal")}
    lens = Lens("PINHOLE", 160, 120, (float(truth["focal"]), float(truth["focal"]), 80.0, 60.0))
    images = {f"cameras/{name}.png": shared_data / "arc8" / "frames" / name / "0001.png" for name in names}
    poses = {name: truth["c2w_opencv"][int(name[-2:])] for name in names}
    cameras = {f"cameras/{name}.png": (lens, poses[name]) for name in names}
    colmap.triangulate(images, cameras, tmp_path, {**OPTIONS, "upscale_to": 640, "max_features": 8192})
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
    assert stage._photo_scale(SimpleNamespace(options=options), sizes) == 640 / 4000
    assert stage._photo_scale(SimpleNamespace(options={**options, "photo_scale": 0.9}), sizes) == 0.9
    assert stage._photo_scale(SimpleNamespace(options=options), {"cameras": {}, "photos": {"a": (1008, 756)}}) == 1
