"""Our projection is COLMAP's: poses and the position of pixel centres (lenses: test_lens.py)."""

import numpy as np

from mixdepth.cameras.colmap import mapping as colmap  # isort: skip  (before pycolmap: it imports Pillow first)
import pycolmap

from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.lens import Lens

LENS = Lens("PINHOLE", 640, 480, (500.0, 510.0, 322.0, 239.0))


def random_points(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform([-2, -1.5, 3], [2, 1.5, 8], (50, 3))


def random_pose(seed: int = 0) -> np.ndarray:
    rotation = np.linalg.qr(np.eye(3) + 0.2 * np.random.default_rng(seed).normal(size=(3, 3)))[0]
    c2w = np.eye(4)
    c2w[:3, :3] = rotation * np.sign(np.diag(rotation))  # near identity
    c2w[:3, 3] = [0.3, -0.2, 0.5]
    assert np.linalg.det(c2w) > 0
    return c2w


def test_projection_is_colmaps():
    lens, c2w = LENS, random_pose()
    model = pycolmap.Reconstruction()
    camera = colmap.colmap_camera(lens)
    camera.camera_id = 1
    model.add_camera_with_trivial_rig(camera)
    image = pycolmap.Image(name="a", camera_id=1, image_id=1)
    model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.linalg.inv(c2w)[:3]))
    points = random_points()
    uv, z = Camera(lens.width, lens.height, *lens.focal, *lens.principal_point, c2w).project(points)
    expected = np.array([model.image(1).project_point(point) for point in points])
    np.testing.assert_allclose(uv, expected, rtol=0, atol=1e-9)
    depth = np.array([(model.image(1).cam_from_world() * point)[2] for point in points])
    np.testing.assert_allclose(z, depth, rtol=0, atol=1e-12)


def test_unprojection_undoes_projection():
    camera = Camera(640, 480, 500, 510, 322, 239, random_pose(1))
    points = random_points()
    np.testing.assert_allclose(camera.unproject(*camera.project(points)), points, rtol=0, atol=1e-12)


def test_pixel_centres_are_at_a_half_as_in_colmap():
    # A white pixel in the middle of an odd image: SIFT must find it at the centre of the image, w/2.
    image = np.zeros((65, 65), np.uint8)
    x = np.arange(65) - 32
    image[:] = 255 * np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 4.0**2))
    extractor = pycolmap.FeatureExtractor.create(pycolmap.FeatureExtractionOptions(), pycolmap.Device.cpu)
    keypoints = pycolmap.keypoints_to_matrix(extractor.extract_from_uint8_array(image)[0])
    nearest = keypoints[np.abs(keypoints[:, :2] - 32.5).sum(axis=1).argmin()]
    np.testing.assert_allclose(nearest[:2], 32.5, atol=0.1)


def test_camera_files_are_exact(tmp_path):
    camera = Camera(64, 48, 50.1, 51.2, 32.3, 24.4, random_pose(2))
    save_cameras(tmp_path / "cameras.json", {"cam00": camera})
    read = load_cameras(tmp_path / "cameras.json")["cam00"]
    np.testing.assert_array_equal(read.c2w, camera.c2w)
    assert (read.width, read.height, read.fx, read.fy, read.cx, read.cy) == (64, 48, 50.1, 51.2, 32.3, 24.4)
