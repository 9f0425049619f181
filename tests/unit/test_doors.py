"""Cameras of other programs: files written as those programs document, with poses and rays that are worked out here.

Each test writes the file by hand and projects points by the program's own equations, which its docstring cites; what is
read must put every camera within 1e-6 and every point, out to the corners, within 0.01 pixels.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.given import Given, read_given
from mixdepth.errors import UserError

WIDTH, HEIGHT = 640, 480
NAMES = ("cam00", "cam01")
# Normalised coordinates out to the corners, and a little beyond.
XY = np.stack(np.meshgrid(np.linspace(-0.75, 0.75, 7), np.linspace(-0.55, 0.55, 5)), axis=-1).reshape(-1, 2)


def rotation(seed: int) -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q * np.linalg.det(q)


def pose(seed: int) -> np.ndarray:
    """Camera to world, OpenCV."""
    c2w = np.eye(4)
    c2w[:3, :3], c2w[:3, 3] = rotation(seed), [seed + 0.5, -2.0, 0.25]
    return c2w


def words(values: np.ndarray) -> str:
    return " ".join(map(repr, map(float, np.ravel(values))))


def brown(xy: np.ndarray, k: tuple = (), p: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """OpenCV's equations, with any number of radial terms, none below the line (calib3d's documentation)."""
    x, y = xy.T
    r2 = x * x + y * y
    radial = 1 + sum(term * r2 ** (n + 1) for n, term in enumerate(k))
    u = x * radial + 2 * p[0] * x * y + p[1] * (r2 + 2 * x * x)
    v = y * radial + 2 * p[1] * x * y + p[0] * (r2 + 2 * y * y)
    return np.stack([u, v], axis=1)


def read(source: str, path: Path, names: tuple[str, ...] = NAMES) -> Given:
    files = {name: f"{name}.mp4" for name in names}
    return read_given(source, path, {"cameras": dict.fromkeys(names, (WIDTH, HEIGHT)), "photos": {}}, files, {})


def refusal(source: str, path: Path) -> str:
    with pytest.raises(UserError) as error:
        read(source, path)
    return str(error.value)


def check(found: Given, name: str, c2w: np.ndarray, project: Callable[[np.ndarray], np.ndarray]) -> None:
    """``project`` takes normalised coordinates to pixels whose top left one has its centre at 0.5."""
    np.testing.assert_allclose(found.c2w["cameras"][name], c2w, rtol=0, atol=1e-6)
    lens, pixels = found.lenses["cameras"][name], project(XY)
    assert (lens.width, lens.height) == (WIDTH, HEIGHT)
    assert np.abs(lens.distort(XY) - pixels).max() < 0.01
    inside = ((pixels >= 0) & (pixels <= [WIDTH, HEIGHT])).all(axis=1)
    assert inside.sum() > 8
    np.testing.assert_allclose(lens.undistort(pixels[inside]), XY[inside], rtol=0, atol=1e-5)


# Metashape


METASHAPE = """<?xml version="1.0" encoding="UTF-8"?>
<document version="2.0.0">
  <chunk label="Chunk 1" enabled="true">
    <sensors next_id="2">
      <sensor id="0" label="unknown" type="{kind}">
        <resolution width="640" height="480"/>
        <calibration type="{kind}" class="initial">
          <resolution width="640" height="480"/>
          <f>1</f>
        </calibration>
        <calibration type="{kind}" class="adjusted">
          <resolution width="640" height="480"/>
          <f>500.5</f><cx>3.25</cx><cy>-4.5</cy><b1>2.5</b1>{terms}
        </calibration>
      </sensor>
    </sensors>
    <components next_id="1" active_id="0">
      <component id="0" label="Component 1">
        <transform>
          <rotation locked="true">{rotation}</rotation>
          <translation locked="true">{translation}</translation>
          <scale locked="true">2.5</scale>
        </transform>
      </component>
    </components>
    <cameras next_id="4" next_group_id="1">
      <camera id="0" sensor_id="0" component_id="0" label="cam00.png"><transform>{first}</transform></camera>
      <group id="0" label="inside">
        <camera id="1" sensor_id="0" component_id="0" label="cam01"><transform>{second}</transform></camera>
      </group>
      <camera id="2" sensor_id="0" label="cam02"/>
    </cameras>
    <transform><rotation>{rotation}</rotation><translation>0 0 0</translation><scale>1</scale></transform>
  </chunk>
</document>
"""
TERMS = {"k1": -0.1, "k2": 0.05, "k3": -0.01, "k4": 0.003, "p1": 0.002, "p2": -0.001}


def metashape(path: Path, kind: str = "frame", **terms: float) -> tuple[Path, list[np.ndarray]]:
    """The file, and its cameras in the world."""
    turned, moved = rotation(7), np.array([2499366.0, -4256836.0, 4029217.0])  # geocentric, as Metashape's worlds are
    text = METASHAPE.format(
        kind=kind,
        terms="".join(f"<{key}>{value!r}</{key}>" for key, value in terms.items()),
        rotation=words(turned),
        translation=words(moved),
        first=words(pose(0)),
        second=words(pose(1)),
    )
    path.write_text(text)
    world = []
    for seed in (0, 1):
        c2w = np.eye(4)
        c2w[:3, :3], c2w[:3, 3] = turned @ pose(seed)[:3, :3], 2.5 * turned @ pose(seed)[:3, 3] + moved
        world.append(c2w)
    return path, world


@pytest.mark.parametrize("terms", [{}, TERMS, {**TERMS, "k4": 0.0}])
def test_metashape(tmp_path, terms):
    """Agisoft Metashape User Manual, Professional Edition, appendix "Camera models", frame cameras:
    x' = x (1 + K1 r2 + K2 r4 + K3 r6 + K4 r8) + (P1 (r2 + 2 x2) + 2 P2 x y), y' = ... + (P2 (r2 + 2 y2) + 2 P1 x y),
    u = w 0.5 + cx + x' f + x' B1 + y' B2, v = h 0.5 + cy + y' f; the centre of the top left pixel is at (0.5, 0.5)."""
    path, world = metashape(tmp_path / "cameras.xml", **terms)
    k = tuple(terms.get(f"k{n}", 0.0) for n in (1, 2, 3, 4))
    p = terms.get("p2", 0.0), terms.get("p1", 0.0)

    def project(xy: np.ndarray) -> np.ndarray:
        return brown(xy, k, p) * [500.5 + 2.5, 500.5] + [320 + 3.25, 240 - 4.5]

    found = read("metashape", path)
    for name, c2w in zip(NAMES, world, strict=True):
        check(found, name, c2w, project)


def test_metashape_fisheye(tmp_path):
    """The same appendix, fisheye cameras: x and y are scaled so that their length is the angle to the axis."""
    path, world = metashape(tmp_path / "cameras.xml", "fisheye", **{**TERMS, "p1": 0.0, "p2": 0.0})

    def project(xy: np.ndarray) -> np.ndarray:
        r = np.maximum(np.linalg.norm(xy, axis=1), 1e-12)
        equidistant = xy * (np.arctan(r) / r)[:, None]
        return brown(equidistant, (-0.1, 0.05, -0.01, 0.003)) * [503, 500.5] + [323.25, 235.5]

    check(read("metashape", path), "cam01", world[1], project)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("<b2>0.5</b2>", "its lens has b2"),
        ("<p3>0.5</p3>", "its lens has p3"),
        ("<k1>x</k1>", "sensor 0: k1: could not convert"),
    ],
)
def test_a_metashape_lens_that_cannot_be_held_is_named(tmp_path, change, expected):
    path, _ = metashape(tmp_path / "cameras.xml")
    path.write_text(path.read_text().replace("<b1>2.5</b1>", change))
    assert expected in refusal("metashape", path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"frame"', '"spherical"', "is of the type spherical; expected frame or fisheye"),
        ('sensor_id="0"', 'sensor_id="9"', "its sensor 9 is not in the file"),
        ("<f>500.5</f>", "", "has no f"),
        ("<transform>0", "<transform>zero", "cam00.png: transform"),
        ("<document", "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><document", "document type definition"),
        ("</document>", "", "not a file of XML"),
    ],
)
def test_a_wrong_metashape_file_is_named(tmp_path, old, new, expected):
    path, _ = metashape(tmp_path / "cameras.xml")
    text = path.read_text().replace(words(pose(0)), "0 " + words(pose(0))[2:]) if "zero" in new else path.read_text()
    path.write_text(text.replace(old, new))
    assert expected in refusal("metashape", path)


def test_entities_do_not_grow(tmp_path):
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a0 "ha">{laughs}]><document>&a11;</document>'
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "cameras.xml").write_text(text, encoding=encoding)
        assert "document type definition" in refusal("metashape", tmp_path / "cameras.xml")


# RealityCapture


def about(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(
        {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


HEADER = "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"
ANGLES = [(-26.486, 87.227, 14.715), (170.348, 65.186, -22.75)]


def test_realitycapture(tmp_path):
    """Epic Games, "RealityCapture XMP Camera Math": coordinates are shares of the longer side from the middle, focal
    lengths of a film 36 mm wide. Angles and axes: nerfstudio/process_data/realitycapture_utils.py and Brush's
    realitycapture.rs, Rz(-heading) Rx(pitch) Ry(roll) of a camera that looks along -z. t1 and t2 are OpenCV's p2 and
    p1: AliceVision's importKnownPoses.cpp and Camorph swap them."""
    lines = ["#cameras 2", HEADER]
    for seed, (heading, pitch, roll) in enumerate(ANGLES):
        place = f"{448262.5 + seed},{-2.25},{1.875}"
        lines.append(
            f"{NAMES[seed]}.jpg,{place},{heading},{pitch},{roll},28.0,0.01,-0.02,-0.1,0.05,-0.01,0.004,1e-3,-2e-3"
        )
    (tmp_path / "cameras.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig")

    def project(xy: np.ndarray) -> np.ndarray:
        distorted = brown(xy, (-0.1, 0.05, -0.01, 0.004), (-2e-3, 1e-3))
        return (28.0 / 36 * distorted + [0.01, -0.02]) * 640 + [320, 240]

    found = read("realitycapture", tmp_path / "cameras.csv")
    for seed, (heading, pitch, roll) in enumerate(ANGLES):
        c2w = np.eye(4)
        opengl = about("z", -heading) @ about("x", pitch) @ about("y", roll)
        c2w[:3, :3], c2w[:3, 3] = opengl @ np.diag([1, -1, -1]), [448262.5 + seed, -2.25, 1.875]
        check(found, NAMES[seed], c2w, project)


def test_a_level_camera_of_realitycapture_looks_north(tmp_path):
    """Pitch counts from straight down, heading from north by east: x is east, y north."""
    (tmp_path / "c.csv").write_text(
        "#name,x,y,alt,heading,pitch,roll,f\ncam00.jpg,1,2,3,0,90,0,20\ncam01.jpg,1,2,3,90,90,0,20\n"
    )
    found = read("realitycapture", tmp_path / "c.csv").c2w["cameras"]
    np.testing.assert_allclose(found["cam00"][:3, 2], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(found["cam01"][:3, 2], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found["cam00"][:3, 1], [0, 0, -1], atol=1e-12)  # down


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no column name, x, y"),
        ("a,b\n1,2", "has no column name, x, y"),
        (HEADER, "has no camera"),
        (HEADER + "\ncam00.jpg,1,2", "camera 1 has 3 values"),
        (HEADER + "\ncam00.jpg,1,2,3,0,x,0,20,0,0,0,0,0,0,0,0", "camera 1 (cam00.jpg): pitch: could not convert"),
        (HEADER + "\ncam00.jpg,1,2,3,0,,0,20,0,0,0,0,0,0,0,0", "camera 1 (cam00.jpg): has no pitch"),
        (HEADER + "\ncam00.jpg,1,2,3,0,0,0,nan,0,0,0,0,0,0,0,0", "f: not finite"),
    ],
)
def test_a_wrong_csv_is_named(tmp_path, text, expected):
    (tmp_path / "c.csv").write_text(text)
    assert expected in refusal("realitycapture", tmp_path / "c.csv")


# OpenCV


K = [np.array([[500.0 + n, 0, 318.5], [0, 505.0 + n, 241.25], [0, 0, 1]]) for n in (0, 1)]
D = (-0.1, 0.05, 0.002, -0.001, -0.01)  # k1, k2, p1, p2, k3


def yaml_matrix(key: str, values: object) -> str:
    array = np.atleast_2d(values)
    data = ", ".join(map(repr, map(float, array.ravel())))
    return (
        f"{key}: !!opencv-matrix\n   rows: {array.shape[0]}\n   cols: {array.shape[1]}\n   dt: d\n   data: [ {data} ]\n"
    )


def xml_matrix(key: str, values: object) -> str:
    array = np.atleast_2d(values)
    size = f"<rows>{array.shape[0]}</rows><cols>{array.shape[1]}</cols><dt>d</dt>"
    return f'<{key} type_id="opencv-matrix">{size}<data>\n    {words(array)}</data></{key}>\n'


def yaml(path: Path, *entries: str) -> None:
    path.write_text("%YAML:1.0\n---\n" + "".join(entries))


def xml(path: Path, *entries: str) -> None:
    path.write_text('<?xml version="1.0"?>\n<opencv_storage>\n' + "".join(entries) + "</opencv_storage>\n")


def opencv(n: int) -> Callable[[np.ndarray], np.ndarray]:
    """OpenCV's own projection, whose top left pixel has its centre at (0, 0): half a pixel is added."""

    def project(xy: np.ndarray) -> np.ndarray:
        return brown(xy, (D[0], D[1], D[4]), (D[2], D[3])) * [K[n][0, 0], K[n][1, 1]] + K[n][:2, 2] + 0.5

    return project


def stereo() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R and T from the first camera to the second, and the second in the first's world."""
    turned, moved = rotation(3), np.array([-0.5, 0.02, 0.01])
    second = np.eye(4)
    second[:3, :3], second[:3, 3] = turned.T, -turned.T @ moved
    return turned, moved, second


@pytest.mark.parametrize("kind", ["two files", "one yaml", "one xml", "left and right", "from 0"])
def test_a_stereo_calibration_of_opencv(tmp_path, kind):
    """samples/cpp/stereo_calib.cpp writes M1, D1, M2, D2 to intrinsics.yml and R, T to extrinsics.yml; the
    documentation of stereoCalibrate has R and T take the coordinates of the first camera to those of the second."""
    turned, moved, second = stereo()
    distortion = np.reshape(D, (1, 5))
    names = {
        "two files": ("M1", "D1", "M2", "D2"),
        "one yaml": ("cameraMatrix1", "distCoeffs1", "cameraMatrix2", "distCoeffs2"),
        "one xml": ("K1", "D1", "K2", "D2"),
        "left and right": ("left_camera_matrix", "left_distortion_coefficients", "camera_matrix_right", "D_right"),
        "from 0": ("K0", "D0", "K1", "D1"),
    }[kind]
    write, path = (xml_matrix, tmp_path / "stereo.xml") if kind == "one xml" else (yaml_matrix, tmp_path / "stereo.yml")
    inside = [write(name, values) for name, values in zip(names, (K[0], distortion, K[1], distortion), strict=True)]
    outside = [write("R", turned), write("T", moved[:, None])]
    if kind == "two files":
        yaml(tmp_path / "intrinsics.yml", *inside)
        yaml(tmp_path / "extrinsics.yml", *outside, yaml_matrix("R1", np.eye(3)), yaml_matrix("Q", np.eye(4)))
        path = tmp_path
    elif kind == "one xml":
        xml(path, *inside, *outside, "<imageSize>\n  640 480</imageSize>")
    else:
        yaml(path, 'calibration_Time: "now"\n', "image_width: 640\nimage_height: 480\n", *inside, *outside)
    found = read("opencv", path)
    check(found, "cam00", np.eye(4), opencv(0))
    check(found, "cam01", second, opencv(1))


def test_the_sides_of_a_stereo_calibration_are_told_by_name(tmp_path):
    turned, moved, second = stereo()
    entries = [yaml_matrix(key, value) for key, value in (("M1", K[0]), ("M2", K[1]), ("R", turned), ("T", moved))]
    yaml(tmp_path / "stereo.yml", *entries)
    found = read("opencv", tmp_path / "stereo.yml", ("a_right", "b_left"))
    np.testing.assert_allclose(found.c2w["cameras"]["a_right"], second, atol=1e-9)
    with pytest.raises(UserError, match="a stereo calibration has two cameras, but there are 3: a, b, c"):
        read("opencv", tmp_path / "stereo.yml", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("M2", "X2", "camera 2: no camera matrix (as M2)"),
        ("R: ", "Z: ", "no R, from the first camera to the second"),
        ("cols: 3", "cols: 4", "has the shape [9]; expected 12 numbers"),
        ("cols: 5\n   dt: d\n   data: [ ", "cols: 9\n   dt: d\n   data: [ 0, 0, 0, 0, ", None),
        (
            "cols: 5\n   dt: d\n   data: [ ",
            "cols: 14\n   dt: d\n   data: [ 0, 0, 0, 0, 0, 0, 0, 0, 0.1, ",
            "its lens has s1, s2",
        ),
        ("318.5", "100.0", "its principal point is 100.5, 241.8, far from the middle of the image, which is 640x480"),
        ("data: [ 500.0, 0.0", "data: [ 500.0, 0.7", "expected fx, 0, cx"),
        ("%YAML:1.0\n---\n", "[", "not a YAML file of OpenCV"),
        ("%YAML:1.0\n---\n", "a: &a [1, 1]\nb: [*a, *a]\n", "it has aliases, which OpenCV does not write"),
    ],
)
def test_a_wrong_stereo_calibration_is_named(tmp_path, old, new, expected):
    turned, moved, _ = stereo()
    path, distortion = tmp_path / "stereo.yml", np.reshape(D, (1, 5))
    entries = (("M1", K[0]), ("D1", distortion), ("M2", K[1]), ("D2", distortion), ("R", turned), ("T", moved))
    yaml(path, *(yaml_matrix(key, value) for key, value in entries))
    path.write_text(path.read_text().replace(old, new))
    if expected:
        assert expected in refusal("opencv", path)
    else:
        assert "its lens has" in refusal("opencv", path)  # k1 ... k6 are 0 but what was k1 is s1


# EasyMocap


def easymocap(folder: Path, names: tuple[str, ...], size: bool = True, rot: bool = True) -> None:
    listed = "names:\n" + "".join(f'  - "{name}"\n' for name in names)
    inside, outside = [listed], [listed]
    for n, name in enumerate(names):
        w2c = np.linalg.inv(pose(n))
        angle = np.arccos((np.trace(w2c[:3, :3]) - 1) / 2)
        skew = (w2c[:3, :3] - w2c[:3, :3].T) / (2 * np.sin(angle))
        vector = angle * np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
        inside += [yaml_matrix(f"K_{name}", K[n]), yaml_matrix(f"dist_{name}", np.reshape(D, (1, 5)))]
        inside += [f"H_{name}: {HEIGHT}\nW_{name}: {WIDTH}\n"] if size else []
        outside += [yaml_matrix(f"R_{name}", vector[:, None]), yaml_matrix(f"T_{name}", w2c[:3, 3:])]
        outside += [yaml_matrix(f"Rot_{name}", w2c[:3, :3])] if rot else []
    yaml(folder / "intri.yml", *inside)
    yaml(folder / "extri.yml", *outside)


@pytest.mark.parametrize("names", [("0", "1"), ("00", "01"), ("cam00", "cam01")])
@pytest.mark.parametrize("rot", [True, False])
@pytest.mark.parametrize("size", [True, False])
def test_easymocap(tmp_path, names, rot, size):
    """easymocap/mytools/camera_utils.py, write_camera: names, K_, dist_ (k1, k2, p1, p2, k3), H_, W_ in intri.yml; R_
    (cv2.Rodrigues), Rot_, T_, world to camera, in extri.yml. OpenCV's pixels."""
    easymocap(tmp_path, names, size, rot)
    found = read("easymocap", tmp_path)
    for n, name in enumerate(NAMES):
        check(found, name, pose(n), opencv(n))


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("intri.yml", "names", "called", "has no names"),
        ("intri.yml", "K_01", "K_02", "camera 01: has no K_01"),
        ("extri.yml", "T_01", "T_02", "has no R_01 or T_01"),
        ("extri.yml", "%YAML", "{", "not a YAML file"),
        ("intri.yml", "rows: 3", "rows: x", "rows, cols: could not convert"),
    ],
)
def test_a_wrong_easymocap_file_is_named(tmp_path, file, old, new, expected):
    easymocap(tmp_path, ("00", "01"))
    (tmp_path / file).write_text((tmp_path / file).read_text().replace(old, new))
    message = refusal("easymocap", tmp_path)
    assert expected in message
    assert file in message
    (tmp_path / file).unlink()
    assert f"{file}: file not found" in refusal("easymocap", tmp_path)


# anipose and FreeMoCap


@pytest.mark.parametrize("program", ["anipose", "FreeMoCap"])
def test_tables_of_anipose_and_freemocap(tmp_path, program):
    """aniposelib/cameras.py, Camera.get_dict: name, size, matrix, distortions, rotation (Rodrigues) and translation,
    world to camera. FreeMoCap (anipose_camera_calibrator) adds world_orientation and world_position, camera to world,
    calls cameras after their synchronised videos, and has [metadata]."""
    text = []
    for n, name in enumerate(NAMES):
        w2c = np.linalg.inv(pose(n))
        angle = np.arccos((np.trace(w2c[:3, :3]) - 1) / 2)
        skew = (w2c[:3, :3] - w2c[:3, :3].T) / (2 * np.sin(angle))
        vector = angle * np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
        called = name if program == "anipose" else f"Camera_{n}_synchronized"
        text += [f'[cam_{n}]\nname = "{called}"\nsize = [ {WIDTH}, {HEIGHT},]\nmatrix = {K[n].tolist()}']
        text += [f"distortions = {list(D)}\nrotation = {vector.tolist()}\ntranslation = {w2c[:3, 3].tolist()}"]
        if program == "FreeMoCap":
            c2w = pose(n)
            text += [f"world_orientation = {c2w[:3, :3].tolist()}\nworld_position = {c2w[:3, 3].tolist()}"]
    text += ["[metadata]\ncharuco_square_size = 39.0\npath_to_recorded_videos = 'x'"]
    (tmp_path / "calibration.toml").write_text("\n".join(text) + "\n")
    found = read("toml", tmp_path / "calibration.toml")
    for n, name in enumerate(NAMES):
        check(found, name, pose(n), opencv(n))


# PINF


@pytest.mark.parametrize("names", [("train00", "train01"), NAMES])
def test_pinf(tmp_path, names):
    """github.com/Xayah-Hina/PI-NeuFlow, src/dataset.py: cam_train00.npz with cam_transform (camera to world, looks
    along -z), focal * width / aperture pixels, the principal point in the middle, near and far."""
    for n in (0, 1):
        c2w = pose(n)
        c2w[:3, :3] *= [1, -1, -1]
        values = {"cam_transform": c2w, "focal": 50.0 + n, "aperture": 41.4214, "width": WIDTH, "height": HEIGHT}
        np.savez(tmp_path / f"cam_train0{n}.npz", **values, near=np.float32(1.1), far=np.float32(2.5))
    np.savez(tmp_path / "truth.npz", depth=np.zeros(3))  # of something else
    found = read("pinf", tmp_path, names)
    for n, name in enumerate(names):
        focal = (50.0 + n) * WIDTH / 41.4214
        check(found, name, pose(n), lambda xy, focal=focal: xy * focal + [320, 240])
        assert found.bounds["cameras"][name] == pytest.approx((1.1, 2.5))


def test_a_wrong_pinf_file_is_named_and_pickles_are_not_read(tmp_path):
    assert "no camera; expected an npz file per camera" in refusal("pinf", tmp_path)
    path = tmp_path / "cam_train00.npz"
    np.savez(path, cam_transform=np.eye(4), focal=1.0)
    assert "cam_train00.npz: has no aperture, width, height" in refusal("pinf", tmp_path)
    values = {"focal": 50.0, "aperture": 0.0, "width": WIDTH, "height": HEIGHT}
    np.savez(path, cam_transform=np.eye(4), **values)
    assert "aperture is 0" in refusal("pinf", tmp_path)
    np.savez(path, cam_transform=np.diag([1, 1, -1, 1.0]), **values)
    assert "mirrored" in refusal("pinf", tmp_path)
    np.savez(path, cam_transform=np.array([object()]), **values)
    assert "cannot be read as npz file" in refusal("pinf", tmp_path)
    path.write_bytes(b"PK")
    assert "cam_train00.npz" in refusal("pinf", tmp_path)


def test_a_lens_without_a_size_follows_the_picture_when_it_is_turned(tmp_path):
    """RealityCapture's lens of an upright phone, whose pixels are stored lying on the side."""
    (tmp_path / "c.csv").write_text(HEADER + "\na.jpg,0,0,0,0,90,0,28,0.02,0.01,0,0,0,0,0,0\n")
    found = read_given(
        "realitycapture", tmp_path / "c.csv", {"cameras": {}, "photos": {"a": (480, 640)}}, {}, {"a": "a.jpg"}
    )
    lens = found.lenses["photos"]["a"]
    assert lens.principal_point == pytest.approx((240 + 0.02 * 640, 320 + 0.01 * 640))
